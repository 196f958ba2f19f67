"""Prediction intervals of MAPIE around a pipeline of raw columns."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from skmm import MLP, AdamW, FusionRegressor, ModalityTransformer

mapie = pytest.importorskip("mapie.regression")
pytestmark = pytest.mark.filterwarnings(
    "ignore:X does not have valid feature names"  # MAPIE tries the last step on an array of zeros
)


@pytest.fixture(scope="module")
def table():
    """Return 200 rows of a title and a weight, some missing, and a price."""
    rng = np.random.default_rng(0)
    words = rng.choice(["old", "used", "new"], 200)
    X = pd.DataFrame({"title": [f"{word} lamp, number {row}" for row, word in enumerate(words)]})
    X["weight"] = rng.normal(size=200)
    y = 10 * (words == "new") + 3 * X["weight"].to_numpy() + rng.normal(size=200)
    X.loc[::10, "title"] = None
    X.loc[5::10, "weight"] = np.nan
    return X, y


def make_model():
    fusion = FusionRegressor(
        modality_model=MLP((8,)), solver=AdamW(max_iter=10), interaction=None, random_state=0
    )
    return make_pipeline(ModalityTransformer(), fusion)


def test_split_conformal_has_the_width_of_the_errors_on_calibration_rows(table):
    X, y = table
    model = make_model().fit(X[:100], y[:100])
    split = mapie.SplitConformalRegressor(model, confidence_level=0.9, prefit=True)
    predicted, intervals = split.conformalize(X[100:150], y[100:150]).predict_interval(X[150:])
    np.testing.assert_array_equal(predicted, model.predict(X[150:]))
    errors = np.sort(np.abs(y[100:150] - model.predict(X[100:150])))
    width = errors[int(np.ceil(0.9 * 51)) - 1]
    np.testing.assert_allclose(intervals[:, 0, 0], predicted - width)
    np.testing.assert_allclose(intervals[:, 1, 0], predicted + width)


def test_cross_conformal_covers_new_rows(table):
    X, y = table
    crossed = mapie.CrossConformalRegressor(make_model(), confidence_level=0.9, cv=2)
    predicted, intervals = crossed.fit_conformalize(X[:150], y[:150]).predict_interval(X[150:])
    low, high = intervals[:, :, 0].T
    assert (low < predicted).all()
    assert (predicted < high).all()
    assert np.mean((low <= y[150:]) & (y[150:] <= high)) > 0.8
