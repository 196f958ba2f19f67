"""Checks of the arguments of encode and fit, before Ray starts a worker."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from sklearn.utils import check_scalar


def check_dataset(dataset: Any) -> None:
    """Raise a TypeError unless it is a Ray Dataset."""
    from ray.data import Dataset

    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"Expected a Ray Dataset, got {type(dataset).__name__}: make one by "
            "ray.data.from_pandas(X) or ray.data.read_parquet(path)."
        )


def check_counts(**counts: Any) -> None:
    """Raise a TypeError or ValueError, with the name, unless all are integers of at least 1."""
    for name, count in counts.items():
        check_scalar(count, name, Integral, min_val=1)
