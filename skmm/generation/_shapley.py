"""How a value is split among what a row consists of: Shapley values, over all subsets."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

MAX_INPUTS = 10  # of which there are 1,024 subsets


def shapley_values(value: Callable[[np.ndarray], np.ndarray], present: np.ndarray) -> np.ndarray:
    """Split the value of each row among its inputs (Shapley 1953).

    Parameters
    ----------
    value : callable
        Computes the value (n,) of each row with some of its inputs, marked in bool (n, p).
    present : ndarray of bool, shape (n, p)
        Which inputs each row has.

    Returns
    -------
    ndarray of shape (n, p + 1)
        The part of each input, 0 where it is missing, and last the value of a row without any: the
        sum is the value of the row.

    Raises
    ------
    ValueError
        If there are more than `MAX_INPUTS` inputs.
    """
    n_inputs = present.shape[1]
    if n_inputs > MAX_INPUTS:
        raise ValueError(
            f"contributions runs the decoder with each subset of the inputs, and {n_inputs} have "
            f"{2**n_inputs:,}: at most {MAX_INPUTS} inputs are split."
        )
    subsets = (np.arange(2**n_inputs)[:, None] >> np.arange(n_inputs)) & 1 == 1  # (2^p, p)
    values = np.stack([value(present & subset) for subset in subsets])  # (2^p, n)
    parts = np.zeros((len(present), n_inputs + 1))
    for i in range(n_inputs):
        without = np.flatnonzero(~subsets[:, i])
        for number in without:
            size = int(subsets[number].sum())
            share = 1 / (n_inputs * math.comb(n_inputs - 1, size))
            parts[:, i] += share * (values[number + (1 << i)] - values[number])
    parts[:, -1] = values[0]
    return parts
