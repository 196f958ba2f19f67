"""Targets: from y as a user has it to arrays of class numbers or values, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score
from sklearn.utils import check_array, column_or_1d

from .._warnings import warn_user

RARE = 10  # rows; combinations of classes that fewer have are one stratum
N_BINS = 10
NORMAL_SPREAD = 1.4826  # standard deviation over median absolute deviation, of a normal


# Several targets


def target_names(y, n_targets: int) -> list:
    """Return the names of the targets: the columns of a frame, otherwise their positions."""
    return list(y.columns) if isinstance(y, pd.DataFrame) else list(range(n_targets))


def resolve_task_weight(task_weight, names: Sequence) -> np.ndarray:
    """Convert ``task_weight`` into a weight for each target, which add up to 1.

    Raises
    ------
    ValueError
        If it does not give each target, and nothing else, a finite number above 0.
    """
    if task_weight is None:
        return np.full(len(names), 1 / len(names))
    if isinstance(task_weight, Mapping):
        unlike = [name for name in task_weight if name not in names]
        unlike += [name for name in names if name not in task_weight]
        if unlike:
            raise ValueError(
                f"task_weight must give each target a weight and nothing else; {unlike[0]!r} is in "
                f"only one of its keys {list(task_weight)} and the targets {list(names)}."
            )
        task_weight = [task_weight[name] for name in names]
    values = np.asarray(task_weight)
    if values.shape != (len(names),):
        raise ValueError(
            f"task_weight must hold a number for each of the {len(names)} targets {list(names)}, "
            f"got shape {values.shape}."
        )
    wrong = [v for v in values.tolist() if not isinstance(v, Real) or not float(v) > 0]
    if wrong or not np.isfinite(values.astype(float)).all():
        raise ValueError(
            f"task_weight must be finite and above 0, got {values.tolist()}; leave a target that "
            "should not count out of y."
        )
    weight = values / values.max()  # so that no sum overflows
    return weight / weight.sum()


def leave_out_unknown(known: np.ndarray, weight: np.ndarray, names: Sequence) -> np.ndarray:
    """Set the weights of rows in which no target is ``known`` (n, t) to 0, with a warning.

    Raises
    ------
    ValueError
        If a target is known in no row that has a weight.
    """
    nowhere = ~known[weight > 0].any(0)
    if nowhere.any():
        raise ValueError(
            f"Target {names[int(nowhere.argmax())]!r} is known in no row whose sample_weight is "
            "not 0; leave it out of y."
        )
    empty = ~known.any(1) & (weight > 0)
    if empty.any():
        warn_user(
            f"In {empty.sum()} of {len(empty)} training rows no target is known (the first is row "
            f"{empty.argmax()}); they are left out.",
        )
    return np.where(empty, 0.0, weight)


def strata(target: np.ndarray, kind: str) -> np.ndarray:
    """Return the stratum of each row, over which splits are to be even: (n,).

    Classes; combinations of them, or of labels; or tenths of the mean of the values. It depends on
    the values, not on the order of the rows. ``kind`` is that of the tasks.
    """
    if kind == "multilabel":
        target = np.where(np.isnan(target), -1, target).astype(int)
    if target.dtype.kind == "f":
        means = np.where(np.isnan(target), 0.0, target).mean(1)
        return np.searchsorted(np.sort(means), means) * N_BINS // len(means)
    if target.shape[1] == 1:
        return target[:, 0]
    _, stratum, counts = np.unique(target, axis=0, return_inverse=True, return_counts=True)
    return np.where(counts[stratum] < RARE, -1, stratum)


# Numbers


class Scale(NamedTuple):
    """Centre and spread of each target, and what is predicted at least and at most.

    The spread is 0 where all values are equal. Scaled predictions are clipped to one training
    range beyond the training minimum and maximum.
    """

    centre: np.ndarray  # (t,)
    spread: np.ndarray  # (t,)
    lowest: np.ndarray  # (t,) scaled
    highest: np.ndarray  # (t,) scaled

    def apply(self, values: np.ndarray) -> np.ndarray:
        return ((values - self.centre) / self._unit).astype(np.float32)

    def clip(self, outputs: np.ndarray) -> np.ndarray:
        """Clip scaled predictions (..., t); those that are not finite become NaN."""
        return np.where(np.isfinite(outputs), outputs.clip(self.lowest, self.highest), np.nan)

    def include(self, other: Scale) -> Scale:
        """Extend what may be predicted to what another scale allows."""
        with np.errstate(over="ignore"):
            ends = (other.centre + end * other.spread for end in (other.lowest, other.highest))
            low, high = ((end - self.centre) / self._unit for end in ends)
        return self._replace(
            lowest=np.minimum(self.lowest, low), highest=np.maximum(self.highest, high)
        )

    @property
    def _unit(self) -> np.ndarray:
        return np.where(self.spread > 0, self.spread, 1.0)


def read_numbers(y) -> tuple[np.ndarray, list, bool]:
    """Convert y into values (n, t) in float64, NaN where not known.

    Returns
    -------
    values : ndarray of shape (n_samples, n_targets)
    names : list
        The names of the targets.
    flat : bool
        Whether y is one target, so that predictions have one axis.

    Raises
    ------
    ValueError
        If y is infinite, or NaN where it is one target.
    """
    array = check_array(
        y,
        dtype=np.float64,
        ensure_2d=False,
        ensure_all_finite="allow-nan",
        input_name="y",
    )
    flat = array.ndim == 1 or array.shape[1] == 1
    values = (column_or_1d(array, warn=True) if flat else array).reshape(len(array), -1) + 0.0
    unknown = np.isnan(values)
    if flat and unknown.any():
        raise ValueError(
            f"Input y contains NaN (the first in row {unknown.argmax()}). With one target each row "
            "needs a value; leave the others out."
        )
    values[unknown] = np.nan  # one form of it, as copies of a row are told by their bytes
    return values, target_names(y, values.shape[1]), flat


def mean_r2(values: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None = None) -> float:
    """The mean R^2 of targets (n, t), each over the rows in which it is known, not NaN."""
    scores = []
    for true, guess in zip(values.T, predicted.T, strict=True):
        known = ~np.isnan(true)
        if known.any():
            row_weight = None if weight is None else weight[known]
            scores.append(r2_score(true[known], guess[known], sample_weight=row_weight))
    return float(np.mean(scores))


def measure_scale(
    values: np.ndarray, weight: np.ndarray, names: Sequence, *, robust: bool
) -> Scale:
    """Measure each target over the rows in which it is known, by weight.

    Mean and standard deviation; or, ``robust``, median and the median absolute deviation as that of
    a normal distribution (or the mean one, where more than half of the values are equal).

    Raises
    ------
    ValueError
        If a target is known in no row.
    """
    measure = _median_and_deviation if robust else _mean_and_deviation
    centres, spreads, lowest, highest = np.zeros((4, values.shape[1]))
    for i, column in enumerate(values.T):
        known = ~np.isnan(column)
        if not known.any():
            raise ValueError(
                f"Target {names[i]!r} is known only in rows without any modality that counts; "
                "leave it out of y."
            )
        numbers, share = column[known], weight[known] / weight[known].sum()
        if numbers.min() == numbers.max():
            centres[i] = numbers[0]
        else:
            largest = np.abs(numbers).max()  # so that no square over- or underflows
            numbers = numbers / largest
            centre, spread = measure(numbers, share)
            centres[i], spreads[i] = centre * largest, spread * largest
            low, high = (np.array([numbers.min(), numbers.max()]) - centre) / (spread or 1.0)
            lowest[i], highest[i] = 2 * low - high, 2 * high - low
    return Scale(centres, spreads, lowest, highest)


def _mean_and_deviation(values: np.ndarray, share: np.ndarray) -> tuple[float, float]:
    mean = float(share @ values)
    return mean, float(np.sqrt(share @ (values - mean) ** 2))


def _median_and_deviation(values: np.ndarray, share: np.ndarray) -> tuple[float, float]:
    median = weighted_median(values, share)
    deviation = np.abs(values - median)
    spread = NORMAL_SPREAD * weighted_median(deviation, share)
    return median, spread if spread > 0 else float(share @ deviation)


def weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    """Return the middle value by weight, or the mean of the two between which the middle lies."""
    order = np.argsort(values)
    values, below = values[order], np.cumsum(weight[order])
    half = below[-1] / 2
    ends = np.searchsorted(below, [half * (1 - 1e-12), half * (1 + 1e-12)])
    return float(values[np.minimum(ends, len(values) - 1)].mean())
