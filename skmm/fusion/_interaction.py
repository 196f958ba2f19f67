"""f_inter: what only several modalities say together, read off a mixture of models of all columns.

Models that read all columns at once (trees, boosting, a linear model, perceptrons) are mixed with
the network. Their coefficients, not negative, are those that suit rows best which no model has
seen: stacked regression (Breiman 1996). What the mixture J says of a row is split as functional
analysis of variance splits it: the first-order terms, sums of functions of one modality each,
belong to the f_i, and the rest is f_inter:

    J(x) = sum_i J_i(x_i) + J_inter(x),   J_i(x_i) = E[J(x_i, others)] - E[J],

with the expectation over rows of the training data. So a mixture of trees that predicts better than
perceptrons, and yet adds up by modality, is no interaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._data.reduction import BlockReducer
from .._data.scaling import ColumnScaler
from ._models import ScoreModel

BACKGROUND_ROWS = 32  # that expectations are taken over
CHUNK_VALUES = 2**22  # of rows crossed with the background, at a time


class FittedInteraction(NamedTuple):
    """A mixture of models of all columns, and what it takes to split its outputs by modality."""

    widths: list[int]  # of the modalities, as the models read them
    n_outputs: int
    reducer: BlockReducer | None = None  # None: the models read the columns of X
    scaler: ColumnScaler | None = None  # of the rows that it was learned from
    models: Sequence[ScoreModel] = ()
    coefficients: Sequence[float] = ()
    network_coefficient: float = 1.0
    background: np.ndarray | None = None  # (b, q) rows that expectations are taken over
    is_learned: Sequence[bool] = ()  # whether models have seen rows without the modality
    share: float = 0.0  # of the mixture in the outputs
    spreads: np.ndarray | None = None  # (m + 1, k) of the parts of its outputs, f_inter last

    def to_plain(self) -> dict[str, Any]:
        """Return lists, numbers, arrays and estimators."""
        return {
            **self._asdict(),
            "reducer": None if self.reducer is None else list(self.reducer),
            "scaler": None if self.scaler is None else self.scaler.state,
            "models": [list(model) for model in self.models],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> FittedInteraction:
        """Undo `to_plain`."""
        reducer, models = plain["reducer"], [ScoreModel(*model) for model in plain["models"]]
        reducer = None if reducer is None else BlockReducer(*reducer)
        scaler = None if plain["scaler"] is None else ColumnScaler.from_state(plain["scaler"])
        return cls(**{**plain, "reducer": reducer, "scaler": scaler, "models": models})

    def weigh(self, alpha: np.ndarray) -> np.ndarray:
        """Return how much modalities and interaction count, from alpha (m,) or (m, k)."""
        padded = np.concatenate([alpha, np.zeros_like(alpha[:1])]).astype(float)
        if self.spreads is None:
            return padded
        spreads = self.spreads if alpha.ndim == 2 else np.sqrt(np.square(self.spreads).sum(1))
        total = spreads.sum(0)
        shares = np.where(total > 0, spreads / np.maximum(total, np.finfo(float).tiny), padded)
        return (1 - self.share) * padded + self.share * shares

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Compute the outputs of the mixture (n, k) for rows as the models read them.

        For a modality that a row lacks, and that no training row has lacked, the mean over what it
        may have been.
        """
        outputs = np.zeros((len(z), self.n_outputs))
        if not self.models:
            return outputs
        unknown = self._is_missing(z) & ~np.asarray(self.is_learned)
        is_complete = ~unknown.any(1)
        if is_complete.any():
            outputs[is_complete] = self._mix(z[is_complete])
        for rows in _chunks(np.flatnonzero(~is_complete), z.shape[1]):
            is_replaced = np.repeat(unknown[rows], self.widths, axis=1)
            outputs[rows] = self._mean_over_background(z[rows], is_replaced)
        return outputs

    def split(self, z: np.ndarray) -> np.ndarray:
        """Split the outputs of the mixture by modality and interaction, (n, m + 1, k)."""
        n, m = len(z), len(self.widths)
        contributions = np.zeros((n, m + 1, self.n_outputs))
        if not self.models:
            return contributions
        contributions[:, -1] = self.predict(z)
        if m == 1:
            return contributions[:, ::-1]
        assert self.background is not None
        present, mean = ~self._is_missing(z), self._mix(self.background).mean(0)
        for i in range(m):
            others = np.repeat(np.arange(m) != i, self.widths)
            for rows in _chunks(np.flatnonzero(present[:, i]), z.shape[1]):
                is_replaced = np.broadcast_to(others, (len(rows), len(others)))
                contributions[rows, i] = self._mean_over_background(z[rows], is_replaced) - mean
        n_present = np.maximum(present.sum(1), 1)
        contributions[:, :-1] += present[:, :, None] * (mean / n_present[:, None])[:, None]
        contributions[:, -1] -= contributions[:, :-1].sum(1)
        return contributions

    def _is_missing(self, z: np.ndarray) -> np.ndarray:
        return np.isnan(z[:, np.cumsum([0, *self.widths[:-1]])])  # (n, m)

    def _mix(self, z: np.ndarray) -> np.ndarray:
        z = z.astype(float)  # a row's outputs are the same alone and among others
        outputs = [model.predict(z) for model in self.models]
        return sum(
            (c * o for c, o in zip(self.coefficients, outputs, strict=True)),
            np.zeros((len(z), self.n_outputs)),
        )

    def _mean_over_background(self, z: np.ndarray, is_replaced: np.ndarray) -> np.ndarray:
        """Average the outputs of rows over what the background has in the place of some values."""
        assert self.background is not None
        n, b = len(z), len(self.background)
        crossed = np.where(is_replaced[:, None], self.background[None], z[:, None])  # (n, b, q)
        return self._mix(crossed.reshape(n * b, -1)).reshape(n, b, -1).mean(1)


def _chunks(rows: np.ndarray, n_columns: int) -> list[Any]:
    size = max(1, CHUNK_VALUES // (BACKGROUND_ROWS * n_columns))
    return [rows[start : start + size] for start in range(0, len(rows), size)]
