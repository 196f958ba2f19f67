"""From plain numbers to a network: which tensors there are, and which modalities share."""

import numpy as np
import pytest
import torch
from nested_settings import nest
from sklearn.base import clone
from small_networks import make_network, make_spec
from torch import nn

from skmm import FusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.fusion._architecture import NetworkSpec, build_network, pack_network, unpack_network


def make(sharing, fusion="late", **parameters):
    return make_network(fusion, **{"hidden_layer_sizes": (4, 5), "sharing": sharing, **parameters})


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
    assert apart.modality_heads[0][1].weight is not apart.modality_heads[1][1].weight
    layers = make("layers")
    assert [type(layer) for layer in layers.encoders[1]][1:] == [nn.Linear, nn.ReLU]
    assert layers.encoders[0][1].weight is not layers.encoders[1][1].weight
    assert layers.modality_heads[0][1].weight is not layers.modality_heads[1][1].weight
    parameters = make("parameters")
    assert [type(layer) for layer in parameters.encoders[1]][1:] == [nn.Linear]  # an adapter
    assert parameters.modality_heads[0][1].weight is parameters.modality_heads[1][1].weight
    representation = make("representation")
    assert representation.trunk is None
    assert representation.modality_heads[0][1].weight is representation.modality_heads[1][1].weight


@pytest.mark.parametrize("sharing", ["layers", "parameters"])
def test_both_modalities_go_through_the_trunk(sharing):
    network = make(sharing)
    x = torch.randn(7, 5)
    encoded = [network.encoders[0](x[:, :3]), network.encoders[1](x[:, 3:])]
    output = network(x, torch.ones(7, 2, dtype=torch.bool), torch.ones(7))
    for z, f in zip(output.representations, encoded, strict=True):
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
        torch.testing.assert_close(
            output.modality_logits[i], network.head(output.modality_values[:, i])
        )
    fused = (output.weights[:, :, None] * output.modality_values).sum(1)
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
    assert heads[0][1].weight is not heads[1][1].weight


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
    has_some = X.notna().any(axis=1).to_numpy()
    X, y = X[has_some], y[has_some]
    model = nest(
        FusionClassifier,
        fusion=fusion,
        sharing=sharing,
        hidden_layer_sizes=(8, 8),
        dropout=0.1,
        max_iter=20,
        learning_rate_init=0.02,
        alignment="contrastive",
        alignment_weight=0.1,
        random_state=0,
    )
    assert model.fit(X, y).score(X, y) > 0.6
    permuted = X[[*X.columns[5:], *X.columns[:5]]]
    other = clone(model).fit(permuted, y)
    np.testing.assert_array_equal(other.predict_proba(permuted), model.predict_proba(X))


# Plain data


SPECS = {
    "late": {},
    "gated of members": {"fusion": "gated", "n_members": 3},
    "bilinear": {"fusion": "bilinear", "hidden_layer_sizes": (4, 5)},
    "shared": {"sharing": "layers", "hidden_layer_sizes": (4, 5)},
}


@pytest.mark.parametrize("name", SPECS)
def test_a_network_is_its_spec_and_state(name):
    spec, network = make_spec(**SPECS[name]), make_network(**SPECS[name])
    with torch.no_grad():
        network.modality_weights.copy_(torch.tensor([0.3, 0.7]))
    network.head.requires_grad_(False)
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    packed = pack_network(network, NetworkSpec.from_plain(spec.to_plain()))
    unpacked = unpack_network(packed, NetworkSpec.from_plain(spec.to_plain()))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert NetworkSpec.from_plain(spec.to_plain()) == spec
    assert all(isinstance(value, np.ndarray) for value in packed["state"].values())
    assert repr(unpacked) == repr(network)
    state = network.state_dict()
    assert unpacked.state_dict().keys() == state.keys()
    for key, value in unpacked.state_dict().items():
        assert torch.equal(value, state[key])
        assert value.data_ptr() != state[key].data_ptr()
    for (key, parameter), (_, original) in zip(
        unpacked.named_parameters(), network.named_parameters(), strict=True
    ):
        assert parameter.requires_grad == original.requires_grad, key
    assert not unpacked.training


def test_a_network_changed_by_hand_is_kept_as_it_is():
    network = make_network()
    network.encoders[0][2] = nn.Tanh()
    packed = pack_network(network, make_spec())
    assert packed is not network
    assert isinstance(unpack_network(packed, make_spec()).encoders[0][2], nn.Tanh)


def test_specs_differ_in_their_first_field_that_does():
    spec = make_spec()
    assert spec.first_difference(make_spec()) is None
    assert spec.first_difference(make_spec(n_members=2)) == ("n_members", 1, 2)
    other = make_spec("gated", hidden_layer_sizes=(9,))
    assert spec.first_difference(other) == ("fusion", "late", "gated")
    wider = make_spec(hidden_layer_sizes=(9,))
    assert spec.first_difference(wider) == ("hidden_layer_sizes", (4,), (9,))
    scores = spec._replace(perceptrons=[spec.perceptrons[0], None])
    name, before, now = spec.first_difference(scores)
    assert (name, before, now) == ("modality_model", spec.perceptrons[1], None)


@pytest.mark.parametrize("fusion", ["late", "additive"])
def test_scores_of_an_estimator_are_fused_as_they_come(fusion):
    spec = make_spec(fusion, n_features=(6, 2))
    spec = spec._replace(perceptrons=[None, spec.perceptrons[1]])
    network = build_network(spec, torch.tensor([0.5, 0.5])).eval()
    x = torch.randn(5, 8)
    scores = network.values(x)[2]
    assert torch.equal(scores[:, 0], x[:, :6])
    assert not network.is_linear
    assert build_network(spec._replace(perceptrons=[None, None]), torch.ones(2) / 2).is_linear
