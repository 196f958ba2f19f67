"""The network of the aligner."""

import numpy as np
import pytest

from skmm import MLP, AdamW
from skmm.alignment import CrossModalAligner


def start(frame, *hidden_layer_sizes, dropout=0.0):
    """Return an aligner as it is before it is trained."""
    mlp = MLP(hidden_layer_sizes, dropout=dropout, input_dropout=dropout)
    solver = AdamW(1e-12, weight_decay=0.0, max_iter=1)
    return CrossModalAligner(modality_model=mlp, solver=solver, random_state=0).fit(frame)


def test_hidden_layers_add_nothing_at_the_start(frame):
    linear, deep = start(frame).transform(frame), start(frame, 5).transform(frame)
    np.testing.assert_allclose(deep, linear, atol=1e-6)
    assert np.abs(linear).max() > 0.1


def test_one_modality_is_seen_twice(frame):
    X = frame.filter(like="text").to_numpy()
    with pytest.warns(UserWarning, match=r"\['all'\]"):
        same, apart = start(X, dropout=0.0), start(X, dropout=0.5)
    assert apart.history_["loss"].iloc[0] > same.history_["loss"].iloc[0] + 0.1
    np.testing.assert_array_equal(apart.transform(X), apart.transform(X))
