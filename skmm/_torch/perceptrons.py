"""Multilayer perceptrons, and what those of several modalities may share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from .layers import Dropout, make_linear

ACTIVATIONS = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
}


class PerceptronSpec(NamedTuple):
    """What a multilayer perceptron is built from, as plain numbers and strings."""

    hidden_layer_sizes: tuple[int, ...]
    activation: str  # a key of `ACTIVATIONS`
    dropout: float
    input_dropout: float


def make_perceptron(
    n_features: int, spec: PerceptronSpec, n_members: int, *, ends_linear: bool = False
) -> nn.Sequential:
    """Make layers of dropout, linear map and activation; the last one may end before the latter."""
    return _make_layers(
        (n_features, *spec.hidden_layer_sizes),
        spec,
        n_members,
        spec.input_dropout,
        ends_linear=ends_linear,
    )


def make_shared_perceptrons(
    n_features: Sequence[int], spec: PerceptronSpec, n_members: int, sharing: str
) -> tuple[list[nn.Module], nn.Sequential]:
    """Make what each modality has of f_i by itself, and what follows and is one for all.

    ``sharing="layers"``: the first layer is each modality's own. ``"parameters"``: a linear map to
    the width of the first layer is; all layers of f_i follow.
    """
    sizes, width = spec.hidden_layer_sizes, spec.hidden_layer_sizes[0]
    is_adapter = sharing == "parameters"
    if is_adapter:
        shared = _make_layers((width, *sizes), spec, n_members, spec.input_dropout)
    else:
        shared = _make_layers(sizes, spec, n_members, spec.dropout)
    first = spec._replace(hidden_layer_sizes=(width,))
    encoders: list[nn.Module] = [
        make_perceptron(n, first, n_members, ends_linear=is_adapter) for n in n_features
    ]
    return encoders, shared


def make_following_layers(spec: PerceptronSpec, n_outputs: int, n_members: int) -> nn.Sequential:
    """Make the layers that follow the first layer's sums: activation, dropout, linear map."""
    sizes = spec.hidden_layer_sizes
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes, (*sizes[1:], n_outputs), strict=True):
        activation = ACTIVATIONS[spec.activation]()
        layers += [activation, Dropout(spec.dropout), make_linear(n_members, n_in, n_out)]
    return nn.Sequential(*layers)


def _make_layers(
    sizes: Sequence[int],
    spec: PerceptronSpec,
    n_members: int,
    input_dropout: float,
    *,
    ends_linear: bool = False,
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        rate = input_dropout if i == 0 else spec.dropout
        linear = make_linear(n_members, n_in, n_out)
        layers += [Dropout(rate), linear, ACTIVATIONS[spec.activation]()]
    return nn.Sequential(*(layers[:-1] if ends_linear else layers))
