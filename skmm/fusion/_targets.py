"""What is learned: from y as a user has it to arrays of class numbers or values, and back."""

from __future__ import annotations

import numpy as np

RARE = 10  # rows; combinations of classes that fewer have are one stratum
N_BINS = 10


def strata(target: np.ndarray) -> np.ndarray:
    """Number the group of each row, in which splits are to be even: (n,).

    Classes; combinations of them; or tenths of the mean of the values. It depends on the values,
    not on the order of the rows.
    """
    if target.dtype.kind == "f":
        means = np.where(np.isnan(target), 0.0, target).mean(1)
        return np.searchsorted(np.sort(means), means) * N_BINS // len(means)
    if target.shape[1] == 1:
        return target[:, 0]
    _, stratum, counts = np.unique(target, axis=0, return_inverse=True, return_counts=True)
    return np.where(counts[stratum] < RARE, -1, stratum)
