"""Wide modalities as few columns, for models that look at one column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA

from .columns import row_chunks
from .scaling import ScaledRows

N_COMPONENTS = 64
MAX_BINS = 255  # of one column, which boosting makes
FEW_BINS = 8  # of one column, whose ends a perceptron's response bends at
MAX_FITTED_ROWS = 5000
MAX_FITTED_VALUES = 20_000_000
MAX_SPARSE_COLUMNS = 512  # of a modality that is mostly zeros, such as one-hot columns
MAX_KEPT_VALUES = 2e7  # of rows times columns, that stand beside their components
BOUND = 5.0  # standard deviations that a value is from the mean, at most


class BlockReducer(NamedTuple):
    """The principal components of wide modalities, and their columns; the others stay as they are.

    Models that look at one column at a time read the components, ``reduced_columns``; others read
    the columns, ``whole_columns``, unless there are too many to keep.
    """

    widths: list[int]  # of the modalities, as they come
    means: list[np.ndarray | None]  # (width,), None where nothing is reduced
    components: list[np.ndarray | None]  # (q, width)
    keeps_columns: bool  # whether the columns of wide modalities follow their components

    @classmethod
    def fit(
        cls,
        x: np.ndarray | ScaledRows,
        present: np.ndarray,
        widths: Sequence[int],
        order: np.ndarray,
        seed: int,
    ) -> BlockReducer:
        """Fit to a sample of scaled rows (n, sum of widths) that have the modalities (n, m).

        ``order`` are positions of rows, in an order that does not depend on theirs in X.
        """
        n_rows = min(MAX_FITTED_ROWS, max(4 * N_COMPONENTS, MAX_FITTED_VALUES // sum(widths)))
        sample = order[np.random.RandomState(seed).permutation(len(order))[:n_rows]]
        x, present = x[sample], present[sample]
        means: list[np.ndarray | None] = []
        components: list[np.ndarray | None] = []
        for i, block in enumerate(_split(x, widths)):
            rows = block[present[:, i]]
            if _is_read_as_it_is(rows):
                means.append(None)
                components.append(None)
            else:
                n_components = min(N_COMPONENTS, len(rows) - 1)
                pca = PCA(n_components, svd_solver="randomized", random_state=seed).fit(rows)
                means.append(pca.mean_.astype(np.float32))
                components.append(pca.components_.astype(np.float32))
        is_wide = any(each is not None for each in components)
        keeps_columns = is_wide and len(order) * sum(widths) <= MAX_KEPT_VALUES
        return cls(list(widths), means, components, keeps_columns)

    @property
    def output_widths(self) -> list[int]:
        """The widths of the modalities after `transform`."""
        return [reduced + kept for reduced, kept in self._parts]

    @property
    def reduced_columns(self) -> np.ndarray:
        """Which columns of the output are components, or columns of narrow modalities."""
        return np.flatnonzero(np.concatenate([[1] * r + [0] * k for r, k in self._parts]))

    @property
    def whole_columns(self) -> np.ndarray:
        """Which columns of the output are columns of the input, if they are kept."""
        return np.flatnonzero(np.concatenate([[not k] * r + [1] * k for r, k in self._parts]))

    @property
    def _parts(self) -> list[tuple[int, int]]:
        """The numbers of components or columns, and of columns kept beside components."""
        return [
            (width, 0) if c is None else (len(c), width if self.keeps_columns else 0)
            for width, c in zip(self.widths, self.components, strict=True)
        ]

    def transform(self, x: np.ndarray | ScaledRows, present: np.ndarray) -> np.ndarray:
        """Reduce scaled rows to (n, q) float32, NaN where a row lacks a modality."""
        reduced = np.empty((len(x), sum(self.output_widths)), dtype=np.float32)
        for rows in row_chunks(len(x), sum(self.widths)):
            reduced[rows] = self._transform(x[rows], present[rows])
        return reduced

    def _transform(self, x: np.ndarray, present: np.ndarray) -> np.ndarray:
        blocks = []
        data = zip(_split(x, self.widths), self.means, self.components, strict=True)
        for i, (block, mean, components) in enumerate(data):
            if components is not None and mean is not None:
                # In float64: a row's are the same alone and among others.
                reduced = (block - mean.astype(float)) @ components.T
                block = np.hstack([reduced, block]) if self.keeps_columns else reduced
            blocks.append(np.where(present[:, i, None], block, np.float32(np.nan)))
        return np.hstack(blocks)


def _split(x: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
    return np.split(x, np.cumsum(widths)[:-1], axis=1)


def _is_read_as_it_is(rows: np.ndarray) -> bool:
    """Return whether rows of a modality are narrow, or mostly one value for each column."""
    if rows.shape[1] <= N_COMPONENTS or len(rows) < 2:
        return True
    if not rows.var(axis=0).any():
        return True
    is_sparse = (rows == np.median(rows, axis=0)).mean() > 0.5
    return bool(is_sparse and rows.shape[1] <= MAX_SPARSE_COLUMNS)


class QuantileBinner(TransformerMixin, BaseEstimator):
    """Number the quantile bins of each column, for boosting on rows with weights.

    scikit-learn's boosting makes the same bins, but takes ten times as long for them where rows
    have different weights (1.9); columns of few values it bins at once.
    """

    def fit(self, X, y=None):
        """Fit to rows (n, q), which may be NaN."""
        self.edges_ = []
        for values in _known_values(X):
            distinct = np.unique(values)
            if len(distinct) > MAX_BINS:
                steps = np.linspace(0, 1, MAX_BINS + 1)[1:-1]
                edges = np.unique(np.quantile(values, steps, method="midpoint"))
            else:
                edges = (distinct[1:] + distinct[:-1]) / 2
            self.edges_.append(edges)
        return self

    def transform(self, X):
        """Return the number of each value's bin, or NaN."""
        codes = np.empty(X.shape, dtype=np.float32)
        for i, edges in enumerate(self.edges_):
            codes[:, i] = np.searchsorted(edges, X[:, i])
        codes[np.isnan(X)] = np.nan
        return codes


class PiecewiseLinearEncoder(TransformerMixin, BaseEstimator):
    """Encode each column by how far its values have come in each of its quantile bins.

    A linear map of these is a piecewise linear function of the column, so that a perceptron can
    learn thresholds: Gorishniy, Rubachev and Babenko (2022), "On embeddings for numerical features
    in tabular deep learning". A value is 0 before a bin and 1 after it; NaN stands where the mean
    does. A column of one or two values is one bin.
    """

    def fit(self, X, y=None):
        """Fit to rows (n, q), which may be NaN."""
        columns = _known_values(X)
        self.mean_ = np.array([values.mean() if len(values) else 0.0 for values in columns])
        edges = [_few_edges(values) for values in columns]
        # Of the bins (d,), side by side:
        self.columns_ = np.repeat(np.arange(len(edges)), [len(each) - 1 for each in edges])
        self.starts_ = np.concatenate([each[:-1] for each in edges])
        self.widths_ = np.concatenate([np.diff(each) for each in edges])
        return self

    def transform(self, X):
        """Return the columns of the bins (n, d), from 0 to 1."""
        X = np.where(np.isnan(X), self.mean_.astype(X.dtype), X)
        return ((X[:, self.columns_] - self.starts_) / self.widths_).clip(0, 1)


class BoundedScaler(TransformerMixin, BaseEstimator):
    """Standardise columns, `BOUND` standard deviations at most, with the mean in place of NaN."""

    def fit(self, X, y=None):
        """Fit to rows (n, q), which may be NaN."""
        columns = _known_values(X)
        self.mean_ = np.array([values.mean() if len(values) else 0.0 for values in columns])
        spread = np.array([values.std() if len(values) else 0.0 for values in columns])
        self.scale_ = np.where(spread > 0, spread, 1.0)
        return self

    def transform(self, X):
        """Return the scaled columns (n, q)."""
        return np.nan_to_num((X - self.mean_) / self.scale_).clip(-BOUND, BOUND)


def _few_edges(values: np.ndarray) -> np.ndarray:
    """Return the distinct ends of the bins of a column, two at least, of its own type."""
    edges = np.unique(values)
    if len(edges) > FEW_BINS + 1:
        steps = np.linspace(0, 1, FEW_BINS + 1)
        edges = np.unique(np.quantile(values, steps).astype(values.dtype))
    if len(edges) < 2:
        first = edges[0] if len(edges) else values.dtype.type(0)
        edges = np.array([first, first + max(1, abs(first))])
    return edges


def _known_values(X: np.ndarray) -> list[np.ndarray]:
    """Return the values of each column in some of the rows, but for NaN."""
    return [column[~np.isnan(column)] for column in X[:: max(1, len(X) // MAX_FITTED_ROWS)].T]
