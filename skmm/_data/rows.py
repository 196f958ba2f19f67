"""Which rows are trained on, with what weight, and which of them are held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedGroupKFold
from sklearn.utils import column_or_1d, compute_class_weight

from .._warnings import warn_user
from .columns import as_slice
from .scaling import ScaledRows
from .validation import check_known

CHUNK = 1024


class TrainingRows(NamedTuple):
    """The distinct rows to train on, as positions in X; they live for one fit."""

    index: np.ndarray  # (n,)
    target: np.ndarray  # (n, t) numbers of classes, or values
    present: np.ndarray  # (n, m) which modalities each row has
    weight: np.ndarray  # (n,) with mean 1


def check_sample_weight(sample_weight: np.ndarray) -> None:
    """Raise if weights are negative or all zero."""
    if (sample_weight < 0).any():
        row = int(np.argmax(sample_weight < 0))
        raise ValueError(f"sample_weight is negative in row {row}: {sample_weight[row]}.")
    if not sample_weight.any():
        raise ValueError("sample_weight is zero for every row; there is nothing to train on.")


def weigh_rows(codes, classes, class_weight, sample_weight) -> tuple[np.ndarray, np.ndarray]:
    """Multiply sample weights by class weights; also return the share of each class by weight.

    Raises
    ------
    ValueError
        If weights are negative or all zero, or fewer than two classes have any.
    """
    check_sample_weight(sample_weight)
    totals = np.bincount(codes, weights=sample_weight, minlength=len(classes))
    if (totals > 0).sum() < 2:
        raise ValueError(
            "A classifier needs samples of at least 2 classes in the data, but y contains only one "
            f"class in rows whose sample_weight is not 0: {classes.tolist()[totals.argmax()]!r}."
        )
    factors = class_factors(codes, classes, class_weight, totals)
    if not np.isfinite(factors).all() or (factors < 0).any() or (totals * factors > 0).sum() < 2:
        raise ValueError(
            "class_weight must be finite and not negative, and above 0 for at least 2 classes that "
            f"have rows; got {class_weight}."
        )
    return sample_weight * factors[codes], totals / totals.sum()


def class_factors(codes, classes, class_weight, totals) -> np.ndarray:
    """Return the weight of each class, whose sample weights sum to ``totals``."""
    if isinstance(class_weight, str):  # "balanced", by weight, so that copies and weights agree
        return totals.sum() / np.where(totals > 0, (totals > 0).sum() * totals, np.inf)
    try:
        return compute_class_weight(class_weight, classes=classes, y=classes[codes])
    except ValueError as e:  # it names the classes that are right, not the one that is wrong
        unknown = [key for key in class_weight if key not in classes.tolist()]
        raise ValueError(
            f"class_weight names {unknown}, not among the classes in y, {classes.tolist()}."
        ) from e


def select_rows(X, columns, target, present, weight, counts, names) -> TrainingRows:
    """Leave out rows without weight or modality, and merge those with equal ``columns``.

    ``counts`` (m,) marks the modalities whose weight alpha may be above 0.

    Raises
    ------
    ValueError
        If a modality is missing from every row that has a weight.
    """
    check_each_is_present(present[weight > 0], names)
    empty = (weight > 0) & ~present[:, counts].any(1)
    if empty.any():
        warn_user(
            f"{empty.sum()} of {len(empty)} training rows have no modality that counts (the first "
            f"is row {empty.argmax()}); they are left out.",
        )
    index, weight = distinct_rows(X, columns, target, np.where(empty, 0.0, weight))
    return TrainingRows(index, target[index], present[index], weight / weight.mean())


def check_each_is_present(present: np.ndarray, names: Sequence[str]) -> None:
    """Raise ValueError if a modality, of those that ``present`` (n, m) marks, is in no row."""
    absent = [name for name, rows in zip(names, present.T, strict=True) if not rows.any()]
    if absent:
        raise ValueError(
            f"Modality {absent[0]!r} is missing (all NaN) from every training row. Leave its "
            "columns out, or check the step that makes them."
        )


def distinct_rows(X, columns, target, weight) -> tuple[np.ndarray, np.ndarray]:
    """Find the distinct rows among those with a weight, and sum the weights of their copies.

    So a weight of k is the same as k copies, whatever the batches are; a bootstrap sample costs no
    more than its distinct rows; and copies never stand on both sides of a split. The order is that
    of the rows' hashes, which depends neither on the order of the rows nor, as ``columns`` has one
    of its own, on that of the modalities.
    """
    rows = np.flatnonzero(weight > 0)
    digests = np.fromiter(_digests(X, rows, columns, target), dtype="S16", count=len(rows))
    _, first, kind = np.unique(digests, return_index=True, return_inverse=True)
    return rows[first], np.bincount(kind, weights=weight[rows])


def number_equal_rows(X: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Number the distinct rows of some columns: rows (n,) of one number are equal."""
    no_target = np.empty((len(X), 0))
    digests = np.fromiter(
        _digests(X, np.arange(len(X)), columns, no_target), dtype="S16", count=len(X)
    )
    return np.unique(digests, return_inverse=True)[1]


def _digests(X, rows, columns, target) -> Iterator[bytes]:
    positions = as_slice(columns)
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        values = X[chunk][:, positions].astype(np.float64, order="C")
        values += 0.0  # one form for each number: no float32, no -0.0
        for row, y in zip(values, target[chunk], strict=True):
            digest = blake2b(row, digest_size=16)
            digest.update(y.tobytes())
            yield digest.digest()


def order_rows(x: np.ndarray | ScaledRows) -> np.ndarray:
    """Order scaled rows by one number each, a projection of their values.

    An order of the data's own, in which no unit of measurement plays a part.
    """
    direction = np.random.default_rng(0).normal(size=x.shape[1])
    keys = np.empty(len(x))
    for start in range(0, len(x), CHUNK):
        keys[start : start + CHUNK] = (x[start : start + CHUNK] * direction).sum(axis=1)
    return np.argsort(keys, kind="stable")


def sample_holdout(codes: np.ndarray, fraction: float, random_state, groups=None) -> np.ndarray:
    """Mark a random share of the rows, evenly over the classes; or a share of the groups, whole."""
    if groups is not None:
        _check_groups_left(groups)
        held_out = np.zeros(len(codes), dtype=bool)
        splitter = GroupShuffleSplit(1, test_size=fraction, random_state=random_state)
        held_out[next(splitter.split(codes, groups=groups))[1]] = True
        return held_out
    held_out = np.diff(np.floor(np.arange(len(codes) + 1) * fraction + 0.5)) > 0
    return held_out[_ranks_by_class(codes, random_state)]


def assign_folds(codes: np.ndarray, n_folds: int, random_state, groups=None) -> np.ndarray:
    """Assign a fold to each row, at random but evenly over the classes; groups stay whole."""
    if groups is None:
        return _ranks_by_class(codes, random_state) % n_folds
    n_folds = min(n_folds, _check_groups_left(groups))
    splitter: GroupKFold | StratifiedGroupKFold = GroupKFold(
        n_folds, shuffle=True, random_state=random_state
    )
    if np.unique(codes, return_counts=True)[1].min() >= n_folds:
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=random_state)
    fold = np.empty(len(codes), dtype=int)
    for i, (_, held_out) in enumerate(splitter.split(codes, codes, groups)):
        fold[held_out] = i
    return fold


def check_groups(groups, n_rows: int) -> np.ndarray | None:
    """Convert labels of groups into their numbers.

    Raises
    ------
    ValueError
        If there is not one for each row, or only one in all.
    """
    if groups is None:
        return None
    check_known(groups, "groups")
    groups = column_or_1d(groups)
    if len(groups) != n_rows:
        raise ValueError(f"groups must hold a label for each of {n_rows} rows, got {len(groups)}.")
    labels, numbers = np.unique(groups, return_inverse=True)
    if len(labels) < 2:
        raise ValueError(
            f"groups holds one group only, {labels.tolist()}, and no rows could be held out: leave "
            "groups out, or label what belongs together (a speaker, a patient, a video)."
        )
    return numbers


def _check_groups_left(groups: np.ndarray) -> int:
    """Count the groups that rows are to be held out from."""
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise ValueError(
            "groups has too few of them: the rows that are left to train on are of one group, from "
            "which none can be held out whole. early_stopping=True holds out a group at least: set "
            "it to False, or give more groups."
        )
    return n_groups


def _ranks_by_class(codes: np.ndarray, random_state) -> np.ndarray:
    """Rank of each row in an order by class that is random within each."""
    return np.argsort(np.lexsort((random_state.random_sample(len(codes)), codes)))
