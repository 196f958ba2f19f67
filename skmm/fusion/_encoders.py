"""Multilayer perceptrons, and what those of several modalities may share."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

from torch import nn

from ._layers import Dropout, make_linear

ACTIVATIONS = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
}
INPUT_DROPOUT_RATIO = 0.4  # an input carries more than a hidden unit does, so fewer are dropped


def make_encoders(
    n_features: Sequence[int],
    sizes: Sequence[int],
    activation: str,
    dropout: float,
    *,
    linear: bool,
    sharing: str | None,
    n_members: int,
) -> tuple[nn.ModuleList, nn.Module | None]:
    """Make what each modality has of f_i for itself, and what follows and is one for all.

    Parameters
    ----------
    n_features : sequence of int
        The width of each modality.
    sizes : sequence of int
        The layers of f_i.
    activation : str
        A key of `ACTIVATIONS`.
    dropout : float
    linear : bool
        Whether f_i ends before its activation.
    sharing : {None, "layers", "parameters", "representation"}
        "layers": the first layer is each modality's own. "parameters": a linear adapter to the
        width of the first layer is; all layers of f_i follow. Otherwise everything is.
    n_members : int
        The number of networks in an ensemble.

    Returns
    -------
    encoders : ModuleList of n_modalities modules
    trunk : Module or None
    """
    rate = dropout * INPUT_DROPOUT_RATIO
    make = functools.partial(_perceptron, activation=activation, rate=dropout, n_members=n_members)
    own, shared = tuple(sizes), None
    if sharing == "layers":
        own = sizes[:1]
        shared = make(sizes, first_rate=dropout)
    elif sharing == "parameters":
        own, linear = sizes[:1], True
        shared = make((sizes[0], *sizes), first_rate=rate)
    encoders = [make((width, *own), first_rate=rate, linear=linear) for width in n_features]
    return nn.ModuleList(encoders), shared


def make_rest(
    sizes: Sequence[int], n_outputs: int, activation: str, dropout: float, n_members: int
) -> nn.Module:
    """Make the rest of a network whose first layer's sums come in."""
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes, (*sizes[1:], n_outputs), strict=True):
        layers += [ACTIVATIONS[activation](), Dropout(dropout), make_linear(n_members, n_in, n_out)]
    return nn.Sequential(*layers)


def _perceptron(
    sizes: Sequence[int],
    *,
    activation: str,
    first_rate: float,
    rate: float,
    n_members: int,
    linear: bool = False,
) -> nn.Sequential:
    """Layers of dropout (``first_rate`` of the inputs), linear map and activation.

    With ``linear`` the last activation is left out.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        linear_map = make_linear(n_members, n_in, n_out)
        layers += [Dropout(first_rate), linear_map, ACTIVATIONS[activation]()]
        first_rate = rate
    return nn.Sequential(*(layers[:-1] if linear else layers))
