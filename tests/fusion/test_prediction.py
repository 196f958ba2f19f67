"""Predicting: on a copy of the network that follows it, in chunks, from frames and arrays."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed

from skmm.fusion._base import PREDICTION_ROWS
from skmm.fusion._prediction import precise_network

CPU = torch.device("cpu")


@pytest.fixture
def model(data, small):
    return small().fit(*data)


def test_the_copy_is_made_once_and_computes_in_float64(model):
    network = precise_network(model.network_, CPU)
    assert precise_network(model.network_, CPU) is network
    assert network is not model.network_
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float64}
    assert {tensor.dtype for tensor in model.network_.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("change", ["data", "numpy", "in place", "buffer", "module", "loaded"])
def test_predictions_follow_changes_of_the_network(data, model, change):
    X, _ = data
    before = model.predict_proba(X)
    network = model.network_
    if change == "data":
        network.head.bias.data[0] += 1
    elif change == "numpy":
        network.head.bias.detach().numpy()[0] += 1
    elif change == "in place":
        with torch.no_grad():
            network.head.bias += torch.tensor([1.0, 0, 0])
    elif change == "buffer":
        network.modality_weights.copy_(torch.tensor([1.0, 0.0]))
    elif change == "module":
        network.encoders[0][2] = torch.nn.Tanh()
    else:
        state = copy.deepcopy(network.state_dict())
        state["head.bias"][0] += 1
        network.load_state_dict(state)
    after = model.predict_proba(X)
    assert np.abs(after - before).max() > 1e-3
    fresh = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(fresh.predict_proba(X), after)


def test_predictions_follow_another_fit(data, model, small):
    X, y = data
    model.predict_proba(X)
    model.set_params(random_state=1).fit(X, y)
    other = small(random_state=1).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))


def test_training_mode_is_not_for_predictions(data, model):
    X, _ = data
    before = model.predict_proba(X)
    model.network_.train()
    np.testing.assert_array_equal(model.predict_proba(X), before)
    fresh = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(fresh.predict_proba(X), before)


def test_the_copy_is_no_part_of_the_estimator_and_goes_with_it(data, model):
    fitted, size = set(vars(model)), len(pickle.dumps(model))
    model.predict(data[0])
    assert set(vars(model)) == fitted
    assert len(pickle.dumps(model)) == size
    made = weakref.ref(precise_network(model.network_, CPU))
    del model.network_
    gc.collect()
    assert made() is None


def test_threads_share_an_estimator(data, model):
    X, _ = data
    expected = model.predict_proba(X)
    fresh = pickle.loads(pickle.dumps(model))  # no copy yet: the threads make it
    results = Parallel(n_jobs=4, backend="threading")(
        delayed(fresh.predict_proba)(X) for _ in range(20)
    )
    for proba in results:
        np.testing.assert_array_equal(proba, expected)


def test_more_rows_than_are_predicted_at_once(data, model):
    X, _ = data
    many = pd.concat([X] * (2 * PREDICTION_ROWS // len(X) + 1), ignore_index=True)
    proba = model.predict_proba(many)
    assert proba.shape == (len(many), 3)
    np.testing.assert_allclose(
        proba.reshape(-1, len(X), 3), model.predict_proba(X)[None].repeat(len(many) // len(X), 0)
    )


def test_frames_of_floats_are_read_as_any_others(data, small):
    X, y = data
    model = small().fit(X.round(), y)
    expected = model.predict_proba(X.round())
    for kind in (np.float64, np.int64, object, "Float64"):
        np.testing.assert_array_equal(model.predict_proba(X.round().astype(kind)), expected)
    mixed = X.round().astype(dict.fromkeys(X.columns[::2], np.float64))
    np.testing.assert_array_equal(model.predict_proba(mixed), expected)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        np.testing.assert_array_equal(model.predict_proba(X.round().to_numpy()), expected)
    with pytest.raises(ValueError, match="infinity"):
        model.predict_proba(X.assign(text__0=np.float32(np.inf)))
