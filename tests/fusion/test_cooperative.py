"""The composite loss against an oracle: cooperative learning, which has a closed form.

With linear f_i, additive fusion, squared error and "mse" alignment the loss is that of Ding, Li,
Narasimhan and Tibshirani (PNAS 2022), 1/2 (y - f_1 - f_2)^2 + rho/2 (f_1 - f_2)^2: the two
directions of L_12 add up to 2 gamma (f_1 - f_2)^2, so that rho = 4 gamma.
"""

import numpy as np
import pytest
from sklearn.base import clone

from skmm import LBFGS, FusionRegressor


def problem(seed, n_rows=120):
    """Return X and y of 80 rows, and X of 40 others."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n_rows, 2))
    blocks = [common @ rng.normal(size=(2, p)) + rng.normal(size=(n_rows, p)) for p in (4, 3)]
    X = np.hstack(blocks) * rng.uniform(0.1, 10, 7) + rng.normal(size=7)
    y = 50 + 7 * (common @ rng.normal(size=2) + 0.5 * rng.normal(size=n_rows))
    return X[:80], y[:80], X[80:]


def fit(X, y, rho, **parameters):
    return FusionRegressor(
        "additive",
        modalities={"first": 4, "second": 3},
        modality_loss_weight=0.0,
        alignment="mse",
        alignment_weight=rho / 4,
        modality_model="linear",
        solver=LBFGS(weight_decay=0.0, max_iter=2000, tol=1e-9),
        random_state=0,
        **parameters,
    ).fit(X, y)


def least_squares(X, y, X_new):
    mean = X.mean(0)
    coefficients, *_ = np.linalg.lstsq(X - mean, y - y.mean(0), rcond=None)
    return y.mean(0) + (X_new - mean) @ coefficients


def closed_form(X, y, rho, X_new):
    """Least squares on the augmented rows [X1, X2; -sqrt(rho) X1, sqrt(rho) X2] and [y; 0]."""
    mean = X.mean(0)
    signed = np.sqrt(rho) * (X - mean) * np.repeat([-1, 1], [4, 3])
    rows = np.vstack([X - mean, signed])
    target = np.concatenate([y - y.mean(0), np.zeros_like(y)])
    coefficients, *_ = np.linalg.lstsq(rows, target, rcond=None)
    return y.mean(0) + (X_new - mean) @ coefficients


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0, 8.0])
def test_it_reaches_the_closed_form(rho, seed):
    X, y, X_new = problem(seed)
    predicted = fit(X, y, rho).predict(X_new)
    np.testing.assert_allclose(predicted, closed_form(X, y, rho, X_new), rtol=1e-4, atol=1e-4)
    # rho is 4 gamma and no other multiple
    if rho:
        assert np.abs(predicted - closed_form(X, y, 2 * rho, X_new)).max() > 1e-2


def test_without_agreement_it_is_early_fusion():
    X, y, X_new = problem(0)
    np.testing.assert_allclose(fit(X, y, 0.0).predict(X_new), least_squares(X, y, X_new), atol=1e-4)


def test_with_rho_of_one_it_is_late_fusion():
    # The product f_1 f_2 cancels: each f_i is the projection of y / 2, so that their sum is the
    # mean of the two modalities' own fits.
    X, y, X_new = problem(0)
    own = [
        least_squares(X[:, columns], y, X_new[:, columns]) for columns in np.split(np.r_[:7], [4])
    ]
    model = fit(X, y, 1.0)
    np.testing.assert_allclose(model.predict(X_new), np.mean(own, axis=0), atol=1e-4)
    # A row that has one modality is predicted from it alone, by its own fit.
    np.testing.assert_allclose(model.modality_predict(X_new), np.transpose(own), atol=1e-4)


def test_several_targets_are_as_many_problems():
    X, y, X_new = problem(0)
    both = np.c_[y, 1000 * problem(5)[1]]
    predicted = fit(X, both, 0.3).predict(X_new)
    for i in range(2):
        expected = closed_form(X, both[:, i], 0.3, X_new)
        np.testing.assert_allclose(predicted[:, i], expected, rtol=1e-4)


def test_weights_of_rows_are_copies():
    X, y, _ = problem(0)
    weight = np.random.default_rng(0).integers(1, 4, len(y))
    model = clone(fit(X, y, 0.3)).fit(X, y, sample_weight=weight)
    rows = np.repeat(np.arange(len(y)), weight)
    np.testing.assert_allclose(model.predict(X), closed_form(X[rows], y[rows], 0.3, X), rtol=1e-4)
