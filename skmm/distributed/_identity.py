"""Digests by which a transformer and a row are recognised in a later run."""

from __future__ import annotations

from hashlib import blake2b
from types import FunctionType
from typing import Any

import joblib
import numpy as np
import pandas as pd
from joblib.hashing import NumpyHasher
from sklearn.base import BaseEstimator

from ..encoding.cache import describe_callable, digest_item

ROW = np.dtype([("key", "<u8"), ("inputs", "<u8")])  # digests
_NEUTRAL = frozenset({"n_jobs", "verbose", "verbose_feature_names_out"})


def identify_transformer(transformer: Any) -> str:
    """Digest everything in a fitted transformer that changes what it returns.

    Parameters that `CellEncoder` calls neutral do not: a cache, the size of batches, what to do
    with broken items. A model is its weights, wherever they are stored.
    """
    return _Hasher().hash(transformer)


class _Hasher(NumpyHasher):
    """joblib's hasher, except for functions, and for the neutral parameters of estimators."""

    def save(self, value: Any) -> None:
        if isinstance(value, BaseEstimator):
            cls = type(value)
            neutral = _NEUTRAL | getattr(cls, "_neutral", frozenset())
            state = {name: v for name, v in vars(value).items() if name not in neutral}
            value = (cls.__module__, cls.__qualname__, state)
        elif isinstance(value, FunctionType):
            value = describe_callable(value)
        elif isinstance(value, np.ndarray):  # a pickle changes the memory layout
            value = np.array(value, order="C")
        super().save(value)


def identify_rows(X: pd.DataFrame) -> np.ndarray:
    """Digest the cells of each row, and its key, which is the index: records of ROW."""
    rows = np.empty(len(X), dtype=ROW)
    rows["key"] = [_digest(key) for key in X.index]
    rows["inputs"] = [_digest(*cells) for cells in zip(*map(X.__getitem__, X.columns), strict=True)]
    return rows


def _digest(*cells: Any) -> int:
    whole = blake2b(digest_size=8)
    for cell in map(_unify_blocks, cells):
        try:
            whole.update(digest_item(cell))
        except TypeError:  # a date, say
            whole.update(joblib.hash(cell).encode())
    return int.from_bytes(whole.digest(), "little")


def _unify_blocks(cell: Any) -> Any:
    """Return the same value for a cell in any block: integers beside a missing cell are floats."""
    if isinstance(cell, float | np.floating) and cell.is_integer():
        return int(cell)
    return None if pd.api.types.is_scalar(cell) and pd.isna(cell) else cell


def name_partition(rows: np.ndarray) -> str:
    """Name the file of these rows, the same in every run and on every machine."""
    return f"part-{blake2b(rows.tobytes(), digest_size=16).hexdigest()}.parquet"
