import numpy as np
import pandas as pd
import pytest

from skmm import LBFGS, MLP, FusionClassifier, FusionRegressor
from skmm.inspection._baselines import make_alone, make_boosting, make_linear, make_prior

BLOCKS = [np.array([0, 1]), np.array([2])]


@pytest.fixture(name="X")
def rows():
    return pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=["a", "b", "c"])


@pytest.mark.filterwarnings("error")
def test_linear_reads_that_a_modality_is_missing(X):
    y = np.arange(60) % 3 == 0
    X.loc[y, ["a", "b"]] = np.nan
    linear = make_linear(FusionClassifier(), BLOCKS, y, None).fit(X[:40], y[:40])
    assert linear.score(X[40:], y[40:]) > -0.2  # by the log-loss that C is chosen by
    np.testing.assert_array_equal(linear.predict(X[40:]), y[40:])
    complete = X.fillna(0)
    linear = make_linear(FusionClassifier(), BLOCKS, y, None).fit(complete[:40], y[:40])
    assert linear.predict(X[40:]).shape == (20,)  # a modality is missing for the first time


def test_linear_is_strong_on_noise_and_weak_on_signal(X):
    rng = np.random.default_rng(1)
    noise = make_linear(FusionRegressor(), BLOCKS, X["a"], None).fit(X, rng.normal(size=60))
    signal = make_linear(FusionRegressor(), BLOCKS, X["a"], None).fit(X, X["a"])
    assert noise[-1].best_params_["alpha"] > 100 * signal[-1].best_params_["alpha"]
    assert signal.score(X, X["a"]) > 0.99


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_linear_learns_classes_of_one_row(X):
    y = np.where(X["a"] > 0, "yes", "no").astype(object)
    y[3] = "rare"
    linear = make_linear(FusionClassifier(), BLOCKS, y, None).fit(X, y)
    assert linear[-1].best_params_["C"] > 0.01  # not the first, as if all were equal
    assert np.mean(linear.predict(X) == y) > 0.9


def test_linear_needs_two_groups(X):
    with pytest.raises(ValueError, match=r"groups.*linear"):
        make_linear(FusionClassifier(), BLOCKS, np.arange(60) % 2, np.zeros(60))


def test_prior_is_what_the_fusion_predicts_without_modality(X):
    y = np.r_[np.zeros(50), np.full(10, 60.0)]
    nothing = X * np.nan
    settings = {"modality_model": "linear", "solver": LBFGS(tol=0.01)}
    settings |= {"fusion": "additive", "modalities": {"a": 2, "c": 1}}
    for loss in ("squared_error", "absolute_error"):
        fusion = FusionRegressor(loss=loss, **settings).fit(X, y)
        prior = make_prior(fusion, y).fit(X, y)
        with pytest.warns(UserWarning, match=r"60 of 60 .*row 0\b"):
            np.testing.assert_allclose(prior.predict(nothing), fusion.predict(nothing), atol=1e-4)


def test_alone_keeps_what_concerns_one_modality():
    fusion = FusionClassifier(
        "additive",
        modality_model={"a": MLP(7), "c": MLP(5)},
        modality_loss_weight={"a": 0.5, "c": 0.1},
        class_weight="balanced",
        random_state=3,
    )
    alone = make_alone(fusion, "c", 1, np.zeros(60))
    assert alone.modality_model.hidden_layer_sizes == 5
    assert alone.modality_loss_weight == 0.1
    assert alone.modalities == {"c": 1}
    assert (alone.fusion, alone.class_weight, alone.random_state) == ("additive", "balanced", 3)


def test_boosting_of_several_targets(X):
    numbers = X[["a", "c"]].to_numpy()
    assert make_boosting(FusionRegressor(), numbers).fit(X, numbers).score(X, numbers) > 0.5
    classes = (numbers > 0).astype(int)
    predicted = make_boosting(FusionClassifier(), classes).fit(X, classes).predict(X)
    assert (predicted == classes).mean() > 0.8
