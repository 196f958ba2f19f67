"""What works without any extra; tools/run_matrix.sh runs this file where none is installed."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmm import AdamW, FusionClassifier, FusionRegressor, ModalityTransformer, infer_modalities
from skmm.inspection import modality_report

N_ROWS = 90


@pytest.fixture(scope="module")
def table():
    """Return texts, numbers, categories and dates, some missing, and the class that they tell."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(["new", "old", "worn"], N_ROWS // 3))
    filler = rng.integers(0, 1000, N_ROWS)
    X = pd.DataFrame(
        {
            "title": [f"a {kind} lamp, number {n}" for kind, n in zip(y, filler, strict=True)],
            "weight": rng.normal(size=N_ROWS) + (y == "old"),
            "colour": rng.choice(["red", "blue"], N_ROWS),
            "sold": pd.to_datetime("2026-01-01") + pd.to_timedelta(filler, unit="D"),
        }
    )
    X.loc[::9, "title"] = None
    return X, y


def make_model(estimator=FusionClassifier, **parameters):
    fusion = estimator(solver=AdamW(max_iter=10), random_state=0, **parameters)
    return make_pipeline(ModalityTransformer(), fusion)


def test_schema(table):
    assert set(infer_modalities(table[0])["modality"]) == {"text", "tabular"}


def test_pipeline_learns_and_pickles(table):
    X, y = table
    model = make_model().fit(X[:60], y[:60])
    assert model.score(X[60:], y[60:]) > 0.7
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_grid_search(table):
    grid = {"fusionclassifier__fusion": ["late", "gated"]}
    search = GridSearchCV(make_model(interaction=None), grid, cv=2).fit(*table)
    assert (search.cv_results_["mean_test_score"] > 0.5).all()


def test_regressor(table):
    X, y = table
    number = 2.0 * (y == "old") + X["weight"]
    model = make_model(FusionRegressor, interaction=None).fit(X, number)
    assert model.score(X, number) > 0.5


def test_report(table):
    X, y = table
    model = make_model(interaction=None).fit(X[:60], y[:60])
    assert modality_report(model, X[60:], y[60:]).modalities.loc["text", "shapley"] > 0
