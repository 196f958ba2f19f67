"""Fitted models split: what encodes, what predicts, and which columns a modality has."""

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

from .._data.columns import group_columns
from .._data.frames import as_pandas
from ._tables import Table


def unwrap(estimator: Any) -> Any:
    """Return the best estimator of a fitted search, and any other estimator as it is.

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
    """Return what predicts: of a search the best estimator, of a Pipeline its last step."""
    estimator = unwrap(estimator)
    while isinstance(estimator, Pipeline):
        estimator = unwrap(estimator.steps[-1][1])
    return estimator


def fusion_step(estimator: Any, display: str) -> Any:
    """Return the fitted model of modalities that an estimator ends in.

    Raises
    ------
    TypeError
        If it ends in another one.
    """
    model = last_step(estimator)
    if not hasattr(model, "modality_weights"):
        raise TypeError(
            f"{display} needs FusionClassifier, FusionRegressor or LateFusionClassifier, or a "
            f"Pipeline or search that ends in one, got {type(model).__name__}. "
            "skmm.inspection.modality_report takes any fitted estimator."
        )
    check_is_fitted(model)
    return model


class SplitPipeline(NamedTuple):
    """A model and the rows that it reads, in which each column is of one modality."""

    model: Any
    table: Table


def split_pipeline(estimator: Any, X: Any, modalities: Mapping | None = None) -> SplitPipeline:
    """Split off the steps that keep modalities apart, and transform rows by them.

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
    SplitPipeline
    """
    check_is_fitted(estimator)
    estimator = unwrap(estimator)
    X = as_frame_or_array(X)
    if modalities is not None:
        return SplitPipeline(estimator, Table(X, group_columns_of(X, modalities)))
    model = last_step(estimator)
    if hasattr(model, "modalities_"):
        while isinstance(estimator, Pipeline):
            X, estimator = apply_steps(estimator.steps[:-1], X), unwrap(estimator.steps[-1][1])
        X = name_columns(X, model)
        return SplitPipeline(model, Table(X, locate_columns(model.modalities_, X)))
    if isinstance(estimator, Pipeline):
        for i, (_, step) in enumerate(estimator.steps[:-1]):
            if isinstance(step, ColumnTransformer):
                X = apply_steps(estimator.steps[: i + 1], X)
                groups = {
                    name: np.arange(X.shape[1])[columns]
                    for name, columns in step.output_indices_.items()
                    if columns.stop > columns.start
                }
                return SplitPipeline(estimator[i + 1 :], Table(X, groups))
    return SplitPipeline(estimator, Table(X, group_columns_of(X, "prefix")))


def as_frame_or_array(X: Any) -> pd.DataFrame | np.ndarray:
    """Convert rows into a pandas frame, if they have names, or into an array."""
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


def name_columns(X: pd.DataFrame | np.ndarray, model: Any) -> pd.DataFrame | np.ndarray:
    """Name the columns of an array as they were named in a model's fit, if they were.

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


def apply_steps(steps: Sequence[tuple[str, Any]], X: Any) -> pd.DataFrame | np.ndarray:
    """Transform rows by fitted steps of a Pipeline."""
    for _, step in steps:
        if step not in (None, "passthrough"):
            X = step.transform(X)
    return as_frame_or_array(X)


def group_columns_of(
    X: pd.DataFrame | np.ndarray, modalities: Mapping | str | None
) -> dict[str, np.ndarray]:
    """Find the positions of each modality's columns, by a dict or by their names."""
    columns = getattr(X, "columns", None)
    names = None if columns is None else columns.to_numpy()
    if names is not None and not all(isinstance(name, str) for name in names):
        names = None
    return group_columns(modalities, names, X.shape[1])


def locate_columns(modalities: Mapping[str, list], X: Any) -> dict[str, np.ndarray]:
    """Find the positions in X of each modality's columns, names or positions."""
    if isinstance(X, pd.DataFrame) and isinstance(next(iter(modalities.values()))[0], str):
        groups = {name: X.columns.get_indexer(columns) for name, columns in modalities.items()}
    else:
        groups = {name: np.asarray(columns, dtype=int) for name, columns in modalities.items()}
    used, counts = np.unique(np.concatenate(list(groups.values())), return_counts=True)
    if counts.max() > 1:
        twice = used[counts.argmax()]
        shared = [name for name, columns in groups.items() if twice in columns]
        raise ValueError(
            f"Modalities {shared[0]!r} and {shared[1]!r} read the same column, so that one cannot "
            "be removed without the other. Name the columns of X to tell apart: "
            'modalities={"name": ["column"], ...}.'
        )
    return groups


def find_scorer(estimator: Any, scoring: str | Callable | None) -> Callable:
    """Return ``scorer(estimator, X, y)``; None is that of a search, or the estimator's `score`.

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
    """Return the label of an axis of scores."""
    if scoring is None and hasattr(estimator, "scorer_"):
        refit = estimator.refit
        scoring = refit if isinstance(refit, str) else estimator.scoring
    if isinstance(scoring, str):
        return scoring.replace("_", " ")
    if callable(scoring):
        return getattr(scoring, "__name__", "score").replace("_", " ")
    return "accuracy" if is_classifier(unwrap(estimator)) else "R²"
