"""The contributions that a fitted model computes, and what they are contributions to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length, column_or_1d

from .._data.columns import INTERACTION

TO_LOGIT, TO_LOG_ODDS = "contribution to the logit", "contribution to the log-odds"
OF_PROBABILITY = "share of the probability"


class Attribution(NamedTuple):
    """Predictions, and the contributions of modalities to them: to classes, labels or numbers."""

    contributions: np.ndarray  # (n, m, k)
    predictions: np.ndarray  # (n, k)
    members: np.ndarray  # (n, k), whether a row is of the class
    outputs: list
    unit: str


def name_contributions(model: Any, contributions: np.ndarray) -> list:
    """Return the names of contributions: the modalities, and the interaction, if it has one."""
    names = list(model.modalities_)
    return names if contributions.shape[1] == len(names) else [*names, INTERACTION]


def check_splits(model: Any, alternative: str) -> None:
    """Check that the predictions of a fitted model are sums of contributions.

    Raises
    ------
    ValueError
        If its fusion rule mixes the modalities.
    """
    if not hasattr(model, "contributions"):
        raise ValueError(
            f"{type(model).__name__}(fusion={model.fusion!r}) mixes the modalities, and its "
            'predictions are no sum of contributions. Take fusion="late", "weighted", "gated" '
            f'or "additive", or look at {alternative}.'
        )


def attribute_predictions(model: Any, X: Any, y: Any, target: int) -> Attribution:
    """Split the predictions of a model of modalities; ``y`` may be None.

    Raises
    ------
    ValueError
        If there is no such target, or y has another shape than in `fit`, or none of the classes.
    """
    if y is not None:
        check_consistent_length(X, y)
    contributions = model.contributions(X)
    if not is_classifier(model):
        return _attribute_numbers(model, X, np.asarray(contributions))
    predictions, labels = model.predict_proba(X), model.predict(X)
    if y is not None:
        labels = column_or_1d(y) if labels.ndim == 1 else _read_columns(y, labels.shape)
    if isinstance(contributions, list):
        if not 0 <= target < len(contributions):
            raise ValueError(f"target must be from 0 to {len(contributions) - 1}, got {target}.")
        contributions, predictions = contributions[target], predictions[target]
        classes, labels = model.classes_[target], labels[:, target]
    elif labels.ndim == 2:
        names = getattr(y, "columns", [f"label {label}" for label in model.classes_])
        outputs = [str(name) for name in names]
        return Attribution(contributions, predictions, labels == 1, outputs, TO_LOG_ODDS)
    else:
        classes = model.classes_
    members = labels[:, None] == classes
    if not members.any():
        raise ValueError(
            f"y holds none of the classes {classes.tolist()}; in row 0 is {labels.tolist()[0]!r}."
        )
    if not hasattr(model, "network_"):  # averages of probabilities
        return Attribution(contributions, predictions, members, classes.tolist(), OF_PROBABILITY)
    contributions = contributions - contributions.mean(axis=2, keepdims=True)
    return Attribution(contributions, predictions, members, classes.tolist(), TO_LOGIT)


def _read_columns(y: Any, shape: tuple[int, int]) -> np.ndarray:
    if np.shape(y) != shape:
        raise ValueError(f"y must have the shape {shape}, as in fit, got {np.shape(y)}.")
    return np.asarray(y)


def _attribute_numbers(model: Any, X: Any, contributions: np.ndarray) -> Attribution:
    predictions = model.predict(X)
    several = predictions.ndim == 2
    outputs = [f"target {i}" for i in range(predictions.shape[1])] if several else ["prediction"]
    if not several:
        contributions, predictions = contributions[..., None], predictions[:, None]
    members = np.ones(predictions.shape, dtype=bool)
    unit = "contribution" if several else f"contribution, from {model.intercept_:.4g} on"
    return Attribution(contributions, predictions, members, outputs, unit)
