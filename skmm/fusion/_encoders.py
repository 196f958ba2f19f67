"""Multilayer perceptrons, and what those of several modalities may share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import nn

from ._layers import Dropout

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

    Returns
    -------
    encoders : ModuleList of n_modalities modules
    trunk : Module or None
    """
    rate = dropout * INPUT_DROPOUT_RATIO
    own, shared = tuple(sizes), None
    if sharing == "layers":
        own = sizes[:1]
        shared = _perceptron(sizes, activation, dropout, dropout)
    elif sharing == "parameters":
        own, linear = sizes[:1], True
        shared = _perceptron((sizes[0], *sizes), activation, rate, dropout)
    encoders = [
        _perceptron((width, *own), activation, rate, dropout, linear=linear) for width in n_features
    ]
    return nn.ModuleList(encoders), shared


def make_rest(sizes: Sequence[int], n_outputs: int, activation: str, dropout: float) -> nn.Module:
    """Make the rest of a network whose first layer's sums come in."""
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes, (*sizes[1:], n_outputs), strict=True):
        layers += [ACTIVATIONS[activation](), Dropout(dropout), nn.Linear(n_in, n_out)]
    return nn.Sequential(*layers)


def _perceptron(
    sizes: Sequence[int], activation: str, first_rate: float, rate: float, *, linear: bool = False
) -> nn.Sequential:
    """Layers of dropout (``first_rate`` of the inputs), linear map and activation.

    With ``linear`` the last activation is left out.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [Dropout(first_rate), nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
        first_rate = rate
    return nn.Sequential(*(layers[:-1] if linear else layers))
