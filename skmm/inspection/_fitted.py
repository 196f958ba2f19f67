"""Fitted models taken apart: what encodes, what predicts, and which columns a modality has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.metrics import check_scoring
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._data.frames import as_pandas
from ..fusion._modalities import group_columns
from ._tables import Table


def unwrap(estimator: Any) -> Any:
    """Give the estimator that a fitted search has found best, and any other one as it is.

    Raises
    ------
    ValueError
        If the search did not refit one.
    """
    while isinstance(estimator, BaseSearchCV):
        check_is_fitted(estimator)
        if not hasattr(estimator, "best_estimator_"):
            raise ValueError(
                f"{type(estimator).__name__}(refit=False) keeps no estimator. Set refit=True, or "
                "give a fitted one."
            )
        estimator = estimator.best_estimator_
    return estimator


def last_step(estimator: Any) -> Any:
    """Give what predicts: of a search the best estimator, of a Pipeline its last step."""
    estimator = unwrap(estimator)
    while isinstance(estimator, Pipeline):
        estimator = unwrap(estimator.steps[-1][1])
    return estimator


def fusion_step(estimator: Any, display: str) -> Any:
    """Give the fitted model of modalities that an estimator ends in.

    Raises
    ------
    TypeError
        If it ends in another one.
    """
    found = last_step(estimator)
    if not hasattr(found, "modality_weights"):
        raise TypeError(
            f"{display} needs FusionClassifier, FusionRegressor or LateFusionClassifier, or a "
            f"Pipeline or search that ends in one, got {type(found).__name__}. "
            "skmm.inspection.modality_report takes any fitted estimator."
        )
    check_is_fitted(found)
    return found


class Taken(NamedTuple):
    """A model and its rows, between which no step mixes modalities any more."""

    model: Any
    table: Table


def take_apart(estimator: Any, X: Any, modalities: Mapping | None = None) -> Taken:
    """Encode rows as far as modalities stay apart.

    Parameters
    ----------
    estimator : estimator
        A fitted one.
    X : DataFrame or array-like of shape (n_samples, n_columns)
        What it predicts from.
    modalities : dict or None
        The columns of X that each modality has. None looks for them: in the model of modalities
        that the estimator ends in, in a `ColumnTransformer` of a Pipeline, and in the names of
        columns.

    Returns
    -------
    Taken
    """
    check_is_fitted(estimator)
    estimator = unwrap(estimator)
    X = as_table(X)
    if modalities is not None:
        return Taken(estimator, Table(X, _group(modalities, X)))
    found = last_step(estimator)
    if hasattr(found, "modalities_"):
        while isinstance(estimator, Pipeline):
            X, estimator = transform(estimator.steps[:-1], X), unwrap(estimator.steps[-1][1])
        X = with_names(X, found)
        return Taken(found, Table(X, _positions(found.modalities_, X)))
    if isinstance(estimator, Pipeline):
        for i, (_, step) in enumerate(estimator.steps[:-1]):
            if isinstance(step, ColumnTransformer):
                X = transform(estimator.steps[: i + 1], X)
                groups = {
                    name: np.arange(X.shape[1])[own]
                    for name, own in step.output_indices_.items()
                    if own.stop > own.start
                }
                return Taken(estimator[i + 1 :], Table(X, groups))
    return Taken(estimator, Table(X, _group("prefix", X)))


def as_table(X: Any) -> pd.DataFrame | np.ndarray:
    """Give rows as a pandas frame, if they have names, or as an array."""
    if sparse.issparse(X):
        X = X.toarray()
    if not hasattr(X, "columns"):
        X = np.asarray(X)
    if len(X.shape) != 2 or len(X) == 0:
        raise ValueError(
            "X must be a table of at least one row, a DataFrame or an array of shape (n_samples, "
            f"n_columns), got shape {X.shape}."
        )
    return as_pandas(X) if hasattr(X, "columns") else X


def with_names(X: pd.DataFrame | np.ndarray, model: Any) -> pd.DataFrame | np.ndarray:
    """Give the columns of an array the names that a model was fitted with, if it was.

    Raises
    ------
    ValueError
        If the model has more names or fewer.
    """
    names = getattr(model, "feature_names_in_", None)
    if isinstance(X, pd.DataFrame) or names is None:
        return X
    if X.shape[1] != len(names):
        raise ValueError(
            f"X has {X.shape[1]} columns, and {type(model).__name__} was fitted with {len(names)}."
        )
    return pd.DataFrame(X, columns=names)


def transform(steps: Sequence[tuple[str, Any]], X: Any) -> pd.DataFrame | np.ndarray:
    """Take rows through fitted steps of a Pipeline."""
    for _, step in steps:
        if step not in (None, "passthrough"):
            X = step.transform(X)
    return as_table(X)


def _group(modalities: Mapping | str, X: pd.DataFrame | np.ndarray) -> dict[str, np.ndarray]:
    names = X.columns.to_numpy() if isinstance(X, pd.DataFrame) else None
    if names is not None and not all(isinstance(name, str) for name in names):
        names = None
    return group_columns(modalities, names, X.shape[1])


def _positions(modalities: Mapping[str, list], X: Any) -> dict[str, np.ndarray]:
    if isinstance(X, pd.DataFrame) and isinstance(next(iter(modalities.values()))[0], str):
        groups = {name: X.columns.get_indexer(own) for name, own in modalities.items()}
    else:
        groups = {name: np.asarray(own, dtype=int) for name, own in modalities.items()}
    used, counts = np.unique(np.concatenate(list(groups.values())), return_counts=True)
    if counts.max() > 1:
        twice = used[counts.argmax()]
        shared = [name for name, own in groups.items() if twice in own]
        raise ValueError(
            f"Modalities {shared[0]!r} and {shared[1]!r} read the same column, so that one cannot "
            "go without the other. Say what is to be told apart by columns of X: "
            'modalities={"name": ["column"], ...}.'
        )
    return groups


def find_scorer(estimator: Any, scoring: str | Callable | None) -> Callable:
    """Give ``scorer(estimator, X, y)``; None is that of a search, or the estimator's `score`.

    Raises
    ------
    TypeError
        If ``scoring`` is neither a name nor a callable.
    ValueError
        If a search has several scores, and none is named.
    """
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise TypeError(
            "scoring must be the name of one score, such as 'accuracy', or a callable of "
            f"estimator, X and y, got {scoring!r}."
        )
    if scoring is None and hasattr(estimator, "scorer_"):
        scorer = estimator.scorer_
        if not isinstance(scorer, dict):
            return scorer
        if isinstance(estimator.refit, str):
            return scorer[estimator.refit]
        raise ValueError(f"The search has several scores, {list(scorer)}: name one as scoring.")
    return check_scoring(unwrap(estimator), scoring)


def name_score(estimator: Any, scoring: str | Callable | None) -> str:
    """Give the words that stand beside an axis of scores."""
    if scoring is None and hasattr(estimator, "scorer_"):
        refit = estimator.refit
        scoring = refit if isinstance(refit, str) else estimator.scoring
    if isinstance(scoring, str):
        return scoring.replace("_", " ")
    if callable(scoring):
        return getattr(scoring, "__name__", "score").replace("_", " ")
    return "accuracy" if is_classifier(unwrap(estimator)) else "R²"
