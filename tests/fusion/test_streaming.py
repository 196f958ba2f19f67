"""Streams of batches, and fits that go on from the last."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from skmm.datasets import make_multimodal_classification
from skmm.fusion import MLP, Late

CLASSES = [0, 1, 2]


def stream(model, X, y, size=50, **parameters):
    for start in range(0, len(X), size):
        rows = slice(start, start + size)
        given = {name: value[rows] for name, value in parameters.items()}
        model.partial_fit(X[rows], y[rows], classes=CLASSES, **given)
    return model


def test_a_stream_learns_as_fit_does_and_finds_the_noise(small):
    X, y = make_multimodal_classification(
        3000,
        n_features=(10, 10),
        n_classes=3,
        informativeness=(0.9, 0.0),
        modality_names=("text", "noise"),
        random_state=0,
    )
    parameters = {"hidden_layer_sizes": (32,), "max_iter": 20}
    fitted = small(**parameters, batch_size=200).fit(X[:2000], y[:2000])
    for size in (50, 500):
        streamed = stream(small(**parameters), X[:2000], y[:2000], size)
        assert streamed.modality_weights_["noise"] <= 0.1
        assert sum(streamed.modality_weights_.values()) == pytest.approx(1)
        assert streamed.score(X[2000:], y[2000:]) > fitted.score(X[2000:], y[2000:]) - 0.03
        n_batches = 2000 // size
        assert streamed.n_iter_ == len(streamed.loss_curve_) == len(streamed.history_) == n_batches
        assert streamed.loss_curve_[-1] < streamed.loss_curve_[0]
        np.testing.assert_allclose(streamed.class_prior_, np.bincount(y[:2000]) / 2000)


@pytest.mark.parametrize(
    "parameters",
    [
        {"fusion": "gated"},
        {"fusion": "concat", "alignment_weight": 0.1, "alignment": "cosine"},
        {"fusion": "additive", "modality_dropout": 0.2, "precision": "bfloat16"},
        {"fusion": "attention"},
        {"fusion": "weighted", "calibrate": "temperature"},
        {"modality_weights": {"text": 0.3, "image": 0.7}},
        {"fusion": Late(per_class=True)},
    ],
)
def test_streams_repeat_and_go_on_from_a_pickle(data, small, parameters):
    X, y = data
    parameters = {**parameters, "batch_size": "auto"}
    model = stream(small(**parameters), X, y)
    again = stream(small(**parameters), X[:100], y[:100])
    again = stream(pickle.loads(pickle.dumps(again)), X[100:], y[100:])
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert model.score(X, y) > 0.35
    if isinstance(model.modality_weights, dict):
        assert model.modality_weights_ == pytest.approx(model.modality_weights)


def test_streams_of_saved_weights_go_on(data, small, tmp_path):
    X, y = data
    model = stream(small(), X[:100], y[:100])
    model.save_weights(tmp_path / "w")
    loaded = small().load_weights(tmp_path / "w")
    np.testing.assert_array_equal(
        stream(loaded, X[100:], y[100:]).predict_proba(X),
        stream(model, X[100:], y[100:]).predict_proba(X),
    )


def test_a_stream_after_fit_goes_on_from_it(data, small):
    X, y = data
    model = small(max_iter=30).fit(X, y)
    before = model.score(X, y)
    stream(model, X, y)
    assert model.score(X, y) > before - 0.05
    assert model.n_iter_ == 33
    anew = model.fit(X, y)
    np.testing.assert_array_equal(
        anew.predict_proba(X), small(max_iter=30).fit(X, y).predict_proba(X)
    )


def test_batches_may_lack_classes_modalities_and_weights(data, small):
    X, y = data
    order = np.argsort(y, kind="stable")  # a class at a time
    X, y = X.iloc[order].copy(), y[order]
    X.iloc[:50, :5] = np.nan
    weight = np.ones(150)
    weight[50:60] = 0
    model = stream(small(), X, y, sample_weight=weight)
    for value in model.network_.state_dict().values():
        assert torch.isfinite(value).all()
    assert np.isfinite(model.predict_proba(X)).all()
    X.iloc[0] = np.nan
    assert model.partial_fit(X[:1], y[:1]) is model  # nothing to learn from
    assert model.n_iter_ == 3


def test_bad_calls(data, small):
    X, y = data
    with pytest.raises(ValueError, match="classes"):
        small().partial_fit(X, y)
    with pytest.raises(ValueError, match=r"label 2\b.*classes, \[0, 1\]"):
        small().partial_fit(X, y, classes=[0, 1])
    model = small().partial_fit(X, y, classes=CLASSES)
    with pytest.raises(ValueError, match="classes"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="sample_weight"):
        model.partial_fit(X, y, sample_weight=np.full(150, -1.0))
    for parameters, match in [
        ({"solver": "lbfgs", "dropout": 0.0}, 'solver="lbfgs"'),
        ({"early_stopping": True}, "early_stopping=True"),
        ({"class_weight": "balanced"}, 'class_weight="balanced"'),
        ({"n_members": 2}, r"n_members=2"),
    ]:
        with pytest.raises(ValueError, match=match):
            small(**parameters).partial_fit(X, y, classes=CLASSES)


@pytest.mark.parametrize(
    ("before", "now", "match"),
    [
        ({}, {"fusion": "weighted"}, "fusion .*'late'.*'weighted'"),
        ({}, {"modality_model__dropout": 0.1}, r"dropout .*\b0\.5\b.*\b0\.1\b"),
        ({}, {"modality_model": {"text": MLP((8,)), "image": MLP((9,))}}, r"hidden_layer_sizes"),
        ({}, {"fusion": Late(per_class=True)}, "fusion .*per_class"),
        ({"modality_loss_weight": 0}, {"modality_loss_weight": 1.0}, "modality_loss_weight"),
    ],
)
def test_a_stream_keeps_its_network(data, small, before, now, match):
    X, y = data
    model = small(**before).partial_fit(X, y, classes=CLASSES)
    expected = pickle.loads(pickle.dumps(model)).partial_fit(X, y).predict_proba(X)
    with pytest.raises(ValueError, match=match):
        model.set_params(**now).partial_fit(X[:20], y[:20])
    model.set_params(**small(**before).get_params(deep=False)).partial_fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), expected)  # as if nothing had been
    np.testing.assert_allclose(model.class_prior_, np.bincount(y) / 150)


# Warm starts


def test_warm_start_goes_on(data, small):
    X, y = data
    model = small(warm_start=True, max_iter=10).fit(X, y)
    weights, loss = model.modality_weights_, model.loss_curve_[-1]
    scale = model.network_.head.log_scale.clone()
    model.fit(X, y)
    assert model.loss_curve_[0] < loss + 0.1
    assert model.modality_weights_ == weights
    assert torch.equal(model.network_.head.log_scale, scale)
    assert model.n_iter_ == 10
    model.set_params(modality_weights={"text": 1, "image": 3}).fit(X, y)
    assert model.modality_weights_ == pytest.approx({"text": 0.25, "image": 0.75})


def test_warm_start_calibrates_what_was_not_calibrated_yet(data, small):
    model = small(
        warm_start=True, calibrate="temperature", early_stopping=True, batch_size="auto"
    ).fit(*data)
    log_scale = model.network_.calibration.log_scale.clone()
    assert abs(log_scale) > 0.1
    model.set_params(solver__max_iter=1, solver__learning_rate_init=1e-9).fit(
        *data
    )  # the same network
    np.testing.assert_allclose(model.network_.calibration.log_scale, log_scale, atol=1e-4)
    assert model.set_params(solver__calibrate=None).fit(*data).network_.calibration.log_scale == 0


def test_warm_start_needs_the_same_shapes(data, small):
    X, y = data
    model = small(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"warm_start=True .*\[0, 1, 2\], now \[0, 1\]"):
        model.fit(X, y % 2)
    with pytest.raises(
        ValueError, match=r"warm_start=True .*'text' of 5, 'image' of 4, now 'text' of 5"
    ):
        model.fit(X.iloc[:, :5], y)
    model = small(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"warm_start=True .*\(.*8.*\).*\(.*9"):
        model.set_params(modality_model__hidden_layer_sizes=(9,)).fit(X, y)


ROWS = np.random.default_rng(0).normal(size=(20, 9))
STREAMS = {
    "huge": lambda X: np.where(np.arange(20)[:, None] % 7 == 3, 1e38 * X, X),
    "constant": lambda X: np.ones_like(X),
    "heavy tails": lambda X: np.exp(8 * X),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("fusion", ["late", "gated"])
@pytest.mark.filterwarnings("ignore:The solver diverged")
def test_weights_stay_finite_in_streams_of_single_rows(data, small, name, fusion):
    X = pd.DataFrame(STREAMS[name](ROWS), columns=data[0].columns)
    y = np.repeat([0, 1, 2, 0], 5)
    weight = np.where(np.arange(20) % 5 == 1, 1e-12, 1.0)
    model = small(fusion=fusion, hidden_layer_sizes=(1,))
    stream(model, X, y, 1, sample_weight=weight)
    assert all(value.isfinite().all() for value in model.network_.state_dict().values())
    assert np.isfinite(model.predict_proba(data[0])).all()


def test_weights_stay_where_the_solver_diverges(data, small):
    X, y = data
    model = stream(small(hidden_layer_sizes=(2,), learning_rate_init=1e30), X[:1], y[:1])
    before = {name: value.clone() for name, value in model.network_.state_dict().items()}
    with pytest.warns(UserWarning, match=r"diverged.*learning_rate_init=1e\+30"):
        stream(model, X[1:20], y[1:20], 1)
    for name, value in model.network_.named_parameters():
        assert torch.equal(value, before[name]), name
    assert np.isfinite(model.predict_proba(X)).all()
