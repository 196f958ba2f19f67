"""What the f_i share: which tensors there are, which are one, and that it learns."""

import numpy as np
import pytest
import torch
from torch import nn

from skmm import FusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.fusion._network import FusionNetwork


def make(sharing, fusion="late", sizes=(4, 5), modality_heads=True):
    torch.manual_seed(0)
    return FusionNetwork(
        [3, 2],
        [6],
        torch.tensor([0.5, 0.5]),
        fusion=fusion,
        hidden_layer_sizes=sizes,
        activation="relu",
        dropout=0.0,
        modality_heads=modality_heads,
        sharing=sharing,
    )


def n_values(module):
    return sum(parameter.numel() for parameter in module.parameters())


def linear(n_in, n_out):
    return n_in * n_out + n_out


HEAD = 1 + 6  # the temperature and a bias for each class
FIRST = linear(3, 4) + linear(2, 4)


@pytest.mark.parametrize(
    ("sharing", "expected"),
    [
        (None, FIRST + 2 * linear(4, 5) + 2 * linear(5, 6) + HEAD),
        ("layers", FIRST + linear(4, 5) + 2 * linear(5, 6) + HEAD),
        ("parameters", FIRST + linear(4, 4) + linear(4, 5) + linear(5, 6) + HEAD),
        ("representation", FIRST + 2 * linear(4, 5) + linear(5, 6) + HEAD),
    ],
)
def test_number_of_parameters(sharing, expected):
    assert n_values(make(sharing)) == expected


def test_which_tensors_are_shared():
    apart = make(None)
    assert apart.trunk is None
    assert apart.modality_heads[0].weight is not apart.modality_heads[1].weight
    layers = make("layers")
    assert [type(layer) for layer in layers.encoders[1]][1:] == [nn.Linear, nn.ReLU]
    assert layers.encoders[0][1].weight is not layers.encoders[1][1].weight
    assert layers.modality_heads[0].weight is not layers.modality_heads[1].weight
    parameters = make("parameters")
    assert [type(layer) for layer in parameters.encoders[1]][1:] == [nn.Linear]  # an adapter
    assert parameters.modality_heads[0].weight is parameters.modality_heads[1].weight
    representation = make("representation")
    assert representation.trunk is None
    assert representation.modality_heads[0].weight is representation.modality_heads[1].weight


@pytest.mark.parametrize("sharing", ["layers", "parameters"])
def test_both_modalities_go_through_the_trunk(sharing):
    network = make(sharing)
    x = torch.randn(7, 5)
    own = [network.encoders[0](x[:, :3]), network.encoders[1](x[:, 3:])]
    output = network(x, torch.ones(7, 2, dtype=torch.bool), torch.ones(7))
    for z, f in zip(output.representations, own, strict=True):
        torch.testing.assert_close(z, network.trunk(f))
    for i in range(2):
        network.zero_grad()
        output = network(x, torch.ones(7, 2, dtype=torch.bool), torch.ones(7))
        output.modality_logits[i].sum().backward()
        assert network.trunk[1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("fusion", ["weighted", "gated"])
def test_one_head_reads_each_modality_and_their_sum(fusion):
    network = make("representation", fusion)
    assert len(network.modality_heads) == 0
    output = network(torch.randn(7, 5), torch.ones(7, 2, dtype=torch.bool), torch.ones(7))
    for i in range(2):
        torch.testing.assert_close(output.modality_logits[i], network.head(output.parts[:, i]))
    fused = (output.weights[:, :, None] * output.parts).sum(1)
    torch.testing.assert_close(output.logits, network.head(fused))
    assert (
        make("representation", fusion, modality_heads=False)(
            torch.randn(7, 5), torch.ones(7, 2, dtype=torch.bool), torch.ones(7)
        ).modality_logits
        == ()
    )


@pytest.mark.parametrize("fusion", ["attention", "bilinear"])
@pytest.mark.parametrize("sharing", ["layers", "parameters"])
def test_heads_are_each_modalitys_own_where_representations_are_fused(sharing, fusion):
    heads = make(sharing, fusion).modality_heads
    assert heads[0].weight is not heads[1].weight


@pytest.mark.parametrize(
    ("sharing", "fusion"),
    [("layers", "late"), ("parameters", "additive"), ("representation", "weighted")],
)
def test_networks_that_share_learn_with_modalities_missing(sharing, fusion):
    X, y = make_multimodal_classification(
        100,
        n_features=(5, 4),
        n_classes=3,
        class_sep=2.0,
        missing_rate=0.2,
        modality_names=["b", "a"],
        random_state=0,
    )
    there = X.notna().any(axis=1).to_numpy()
    X, y = X[there], y[there]
    model = FusionClassifier(
        fusion,
        sharing=sharing,
        hidden_layer_sizes=(8, 8),
        dropout=0.1,
        max_iter=20,
        learning_rate_init=0.02,
        alignment_weight=0.1,
        random_state=0,
    )
    assert model.fit(X, y).score(X, y) > 0.6
    permuted = X[[*X.columns[5:], *X.columns[:5]]]
    other = FusionClassifier(**model.get_params()).fit(permuted, y)
    np.testing.assert_array_equal(other.predict_proba(permuted), model.predict_proba(X))
