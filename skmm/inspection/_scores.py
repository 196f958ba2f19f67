"""Scores of a fitted model on rows from which modalities are removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
from sklearn.utils._indexing import _safe_indexing

from ._emap import Outputs, Projection, project
from ._tables import Table, ignore_rows_without_modality

MAX_MODALITIES = 10


def prepare_missing(model: Any, table: Table, missing: str) -> str:
    """Choose what a missing modality is filled with, "nan" or "mean", and return it.

    "auto" is "nan" for models that predict a row of which each modality, and then all of them, is
    NaN.

    Raises
    ------
    ValueError
        If ``missing`` is none of "auto", "nan" and "mean".
    TypeError
        If the model has no `predict`.
    """
    if missing not in ("auto", "nan", "mean"):
        raise ValueError(f'missing must be "auto", "nan" or "mean", got {missing!r}.')
    if not hasattr(model, "predict"):
        raise TypeError(
            "modality_report and ModalityAblationDisplay need an estimator that predicts, got "
            f"{type(model).__name__}."
        )
    if missing == "auto":
        missing = "nan" if _takes_nan(model, table) else "mean"
    if missing == "mean":
        table.use_means()
    return missing


def _takes_nan(model: Any, table: Table) -> bool:
    first = np.zeros(1, dtype=int)
    with ignore_rows_without_modality():
        model.predict(table.assemble(first, {}))  # not NaN is the reason if this fails
        for missing in [[name] for name in table.names] + [table.names]:
            try:
                model.predict(table.assemble(first, dict.fromkeys(missing)))
            except (AttributeError, TypeError, ValueError):  # AttributeError by None.lower()
                return False
    return True


def all_subsets(names: list) -> list[tuple]:
    """List the subsets of the modalities, the smallest first.

    Raises
    ------
    ValueError
        If there are too many.
    """
    if len(names) > MAX_MODALITIES:
        raise ValueError(
            f"{len(names)} modalities have 2^{len(names)} subsets, and the model would predict all "
            f"rows for each; at most {MAX_MODALITIES} are allowed. Join modalities by "
            'modalities={"name": ["column", ...], ...}.'
        )
    return [chosen for n in range(len(names) + 1) for chosen in combinations(names, n)]


def score_subsets(
    model: Any, table: Table, y: Any, scorer: Callable, subsets: Iterable[tuple[str, ...]]
) -> np.ndarray:
    """Score a model on the same rows with each subset of the modalities alone."""
    with ignore_rows_without_modality():
        return np.array([float(scorer(model, table.keep(names), y)) for names in subsets])


def shapley_values(values: Mapping[tuple, Any], names: list) -> np.ndarray:
    """Compute the Shapley value of each modality or unit: its mean gain over all orders.

    Parameters
    ----------
    values : dict of tuple to float or ndarray of shape (...)
        The value of each subset that `all_subsets` lists.
    names : list
        The modalities.

    Returns
    -------
    ndarray of shape (n_modalities, ...)
        Their sum is the value of all modalities less that of none.
    """
    n = len(names)
    shares = np.zeros((n, *np.shape(values[()])))
    for subset, value in values.items():
        size = len(subset)
        for i, name in enumerate(names):
            if name in subset:
                shares[i] += value * factorial(size - 1) * factorial(n - size) / factorial(n)
            else:
                shares[i] -= value * factorial(size) * factorial(n - size - 1) / factorial(n)
    return shares


def permutation_drops(
    model: Any, table: Table, y: Any, scorer: Callable, n_repeats: int, rng: np.random.RandomState
) -> np.ndarray:
    """Measure by how much the score falls when one modality's columns come from other rows.

    Returns
    -------
    ndarray of shape (n_modalities, n_repeats)
    """
    rows = np.arange(len(table))
    score = score_subsets(model, table, y, scorer, [tuple(table.names)])[0]
    drops = np.empty((len(table.names), n_repeats))
    with ignore_rows_without_modality():
        for i, name in enumerate(table.names):
            for repeat in range(n_repeats):
                permuted = table.assemble(rows, {name: rng.permutation(rows)})
                drops[i, repeat] = score - float(scorer(model, permuted, y))
    return drops


def emap_scores(
    model: Any, table: Table, y: Any, scorer: Callable, rows: np.ndarray
) -> tuple[float, float]:
    """Score a model, and the additive function nearest to it, on some rows."""
    outputs = Outputs(model, table.assemble(rows[:1], {}))
    X = table.assemble(rows, {})
    unchanged = Projection(outputs, outputs.compute(X))
    y = _safe_indexing(y, rows)
    additive = project(outputs, table, rows)
    return float(scorer(unchanged, X, y)), float(scorer(additive, X, y))
