"""The network that maps each modality into the shared space, and what it is trained to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..fusion._encoders import INPUT_DROPOUT_RATIO, make_encoders
from ..fusion._losses import ALIGNMENT_LOSSES, Rows, contrastive, supervised_contrastive
from ..fusion._solvers import Settings
from ..fusion._training import EVALUATION_ROWS, History, Pass, interrupted


class AlignmentOutput(NamedTuple):
    """What the network says of rows."""

    representations: tuple[Tensor, ...]  # of each view (n, q)
    temperature: Tensor  # ()


class AlignmentNetwork(nn.Module):
    """A map of each modality into a space of ``n_components`` dimensions.

    It is linear, and with hidden layers the sum of a linear map and a perceptron. In training, one
    modality alone is seen twice, with other units dropped out each time, as if it were two.

    Parameters
    ----------
    n_features : sequence of int
        The width of each modality.
    n_components : int
    hidden_layer_sizes : sequence of int
    activation : str
        A key of `fusion._encoders.ACTIVATIONS`.
    dropout : float
        Of the inputs of the linear maps, and of hidden units.
    temperature : float
        What cosines are divided by.
    learn_temperature : bool
    """

    def __init__(
        self,
        n_features: Sequence[int],
        n_components: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        dropout: float,
        temperature: float,
        learn_temperature: bool,
    ):
        super().__init__()
        self.n_features = list(n_features)
        options = {"linear": True, "sharing": None, "n_members": 1}
        of_inputs = dropout / INPUT_DROPOUT_RATIO  # where there are no hidden units to leave out
        self.linear, _ = make_encoders(
            n_features, (n_components,), activation, of_inputs, **options
        )
        self.deep: nn.ModuleList | None = None
        if len(hidden_layer_sizes):
            sizes = (*hidden_layer_sizes, n_components)
            self.deep, _ = make_encoders(n_features, sizes, activation, dropout, **options)
        self.log_temperature = nn.Parameter(
            torch.tensor(math.log(temperature)), requires_grad=learn_temperature
        )

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
        return self.log_temperature.exp()

    def tile(self, values: Tensor) -> Tensor:
        """There is one network, not an ensemble."""
        return values

    def start_from(self, weights: Sequence[Tensor], offsets: Sequence[Tensor]) -> None:
        """Begin as these linear maps (d_i, q) of each modality; hidden layers add nothing yet."""
        with torch.no_grad():
            for encoder, weight, offset in zip(self.linear, weights, offsets, strict=True):
                encoder[-1].weight.copy_(weight.T)
                encoder[-1].bias.copy_(offset)
            for encoder in self.deep or ():
                encoder[-1].weight.zero_()
                encoder[-1].bias.zero_()

    def represent(self, i: int, x: Tensor) -> Tensor:
        """Map the columns (n, d_i) of modality ``i`` (n, q)."""
        mapped = self.linear[i](x)
        return mapped if self.deep is None else mapped + self.deep[i](x)

    def forward(self, x: Tensor, present: Tensor, weight: Tensor) -> AlignmentOutput:
        """Represent rows, all columns of which stand side by side (n, sum of d_i)."""
        columns = x.split(self.n_features, dim=1)
        views = tuple(self.represent(i, columns[i]) for i in self.views)
        return AlignmentOutput(views, self.temperature)


class AlignmentObjective(NamedTuple):
    """L_ij of each ordered pair of views; the loss is their mean."""

    alignment: str  # "contrastive" or "correlation"
    pairs: Sequence[tuple[int, int]]
    views: Sequence[int]  # the modality of each
    supervised: bool

    @property
    def coefficients(self) -> list[float]:
        """What each term is multiplied by."""
        return [1 / len(self.pairs)] * len(self.pairs)

    def terms(self, output: AlignmentOutput, rows: Rows) -> Tensor:
        """Every term, not yet multiplied by its coefficient, (n_terms,)."""
        return torch.stack([self._term(output, rows, i, j) for i, j in self.pairs])

    def _term(self, output: AlignmentOutput, rows: Rows, i: int, j: int) -> Tensor:
        both = rows.present[:, self.views[i]] & rows.present[:, self.views[j]]
        pair = (output.representations[i], output.representations[j], rows.weight, both)
        if self.supervised:
            alike = rows.target == rows.target.T  # (n, n)
            return supervised_contrastive(*pair, output.temperature, alike)
        if self.alignment == "contrastive":
            return contrastive(*pair, output.temperature)
        return ALIGNMENT_LOSSES[self.alignment](*pair)


class AlignmentPass(Pass):
    """The epochs of an alignment."""

    def _settle(self, index: Tensor) -> None:
        self.network.eval()

    @torch.no_grad()
    def _unseen_loss(self) -> float:
        self.network.eval()
        total = 0.0
        for index in self.held_out.split(EVALUATION_ROWS):
            rows = self.rows.take(index)
            output = self.network(rows.x, rows.present, rows.weight)
            total += float(self.solver.coefficients @ self.objective.terms(output, rows)) * len(
                index
            )
        return total / len(self.held_out)


def align(
    network: AlignmentNetwork,
    rows: Rows,
    fitting: Tensor,
    held_out: Tensor | None,
    objective: AlignmentObjective,
    settings: Settings,
) -> History:
    """Train ``network`` in place."""
    epochs = AlignmentPass(network, rows, fitting, held_out, objective, settings)
    with tqdm(total=settings.max_iter, desc="alignment", disable=not settings.verbose) as bar:
        try:
            epochs.run(bar, None, 0)
        except KeyboardInterrupt:
            if not epochs.history.terms:
                raise
            interrupted(len(epochs.history.terms), settings.max_iter)
    network.eval()
    return epochs.history


def unit(values: Tensor) -> Tensor:
    """Scale each row to length 1; zeros stay."""
    return F.normalize(values, dim=-1)
