"""Estimators that each read some columns, and weights that pool what they predict."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from skmm._data.pooling import fit_and_predict, has_values, minimise_log_loss, predict_where


def test_pooled_weights_have_the_least_log_loss():
    rng = np.random.default_rng(0)
    proba = rng.uniform(0.2, 0.9, (300, 2))
    weight = rng.uniform(0.5, 2, 300)
    alpha = minimise_log_loss(proba, weight)
    assert alpha.sum() == pytest.approx(1)
    grid = np.linspace(0, 1, 1001)
    losses = [-weight @ np.log(proba @ [a, 1 - a]) for a in grid]
    assert alpha[0] == pytest.approx(grid[np.argmin(losses)], abs=2e-3)


def test_rows_that_lack_a_modality_are_pooled_without_it():
    # The first is right where it is there, in half of the rows; the second knows nothing.
    proba = np.column_stack([np.where(np.arange(40) % 2, 0.9, np.nan), np.full(40, 0.5)])
    assert minimise_log_loss(proba, np.ones(40)).tolist() == pytest.approx([1, 0])
    proba[::2] = np.nan  # rows without any, and rows that weigh nothing, change nothing
    weight = np.where(np.arange(40) < 20, 1.0, 0.0)
    assert minimise_log_loss(proba, weight).tolist() == pytest.approx([1, 0])


def test_a_probability_of_0_does_not_decide_alone():
    proba = np.array([[0.9, 0.5]] * 99 + [[0.0, 0.5]])
    alpha = minimise_log_loss(proba, np.ones(100))
    assert alpha[0] > 0.8
    assert alpha[1] > 0.01


@pytest.mark.parametrize("container", [np.array, pd.DataFrame])
def test_rows_that_hold_anything(container):
    columns = container([[1.0, np.nan], [np.nan, np.nan], [0.0, 0.0]])
    assert has_values(columns).tolist() == [True, False, True]
    assert has_values(pd.Series(["a", None])).tolist() == [True, False]


def test_fits_and_predicts_rows_that_have_the_modality():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = (X[:, 1] > 0).astype(int)
    has = np.arange(60) % 4 > 0
    train, test = np.arange(40), np.arange(40, 60)
    weight = rng.uniform(0.5, 2, 60)  # one for each row of X: cut to those that are fitted
    arguments = X, y, [1, 2], has, train, test, {"sample_weight": weight}
    fitted, proba = fit_and_predict(LogisticRegression(), *arguments)
    rows = train[has[train]]
    expected = LogisticRegression().fit(X[rows][:, 1:], y[rows], sample_weight=weight[rows])
    np.testing.assert_allclose(fitted.coef_, expected.coef_)
    np.testing.assert_array_equal(np.isnan(proba).all(1), ~has[test])
    present = has[test]
    np.testing.assert_allclose(proba[present], expected.predict_proba(X[test][present][:, 1:]))
    assert log_loss(y[test][present], proba[present]) < 0.5
    nothing = predict_where(fitted, X, [1, 2], np.zeros(60, dtype=bool))
    assert np.isnan(nothing).all()


def test_rows_of_one_class_are_not_fitted():
    X, y = np.zeros((4, 1)), np.array([0, 0, 1, 1])
    has = np.array([True, True, False, True])
    assert fit_and_predict(LogisticRegression(), X, y, [0], has, [0, 1, 2], [3], {}) == (None, None)
