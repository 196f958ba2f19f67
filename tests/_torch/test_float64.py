"""Predicting on a copy of the network in float64, which follows it."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch

from skmm._torch.float64 import float64_network

CPU = torch.device("cpu")


@pytest.fixture
def model(data, small):
    return small().fit(*data)


def test_the_copy_is_made_once_and_computes_in_float64(model):
    network = float64_network(model.network_, CPU)
    assert float64_network(model.network_, CPU) is network
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


def test_the_copy_is_no_part_of_the_estimator_and_goes_with_it(data, small):
    model = small().fit(*data)
    fitted, size = set(vars(model)), len(pickle.dumps(model))
    model.predict(data[0])
    assert set(vars(model)) == fitted
    assert len(pickle.dumps(model)) == size
    made = weakref.ref(float64_network(model.network_, CPU))
    del model
    gc.collect()
    assert made() is None


def test_a_row_has_the_same_values_alone_and_among_others(data, model):
    X, _ = data
    among_others = model.predict_proba(X)
    alone = np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(alone, among_others, rtol=0, atol=1e-13)


def test_each_network_has_a_copy_of_its_own(data, model, small):
    other = small(random_state=1).fit(*data)
    copies = [float64_network(each.network_, CPU) for each in (model, other, model)]
    assert copies[0] is copies[2]
    assert copies[0] is not copies[1]
