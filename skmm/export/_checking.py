"""An ONNX model and the one that it was made of, on the same rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .._optional import import_optional
from .._warnings import warn_user
from ._model import split_steps

N_ROWS = 64
TOLERANCE = 1e-5
SHARE_MISSING = 0.3  # of the modalities of a row
COARSE = 0.01  # steps of float32, in standard deviations of a column


def check_same_predictions(model: Any, content: bytes) -> None:
    """Raise RuntimeError if an ONNX model predicts something else than the model."""
    runtime = import_optional("onnxruntime", extra="export", purpose="skmm.export.to_onnx")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    X = _draw_rows(model)
    names = [output.name for output in session.get_outputs() if "label" not in output.name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows without modalities
        expected = _predict(model, X)
    outputs = session.run(names, {"X": np.asarray(X)})
    for wanted, found in zip(expected, outputs, strict=True):
        error = np.abs(found - wanted) / np.maximum(1, np.abs(wanted))
        if not (error <= TOLERANCE).all():
            raise RuntimeError(
                f"What was exported differs from the model by up to {error.max():.2g} "
                "and was not written: an estimator in it is converted wrongly. Try another one in "
                "its place, and report it."
            )


def warn_of_coarse_columns(fusion: Any) -> None:
    """Warn of columns, such as times in seconds, whose values float32 cannot tell apart."""
    scaler = getattr(getattr(fusion, "_fitted", None), "scaler", None)
    if scaler is None:
        return
    deviation = np.sqrt(scaler.variance_)
    steps = np.spacing(np.abs(scaler.mean_).astype(np.float32)).astype(float)
    is_coarse = (deviation > 0) & (steps > COARSE * deviation)
    if is_coarse.any():
        names = getattr(fusion, "feature_names_in_", np.arange(len(is_coarse)))
        first = int(np.argmax(is_coarse))
        warn_user(
            f"The file reads float32, which rounds column {str(names[first])!r} (mean "
            f"{scaler.mean_[first]:.6g}, standard deviation {deviation[first]:.3g}) to multiples "
            f"of {steps[first]:.3g}; {is_coarse.sum()} of {len(is_coarse)} columns are like this, "
            "and it may predict otherwise than the model does from float64. Subtract an offset "
            "from them before fit."
        )


def _predict(model: Any, X: pd.DataFrame | np.ndarray) -> Sequence[np.ndarray]:
    if not hasattr(model, "predict_proba"):
        return [model.predict(X)]
    proba = model.predict_proba(X)
    return proba if isinstance(proba, list) else [proba]


def _draw_rows(model: Any) -> pd.DataFrame | np.ndarray:
    """Draw rows in float32, about as those that the model was fitted to where that is known.

    Some lack modalities, where no step before the fusion reads them.
    """
    steps, fusion = split_steps(model)
    first = steps[0][1] if steps else fusion
    random_state = np.random.RandomState(0)
    X = random_state.standard_normal((N_ROWS, first.n_features_in_))
    if not steps:
        scaler = getattr(getattr(fusion, "_fitted", None), "scaler", None)
        if scaler is not None:
            X = scaler.mean_ + X * np.sqrt(scaler.variance_)
        labels = list(getattr(fusion, "feature_names_in_", range(X.shape[1])))
        for columns in fusion.modalities_.values():
            positions = np.array([labels.index(column) for column in columns])
            is_missing = random_state.uniform(size=N_ROWS) < SHARE_MISSING
            X[np.ix_(np.flatnonzero(is_missing), positions)] = np.nan
    X = X.astype(np.float32)
    names = getattr(first, "feature_names_in_", None)
    return X if names is None else pd.DataFrame(X, columns=names)
