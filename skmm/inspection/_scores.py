"""Scores of a fitted model on rows that have some of their modalities."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

import numpy as np

from ._tables import Table, expecting_nothing

MAX_MODALITIES = 10


def prepare_missing(model: Any, table: Table, missing: str) -> str:
    """Decide what takes the place of a modality, "nan" or "mean", and tell.

    With "auto" it is "nan" for models that predict a row of which each modality, and then all of
    them, is NaN.

    Raises
    ------
    ValueError
        If ``missing`` is none of "auto", "nan" and "mean".
    """
    if missing not in ("auto", "nan", "mean"):
        raise ValueError(f'missing must be "auto", "nan" or "mean", got {missing!r}.')
    if missing == "auto":
        missing = "nan" if _takes_nan(model, table) else "mean"
    if missing == "mean":
        table.use_means()
    return missing


def _takes_nan(model: Any, table: Table) -> bool:
    first = np.zeros(1, dtype=int)
    with expecting_nothing():
        model.predict(table.assemble(first, {}))  # what fails here is no matter of NaN
        for gone in [[name] for name in table.names] + [table.names]:
            try:
                model.predict(table.assemble(first, dict.fromkeys(gone)))
            except (TypeError, ValueError):
                return False
    return True


def all_subsets(names: list[str]) -> list[tuple[str, ...]]:
    """Give each subset of the modalities, the smallest first.

    Raises
    ------
    ValueError
        If there are too many.
    """
    if len(names) > MAX_MODALITIES:
        raise ValueError(
            f"{len(names)} modalities have 2^{len(names)} subsets, and the model would predict all "
            f"rows for each; at most {MAX_MODALITIES} are taken. Make some of them one with "
            'modalities={"name": ["column", ...], ...}.'
        )
    return [chosen for n in range(len(names) + 1) for chosen in combinations(names, n)]


def score_subsets(
    model: Any, table: Table, y: Any, scorer: Callable, subsets: Iterable[tuple[str, ...]]
) -> np.ndarray:
    """Score a model on the same rows with these modalities alone."""
    with expecting_nothing():
        return np.array([float(scorer(model, table.keep(names), y)) for names in subsets])
