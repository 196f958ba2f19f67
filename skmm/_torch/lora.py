"""Low-rank adapters of a pretrained model's layers, by peft."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from .._optional import import_optional
from .layers import Dropout
from .modes import model_modes


class AdapterSpec(NamedTuple):
    """What adapters are built from, as plain numbers."""

    rank: int
    alpha: float  # what they add is multiplied by alpha / rank
    dropout: float
    target_modules: list[str] | None  # names of linear maps in the layers; None: all of them
    seed: int  # of their first weights


def add_adapters(
    model: nn.Module, layers: Mapping[str, nn.Module], spec: AdapterSpec
) -> dict[str, nn.Parameter]:
    """Add adapters to layers of a model, in place; return their parameters by name.

    At first they change nothing.

    Raises
    ------
    ImportError
        If peft is not installed.
    ValueError
        If the layers have no modules of these names; it says which they have.
    """
    peft = import_optional("peft", extra="finetune", purpose="finetune")
    targets = _find_targets(layers, spec.target_modules)
    config = peft.LoraConfig(r=spec.rank, lora_alpha=spec.alpha, target_modules=targets)
    with torch.random.fork_rng(devices=[]), model_modes(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of what peft asks of transformers
        torch.manual_seed(spec.seed)
        peft.inject_adapter_in_model(config, model)
    for dropout in find_dropout(model) if spec.dropout else []:
        for name in dropout:  # draws from the generators of the fit
            dropout[name] = Dropout(spec.dropout)
    adapters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for parameter in adapters.values():  # of a model in bfloat16 too: steps are small
        parameter.data = parameter.data.float()
    return adapters


def _find_targets(layers: Mapping[str, nn.Module], wanted: Sequence[str] | None) -> list[str]:
    """Return the paths of the modules that get an adapter.

    `nn.MultiheadAttention` computes with the weights of its submodules, not by them, and what peft
    makes of it adds to its weights and subtracts again: it stays as it is.
    """
    found: list[str] = []
    for path, layer in layers.items():
        whole = [
            f"{name}."
            for name, module in layer.named_modules(prefix=path)
            if isinstance(module, nn.MultiheadAttention)
        ]
        found += [
            name
            for name, module in layer.named_modules(prefix=path)
            if _can_be_adapted(module) and not name.startswith(tuple(whole))
        ]
    if wanted is None:
        return found
    unknown = [name for name in wanted if not any(_ends_with(path, name) for path in found)]
    if unknown or not found or not wanted:
        names = sorted({path.rpartition(".")[2] for path in found})
        which = f"{unknown}, which the layers that are tuned do not have" if wanted else "nothing"
        raise ValueError(f"target_modules={list(wanted)} names {which}. The layers have {names}.")
    return [path for path in found if any(_ends_with(path, name) for name in wanted)]


def _can_be_adapted(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.groups == 1
    return isinstance(module, nn.Linear)


def _ends_with(path: str, name: str) -> bool:
    return f".{path}".endswith(f".{name}")


def find_dropout(model: nn.Module) -> list[nn.ModuleDict]:
    """Return what drops out the inputs of the adapters of a model."""
    found = [getattr(module, "lora_dropout", None) for module in model.modules()]
    return [dropout for dropout in found if isinstance(dropout, nn.ModuleDict)]
