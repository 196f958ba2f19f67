"""Adapters of a pretrained model and a linear head, trained together on what the lower layers give.

The model itself is no part of the network, so that neither its weights are copied with the state of
the network nor stored with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .lora import AdapterSpec, add_adapters, find_dropout
from .losses import known, row_losses, supervised
from .splitting import UpperLayers, pad_hidden
from .tasks import Task
from .tensors import TrainingTensors

CHUNK = 64  # items of similar length that run together
SMALLEST_SPREAD = 1e-6  # of a feature, relative to the largest


class ModelCalls(NamedTuple):
    """How items become the features that a model takes, and the model gives vectors."""

    prepare: Callable[[Any], Any]  # features of a batch of items that are read
    collate: Callable[[list[Any]], Any]  # features of what stands for items in `Items.inputs`
    forward: Callable[[nn.Module, Any], Tensor]  # vectors (n, d) of ``features``
    find_mask: Callable[[Any], Tensor | None]  # (n, T), where there is no padding

    def bind(self, features: Any) -> Callable[[nn.Module], Tensor]:
        """Return what calls a model with some features."""
        return lambda model: self.forward(model, features)


class Items(NamedTuple):
    """Items of which the lower layers have been run."""

    hidden: list[np.ndarray]  # what enters the upper layers, of each item, without padding
    inputs: list[Any]  # what stands for the items in `ModelCalls.collate`
    calls: ModelCalls

    def __len__(self) -> int:
        return len(self.hidden)

    def take(self, index: np.ndarray) -> Items:
        """Return some of the items."""
        hidden, inputs = ([values[i] for i in index] for values in self[:2])
        return Items(hidden, inputs, self.calls)

    def run(self, upper: UpperLayers, index: np.ndarray) -> Tensor:
        """Compute the vectors (n, d) of some items; those of similar length together."""
        order = np.argsort([-len(self.hidden[i]) for i in index], kind="stable")
        device = next(upper.model.parameters()).device
        parts = []
        for start in range(0, len(index), CHUNK):
            chunk = index[order[start : start + CHUNK]].tolist()
            features = self.calls.collate([self.inputs[i] for i in chunk])
            mask = self.calls.find_mask(features)
            hidden = pad_hidden([self.hidden[i] for i in chunk], mask, device)
            vectors = upper.run(self.calls.bind(features), hidden)
            parts.append(vectors.float())
        back = torch.from_numpy(np.argsort(order)).to(device)
        return torch.cat(parts)[back]


class TunedOutput(NamedTuple):
    """One forward pass of n items."""

    logits: Tensor  # (n, k)


class TunedNetwork(nn.Module):
    """Adapters and a linear head that reads the vectors, each feature centred and scaled."""

    n_members = 1  # it is one network, not an ensemble
    scales = frozenset({"head.weight", "head.bias"})  # which have further to go than adapters

    mean: Tensor
    spread: Tensor

    def __init__(self, upper: UpperLayers, spec: AdapterSpec, n_features: int, n_outputs: int):
        super().__init__()
        adapters = add_adapters(upper.model, upper.layers, spec)
        self.hidden = (upper,)  # in a tuple, where torch does not see it
        self.names = list(adapters)
        self.adapters = nn.ParameterList(adapters.values())
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))
        self.head: Any = nn.utils.skip_init(nn.Linear, n_features, n_outputs)  # draws nothing
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.to(next(upper.model.parameters()).device)

    def train(self, mode: bool = True) -> TunedNetwork:
        """Drop out the inputs of adapters, or not; the model never drops anything out."""
        for dropout in find_dropout(self.hidden[0].model):
            dropout.train(mode)
        return super().train(mode)

    def vectors(self, items: Items, index: np.ndarray) -> Tensor:
        """Compute the vectors (n, d) of some items."""
        return items.run(self.hidden[0], index)

    def logits(self, vectors: Tensor) -> Tensor:
        """Compute what the head says of vectors (n, d): (n, k)."""
        return self.head((vectors - self.mean) / self.spread)

    def store_statistics(self, vectors: Tensor) -> None:
        """Store the mean and spread of the features of vectors (n, d)."""
        deviation = vectors.std(0, unbiased=False)
        self.mean.copy_(vectors.mean(0))
        self.spread.copy_(deviation.clamp(min=SMALLEST_SPREAD * max(float(deviation.max()), 1e-30)))


class TuningObjective(NamedTuple):
    """The loss of a head on the vectors of items; ``x`` of the rows holds the numbers of items."""

    items: Items
    tasks: Sequence[Task]

    @property
    def coefficients(self) -> list[float]:
        """What the one term is multiplied by."""
        return [1.0]

    def run(
        self, network: TunedNetwork, batch: TrainingTensors, present: Tensor
    ) -> tuple[TunedOutput, TrainingTensors]:
        """Run a batch, each distinct item of it once."""
        index, place = np.unique(batch.values[:, 0].cpu().numpy(), return_inverse=True)
        vectors = network.vectors(self.items, index)
        rows = torch.from_numpy(place).to(vectors.device)
        return TunedOutput(network.logits(vectors)[rows]), batch

    def terms(self, output: TunedOutput, rows: TrainingTensors) -> Tensor:
        """Compute the mean loss of the rows, (1,)."""
        valid = rows.present[:, 0]
        return supervised(self.tasks, output.logits, rows.target, rows.weight, valid)[None]

    def prepare_evaluation(
        self, network: TunedNetwork, rows: TrainingTensors, index: Tensor
    ) -> None:
        """Stop dropping units out."""
        network.eval()

    @torch.no_grad()
    def held_out_loss(
        self, network: TunedNetwork, rows: TrainingTensors, held_out: Tensor
    ) -> float:
        """Compute the mean loss of rows that are not trained on."""
        batch = rows.take(held_out)
        output, _ = self.run(network, batch, batch.present)
        losses = row_losses(self.tasks, output.logits, batch.target)  # (n, t)
        weight = batch.weight[:, None] * known(batch.target)
        return float(((losses * weight).sum(0) / weight.sum(0).clamp(min=1e-12)).sum())


def log_probabilities(tasks: Sequence[Task], logits: Tensor) -> Tensor:
    """Compute the logarithms of probabilities (n, k); of labels the logits."""
    parts = [logits[:, task.outputs] for task in tasks]
    kinds = [task.kind for task in tasks]
    pairs = zip(kinds, parts, strict=True)
    return torch.cat([p.log_softmax(1) if kind == "multiclass" else p for kind, p in pairs], dim=1)


def pack_tuned(network: TunedNetwork) -> dict[str, Any]:
    """Return the arrays of a network, by name."""
    state = {name: value for name, value in network.state_dict().items() if "adapters" not in name}
    adapters = dict(zip(network.names, network.adapters, strict=True))
    return {name: t.detach().cpu().numpy().copy() for name, t in {**adapters, **state}.items()}


def fill_tuned(network: TunedNetwork, arrays: Mapping[str, np.ndarray]) -> None:
    """Put the arrays of `pack_tuned` into a network.

    Raises
    ------
    ValueError
        If they are those of another network.
    """
    if {*arrays} != {*pack_tuned(network)}:
        other = sorted({*arrays} ^ {*pack_tuned(network)})
        raise ValueError(f"The adapters do not fit the model: {other[0]} is in one of them only.")
    adapters = dict(zip(network.names, network.adapters, strict=True))
    with torch.no_grad():
        for name, tensor in {**adapters, **network.state_dict()}.items():
            if name in arrays:
                tensor.copy_(torch.from_numpy(np.array(arrays[name])))
