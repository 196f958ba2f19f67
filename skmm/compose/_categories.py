"""One-hot encoding of a few rows, without what scikit-learn checks each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import OneHotEncoder

from .._data.cells import is_missing

FEW_ROWS = 16  # of more, scikit-learn's own method takes less time


def one_hot(encoder: OneHotEncoder, columns: pd.DataFrame) -> np.ndarray:
    """Encode columns by a fitted encoder; those of a few rows by looking categories up.

    What `fit` did not see is an infrequent category, where there are such.
    """
    if len(columns) > FEW_ROWS:
        return encoder.transform(columns)
    infrequent = getattr(encoder, "infrequent_categories_", [None] * columns.shape[1])
    blocks = []
    for position, categories in enumerate(encoder.categories_):
        rare = {*map(_key, [] if infrequent[position] is None else infrequent[position])}
        kept = [category for category in map(_key, categories) if category not in rare]
        places: dict[Any, int] = {category: place for place, category in enumerate(kept)}
        block = np.zeros((len(columns), len(kept) + 1))  # the last: infrequent, or nothing
        for row, value in enumerate(columns.iloc[:, position].array):
            block[row, places.get(_key(value), -1)] = 1
        blocks.append(block if rare else block[:, :-1])
    return np.hstack(blocks)


def _key(category: Any) -> Any:
    return None if is_missing(category) else category
