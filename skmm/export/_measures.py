"""How good predictions on rows with known targets are, and how sure they should be."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .._data.targets import target_names

N_BINS = 15
LEAST_PROBABILITY = 1e-15


class Reliability(NamedTuple):
    """The most probable class beside the true one, over rows with a known target."""

    name: Any  # of the target
    n_rows: int
    accuracy: float
    log_loss: float
    calibration_error: float  # expected, over equal bins (Guo et al. 2017)
    bins: pd.DataFrame  # from, to, rows, mean probability, accuracy; without empty ones


class Errors(NamedTuple):
    """Predicted numbers beside the true ones, over rows with a known target."""

    name: Any
    n_rows: int
    mean_absolute: float
    root_mean_square: float


def measure_classes(model: Any, X: Any, y: Any) -> list[Reliability]:
    """Measure the probabilities that a classifier predicts, for each target or label."""
    proba = _predict(model.predict_proba, X)
    classes = model.classes_
    if isinstance(proba, list):
        tables = list(zip(proba, classes, strict=True))
    elif np.ndim(y) == 2 and np.shape(y)[1] > 1:  # labels
        tables = [(np.stack([1 - p, p], axis=1), np.array([0, 1])) for p in proba.T]
    else:
        tables = [(proba, classes)]
    return [
        measure_reliability(name, table, values, column)
        for (table, values), (name, column) in zip(tables, _iterate_targets(y), strict=True)
    ]


def measure_numbers(model: Any, X: Any, y: Any) -> list[Errors]:
    """Measure the errors of a regressor, for each target."""
    predicted = _predict(model.predict, X)
    predicted = predicted.reshape(len(predicted), -1)
    found = []
    for guess, (name, column) in zip(predicted.T, _iterate_targets(y), strict=True):
        error = guess - column.astype(float)
        error = error[~np.isnan(error)]
        square = float(np.sqrt(np.mean(error**2)))
        found.append(Errors(name, len(error), float(np.abs(error).mean()), square))
    return found


def measure_reliability(
    name: Any, proba: np.ndarray, classes: np.ndarray, y: np.ndarray
) -> Reliability:
    """Measure probabilities (n, k) of the classes; a target that is none of them is not known."""
    positions = {value: i for i, value in enumerate(np.asarray(classes).tolist())}
    codes = np.array([positions.get(value, -1) for value in y.tolist()])
    proba, codes = proba[codes >= 0], codes[codes >= 0]
    if len(codes) == 0:
        raise ValueError(f"y holds none of the classes {list(positions)} of target {name!r}.")
    is_right = proba.argmax(1) == codes
    confidence = proba.max(1)
    number = np.ceil(confidence * N_BINS).astype(int).clip(1, N_BINS)
    rows = [
        (
            (i - 1) / N_BINS,
            i / N_BINS,
            int((number == i).sum()),
            float(confidence[number == i].mean()),
            float(is_right[number == i].mean()),
        )
        for i in np.unique(number)
    ]
    bins = pd.DataFrame(rows, columns=pd.Index(["from", "to", "rows", "probability", "accuracy"]))
    gaps = (bins["probability"] - bins["accuracy"]).abs()
    true = proba[np.arange(len(codes)), codes]
    return Reliability(
        name,
        len(codes),
        float(is_right.mean()),
        float(-np.log(np.maximum(true, LEAST_PROBABILITY)).mean()),
        float((bins["rows"] * gaps).sum() / len(codes)),
        bins,
    )


def _predict(predict: Any, X: Any) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*rows have no modality that counts")
        return predict(X)


def _iterate_targets(y: Any) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield the name and the values of each target."""
    if isinstance(y, pd.DataFrame):
        columns = [y.iloc[:, i].to_numpy() for i in range(y.shape[1])]
    else:
        array = np.asarray(y)
        columns = list(array.reshape(len(array), -1).T)
    yield from zip(target_names(y, len(columns)), columns, strict=True)
