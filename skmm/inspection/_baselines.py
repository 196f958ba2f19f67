"""What a fusion is compared with: each modality alone, a linear model, boosting, the prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, StratifiedKFold
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .._hyperparameters import MLP

N_INNER_FOLDS = 3
CLASSIFIER_GRID = {"C": np.logspace(-4, 1, 6)}
REGRESSOR_GRID = {"alpha": np.logspace(-1, 5, 7)}


def make_linear(
    fusion: Any, blocks: Sequence[np.ndarray], y: np.ndarray, groups: np.ndarray | None
) -> Any:
    """Make a linear model whose strength of regularisation is chosen by inner cross-validation.

    Parameters
    ----------
    fusion : estimator
        A classifier or regressor, as the linear model is to be.
    blocks : list of ndarray of int
        The positions of each modality's columns, for an indicator that a row lacks it.
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        The targets to be fitted to.
    groups : ndarray of shape (n_samples,) or None
        Groups of rows that no inner fold parts.

    Returns
    -------
    Pipeline
    """
    classifies = is_classifier(fusion)
    cv = _inner_folds(y, classifies, groups)
    if classifies:
        scoring = _mean_log_probability
        linear = GridSearchCV(LogisticRegression(max_iter=1000), CLASSIFIER_GRID, cv=cv)
        linear.set_params(scoring=scoring)
        if y.ndim == 2:
            linear = MultiOutputClassifier(linear)
    else:
        linear = GridSearchCV(Ridge(), REGRESSOR_GRID, cv=cv)
    firsts = [columns[0] for columns in blocks]  # NaN where the row lacks the modality
    columns = ColumnTransformer(
        [
            ("value", SimpleImputer(keep_empty_features=True), np.concatenate([*blocks])),
            ("missing", MissingIndicator(error_on_new=False), firsts),
        ]
    )
    return make_pipeline(columns, StandardScaler(), linear)


def make_boosting(fusion: Any, y: np.ndarray) -> Any:
    """Make gradient boosting with scikit-learn's defaults; early stopping would part groups."""
    settings = {"early_stopping": False, "random_state": 0}
    if is_classifier(fusion):
        boosting = HistGradientBoostingClassifier(**settings)
        return boosting if y.ndim == 1 else MultiOutputClassifier(boosting)
    boosting = HistGradientBoostingRegressor(**settings)
    return boosting if y.ndim == 1 else MultiOutputRegressor(boosting)


def make_prior(fusion: Any, y: np.ndarray) -> Any:
    """Make what predicts as ``fusion`` does for rows without any modality."""
    if is_classifier(fusion):
        prior = DummyClassifier(strategy="prior")
        return prior if y.ndim == 1 else MultiOutputClassifier(prior)
    return DummyRegressor(strategy="mean" if fusion.loss == "squared_error" else "median")


def make_alone(fusion: Any, name: str, n_columns: int, y: np.ndarray) -> Any:
    """Make ``fusion`` for one modality alone; parameters of several have nothing left to say.

    Parameters
    ----------
    fusion : FusionClassifier or FusionRegressor
    name : str
        The modality.
    n_columns : int
        How many columns it has: all those of the X that is fitted to.
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        The targets to be fitted to.

    Returns
    -------
    estimator
    """
    model, loss_weight = fusion.modality_model, fusion.modality_loss_weight
    if isinstance(model, Mapping):
        model = model.get(name, "auto")
    if isinstance(model, MLP):
        model = clone(model).set_params(sharing=None)
    if isinstance(loss_weight, Mapping):
        loss_weight = loss_weight.get(name, 0.0)
    alone = clone(fusion).set_params(
        modalities={name: n_columns},
        modality_weights=None,
        modality_model=model,
        modality_loss_weight=loss_weight,
        alignment=None,
        alignment_weight=1.0,
    )
    if is_classifier(fusion):  # which gives rows that lack the modality the prior of all rows
        return alone
    return PriorWhereMissing(alone, make_prior(fusion, y))


class PriorWhereMissing(RegressorMixin, BaseEstimator):
    """A regressor of one modality; rows that lack it get the prior's prediction.

    Parameters
    ----------
    regressor : FusionRegressor
        Its rows of NaN are left out of training, and so of the mean that it would predict.
    prior : DummyRegressor
        Fitted to all rows.
    """

    def __init__(self, regressor, prior):
        self.regressor = regressor
        self.prior = prior

    def fit(self, X, y, groups=None):
        """Fit both."""
        self.regressor_ = clone(self.regressor).fit(X, y, groups=groups)
        self.prior_ = clone(self.prior).fit(X, y)
        return self

    def predict(self, X):
        """Predict by the regressor, or the prior."""
        predicted = self.regressor_.predict(X)
        missing = np.isnan(np.asarray(X, dtype=float)).all(axis=1)
        if missing.any():
            predicted[missing] = self.prior_.predict(np.zeros((missing.sum(), 1)))
        return predicted


def _inner_folds(y: np.ndarray, classifies: bool, groups: np.ndarray | None) -> Any:
    if groups is not None:
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                "groups must leave at least 2 groups to train on in each fold, for the linear "
                'model chooses C on held-out groups; got 1. Give more groups, or models={"linear": '
                '"drop"}.'
            )
        folds = GroupKFold(min(N_INNER_FOLDS, n_groups))
        return list(folds.split(y, groups=groups))
    if classifies and y.ndim == 1:
        n_folds = min(N_INNER_FOLDS, pd.Series(y).value_counts().max())
        if n_folds > 1:
            return StratifiedKFold(n_folds, shuffle=True, random_state=0)
    return KFold(min(N_INNER_FOLDS, len(y)), shuffle=True, random_state=0)


def _mean_log_probability(classifier: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Score a classifier on rows whose class it has seen; others are as improbable for all C."""
    known = np.isin(y, classifier.classes_)
    if not known.any():
        return 0.0
    proba = classifier.predict_proba(X[known])
    codes = np.searchsorted(classifier.classes_, y[known])
    of_true = proba[np.arange(len(codes)), codes]
    return float(np.log(np.maximum(of_true, np.finfo(proba.dtype).tiny)).mean())
