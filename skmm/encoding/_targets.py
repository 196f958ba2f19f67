"""What an encoder is tuned to: y of any kind as classes and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array, column_or_1d

from .._data.labels import has_several_targets, read_labels
from .._data.targets import strata, target_names
from .._data.validation import check_known, find_classes
from .._torch.tasks import Task, class_tasks, column_tasks

MAX_CLASSES = 20  # more distinct numbers than these are no classes


class Targets(NamedTuple):
    """The tasks that y consists of."""

    values: np.ndarray  # (n, t) numbers of classes, -1 where not known; labels NaN where not known
    tasks: list[Task]

    @property
    def known(self) -> np.ndarray:
        """Which rows have a target that is known: (n,)."""
        is_known = self.values >= 0  # False for NaN
        return np.asarray(is_known.any(1))

    @property
    def strata(self) -> np.ndarray:
        """The stratum of each row, over which splits are to be even: (n,)."""
        return strata(self.values, self.tasks[0].kind)


def read_targets(y, n_rows: int, n_bins: int) -> Targets:
    """Read y: classes, labels, several targets, or numbers, which are cut into ``n_bins`` classes.

    Raises
    ------
    ValueError
        If y is None, has another length than X, or has one class only.
    """
    if y is None:
        raise ValueError(
            "finetune tunes the model to y, and y is None: pass y to fit and fit_transform, or set "
            "finetune=None."
        )
    if sparse.issparse(y):
        y = y.toarray()
    if len(y) != n_rows:
        raise ValueError(f"y must have a value for each of {n_rows} rows of X, got {len(y)}.")
    if has_several_targets(y):
        targets = _read_several(y, n_bins)
    else:
        y = column_or_1d(y)
        check_known(y, "y")
        codes, n_classes = _encode_column(y, n_bins)
        targets = Targets(codes[:, None], class_tasks([n_classes], [1.0]))
    if not any(len(np.unique(column[column >= 0])) > 1 for column in targets.values.T):
        raise ValueError(
            "finetune needs at least 2 classes or values in y, to which the model is tuned; y "
            "contains only one."
        )
    return targets


def _read_several(y, n_bins: int) -> Targets:
    columns = _list_columns(y)
    weights = [1 / len(columns)] * len(columns)
    if not any(_holds_numbers(column) for column in columns):
        labels = read_labels(y)
        if labels.is_multilabel:
            values = np.where(labels.codes < 0, np.nan, labels.codes).astype(np.float32)
            return Targets(values, column_tasks("multilabel", weights))
        return Targets(labels.codes, class_tasks([len(c) for c in labels.classes], weights))
    names = target_names(y, len(columns))
    codes, n_classes = np.full((len(columns[0]), len(columns)), -1), []
    for i, column in enumerate(columns):
        rows = ~pd.isna(column)
        if not rows.any():
            raise ValueError(f"Target {names[i]!r} is known in no row; leave it out of y.")
        codes[rows, i], n = _encode_column(column[rows], n_bins)
        n_classes.append(n)
    return Targets(codes, class_tasks(n_classes, weights))


def _list_columns(y) -> Sequence[np.ndarray]:
    if isinstance(y, pd.DataFrame):
        return [y.iloc[:, i].to_numpy() for i in range(y.shape[1])]
    return list(np.asarray(y).T)


def _encode_column(column: np.ndarray, n_bins: int) -> tuple[np.ndarray, int]:
    """Return the number of the class of each row, and how many classes there are."""
    if not _holds_numbers(column):
        classes, codes = find_classes(column)
        return codes, len(classes)
    values = check_array(column, dtype=np.float64, ensure_2d=False, input_name="y")
    return _cut(values, n_bins)


def _cut(values: np.ndarray, n_bins: int) -> tuple[np.ndarray, int]:
    """Cut values into at most ``n_bins`` classes of about as many rows, none of them empty."""
    distinct, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(distinct) < 2:
        return number, 1
    below = np.cumsum(counts)[:-1]  # rows below each place between two values
    wanted = np.arange(1, n_bins) * len(values) / n_bins
    places = np.unique(np.abs(below - wanted[:, None]).argmin(1))
    return np.searchsorted(places, number), len(places) + 1


def _holds_numbers(column: np.ndarray) -> bool:
    """Return whether a target is a quantity: a number with a fraction, or of many values.

    Integers without a gap are numbers of classes.
    """
    known = column[~pd.isna(column)]
    if known.dtype == object and all(isinstance(v, int | float | np.number) for v in known):
        known = known.astype(np.float64)
    if known.dtype.kind not in "iuf":
        return False
    if known.dtype.kind == "f" and (known % 1 != 0).any():
        return True
    values = np.unique(known)
    return len(values) > MAX_CLASSES and values[-1] - values[0] >= len(values)
