"""The network that maps each modality into the shared space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class AlignmentOutput(NamedTuple):
    """One forward pass of n rows."""

    representations: tuple[Tensor, ...]  # of each view (n, q)
    temperature: Tensor  # ()


class AlignmentNetwork(nn.Module):
    """A map of each modality into a space of q dimensions.

    It is linear, and with perceptrons the sum of a linear map and a perceptron. In training, one
    modality alone is seen twice, with other units dropped out each time, as if it were two.

    Parameters
    ----------
    n_features : sequence of int
        The width of each modality; the columns of ``x`` stand in this order.
    linear : sequence of Sequential
        The linear map of each modality, which ends with its `nn.Linear`.
    perceptrons : sequence of Sequential
        What is added to each, which ends with an `nn.Linear` too; may be empty.
    temperature : float
        What cosines are divided by.
    learns_temperature : bool
    """

    n_members = 1  # it is one network, not an ensemble

    def __init__(
        self,
        n_features: Sequence[int],
        linear: Sequence[nn.Sequential],
        perceptrons: Sequence[nn.Sequential],
        temperature: float,
        *,
        learns_temperature: bool,
    ):
        super().__init__()
        self.n_features = list(n_features)
        self.linear = nn.ModuleList(linear)
        self.perceptrons = nn.ModuleList(perceptrons)
        start = torch.tensor(math.log(temperature), dtype=torch.float32)
        self.log_temperature = nn.Parameter(start, requires_grad=learns_temperature)

    @property
    def scales(self) -> set[str]:
        """The parameters that are not weights."""
        return {"log_temperature"}

    @property
    def views(self) -> tuple[int, ...]:
        """The modality of each representation that is compared with the others."""
        return (0, 0) if len(self.n_features) == 1 else tuple(range(len(self.n_features)))

    @property
    def temperature(self) -> Tensor:
        """What cosines are divided by."""
        return self.log_temperature.exp()

    @torch.no_grad()
    def start_from(self, weights: Sequence[Tensor], offsets: Sequence[Tensor]) -> None:
        """Start as linear maps (d_i, q) of each modality, to which perceptrons add nothing yet."""
        for encoder, weight, offset in zip(self.linear, weights, offsets, strict=True):
            last = _last_layer(encoder)
            last.weight.copy_(weight.T)
            last.bias.copy_(offset)
        for encoder in self.perceptrons:
            last = _last_layer(encoder)
            last.weight.zero_()
            last.bias.zero_()

    def represent(self, i: int, x: Tensor) -> Tensor:
        """Map the columns (n, d_i) of modality ``i`` to (n, q)."""
        mapped = self.linear[i](x)
        return mapped + self.perceptrons[i](x) if len(self.perceptrons) else mapped

    def forward(self, x: Tensor) -> AlignmentOutput:
        """Represent rows, all columns of which stand side by side (n, sum of d_i)."""
        blocks = x.split(self.n_features, dim=1)
        representations = tuple(self.represent(i, blocks[i]) for i in self.views)
        return AlignmentOutput(representations, self.temperature)


def _last_layer(encoder: nn.Module) -> nn.Linear:
    assert isinstance(encoder, nn.Sequential)
    last = encoder[-1]
    assert isinstance(last, nn.Linear)
    return last
