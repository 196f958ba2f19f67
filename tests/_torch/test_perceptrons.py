"""Multilayer perceptrons: their layers, and which of them modalities share."""

import pytest
import torch
from torch import nn

from skmm import MLP
from skmm._torch.layers import Dropout, MemberLinear
from skmm._torch.perceptrons import (
    PerceptronSpec,
    make_following_layers,
    make_perceptron,
    make_shared_perceptrons,
)

SPEC = PerceptronSpec((4, 5), "tanh", 0.5, 0.25)


def kinds(module):
    return [type(layer) for layer in module]


def widths(module):
    return [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear)]


def rates(module):
    return [m.n_dropped / 256 for m in module.modules() if isinstance(m, Dropout)]


def test_layers_of_a_perceptron():
    perceptron = make_perceptron(3, SPEC, 1)
    assert kinds(perceptron) == [Dropout, nn.Linear, nn.Tanh] * 2
    assert widths(perceptron) == [(3, 4), (4, 5)]
    assert rates(perceptron) == [0.25, 0.5]
    ends_linear = make_perceptron(3, SPEC, 1, ends_linear=True)
    assert kinds(ends_linear) == [Dropout, nn.Linear, nn.Tanh, Dropout, nn.Linear]


def test_a_perceptron_without_layers_changes_nothing():
    values = torch.randn(2, 3)
    spec = SPEC._replace(hidden_layer_sizes=())
    assert torch.equal(make_perceptron(3, spec, 1)(values), values)
    assert torch.equal(make_perceptron(3, spec, 1, ends_linear=True)(values), values)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("identity", [-1.0, 0.5]),
        ("logistic", [0.26894142, 0.62245933]),
        ("tanh", [-0.76159416, 0.46211716]),
        ("relu", [0.0, 0.5]),
        ("gelu", [-0.15865525, 0.34573123]),
    ],
)
def test_activations(activation, expected):
    layer = make_perceptron(1, PerceptronSpec((1,), activation, 0.0, 0.0), 1)[2]
    torch.testing.assert_close(layer(torch.tensor([-1.0, 0.5])), torch.tensor(expected))


def test_members_have_layers_of_their_own():
    perceptron = make_perceptron(3, SPEC, 2)
    assert kinds(perceptron) == [Dropout, MemberLinear, nn.Tanh] * 2


def test_all_layers_but_the_first_are_shared():
    encoders, shared = make_shared_perceptrons([3, 2], SPEC, 1, "layers")
    assert [kinds(encoder) for encoder in encoders] == [[Dropout, nn.Linear, nn.Tanh]] * 2
    assert [widths(encoder) for encoder in encoders] == [[(3, 4)], [(2, 4)]]
    assert [rates(encoder) for encoder in encoders] == [[0.25], [0.25]]
    assert kinds(shared) == [Dropout, nn.Linear, nn.Tanh]
    assert widths(shared) == [(4, 5)]
    assert rates(shared) == [0.5]


def test_all_layers_are_shared_behind_a_linear_map():
    encoders, shared = make_shared_perceptrons([3, 2], SPEC, 1, "parameters")
    assert [kinds(encoder) for encoder in encoders] == [[Dropout, nn.Linear]] * 2
    assert [widths(encoder) for encoder in encoders] == [[(3, 4)], [(2, 4)]]
    assert kinds(shared) == [Dropout, nn.Linear, nn.Tanh] * 2
    assert widths(shared) == [(4, 4), (4, 5)]


def test_layers_that_follow_the_first_one():
    following = make_following_layers(SPEC, 6, 1)
    assert kinds(following) == [nn.Tanh, Dropout, nn.Linear] * 2
    assert widths(following) == [(4, 5), (5, 6)]
    assert rates(following) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ((256,), "relu", 0.5, 0.2)),
        ({"hidden_layer_sizes": 7, "dropout": 0}, ((7,), "relu", 0.0, 0.0)),
        ({"hidden_layer_sizes": [8, 4], "input_dropout": 0.5}, ((8, 4), "relu", 0.5, 0.5)),
        ({"hidden_layer_sizes": (), "input_dropout": 0}, ((), "relu", 0.5, 0.0)),
    ],
)
def test_what_a_user_writes_for_a_perceptron(parameters, expected):
    assert MLP(**parameters)._spec() == expected
