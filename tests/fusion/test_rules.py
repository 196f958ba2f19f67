"""Rules of fusion against numpy, and what the gate learns."""

import numpy as np
import pandas as pd
import pytest
import torch

from skmm import FusionClassifier
from skmm.fusion._rules import BILINEAR_RANK, Attention, Bilinear, Gate, WeightedSum

WIDTH = 8
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]], dtype=bool)


@pytest.fixture
def parts():
    return np.random.default_rng(0).normal(size=(4, 3, WIDTH))  # (n, m, q)


def state_of(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return {name: value.numpy() for name, value in module.double().eval().state_dict().items()}


def run(module, weights, parts):
    with torch.inference_mode():
        return module(torch.from_numpy(weights), torch.from_numpy(parts)).numpy()


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def test_weighted_sum(parts):
    weights = PRESENT * np.array([0.5, 0.2, 0.3])
    expected = sum(weights[:, [i]] * parts[:, i] for i in range(3))
    np.testing.assert_allclose(run(WeightedSum(), weights, parts), expected)


def test_gate(parts):
    gate = Gate(3, WIDTH, dropout=0.5)
    state = state_of(gate)
    expected = np.zeros((4, 3))
    for row, there in enumerate(PRESENT[:3]):
        seen = np.where(there[:, None], parts[row], 0).ravel()
        scores = (state["score.weight"] @ seen + state["score.bias"]) / WIDTH**0.5
        expected[row, there] = softmax(scores[there])
    np.testing.assert_allclose(run(gate, PRESENT, parts), expected)


def test_gate_begins_with_equal_odds(parts):
    odds = run(Gate(3, WIDTH, dropout=0.5).double().eval(), PRESENT, parts)
    np.testing.assert_allclose(odds[:3], (PRESENT / PRESENT.sum(1, keepdims=True).clip(1))[:3])


def layer_norm(x, state, name):
    centred = x - x.mean(1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    return scaled * state[f"layer.{name}.weight"] + state[f"layer.{name}.bias"]


def attend(tokens, state, n_heads=4):
    """One layer of a Transformer encoder, normalised first, in numpy."""
    x = layer_norm(tokens, state, "norm1")
    mixed = (
        x @ state["layer.self_attn.in_proj_weight"].T + state["layer.self_attn.in_proj_bias"]
    )  # (m, 3 q)
    heads = []
    for q, k, v in zip(
        *(np.split(part, n_heads, axis=1) for part in np.split(mixed, 3, axis=1)), strict=True
    ):
        scores = q @ k.T / np.sqrt(q.shape[1])
        heads.append(np.stack([softmax(row) for row in scores]) @ v)
    out = np.hstack(heads) @ state["layer.self_attn.out_proj.weight"].T
    x = tokens + out + state["layer.self_attn.out_proj.bias"]
    hidden = layer_norm(x, state, "norm2") @ state["layer.linear1.weight"].T
    hidden = np.maximum(hidden + state["layer.linear1.bias"], 0)
    return x + hidden @ state["layer.linear2.weight"].T + state["layer.linear2.bias"]


def test_attention(parts):
    attention = Attention(3, WIDTH, dropout=0.5)
    state = state_of(attention)
    expected = np.zeros((4, WIDTH))
    for row, there in enumerate(PRESENT[:3]):  # as if the others did not exist
        tokens = (parts[row] + state["marks"])[there]
        expected[row] = attend(tokens, state).mean(0)
    weights = PRESENT * np.array([0.5, 0.2, 0.3])
    np.testing.assert_allclose(run(attention, weights, parts), expected)


@pytest.mark.parametrize("width", [1, 6, 7])
def test_attention_of_any_width(width):
    parts = torch.randn(5, 2, width)
    fused = Attention(2, width, dropout=0.0)(torch.full((5, 2), 0.5), parts)
    assert fused.shape == (5, width)


def test_bilinear(parts):
    bilinear = Bilinear(3, WIDTH, dropout=0.5)
    state = state_of(bilinear)
    expected = np.zeros((4, WIDTH))
    for row, there in enumerate(PRESENT):
        products = np.ones((BILINEAR_RANK, WIDTH))
        for i in np.flatnonzero(there):
            factor = 1 + state["bias"][i, 0] + parts[row, i] @ state["weight"][i]
            products *= factor.reshape(BILINEAR_RANK, WIDTH)
        expected[row] = products.mean(0) - 1
    np.testing.assert_allclose(run(bilinear, PRESENT / 3, parts), expected)
    np.testing.assert_array_equal(expected[3], 0)


@pytest.mark.parametrize("rule", [Attention, Bilinear])
def test_missing_modalities_get_no_gradient(rule, parts):
    x = torch.from_numpy(parts).requires_grad_()
    rule(3, WIDTH, dropout=0.0).double()(torch.from_numpy(PRESENT / 3), x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad[~torch.from_numpy(PRESENT)] == 0).all()
    assert (x.grad[torch.from_numpy(PRESENT)].abs().sum(1) > 0).all()


def test_gate_follows_what_the_row_says():
    """A third modality says which of two tells the class of the row; the other misleads."""
    rng = np.random.default_rng(0)
    n = 1200
    y, image_tells = rng.integers(0, 2, n), rng.integers(0, 2, n).astype(bool)
    signal, misleading = 2.0 * y - 1, 2.0 * rng.integers(0, 2, n) - 1
    X = pd.DataFrame(
        {
            "image__0": np.where(image_tells, signal, misleading) + 0.3 * rng.normal(size=n),
            "text__0": np.where(image_tells, misleading, signal) + 0.3 * rng.normal(size=n),
            "which__0": 2.0 * image_tells - 1,
        }
    )
    parameters = {"hidden_layer_sizes": (32,), "dropout": 0.1, "max_iter": 30, "random_state": 0}
    gated = FusionClassifier("gated", **parameters).fit(X[:800], y[:800])
    weights = gated.row_weights(X[800:])
    np.testing.assert_allclose(weights.sum(1), 1)
    where = image_tells[800:]
    assert (weights[where, 0] > weights[where, 1]).mean() > 0.9
    assert (weights[~where, 0] < weights[~where, 1]).mean() > 0.9
    weighted = FusionClassifier("weighted", **parameters).fit(X[:800], y[:800])
    assert gated.score(X[800:], y[800:]) > weighted.score(X[800:], y[800:]) + 0.05
    # one number a modality: the mean over the training rows
    means = gated.row_weights(X[:800]).mean(0)
    assert list(gated.modality_weights_.values()) == pytest.approx(means, abs=1e-6)
    alone = gated.row_weights(X[800:].assign(text__0=np.nan, which__0=np.nan))
    np.testing.assert_array_equal(alone, [[1, 0, 0]] * 400)
