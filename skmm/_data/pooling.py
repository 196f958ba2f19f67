"""Predictions of estimators that each read some columns, and weights that pool them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from sklearn.utils._indexing import _safe_indexing

LEAST_PROBABILITY = 1e-15  # keeps one model that is sure and wrong from deciding everything


def minimise_log_loss(proba: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Find the weights on the simplex whose average of probabilities has the least log-loss.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_modalities)
        The probability that each modality gives a row's true class; NaN where it gives none.
    weight : ndarray of shape (n_samples,)
        Weights of the rows.

    Returns
    -------
    ndarray of shape (n_modalities,)
    """
    has = ~np.isnan(proba)
    known = has.any(axis=1) & (weight > 0)
    has, proba = has[known], np.maximum(np.nan_to_num(proba[known]), LEAST_PROBABILITY)
    proba *= has
    share = weight[known] / weight[known].sum()

    def loss(alpha: np.ndarray) -> tuple[float, np.ndarray]:
        top, bottom = proba @ alpha, has @ alpha  # more than 0 by the bounds
        gradient = has.T @ (share / bottom) - proba.T @ (share / top)
        return float(share @ (np.log(bottom) - np.log(top))), gradient

    n = proba.shape[1]
    found = minimize(
        loss,
        np.full(n, 1 / n),
        jac=True,
        method="SLSQP",
        bounds=[(1e-9, 1)] * n,
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    alpha = np.where(found.x < 1e-6, 0.0, found.x)
    return alpha / alpha.sum()


def has_values(columns) -> np.ndarray:
    """Mark the rows in which one or more columns hold anything."""
    missing = np.asarray(pd.isna(columns if hasattr(columns, "iloc") else np.asarray(columns)))
    return np.any(~missing.reshape(len(missing), -1), axis=1)


def fit_and_predict(
    estimator, X, y, columns, has, train, test, params: dict
) -> tuple[Any, np.ndarray | None]:
    """Fit a classifier on the rows that have its modality; None where they are of one class."""
    rows = np.asarray(train)[has[train]]
    if len(np.unique(y[rows])) < 2:
        return None, None
    fit_params = {
        name: _safe_indexing(value, rows) if _is_per_row(value, len(y)) else value
        for name, value in params.items()
    }
    fitted = estimator.fit(_safe_indexing(_select(X, columns), rows), y[rows], **fit_params)
    if test is None:
        return fitted, None
    is_predicted = np.zeros(len(y), dtype=bool)
    is_predicted[test] = has[test]
    return fitted, predict_where(fitted, X, columns, is_predicted)[test]


def predict_where(fitted, X, columns, is_predicted: np.ndarray) -> np.ndarray:
    """Predict probabilities (n_samples, n_classes) of some rows, NaN in the others."""
    proba = np.full((len(is_predicted), len(fitted.classes_)), np.nan)
    if is_predicted.any():
        rows = np.flatnonzero(is_predicted)
        proba[is_predicted] = fitted.predict_proba(_safe_indexing(_select(X, columns), rows))
    return proba


def _select(X, columns):
    return _safe_indexing(X, columns, axis=1)


def _is_per_row(value, n_rows: int) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str) and len(value) == n_rows
