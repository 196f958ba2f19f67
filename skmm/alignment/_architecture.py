"""From plain numbers to a network, and from a network to plain data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from .._torch.filling import fill_network, pack_arrays
from .._torch.perceptrons import PerceptronSpec, make_perceptron
from ._network import AlignmentNetwork


class AlignmentSpec(NamedTuple):
    """All that a network is built from; modalities in the user's order."""

    n_features: list[int]  # the width of each modality
    n_components: int
    perceptron: PerceptronSpec  # without hidden layers: the maps are linear
    linear_dropout: float  # of the linear maps' inputs
    temperature: float  # where it starts, or stays
    learns_temperature: bool

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, lists and dicts."""
        return {**self._asdict(), "perceptron": list(self.perceptron)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> AlignmentSpec:
        """Undo `to_plain`."""
        sizes, *others = plain["perceptron"]
        return cls(**{**plain, "perceptron": PerceptronSpec(tuple(sizes), *others)})


def build_network(spec: AlignmentSpec) -> AlignmentNetwork:
    """Build a network, drawing its weights from the generators of the fit."""
    sizes = spec.perceptron.hidden_layer_sizes
    linear = PerceptronSpec((spec.n_components,), "identity", 0.0, spec.linear_dropout)
    perceptron = spec.perceptron._replace(hidden_layer_sizes=(*sizes, spec.n_components))
    return AlignmentNetwork(
        spec.n_features,
        [make_perceptron(width, linear, 1, ends_linear=True) for width in spec.n_features],
        [
            make_perceptron(width, perceptron, 1, ends_linear=True)
            for width in spec.n_features
            if sizes
        ],
        spec.temperature,
        learns_temperature=spec.learns_temperature,
    )


def pack_network(
    network: AlignmentNetwork, spec: AlignmentSpec
) -> dict[str, Any] | AlignmentNetwork:
    """Return a network as plain data, or itself on the CPU if it was changed by hand."""
    with torch.device("meta"):  # draws no random numbers
        built = build_network(spec)
    if repr(built) != repr(network):
        return copy.deepcopy(network).cpu()
    return pack_arrays(network)


def unpack_network(
    packed: Mapping[str, Any] | AlignmentNetwork, spec: AlignmentSpec
) -> AlignmentNetwork:
    """Build the network again that `pack_network` returned."""
    if isinstance(packed, AlignmentNetwork):
        return packed
    with torch.device("meta"):
        network = build_network(spec)
    return fill_network(network, packed)
