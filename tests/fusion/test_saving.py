"""Fitted estimators in files."""

import io
import pickle

import joblib
import numpy as np
import pytest
import skops.io
import torch
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skmm import FusionRegressor

TRUSTED = ["skmm.fusion._classifier.FusionClassifier"]


def in_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def in_skops(model):
    content = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=content)) == set(TRUSTED)
    return skops.io.loads(content, trusted=TRUSTED)


def in_pickle(model):
    return pickle.loads(pickle.dumps(model))


@pytest.fixture(params=[in_pickle, in_joblib, in_skops, "weights"])
def save_and_load(request, tmp_path):
    def in_weights(model):
        model.save_weights(tmp_path / "weights.safetensors")
        return clone(model).load_weights(tmp_path / "weights.safetensors")

    return in_weights if request.param == "weights" else request.param


@pytest.mark.parametrize(
    "parameters",
    [
        {"modalities": {"text": slice(0, 5), "image": [5, 6, 7, 8]}},
        {"fusion": "gated", "class_weight": "balanced", "early_stopping": True},
        {"fusion": "additive", "hidden_layer_sizes": (), "alignment_weight": 0.1},
        {"modality_weights": "per_class", "sharing": "layers", "hidden_layer_sizes": (8, 6)},
    ],
)
def test_all_that_was_learned_comes_back(data, small, save_and_load, parameters):
    X, y = data
    X = X.copy()
    X.iloc[0] = np.nan
    labels = np.array(["a", "b", "c"])[y]
    with pytest.warns(UserWarning, match="1 of 150 training rows"):
        model = small(**parameters).fit(X, labels)
    loaded = save_and_load(model)
    assert vars(loaded).keys() == vars(model).keys()
    with pytest.warns(UserWarning, match="class prior"):
        expected = model.predict_proba(X), model.predict(X)
    with pytest.warns(UserWarning, match="class prior"):
        np.testing.assert_array_equal(loaded.predict_proba(X), expected[0])
    with pytest.warns(UserWarning, match="class prior"):
        np.testing.assert_array_equal(loaded.predict(X), expected[1])
    assert loaded.predict(X[1:]).dtype == labels.dtype
    for name, weights in dict(model.modality_weights_).items():
        np.testing.assert_array_equal(loaded.modality_weights_[name], weights)
    assert loaded.modalities_ == model.modalities_
    assert loaded.history_.equals(model.history_)
    assert loaded.history_.index.name == model.history_.index.name
    np.testing.assert_array_equal(loaded.get_feature_names_out(), model.get_feature_names_out())
    for name, parameter in model.network_.named_parameters():
        assert loaded.network_.get_parameter(name).requires_grad == parameter.requires_grad


def test_unfitted_estimators_are_pickled_but_have_no_weights(small, tmp_path):
    assert pickle.loads(pickle.dumps(small())).get_params() == small().get_params()
    with pytest.raises(NotFittedError):
        small().save_weights(tmp_path / "w")
    assert not list(tmp_path.iterdir())


def test_a_network_changed_by_hand_is_pickled_as_it_is(data, small):
    X, y = data
    model = small().fit(X, y)
    model.network_.head = torch.nn.Sequential(model.network_.head, torch.nn.Tanh())
    np.testing.assert_array_equal(in_pickle(model).predict_proba(X), model.predict_proba(X))


def test_loading_replaces_what_was_learned_before(data, small, tmp_path):
    X, y = data
    first, other = small().fit(X, y), small(random_state=1).fit(X, y % 2)
    first.save_weights(tmp_path / "w")
    other.load_weights(tmp_path / "w")
    np.testing.assert_array_equal(other.predict_proba(X), first.predict_proba(X))


def test_loading_draws_no_random_numbers(data, small, tmp_path):
    small().fit(*data).save_weights(tmp_path / "w")
    before = torch.random.get_rng_state()
    small().load_weights(tmp_path / "w")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_wrong_and_damaged_files(data, small, tmp_path):
    path = tmp_path / "w"
    model = small().fit(*data)
    model.save_weights(path)
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"saved with hidden_layer_sizes=\(8,\), and .* \(9,\)"):
        small(hidden_layer_sizes=(9,)).load_weights(path)
    arrays = load_file(path)
    for damaged in (b"", b"hello", content[:-1], content[:500]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is no safetensors file, or a damaged one"):
            small().load_weights(path)
    save_file(arrays, path)
    with pytest.raises(ValueError, match="was not written by save_weights"):
        small().load_weights(path)
    path.write_bytes(content.replace(b"FusionClassifier", b"FusionRegressors"))
    with pytest.raises(ValueError, match="holds a FusionRegressors; load it into one"):
        small().load_weights(path)
    with pytest.raises(FileNotFoundError):
        small().load_weights(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        model.save_weights(tmp_path / "no" / "folder")


@pytest.mark.parametrize("kind", ["pickle", "skops", "weights"])
def test_regressor(data, tmp_path, kind):
    X, y = data
    values = np.c_[X.to_numpy()[:, 0] * 100 + 7, y]
    model = FusionRegressor(hidden_layer_sizes=(8,), max_iter=3, random_state=0).fit(X, values)
    if kind == "weights":
        model.save_weights(tmp_path / "w")
        loaded = clone(model).load_weights(tmp_path / "w")
    elif kind == "pickle":
        loaded = in_pickle(model)
    else:
        trusted = ["skmm.fusion._regressor.FusionRegressor"]
        content = skops.io.dumps(model)
        assert set(skops.io.get_untrusted_types(data=content)) == set(trusted)
        loaded = skops.io.loads(content, trusted=trusted)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
