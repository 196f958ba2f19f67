"""What is fitted, run on rows: in chunks, in threads, from frames and arrays."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed


@pytest.fixture
def model(data, small):
    return small().fit(*data)


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
    many = pd.concat([X] * 120, ignore_index=True)  # 18,000 rows; 8,192 go at once
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
    with pytest.warns(UserWarning, match=r"^X .*FusionClassifier"):
        np.testing.assert_array_equal(model.predict_proba(X.round().to_numpy()), expected)
    with pytest.raises(ValueError, match="infinity"):
        model.predict_proba(X.assign(text__0=np.float32(np.inf)))


def test_fitted_attributes_are_not_there_before_fit(data, small):
    names = ["network_", "modalities_", "modality_weights_", "history_", "loss_curve_", "n_iter_"]
    model = small()
    for name in names:
        assert not hasattr(model, name)
        with pytest.raises(AttributeError, match=name):
            getattr(model, name)
    model.fit(*data)
    for name in names:
        assert hasattr(model, name)
        with pytest.raises(AttributeError):
            setattr(model, name, None)


def test_a_fit_that_fails_leaves_what_was_fitted(data, small):
    X, y = data
    model = small().fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="learning_rate_init"):
        model.set_params(solver__learning_rate_init=1e30, solver__max_iter=50).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert model.n_iter_ == 5


def test_predicting_changes_nothing(data, small):
    X, y = data
    model = small().fit(X, y)
    before = {name: value.clone() for name, value in model.network_.state_dict().items()}
    first = model.predict_proba(X)
    torch.manual_seed(3)
    alone = np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(alone, first, atol=1e-6)
    np.testing.assert_array_equal(model.predict_proba(X), first)
    for name, value in model.network_.state_dict().items():
        assert torch.equal(value, before[name])
