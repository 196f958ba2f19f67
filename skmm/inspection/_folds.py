"""The folds of a leaderboard: split once, and encoded once in each, for all models."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, check_cv
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils._indexing import _safe_indexing
from sklearn.utils.multiclass import type_of_target

from .._data.labels import has_several_targets, read_labels
from ..fusion import FusionClassifier, FusionRegressor
from ._fitted import as_frame_or_array, group_columns_of, unwrap


class Fold(NamedTuple):
    """The rows of a fold, encoded once for all models."""

    X: Any  # the training rows
    y: Any
    groups: np.ndarray | None
    X_test: Any
    y_test: Any
    columns: dict[str, np.ndarray]  # the positions of each modality's columns


def split_model(model: Any) -> tuple[Pipeline | None, Any]:
    """Split a model into the steps that encode, if there are any, and the fusion; both are clones.

    Raises
    ------
    TypeError
        If it does not end in a fusion.
    """
    steps, last = [], unwrap(model)
    while isinstance(last, Pipeline):
        steps += [step for _, step in last.steps[:-1] if step not in (None, "passthrough")]
        last = unwrap(last.steps[-1][1])
    if not isinstance(last, FusionClassifier | FusionRegressor):
        raise TypeError(
            "model must be a FusionClassifier or FusionRegressor, a Pipeline that ends in one, or "
            f"a fitted search over these, got one that ends in {type(last).__name__}. Other "
            'estimators of the same features can be compared with it: models={"name": estimator}.'
        )
    fusion = clone(last).set_params(checkpoint=None, verbose=False)  # a file is of one fit
    return (clone(make_pipeline(*steps)) if steps else None), fusion


def check_target(y: Any, classifies: bool) -> Any:
    """Return y, of one target as an array (n,); raise if it is not known in all rows."""
    if sparse.issparse(y):
        y = y.toarray()
    if not hasattr(y, "iloc"):
        y = np.asarray(y)
    if len(y.shape) == 2 and y.shape[1] == 1:
        y = np.asarray(y)[:, 0]
    unknown = np.asarray(pd.isna(y)).reshape(len(y), -1)
    if classifies and has_several_targets(y):
        unknown = read_labels(y).codes < 0
    rows = np.flatnonzero(unknown.any(axis=1))
    if len(rows):
        raise ValueError(
            f"y is not known in {len(rows)} of {len(y)} rows (the first is row {rows[0]}), and not "
            "all models of the board can learn from these. Leave the rows out."
        )
    return y


def split(
    cv: Any, X: Any, y: Any, groups: np.ndarray | None, classifies: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split rows once for all models.

    Raises
    ------
    ValueError
        If there are fewer than 2 folds, or one trains on one class alone.
    """
    try:
        if groups is not None and isinstance(cv, Integral):
            by_class = classifies and type_of_target(y) in ("binary", "multiclass")
            splitter = (StratifiedGroupKFold if by_class else GroupKFold)(int(cv))
        else:
            splitter = check_cv(cv, y, classifier=classifies)
        splits = list(splitter.split(X, y, groups))
    except ValueError as e:
        raise ValueError(
            f"{_name_cv(cv)} cannot split the {len(y)} rows: {e} Take fewer folds, or more rows."
        ) from e
    if len(splits) < 2:
        raise ValueError(
            "cv must make at least 2 folds, for errors are estimated from what differs between "
            f"them; {_name_cv(cv)} makes {len(splits)}."
        )
    for i, (train, _) in enumerate(splits):
        targets = pd.DataFrame(_safe_indexing(y, train))
        alike = [name for name in targets if targets[name].nunique() < 2]
        if classifies and alike:
            raise ValueError(
                f"Fold {i} trains on rows of one class alone, {targets[alike[0]].iloc[0]!r}"
                f"{f', of target {alike[0]!r}' if targets.shape[1] > 1 else ''}. Take fewer folds "
                "than the rarest class has rows, or a cv that stratifies or shuffles."
            )
    return splits


def _name_cv(cv: Any) -> str:
    is_short = isinstance(cv, Integral) or hasattr(cv, "split")
    return f"cv={cv!r}" if is_short else "cv, an iterable of splits,"


def encode(
    encoder: Pipeline | None,
    fusion: Any,
    X: Any,
    y: Any,
    groups: np.ndarray | None,
    train: np.ndarray,
    test: np.ndarray,
) -> Fold:
    """Encode the rows of a fold, and find the columns of each modality."""
    y_train, y_test = _safe_indexing(y, train), _safe_indexing(y, test)
    X_train, X_test = _safe_indexing(X, train), _safe_indexing(X, test)
    if encoder is not None:
        fitted = clone(encoder)
        X_train = as_frame_or_array(fitted.fit_transform(X_train, y_train))
        X_test = as_frame_or_array(fitted.transform(X_test))
    columns = group_columns_of(X_train, fusion.modalities)
    return Fold(
        X_train, y_train, None if groups is None else groups[train], X_test, y_test, columns
    )
