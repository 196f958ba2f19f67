"""Statistics of the target for categories of many levels, from rows other than one's own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

MAX_CLASSES = 20
N_FOLDS = 5


class Target(NamedTuple):
    """A target of which there are statistics."""

    values: np.ndarray
    is_continuous: bool


class TargetStatistics(NamedTuple):
    """What was fitted, and what it gives for the rows of `fit`."""

    encoder: Pipeline
    encoded: np.ndarray


def find_target(y) -> Target | None:
    """Return y if it is one column of numbers or of at most 20 classes, in several rows each."""
    try:
        values = np.asarray(y)
    except ValueError:  # lists of different lengths
        return None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values.ravel()
    if values.ndim != 1 or pd.isna(values).any():
        return None
    values = pd.Series(values).infer_objects().to_numpy()
    if values.dtype.kind == "f":
        return Target(values, is_continuous=True) if np.isfinite(values).all() else None
    if values.dtype.kind == "O":
        if pd.api.types.infer_dtype(values) != "string":
            return None
        values = values.astype(str)
    classes, counts = np.unique(values, return_counts=True)
    if values.dtype.kind in "iu" and len(classes) > MAX_CLASSES:
        gaps = classes[-1] - classes[0] >= len(classes)  # numbers of classes have none
        return Target(values.astype(np.float64), is_continuous=True) if gaps else None
    if values.dtype.kind not in "iubU" or len(classes) > MAX_CLASSES or counts.min() < 2:
        return None
    return Target(values, is_continuous=False) if len(classes) > 1 else None


def fit_target_statistics(columns: pd.DataFrame, target: Target) -> TargetStatistics:
    """Fit an encoder on all rows, and encode each row by one that was fitted on others.

    As `TargetEncoder.fit_transform` does, of which only new versions take a generator of folds,
    and only old ones a seed; `cross_val_predict` takes no transformer. The values are scaled
    like those of the other rows' encoders.
    """
    y = target.values
    unfitted, folds = TargetEncoder(), KFold(min(N_FOLDS, len(y)), shuffle=True, random_state=0)
    if target.is_continuous:
        unfitted.set_params(target_type="continuous")
    else:
        smallest = np.unique(y, return_counts=True)[1].min()
        folds = StratifiedKFold(min(N_FOLDS, int(smallest)), shuffle=True, random_state=0)
    encoder = clone(unfitted).fit(columns, y)
    encoded: Any = np.empty_like(encoder.transform(columns))
    for train, test in folds.split(columns, y):
        encoded[test] = (
            clone(unfitted).fit(columns.iloc[train], y[train]).transform(columns.iloc[test])
        )
    scaler = StandardScaler().fit(encoded)
    return TargetStatistics(make_pipeline(encoder, scaler), scaler.transform(encoded))


def name_target_statistics(encoder: Pipeline) -> list[str]:
    """Name the statistics: of each column one, or one for each of several classes."""
    target_encoder = encoder[0]
    columns = target_encoder.feature_names_in_
    if target_encoder.target_type_ != "multiclass":
        return [f"{column}_target" for column in columns]
    return [f"{column}_target_{label}" for column in columns for label in target_encoder.classes_]
