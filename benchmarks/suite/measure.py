"""Fit a model on one fold and score it."""

import time
import warnings

import numpy as np
from models import MODELS, SKMM, SUM_ALONE
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold


def make_folds(table, n_folds):
    """Return (train, test) of each fold, as positions."""
    if table.groups is not None:
        return list(GroupKFold(n_folds).split(table.y, groups=table.groups))
    folds = KFold if table.is_regression else StratifiedKFold
    return list(folds(n_folds, shuffle=True, random_state=0).split(table.y, table.y))


def measure(name, table, features, train, test):
    """Return the figures of one model on one fold, as a dict."""
    groups = None if table.groups is None else table.groups[train]
    model = MODELS[name](table.is_regression, groups)
    if name not in (SKMM, SUM_ALONE):
        return fit_and_score(model, table, features.to_numpy(), train, test)
    figures = fit_and_score(model, table, features, train, test, groups=groups)
    if name == SKMM:
        figures["interaction"] = float(model.modality_weights_.get("interaction", 0.0))
    return figures


def fit_and_score(model, table, X, train, test, **fit_parameters):
    """Return the scores on the rows ``test``, and the processor seconds of `fit`."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(select(X, train), table.y[train], **fit_parameters)
        seconds = time.process_time() - start
        figures = score(model, select(X, test), table.y[test], table.is_regression)
    return figures | {"seconds": round(seconds, 2)}


def select(X, rows):
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def score(model, X, y, is_regression):
    """Return R2, or accuracy, log-loss and calibration error."""
    if is_regression:
        return {"score": r2_score(y, np.ravel(model.predict(X)))}
    proba = np.asarray(model.predict_proba(X), dtype=float)
    codes = np.searchsorted(model.classes_, y)
    return {
        "score": float((proba.argmax(axis=1) == codes).mean()),
        "log_loss": log_loss(codes, proba, labels=np.arange(proba.shape[1])),
        "calibration_error": calibration_error(proba, codes),
    }


def calibration_error(proba, codes, n_bins=15):
    """Return the expected calibration error (Guo et al. 2017), over equal bins."""
    confidence, right = proba.max(axis=1), proba.argmax(axis=1) == codes
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, confidence - right, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(codes))
