from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm.inspection._scores import (
    all_subsets,
    permutation_drops,
    prepare_missing,
    score_subsets,
    shapley_values,
)
from skmm.inspection._tables import Table

NAMES = ["a", "b", "c", "d"]


def test_shapley_values_are_means_over_all_orders():
    rng = np.random.default_rng(0)
    values = {subset: rng.normal() for subset in all_subsets(NAMES)}
    by_order = dict.fromkeys(NAMES, 0.0)
    for order in permutations(NAMES):
        before = ()
        for name in order:
            after = tuple(sorted((*before, name)))
            by_order[name] += (values[after] - values[before]) / 24
            before = after
    shares = shapley_values(values, NAMES)
    np.testing.assert_allclose(shares, [*by_order.values()])
    assert shares.sum() == pytest.approx(values[tuple(NAMES)] - values[()])


def test_shapley_value_of_one_modality_is_all():
    np.testing.assert_allclose(shapley_values({(): 0.25, ("a",): 1.0}, ["a"]), [0.75])


def test_subsets_are_all_and_small_first():
    subsets = all_subsets(NAMES)
    assert len(set(subsets)) == 16
    assert [len(subset) for subset in subsets] == sorted(len(subset) for subset in subsets)


@pytest.fixture
def linear():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    X = pd.DataFrame(X - X.mean(axis=0), columns=["a__0", "a__1", "b__0"])
    y = X["a__0"] + X["a__1"]
    return LinearRegression().fit(X, y), Table(X, {"a": np.array([0, 1]), "b": np.array([2])}), y


def test_permuted_columns_stay_together(linear):
    model, table, y = linear
    scorer = get_scorer("r2")
    drops = permutation_drops(model, table, y, scorer, 8, np.random.RandomState(0))
    assert drops.shape == (2, 8)
    np.testing.assert_allclose(drops[1], 0, atol=1e-12)
    np.testing.assert_allclose(drops[0], 2, atol=0.3)  # 1 - R^2 of another row's y is 2
    # a__0 = -a__1 wherever the two stay together
    table.values = table.values * [1, 0, 1] - table.values[:, [0]] * [0, 1, 0]
    together = permutation_drops(model, table, np.zeros(400), _largest, 3, np.random.RandomState(0))
    np.testing.assert_allclose(together[0], 0, atol=1e-9)


def _largest(model, X, y):
    return np.abs(model.predict(X)).max()


def test_score_of_each_subset(linear):
    model, table, y = linear
    table.use_means()
    scores = score_subsets(model, table, y, get_scorer("r2"), all_subsets(["a", "b"]))
    np.testing.assert_allclose(scores, [0, 1, 0, 1], atol=1e-12)


def test_models_that_lower_texts_take_no_missing_ones():
    X = pd.DataFrame({"title": ["a red hat", "a blue hat"] * 5, "size": np.arange(10.0)})
    columns = ColumnTransformer([("t", TfidfVectorizer(), "title"), ("n", "passthrough", ["size"])])
    model = make_pipeline(columns, LogisticRegression()).fit(X, [0, 1] * 5)
    table = Table(X, {"title": np.array([0]), "size": np.array([1])})
    with pytest.raises(ValueError, match="takes no missing values"):
        prepare_missing(model, table, "auto")


def test_refuses_what_does_not_predict(linear):
    with pytest.raises(TypeError, match="need an estimator that predicts, got StandardScaler"):
        prepare_missing(StandardScaler(), linear[1], "auto")
