"""A pretrained model in two parts: lower layers, which run once, and upper ones."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

HALVES = (torch.bfloat16, torch.float16)


class Split(NamedTuple):
    """Where a model is cut: before layer ``first`` of the sequence of layers at ``path``."""

    path: str
    first: int

    def find_layer(self, model: nn.Module) -> nn.Module:
        """Return the first layer of the upper part."""
        return self.list_layers(model)[self.first]

    def list_layers(self, model: nn.Module) -> list[nn.Module]:
        """Return all layers."""
        return list(model.get_submodule(self.path).children())


def find_split(model: nn.Module, n_layers: int, within: str = "") -> Split:
    """Find the layers of a model, or of its submodule ``within``; the last ``n_layers`` are upper.

    They are the sequence of modules of one class that holds most parameters.

    Raises
    ------
    ValueError
        If there is none, or another one of the same class besides, as in a ResNet; it names what
        the model consists of.
    """
    root = model.get_submodule(within)
    # Not the root: sentence-transformers' models are sequences, of one module where that is static.
    classes = {name: _find_class(module) for name, module in root.named_modules() if name}
    sizes = {
        name: sum(p.numel() for p in root.get_submodule(name).parameters())
        for name, found in classes.items()
        if found is not None
    }
    name = max(sizes, key=lambda name: sizes[name], default=None)
    is_one = name is not None and not any(
        classes[other] == classes[name] for other in sizes if other != name
    )
    if name is None or not is_one:
        parts = ", ".join(part for part, _ in root.named_children())
        raise ValueError(
            "finetune needs a model whose layers are one sequence, as those of Transformers are; "
            f"this {type(root).__name__} consists of {parts}."
        )
    path = ".".join(filter(None, [within, name]))
    n_all = len(list(model.get_submodule(path).children()))
    return Split(path, max(0, n_all - n_layers))


def _find_class(module: nn.Module) -> type | None:
    """Return the class of all modules of a sequence; None if it is no sequence, or of several."""
    kinds = {type(child) for child in module.children()}
    is_sequence = isinstance(module, nn.ModuleList | nn.Sequential)
    return kinds.pop() if is_sequence and len(kinds) == 1 else None


def run_lower(model: nn.Module, split: Split, forward: Callable[[nn.Module], Any]) -> Tensor:
    """Run a model up to its upper part; return what would enter that.

    ``forward`` calls the model. Other threads that use it meanwhile are left alone.
    """
    thread = threading.get_ident()

    def stop(layer, args, kwargs) -> None:
        if threading.get_ident() == thread:
            raise _ReachedError(_get_hidden(args, kwargs))

    handle = split.find_layer(model).register_forward_pre_hook(stop, with_kwargs=True)
    try:
        forward(model)
    except _ReachedError as reached:
        return reached.hidden
    finally:
        handle.remove()
    raise RuntimeError(f"The model does not run its layers, {split.path}.")


def check_split(
    model: nn.Module, split: Split, forward: Callable[[nn.Module], Tensor], mask: Tensor | None
) -> Tensor:
    """Return what `run_lower` does, once the upper part has given the vectors of the model from it.

    Raises
    ------
    ValueError
        If it gives others: there is more between the two parts than what enters a layer.
    """
    found: list[Tensor] = []
    thread = threading.get_ident()

    def note(layer, args, kwargs) -> None:
        if threading.get_ident() == thread:
            found.append(_get_hidden(args, kwargs))

    handle = split.find_layer(model).register_forward_pre_hook(note, with_kwargs=True)
    try:
        vectors = forward(model).float()
    finally:
        handle.remove()
    error = ValueError(
        f"finetune cannot split this {type(model).__name__} before layer {split.first} of "
        f"{split.path}: its upper layers need more than what this layer is given. Set "
        "finetune=None."
    )
    if len(found) != 1 or len(found[0]) != len(vectors):
        raise error
    hidden = pad_hidden(pack_hidden(found[0], mask), mask, found[0].device)
    try:
        again = UpperLayers(model, split).run(forward, hidden).float()
    except Exception as e:  # of any model, that misses what a lower layer hands on
        raise error from e
    tolerance = (3e-2 if found[0].dtype in HALVES else 1e-3) * float(vectors.abs().max())
    if not torch.allclose(again, vectors, rtol=0, atol=tolerance):
        raise error
    return found[0]


class UpperLayers:
    """The upper part of a model, as a copy that shares its weights with the model.

    The copy runs as a whole, so that whatever stands around the layers is as its authors wrote it;
    but lower layers do nothing, and what would enter the upper ones is replaced.
    """

    def __init__(self, model: nn.Module, split: Split):
        memo: dict[int, Any] = {
            id(layer): _Skipped() for layer in split.list_layers(model)[: split.first]
        }
        for parameter in model.parameters():
            memo[id(parameter)] = nn.Parameter(_share(parameter), requires_grad=False)
        for buffer in model.buffers():
            memo[id(buffer)] = _share(buffer)
        self.model = copy.deepcopy(model, memo).eval()
        self.split = split
        self._hidden: Tensor | None = None
        split.find_layer(self.model).register_forward_pre_hook(self._replace, with_kwargs=True)

    @property
    def layers(self) -> dict[str, nn.Module]:
        """The layers of the upper part, by their paths."""
        named = list(self.model.get_submodule(self.split.path).named_children())
        return {f"{self.split.path}.{name}": layer for name, layer in named[self.split.first :]}

    def run(self, forward: Callable[[nn.Module], Tensor], hidden: Tensor) -> Tensor:
        """Call ``forward`` with the model, whose upper part reads ``hidden`` then."""
        self._hidden = hidden
        try:
            return forward(self.model)
        finally:
            self._hidden = None

    def _replace(self, layer, args, kwargs) -> tuple[tuple, dict[str, Any]]:
        assert self._hidden is not None
        hidden = self._hidden.to(_get_hidden(args, kwargs).dtype)
        if args:
            return (hidden, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": hidden}


class _ReachedError(Exception):
    """Ends a run before the upper part."""

    def __init__(self, hidden: Tensor):
        super().__init__()
        self.hidden = hidden


class _Skipped(nn.Module):
    """Stands in the place of a layer that does not run."""

    def forward(self, *args, **kwargs) -> Tensor:
        return _get_hidden(args, kwargs)


def _get_hidden(args: tuple, kwargs: dict[str, Any]) -> Tensor:
    return args[0] if args else kwargs["hidden_states"]


def _share(tensor: Tensor) -> Tensor:
    """Return another tensor on the same memory, that may be part of a graph."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def pack_hidden(hidden: Tensor, mask: Tensor | None) -> list[np.ndarray]:
    """Split what enters the upper part (n, T, ...) into items in float32, without padding.

    ``mask`` (n, T) is False where there is padding.
    """
    values = hidden.detach().float().cpu().numpy()
    if mask is None:
        return list(values)
    return [row[keep] for row, keep in zip(values, mask.bool().cpu().numpy(), strict=True)]


def pad_hidden(items: Sequence[np.ndarray], mask: Tensor | None, device: torch.device) -> Tensor:
    """Undo `pack_hidden`; zeros where there is padding."""
    if mask is None:
        return torch.from_numpy(np.stack(items)).to(device)
    hidden = torch.zeros((*mask.shape, *items[0].shape[1:]), device=device)
    hidden[mask.bool()] = torch.from_numpy(np.concatenate(items)).to(device)
    return hidden
