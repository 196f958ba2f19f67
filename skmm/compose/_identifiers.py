"""Columns that only name the row: serial numbers, codes and hashes, all different."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from .._warnings import warn_user

MIN_VALUES = 50
MIN_COLLISIONS = 3  # expected among as many random integers of the same range
SHARE = 0.95  # of codes that are written alike


def are_identifiers(present: pd.Series) -> bool:
    """Return whether values that are not missing are all different, and by no chance."""
    if len(present) < MIN_VALUES or not present.is_unique:
        return False
    if isinstance(present.iloc[0], str):
        return _are_codes(present)
    numbers = present.to_numpy(np.float64)
    return np.isfinite(numbers).all() and not (numbers % 1).any() and are_dense(numbers)


def are_dense(integers: np.ndarray) -> bool:
    """Return whether so many random integers of this range would hardly be all different."""
    n = len(integers)
    return n * (n - 1) / 2 >= MIN_COLLISIONS * (np.ptp(integers) + 1)


def _are_codes(texts: pd.Series) -> bool:
    """Return whether texts are single words with digits, of one length or of one form."""
    if texts.str.contains(r"\s").any() or texts.str.contains(r"\d").mean() < SHARE:
        return False
    lengths = texts.str.len()
    forms = texts.map(lambda text: re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", text)))
    alike = max(lengths.value_counts().iloc[0], forms.value_counts().iloc[0])
    return alike >= SHARE * len(texts)


def warn_of_identifiers(column, example: str) -> None:
    """Warn that a column only names the row."""
    warn_user(
        f"Column {column!r} seems to name the row: its values, such as {example}, are all "
        "different. If so, a model learns nothing from it that holds for new rows. Leave it out: "
        f"X.drop(columns=[{column!r}])."
    )
