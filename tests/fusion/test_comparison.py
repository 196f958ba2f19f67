"""Simpler models take the place of fusion where it does not pay."""

import warnings

import numpy as np
import pandas as pd
import pytest
from nested_settings import nest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skmm import LBFGS, MLP, AdamW, FusionClassifier, FusionRegressor
from skmm.fusion._comparison import _summarise

MODELS = ["fused", "text alone", "image alone", "average", "linear, all columns"]


def linear_problem(n=240):
    """Text decides, linearly; image is 60 columns of noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 65))
    y = X[:, :5] @ [1.0, -1.0, 2.0, 0.5, -2.0]
    names = [f"text__{i}" for i in range(5)] + [f"image__{i}" for i in range(60)]
    return pd.DataFrame(X, columns=names), y


def test_comparison_of_losses_by_hand():
    weight = np.array([1.0, 1.0, 2.0])
    fused, other = np.array([1.0, 3.0, 2.0]), np.array([1.0, 1.0, 1.0])
    result = _summarise(fused, other, weight)
    assert result["loss"] == 1
    assert result["gain"] == (0 + 2 + 2 * 1) / 4
    assert result["standard_error"] == pytest.approx(np.sqrt((1 + 1 + 4 * 0) / 16))


def test_a_simpler_model_takes_the_place_of_a_bad_fusion(small):
    X, y = linear_problem()
    y = y > 0
    # half of the weight on noise, and nothing that keeps it from being learned by heart
    free = {"dropout": 0, "weight_decay": 0, "max_iter": 40}
    model = small(fusion="concat", modality_weights="uniform", guard=True, **free)
    with pytest.warns(UserWarning, match="guard_scores_") as record:
        model.fit(X, y)
    assert record[0].filename == __file__
    scores = model.guard_scores_
    assert scores.index.tolist() == MODELS
    best = scores["loss"].idxmin()
    assert best != "fused"
    assert scores.loc["fused", "gain"] == 0
    np.testing.assert_allclose(scores["gain"], scores.loc["fused", "loss"] - scores["loss"])
    assert model.fusion == "concat"  # the parameter stays what it was
    assert not hasattr(clone(model), "contributions")  # which concat has not
    assert hasattr(model, "contributions")
    assert model.modality_weights_["text"] > model.modality_weights_["image"]
    assert model.score(X, y) > 0.7


@pytest.mark.filterwarnings("error")
def test_fusion_that_pays_is_fitted_as_without_a_guard(data, small):
    X, y = data
    guarded = small(max_iter=10, guard=True).fit(X, y)
    scores = guarded.guard_scores_
    best = scores["loss"].idxmin()
    assert scores.loc[best, "gain"] <= 2 * scores.loc[best, "standard_error"]
    plain = small(max_iter=10).fit(X, y)
    np.testing.assert_array_equal(guarded.predict_proba(X), plain.predict_proba(X))
    assert not hasattr(small(max_iter=10).fit(X, y), "guard_scores_")


def test_rows_that_are_left_out_are_told_of_once(data, small):
    X, y = data
    X = X.copy()
    X.iloc[:3] = np.nan
    with pytest.warns(UserWarning, match=r"3 of 150 .*row 0") as record:
        small(max_iter=10, guard=True).fit(X, y)
    assert sum("row 0" in str(w.message) for w in record) == 1
    assert record[0].filename == __file__


def test_guard_of_a_regressor():
    X, y = linear_problem()
    model = nest(FusionRegressor, fusion="bilinear", max_iter=5, guard=True, random_state=0)
    assert not hasattr(model, "contributions")
    with pytest.warns(UserWarning, match="guard_scores_"):
        model.fit(X[:200], 1000 * y[:200])
    assert model.guard_scores_["loss"].max() < 10  # of y scaled within
    assert hasattr(model, "contributions")
    assert model.score(X[200:], 1000 * y[200:]) > 0.3


def test_losses_are_those_of_rows_not_trained_on():
    """Labels that nothing tells cannot be predicted, however well they are remembered."""
    X, _ = linear_problem(120)
    y = np.random.default_rng(1).integers(2, size=120)
    free = {"hidden_layer_sizes": 64, "batch_size": 40, "weight_decay": 0, "dropout": 0}
    model = nest(FusionClassifier, random_state=0, guard=True, **free)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # any of the models may be the luckiest
        model.fit(X, y)
    assert model.guard_scores_["loss"].min() > 0.6


def test_a_model_is_judged_by_what_it_predicts_for_rows_that_it_cannot_read(small):
    X, _ = linear_problem(120)
    X.iloc[20:, :5] = np.nan
    y = np.arange(120) % 10 == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = small(guard=True, max_iter=1, learning_rate_init=1e-9).fit(X, y)
    # log(2) from 20 rows, of a network that knows nothing, and the entropy of y from 100
    expected = (20 * np.log(2) - 100 * (0.9 * np.log(0.9) + 0.1 * np.log(0.1))) / 120
    assert model.guard_scores_.loc["text alone", "loss"] == pytest.approx(expected, abs=0.05)


def test_guard_beside_what_it_cannot_go_with(data, small):
    X, y = data
    with pytest.raises(ValueError, match=r"guard=True.*warm_start=True"):
        small(guard=True, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"guard=True.*partial_fit"):
        small(guard=True).partial_fit(X, y, classes=[0, 1, 2])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "parameters",
    [
        {"solver": AdamW(max_iter=2, balance="ogm"), "groups": True, "class_weight": "balanced"},
        {"n_members": 2, "sharing": "parameters", "alignment": "cosine", "missing": "impute"},
        {"solver": LBFGS(max_iter=2, early_stopping=True), "modality_model": "linear"},
        {"modality_model": {"text": MLP((8,)), "image": LogisticRegression()}},
    ],
)
def test_guard_goes_with_other_parameters(data, small, parameters):
    X, y = data
    groups = np.arange(150) // 3 if parameters.pop("groups", False) else None
    model = small(**parameters, guard=True).fit(X, y, groups=groups)
    assert model.guard_scores_.index.tolist() == MODELS
    assert np.isfinite(model.guard_scores_.to_numpy()).all()
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_comparison_is_saved_with_the_model_and_forgotten_by_the_next_fit(data, small, tmp_path):
    X, y = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = small(guard=True, max_iter=1).fit(X, y)
    model.save_weights(tmp_path / "w")
    loaded = clone(model).load_weights(tmp_path / "w")
    pd.testing.assert_frame_equal(loaded.guard_scores_, model.guard_scores_)
    assert not hasattr(model.set_params(guard=False).fit(X, y), "guard_scores_")
