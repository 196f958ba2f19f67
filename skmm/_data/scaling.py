"""How columns are scaled, and rows that are scaled when they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .columns import as_slice, row_chunks

SCALE_RATIO = 2.0
KEPT_BYTES = 2**26  # of scaled rows; more of them are scaled anew for each batch


class Moments(NamedTuple):
    """Statistics of a modality's columns, over rows that have it: (w,) but for the weight."""

    weight: float  # of the rows
    mean: np.ndarray
    variance: np.ndarray
    low: np.ndarray
    high: np.ndarray


class ColumnScaler:
    """Centre columns and divide them by a scale; NaN becomes 0.

    Where all columns of a modality are of one kind, as those of an embedding are, small spread
    means little content; where they are not (a price, a rating), it means nothing. The scale is a
    compromise: the standard deviation, less half (in the exponent) of its ratio to the modality's
    median one, a factor that stays between 1/2 and 2.

    Values are clipped to one training range beyond the training minimum and maximum. A column that
    hardly varies in training, such as a component that a singular value decomposition fills with
    rounding errors, would drown all others otherwise.
    """

    def __init__(self, n_columns: int):
        self.mean_ = np.zeros(n_columns)
        self.scale_ = np.ones(n_columns)
        self.lowest_ = np.zeros(n_columns)
        self.highest_ = np.zeros(n_columns)
        self.n_rows_ = 0
        self.weight_ = np.zeros(n_columns)  # of the rows so far
        self.variance_ = np.zeros(n_columns)
        self.low_ = np.full(n_columns, np.inf)
        self.high_ = np.full(n_columns, -np.inf)

    @classmethod
    def fit(cls, X, index, groups: Mapping[str, np.ndarray], present, weight) -> ColumnScaler:
        """Fit to the rows ``index`` of X; ``present`` and ``weight`` are those rows'."""
        scaler = cls(X.shape[1])
        scaler.n_rows_ = len(index)
        for columns, moments in zip(
            groups.values(), compute_moments(X, index, groups, present, weight), strict=True
        ):
            scaler.merge(columns, [moments])
        return scaler

    def merge(self, columns: np.ndarray, blocks: list[Moments]) -> None:
        """Add the statistics of more rows to those of a modality's columns so far.

        By the parallel algorithm of Chan, Golub and LeVeque (1979).
        """
        for block in blocks:
            self._merge_block(columns, block)
        self._set_scale(columns)

    def _merge_block(self, columns: np.ndarray, block: Moments) -> None:
        weight, mean, variance, low, high = block
        before = self.weight_[columns[0]]
        if before > 0:
            share = weight / (before + weight)
            gap = mean - self.mean_[columns]
            variance = (1 - share) * self.variance_[columns] + share * variance
            variance += share * (1 - share) * gap**2
            mean = self.mean_[columns] + share * gap
        self.weight_[columns] += weight
        self.variance_[columns] = variance
        self.low_[columns] = np.minimum(self.low_[columns], low)
        self.high_[columns] = np.maximum(self.high_[columns], high)
        self.mean_[columns] = mean

    def _set_scale(self, columns: np.ndarray) -> None:
        """Set scale and range of a modality's columns by their statistics."""
        mean, spread = self.mean_[columns], np.sqrt(self.variance_[columns])
        low, high = self.low_[columns], self.high_[columns]
        varies = spread > 1e-10 * np.abs(mean)
        if varies.any():
            relative = np.sqrt(spread[varies] / np.median(spread[varies]))
            spread[varies] /= relative.clip(1 / SCALE_RATIO, SCALE_RATIO)
        self.scale_[columns] = np.where(varies, spread, np.inf)
        if low[0] > high[0]:  # no row has the modality
            low = high = mean
        self.lowest_[columns] = 2 * low - high
        self.highest_[columns] = 2 * high - low

    @property
    def state(self) -> dict[str, Any]:
        """All that was learned, as plain data."""
        return {name: getattr(self, name) for name in _STATE}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ColumnScaler:
        """Make a scaler of what `state` returned."""
        scaler = cls(len(state["mean_"]))
        for name in _STATE:
            setattr(scaler, name, state[name])
        return scaler

    def transform(self, X, index: np.ndarray | slice, columns: np.ndarray) -> np.ndarray:
        """Scale ``columns`` of the rows ``index`` into a new float32 array, NaN into 0."""
        return self.transform_block(X, index, columns, columns)

    def transform_block(
        self, X, index: np.ndarray | slice, columns: np.ndarray, learned: np.ndarray
    ) -> np.ndarray:
        """Scale ``columns`` of X, which were the columns ``learned`` of the rows fitted to."""
        rows = np.arange(len(X))[index] if isinstance(index, slice) else index
        scaled = np.empty((len(rows), len(columns)), dtype=np.float32)
        mean, scale = self.mean_[learned], self.scale_[learned]
        lowest, highest = self.lowest_[learned], self.highest_[learned]
        for chunk in row_chunks(len(rows), len(columns)):
            block = np.clip(_take(X, rows[chunk], columns), lowest, highest)
            block -= mean
            np.divide(block, scale, out=scaled[chunk], casting="same_kind")
            np.nan_to_num(scaled[chunk], copy=False)
        return scaled


_STATE = tuple(vars(ColumnScaler(0)))


def compute_moments(
    X, index: np.ndarray, groups: Mapping[str, np.ndarray], present: np.ndarray, weight: np.ndarray
) -> list[Moments]:
    """Compute the statistics of each modality's columns over the rows ``index`` that have it."""
    return [
        _column_moments(X, index, columns, present[:, i], weight)
        for i, columns in enumerate(groups.values())
    ]


def _column_moments(X, index, columns, present, weight) -> Moments:
    share = weight * present
    total = share.sum()
    share = share / max(total, np.finfo(float).tiny)
    mean, variance = np.zeros(len(columns)), np.zeros(len(columns))
    low, high = np.full(len(columns), np.inf), np.full(len(columns), -np.inf)
    for rows in row_chunks(len(index), len(columns)):
        block = _take_float64(X, index[rows], columns)
        mean += share[rows] @ block
        known = block[present[rows]]
        low = np.minimum(low, known.min(axis=0, initial=np.inf))
        high = np.maximum(high, known.max(axis=0, initial=-np.inf))
    for rows in row_chunks(len(index), len(columns)):
        deviation = _take_float64(X, index[rows], columns)
        deviation -= mean
        variance += share[rows] @ np.square(deviation, out=deviation)
    return Moments(total, mean, variance, low, high)


class ScaledRows:
    """Rows of X as the network sees them, scaled each time that they are asked for.

    They live in the memory of X, which may be a mapped file. Indexed as an array is, with a slice
    or an array of positions, they are float32.
    """

    def __init__(self, X: np.ndarray, index: np.ndarray, columns: np.ndarray, scaler: ColumnScaler):
        self.X, self.index, self.columns, self.scaler = X, index, columns, scaler
        self.shape = len(index), len(columns)
        self.nbytes = 4 * len(index) * len(columns)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return self.scaler.transform(self.X, self.index[rows], self.columns)


def scale_rows(
    X: np.ndarray,
    index: np.ndarray,
    columns: np.ndarray,
    scaler: ColumnScaler,
    *,
    in_memory: bool = False,
) -> np.ndarray | ScaledRows:
    """Scale rows of X; at once, unless they would take much memory."""
    rows = ScaledRows(X, index, columns, scaler)
    return rows[:] if in_memory or rows.nbytes <= KEPT_BYTES else rows


def _take(X: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Copy rows and columns; a run of columns without touching the others."""
    positions = as_slice(columns)
    return X[:, positions][rows] if isinstance(positions, slice) else X[rows][:, positions]


def _take_float64(X: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Copy rows and columns as float64, with 0 for NaN."""
    return np.nan_to_num(_take(X, rows, columns).astype(np.float64), copy=False)
