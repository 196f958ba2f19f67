"""Which columns a modality has, in which rows it is missing, and how its columns are scaled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Integral
from typing import NamedTuple

import numpy as np

from ._together import collect, total

SINGLE_MODALITY = "all"
CHUNK_VALUES = 2**18  # values worked on at a time: what fits a processor's cache
SCALE_RATIO = 2.0


def group_columns(modalities, feature_names, n_features: int) -> dict[str, np.ndarray]:
    """Find the columns of each modality.

    Parameters
    ----------
    modalities : None, "prefix" or dict
        As in `FusionClassifier`.
    feature_names : ndarray of str or None
    n_features : int

    Returns
    -------
    dict of str to ndarray of int
        In the order in which the modalities first stand in the data, or in the dict.
    """
    if isinstance(modalities, Mapping):
        return _from_mapping(modalities, feature_names, n_features)
    prefixes = [] if feature_names is None else [_prefix(name) for name in feature_names]
    without = [feature_names[i] for i, prefix in enumerate(prefixes) if prefix is None]
    if modalities is None and len(without) == len(prefixes):
        return {SINGLE_MODALITY: np.arange(n_features)}
    if not prefixes:
        raise ValueError(
            'modalities="prefix" reads the modalities from column names such as "text__0", but X '
            "has no column names. Pass a DataFrame, or modalities as a dict such as "
            '{"text": 384, "image": 512} (widths, in the order of the columns).'
        )
    if without:
        raise ValueError(
            f'Columns are named "modality__feature", but {len(without)} have no such prefix, the '
            f"first being {without[0]!r}. Rename them (say tabular__{without[0]}) or pass "
            "modalities as a dict of name -> columns."
        )
    groups: dict[str, list[int]] = {}
    for position, prefix in enumerate(prefixes):
        groups.setdefault(prefix, []).append(position)
    return {name: np.array(positions) for name, positions in groups.items()}


def _prefix(name: str) -> str | None:
    head, separator, _ = name.partition("__")
    return head if separator and head else None


def _from_mapping(modalities: Mapping, feature_names, n_features: int) -> dict[str, np.ndarray]:
    if not modalities:
        raise ValueError("modalities is an empty dict: name at least one modality.")
    if not all(isinstance(name, str) for name in modalities):
        raise ValueError(f"The names in modalities must be strings, got {list(modalities)}.")
    groups = {}
    if all(isinstance(width, Integral) for width in modalities.values()):
        ends = np.cumsum(list(modalities.values()))
        if min(modalities.values()) < 1 or ends[-1] != n_features:
            raise ValueError(
                f"The widths in modalities={dict(modalities)} must be positive and add up to the "
                f"{n_features} columns of X; they add up to {ends[-1]}."
            )
        starts = np.concatenate([[0], ends[:-1]])
        for name, start, end in zip(modalities, starts, ends, strict=True):
            groups[name] = np.arange(start, end)
    else:
        for name, columns in modalities.items():
            groups[name] = _positions(name, columns, feature_names, n_features)
    used, counts = np.unique(np.concatenate(list(groups.values())), return_counts=True)
    if counts.max() > 1:
        twice = used[counts.argmax()]
        column = int(twice) if feature_names is None else feature_names[twice]
        raise ValueError(
            f"modalities assigns a column to two modalities, {column!r}; each belongs to one."
        )
    return groups


def _positions(name: str, columns, feature_names, n_features: int) -> np.ndarray:
    """Turn a slice, positions or column names into positions."""
    if isinstance(columns, slice):
        if not all(isinstance(end, Integral | None) for end in (columns.start, columns.stop)):
            raise ValueError(
                f"modalities[{name!r}] must be a slice of positions, or a list of names, got "
                f"{columns}."
            )
        positions = np.arange(n_features)[columns]
    else:
        columns = np.atleast_1d(np.asarray(columns))
        if columns.dtype.kind in "iu":
            positions = columns
        else:
            where = {} if feature_names is None else {c: i for i, c in enumerate(feature_names)}
            unknown = [column for column in columns.tolist() if column not in where]
            if unknown:
                known = "no column names" if feature_names is None else list(feature_names[:10])
                raise ValueError(
                    f"modalities[{name!r}] names the column {unknown[0]!r}, but X has {known}."
                )
            positions = np.array([where[column] for column in columns.tolist()])
    if len(positions) == 0 or positions.min() < -n_features or positions.max() >= n_features:
        raise ValueError(
            f"modalities[{name!r}] must give at least one of the {n_features} columns of X, "
            f"got {columns}."
        )
    return positions % n_features


def find_present(X: np.ndarray, groups: Mapping[str, np.ndarray], labels) -> np.ndarray:
    """Tell in which rows each modality is present.

    A modality is missing from a row if all of its columns are NaN there. ``labels`` are the names
    of all columns, for the message.

    Returns
    -------
    ndarray of bool, shape (n_samples, n_modalities)

    Raises
    ------
    ValueError
        If some of a modality's columns are NaN in a row and some are not.
    """
    present = np.ones((len(X), len(groups)), dtype=bool)
    for i, (name, columns) in enumerate(groups.items()):
        for rows in _chunks(len(X), len(columns)):
            missing = np.isnan(X[rows, as_slice(columns)])
            n_missing = missing.sum(1)
            partial = np.flatnonzero((n_missing > 0) & (n_missing < len(columns)))
            if len(partial):
                first = partial[0]
                raise ValueError(
                    f"Row {rows.start + first} has NaN in {n_missing[first]} of the {len(columns)} "
                    f"columns of modality {name!r}, the first being column "
                    f"{labels[columns[missing[first].argmax()]]!r}. A modality is missing from a "
                    "row if all of its columns are NaN; impute single values first (SimpleImputer, "
                    "or ModalityTransformer, which does it for tabular columns)."
                )
            present[rows, i] = n_missing == 0
    return present


class Moments(NamedTuple):
    """What is known of a modality's columns in some rows that have it, (w,) but for the total."""

    total: float  # weight of the rows
    mean: np.ndarray
    square: np.ndarray  # variance
    low: np.ndarray
    high: np.ndarray


class ColumnScaler:
    """Centre columns and divide them by a scale; NaN becomes 0.

    Where all columns of a modality are of one kind, as those of an embedding are, small spread
    means little content; where they are not (a price, a rating), it means nothing. The scale is a
    compromise: the standard deviation, less half (in the exponent) of its ratio to the modality's
    median one, a factor that stays between 1/2 and 2.

    A value that lies further outside of the training values than these are apart is moved there.
    A column that hardly varies in training, such as a component that a singular value
    decomposition fills with rounding errors, would drown all others otherwise.
    """

    def fit(self, X, index, groups, present, weight) -> ColumnScaler:
        """Learn from the rows ``index`` of X; ``present`` and ``weight`` are those rows'."""
        self._start(X.shape[1])
        return self.partial_fit(X, index, groups, present, weight)

    def _start(self, n_columns: int) -> None:
        self.mean_ = np.zeros(n_columns)
        self.scale_ = np.ones(n_columns)
        self.lowest_ = np.zeros(n_columns)
        self.highest_ = np.zeros(n_columns)
        self.n_rows_ = 0
        self.total_ = np.zeros(n_columns)  # weight of the rows so far
        self.square_ = np.zeros(n_columns)  # variance
        self.low_ = np.full(n_columns, np.inf)
        self.high_ = np.full(n_columns, -np.inf)

    def partial_fit(self, X, index, groups, present, weight) -> ColumnScaler:
        """Learn from more rows, by the parallel algorithm of Chan, Golub and LeVeque (1979)."""
        if not hasattr(self, "mean_"):
            self._start(X.shape[1])
        self.n_rows_ += total(len(index))
        for i, columns in enumerate(groups.values()):
            own = _describe(X, index, columns, present[:, i], weight)
            for moments in collect(own):
                self._merge(columns, moments)
            self._settle(columns)
        return self

    def _merge(self, columns: np.ndarray, moments: Moments) -> None:
        """Add the moments of more rows to those of the rows so far."""
        new, mean, square, low, high = moments
        before = self.total_[columns[0]]
        if before > 0:
            part = new / (before + new)
            gap = mean - self.mean_[columns]
            square = (1 - part) * self.square_[columns] + part * square
            square += part * (1 - part) * gap**2
            mean = self.mean_[columns] + part * gap
        self.total_[columns] += new
        self.square_[columns] = square
        self.low_[columns] = np.minimum(self.low_[columns], low)
        self.high_[columns] = np.maximum(self.high_[columns], high)
        self.mean_[columns] = mean

    def _settle(self, columns: np.ndarray) -> None:
        """Set scale and range of a modality's columns, by what was seen of them."""
        mean, spread = self.mean_[columns], np.sqrt(self.square_[columns])
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

    def take(self, columns: np.ndarray) -> ColumnScaler:
        """Give a scaler of these columns, for rows in which they stand alone in this order."""
        taken = ColumnScaler()
        for name, value in vars(self).items():
            setattr(taken, name, value[columns] if isinstance(value, np.ndarray) else value)
        return taken

    def transform(self, X, index: np.ndarray | slice, columns: np.ndarray) -> np.ndarray:
        """Scale ``columns`` of the rows ``index`` into a new float32 array, NaN into 0."""
        rows = np.arange(len(X))[index] if isinstance(index, slice) else index
        scaled = np.empty((len(rows), len(columns)), dtype=np.float32)
        mean, scale = self.mean_[columns], self.scale_[columns]
        lowest, highest = self.lowest_[columns], self.highest_[columns]
        for chunk in _chunks(len(rows), len(columns)):
            block = np.clip(_take(X, rows[chunk], columns), lowest, highest)
            block -= mean
            np.divide(block, scale, out=scaled[chunk], casting="same_kind")
            np.nan_to_num(scaled[chunk], copy=False)
        return scaled


def _describe(X, index, columns, there, weight) -> Moments:
    """Describe columns in the rows ``index``; ``there`` says which of them have the modality."""
    share = weight * there
    total = share.sum()
    share = share / max(total, np.finfo(float).tiny)
    mean, square = np.zeros(len(columns)), np.zeros(len(columns))
    low, high = np.full(len(columns), np.inf), np.full(len(columns), -np.inf)
    for rows in _chunks(len(index), len(columns)):
        block = _take_float64(X, index[rows], columns)
        mean += share[rows] @ block
        own = block[there[rows]]
        low = np.minimum(low, own.min(axis=0, initial=np.inf))
        high = np.maximum(high, own.max(axis=0, initial=-np.inf))
    for rows in _chunks(len(index), len(columns)):
        deviation = _take_float64(X, index[rows], columns)
        deviation -= mean
        square += share[rows] @ np.square(deviation, out=deviation)
    return Moments(total, mean, square, low, high)


class ScaledRows:
    """Rows of X as the network sees them, scaled each time that they are asked for.

    Indexed as an array is, with a slice or an array of positions, it gives float32.
    """

    def __init__(self, X: np.ndarray, index: np.ndarray, columns: np.ndarray, scaler: ColumnScaler):
        self.X, self.index, self.columns, self.scaler = X, index, columns, scaler
        self.shape = len(index), len(columns)
        self.nbytes = 4 * len(index) * len(columns)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return self.scaler.transform(self.X, self.index[rows], self.columns)


def _take(X: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Copy rows and columns; a run of columns without touching the others."""
    taken = as_slice(columns)
    return X[:, taken][rows] if isinstance(taken, slice) else X[rows][:, taken]


def _take_float64(X: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Copy rows and columns as float64, with 0 for NaN."""
    return np.nan_to_num(_take(X, rows, columns).astype(np.float64), copy=False)


def as_slice(columns: np.ndarray) -> np.ndarray | slice:
    """A run of columns as a slice, which is taken without a copy."""
    if len(columns) == columns[-1] - columns[0] + 1 and (np.diff(columns) == 1).all():
        return slice(columns[0], columns[-1] + 1)
    return columns


def _chunks(n_rows: int, n_columns: int) -> Iterator[slice]:
    size = max(1, CHUNK_VALUES // max(n_columns, 1))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))
