from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skmm.inspection import ModalityAblationDisplay, modality_report

NAMES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 4)), columns=[f"{name}__0" for name in NAMES])
    y = X["a__0"] * X["b__0"] + X["c__0"]
    model = DecisionTreeRegressor(max_depth=5, random_state=0).fit(X, y)
    return modality_report(model, X, y, n_repeats=1, emap_samples=0, random_state=0)


def test_shapley_values_are_means_over_all_orders(report):
    subsets = report.subsets[NAMES].to_numpy()
    values = {
        tuple(name for name, has in zip(NAMES, row, strict=True) if has): score
        for row, score in zip(subsets, report.subsets["score"], strict=True)
    }
    by_order = dict.fromkeys(NAMES, 0.0)
    for order in permutations(NAMES):
        before = ()
        for name in order:
            after = tuple(sorted((*before, name)))
            by_order[name] += (values[after] - values[before]) / 24
            before = after
    shares = report.modalities["shapley"]
    np.testing.assert_allclose(shares, [*by_order.values()])
    assert shares.sum() == pytest.approx(report.overall["all"] - report.overall["none"])


def test_subsets_are_all_and_small_first(report):
    subsets = report.subsets[NAMES]
    assert len(subsets.drop_duplicates()) == 16
    assert subsets.sum(axis=1).is_monotonic_increasing


def test_shapley_value_of_one_modality_is_all():
    X = pd.DataFrame({"a__0": np.arange(10.0)})
    model = LinearRegression().fit(X, np.arange(10.0))
    report = modality_report(model, X, np.arange(10.0), emap_samples=0)
    np.testing.assert_allclose(report.modalities["shapley"], [1])


def test_permuted_columns_stay_together():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    X = pd.DataFrame(X - X.mean(axis=0), columns=["a__0", "a__1", "b__0"])
    y = X["a__0"] + X["a__1"]
    model = LinearRegression().fit(X, y)
    options = {"n_repeats": 8, "emap_samples": 0, "random_state": 0}
    drops = modality_report(model, X, y, **options).modalities["permutation"]
    np.testing.assert_allclose(drops["b"], 0, atol=1e-12)
    np.testing.assert_allclose(drops["a"], 2, atol=0.3)  # 1 - R^2 of another row's y is 2
    # a__0 = -a__1 wherever the two stay together
    opposite = X.assign(a__1=-X["a__0"])
    options["scoring"] = lambda model, X, y: np.abs(model.predict(X)).max()
    drops = modality_report(model, opposite, y, **options).modalities["permutation"]
    np.testing.assert_allclose(drops["a"], 0, atol=1e-9)


def test_models_that_lower_texts_take_no_missing_ones():
    X = pd.DataFrame({"title": ["a red hat", "a blue hat"] * 5, "size": np.arange(10.0)})
    y = [0, 1] * 5
    columns = ColumnTransformer([("t", TfidfVectorizer(), "title"), ("n", "passthrough", ["size"])])
    model = make_pipeline(columns, LogisticRegression()).fit(X, y)
    modalities = {"title": ["title"], "size": ["size"]}
    with pytest.raises(ValueError, match=r"\['title'\]"):
        ModalityAblationDisplay.from_estimator(model, X, y, modalities=modalities)


def test_estimators_that_do_not_predict():
    X = pd.DataFrame({"a__0": np.arange(10.0), "b__0": 1.0})
    with pytest.raises(TypeError, match="StandardScaler"):
        modality_report(StandardScaler().fit(X), X, np.arange(10.0), scoring="r2")
