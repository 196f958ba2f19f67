"""Layers that fuse, against numpy."""

import numpy as np
import pytest
import torch

from skmm._torch.fusing import (
    AttentionFusion,
    BilinearFusion,
    Gate,
    SumHead,
    TemperatureHead,
    WeightedSum,
    renormalise,
)

WIDTH, RANK = 8, 3
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]], dtype=bool)


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(4, 3, WIDTH))  # (n, m, q)


def state_of(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return {name: value.numpy() for name, value in module.double().eval().state_dict().items()}


def run(module, weights, values):
    with torch.inference_mode():
        return module(torch.from_numpy(weights), torch.from_numpy(values)).numpy()


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def test_weighted_sum(values):
    weights = PRESENT * np.array([0.5, 0.2, 0.3])
    expected = sum(weights[:, [i]] * values[:, i] for i in range(3))
    np.testing.assert_allclose(run(WeightedSum(), weights, values), expected)


def test_gate(values):
    gate = Gate(3, WIDTH, dropout=0.5)
    state = state_of(gate)
    expected = np.zeros((4, 3))
    for row, has in enumerate(PRESENT[:3]):
        seen = np.where(has[:, None], values[row], 0).ravel()
        scores = (state["score.weight"] @ seen + state["score.bias"]) / WIDTH**0.5
        expected[row, has] = softmax(scores[has])
    np.testing.assert_allclose(run(gate, PRESENT, values), expected)


def test_gate_begins_with_equal_scores(values):
    scores = run(Gate(3, WIDTH, dropout=0.5).double().eval(), PRESENT, values)
    np.testing.assert_allclose(scores[:3], (PRESENT / PRESENT.sum(1, keepdims=True).clip(1))[:3])


def layer_norm(x, state, name):
    centred = x - x.mean(1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    return scaled * state[f"layer.{name}.weight"] + state[f"layer.{name}.bias"]


def attend(tokens, state, n_heads=4):
    """One layer of a Transformer encoder, normalised first, in numpy."""
    x = layer_norm(tokens, state, "norms.0")
    mixed = (
        x @ state["layer.query_key_value.weight"].T + state["layer.query_key_value.bias"]
    )  # (m, 3 q)
    heads = []
    for q, k, v in zip(
        *(np.split(part, n_heads, axis=1) for part in np.split(mixed, 3, axis=1)), strict=True
    ):
        scores = q @ k.T / np.sqrt(q.shape[1])
        heads.append(np.stack([softmax(row) for row in scores]) @ v)
    out = np.hstack(heads) @ state["layer.output.weight"].T
    x = tokens + out + state["layer.output.bias"]
    hidden = layer_norm(x, state, "norms.1") @ state["layer.first.weight"].T
    hidden = np.maximum(hidden + state["layer.first.bias"], 0)
    return x + hidden @ state["layer.second.weight"].T + state["layer.second.bias"]


def test_attention(values):
    attention = AttentionFusion(3, WIDTH, dropout=0.5, n_heads=4)
    state = state_of(attention)
    expected = np.zeros((4, WIDTH))
    for row, has in enumerate(PRESENT[:3]):  # as if the others did not exist
        tokens = (values[row] + state["marks"])[has]
        expected[row] = attend(tokens, state).mean(0)
    weights = PRESENT * np.array([0.5, 0.2, 0.3])
    np.testing.assert_allclose(run(attention, weights, values), expected)


@pytest.mark.parametrize("width", [1, 6, 7])
def test_attention_of_any_width(width):
    values = torch.randn(5, 2, width)
    fused = AttentionFusion(2, width, dropout=0.0, n_heads=4)(torch.full((5, 2), 0.5), values)
    assert fused.shape == (5, width)


def test_bilinear(values):
    bilinear = BilinearFusion(3, WIDTH, dropout=0.5, rank=RANK)
    state = state_of(bilinear)
    limit = 16 ** (1 / 3) - 1  # three factors of 1 + limit are 16
    expected = np.zeros((4, WIDTH))
    for row, has in enumerate(PRESENT):
        products = np.ones((RANK, WIDTH))
        for i in np.flatnonzero(has):
            term = state["bias"][i, 0] + values[row, i] @ state["weight"][i]
            products *= (1 + limit * np.tanh(term / limit)).reshape(RANK, WIDTH)
        expected[row] = products.mean(0) - 1
    np.testing.assert_allclose(run(bilinear, PRESENT / 3, values), expected)
    np.testing.assert_array_equal(expected[3], 0)


@pytest.mark.parametrize("n_modalities", [1, 2, 4, 30])
def test_products_are_bounded_whatever_is_multiplied(n_modalities):
    bilinear = BilinearFusion(n_modalities, WIDTH, dropout=0.0, rank=RANK)
    state_of(bilinear)
    rng = np.random.default_rng(0)
    far = torch.from_numpy(rng.choice([-1e30, 1e6, 1e30], size=(50, n_modalities, WIDTH)))
    far.requires_grad_()
    products = bilinear(torch.ones(50, n_modalities), far)
    assert products.abs().max() <= 17  # 16, and the 1 that is subtracted
    products.sum().backward()
    assert torch.isfinite(far.grad).all()


@pytest.mark.parametrize(
    "rule",
    [
        AttentionFusion(3, WIDTH, dropout=0.0, n_heads=4),
        BilinearFusion(3, WIDTH, dropout=0.0, rank=RANK),
    ],
    ids=["attention", "bilinear"],
)
def test_missing_modalities_get_no_gradient(rule, values):
    x = torch.from_numpy(values).requires_grad_()
    rule.double()(torch.from_numpy(PRESENT / 3), x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad[~torch.from_numpy(PRESENT)] == 0).all()
    assert (x.grad[torch.from_numpy(PRESENT)].abs().sum(1) > 0).all()


def test_weights_of_rows_are_those_of_what_counts():
    alpha = torch.tensor([0.5, 0.3, 0.2])
    scores = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [0.2, 0.8, 0.0], [0.0, 0.0, 0.0]])
    expected = [[0.5, 0.3, 0.2], [5 / 7, 0, 2 / 7], [0.1 / 0.34, 0.24 / 0.34, 0], [0, 0, 0]]
    torch.testing.assert_close(renormalise(alpha, scores), torch.tensor(expected))
    of_classes = torch.stack([alpha, alpha.flip(0)], dim=1)  # (m, k)
    weights = renormalise(of_classes, scores)
    torch.testing.assert_close(weights[:, :, 0], torch.tensor(expected))
    torch.testing.assert_close(weights[1, :, 1], torch.tensor([2 / 7, 0, 5 / 7]))


def test_weights_of_each_value(values):
    weights = np.random.default_rng(1).uniform(size=values.shape)
    np.testing.assert_allclose(run(WeightedSum(), weights, values), (weights * values).sum(1))


def test_heads_begin_as_sums():
    scores = torch.randn(4, 5)
    torch.testing.assert_close(TemperatureHead([2, 3])(scores), scores)
    torch.testing.assert_close(SumHead(3, 5)(scores), 3 * scores)


def test_attention_is_that_of_torch(values):
    """`nn.TransformerEncoderLayer`, which would draw from torch's global generator."""
    attention = AttentionFusion(3, WIDTH, dropout=0.5, n_heads=2)
    state = {name: torch.from_numpy(value) for name, value in state_of(attention).items()}
    layer = torch.nn.TransformerEncoderLayer(
        WIDTH, 2, dim_feedforward=WIDTH, dropout=0.5, batch_first=True, norm_first=True
    )
    names = {
        "self_attn.in_proj_weight": "query_key_value.weight",
        "self_attn.in_proj_bias": "query_key_value.bias",
        "self_attn.out_proj.weight": "output.weight",
        "self_attn.out_proj.bias": "output.bias",
        "linear1.weight": "first.weight",
        "linear1.bias": "first.bias",
        "linear2.weight": "second.weight",
        "linear2.bias": "second.bias",
        "norm1.weight": "norms.0.weight",
        "norm1.bias": "norms.0.bias",
        "norm2.weight": "norms.1.weight",
        "norm2.bias": "norms.1.bias",
    }
    layer.double().eval().load_state_dict({n: state[f"layer.{ours}"] for n, ours in names.items()})
    present = torch.from_numpy(PRESENT[:3])
    with torch.inference_mode():
        tokens = layer(torch.from_numpy(values[:3]) + state["marks"], src_key_padding_mask=~present)
        share = present / present.sum(1, keepdim=True)
        expected = (share[:, :, None] * tokens).sum(1).numpy()
    weights = PRESENT[:3] * np.array([0.5, 0.2, 0.3])
    np.testing.assert_allclose(run(attention, weights, values[:3]), expected)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_attention_drops_in_training_alone(rate):
    torch.manual_seed(0)
    attention = AttentionFusion(2, WIDTH, dropout=rate, n_heads=4).train()
    weights, values = torch.full((5, 2), 0.5), torch.randn(5, 2, WIDTH)
    first, second = attention(weights, values), attention(weights, values)
    assert torch.equal(first, second) == (rate == 0)
    assert torch.isfinite(first).all()
    attention.eval()
    assert torch.equal(attention(weights, values), attention(weights, values))
