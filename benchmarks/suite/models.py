"""The models of the suite, each with the defaults of its package."""

import importlib.util
from functools import partial

import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmm import FusionClassifier, FusionRegressor

SKMM = "skmm"
SUM_ALONE = "skmm, sum alone"
BOUND = 5.0  # of standardised columns


def make_linear(is_regression, groups=None):
    """Return a pipeline: standardise, impute the mean, clip, and a linear model."""
    if is_regression:
        model = RidgeCV(np.logspace(-1, 5, 13))
    else:
        model = LogisticRegressionCV(
            Cs=[1e-4, 1e-3, 1e-2, 1e-1, 1.0],
            cv=make_inner_folds(groups),
            scoring="neg_log_loss",
            max_iter=200,
            l1_ratios=(0.0,),
            use_legacy_attributes=False,
        )
    clip = FunctionTransformer(np.clip, kw_args={"a_min": -BOUND, "a_max": BOUND})
    impute = SimpleImputer(keep_empty_features=True)
    return make_pipeline(StandardScaler(), impute, clip, model)


def make_inner_folds(groups):
    """Return three folds, which keep ``groups`` whole if there are any."""
    if groups is None:
        return 3
    return list(GroupKFold(3).split(groups, groups=groups))


def make_boosting(is_regression, groups=None):
    if is_regression:
        return HistGradientBoostingRegressor(random_state=0)
    return HistGradientBoostingClassifier(random_state=0)


def make_stacking(is_regression, groups=None):
    # The linear model is fitted to parts of the rows as well, which the groups do not fit.
    estimators = [
        ("linear", make_linear(is_regression)),
        ("boosting", make_boosting(is_regression)),
    ]
    stacking = StackingRegressor if is_regression else StackingClassifier
    return stacking(estimators, cv=make_inner_folds(groups))


def make_skmm(is_regression, groups=None, **parameters):
    estimator = FusionRegressor if is_regression else FusionClassifier
    return estimator(random_state=0, **parameters)


def make_catboost(is_regression, groups=None):
    from catboost import CatBoostClassifier, CatBoostRegressor

    estimator = CatBoostRegressor if is_regression else CatBoostClassifier
    return estimator(random_seed=0, thread_count=1, verbose=False, allow_writing_files=False)


def make_tabm(is_regression, groups=None):
    from pytabkit import TabM_D_Classifier, TabM_D_Regressor

    estimator = TabM_D_Regressor if is_regression else TabM_D_Classifier
    model = estimator(random_state=0, device="cpu", n_threads=1)
    impute = SimpleImputer(keep_empty_features=True)  # it takes no NaN
    return make_pipeline(impute, model)


MODELS = {
    SKMM: make_skmm,
    SUM_ALONE: partial(make_skmm, interaction=None),
    "boosting": make_boosting,
    "linear": make_linear,
    "stacking": make_stacking,
    "CatBoost": make_catboost,
    "TabM": make_tabm,
}
PACKAGES = {"CatBoost": "catboost", "TabM": "pytabkit"}  # that a model needs


def is_installed(name):
    return name not in PACKAGES or importlib.util.find_spec(PACKAGES[name]) is not None
