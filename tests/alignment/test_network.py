"""The network of the aligner."""

import torch

from skmm._torch.perceptrons import PerceptronSpec
from skmm.alignment._architecture import AlignmentSpec, build_network


def make(n_features=(3, 4), hidden_layer_sizes=(), dropout=0.0):
    perceptron = PerceptronSpec(hidden_layer_sizes, "relu", dropout, dropout)
    return build_network(AlignmentSpec(list(n_features), 2, perceptron, dropout, 0.5, True))


def make_x(n=32, width=7):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(1))


def test_hidden_layers_add_nothing_at_the_start():
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(3, 2, generator=generator), torch.randn(4, 2, generator=generator)]
    offsets = [torch.randn(2, generator=generator), torch.randn(2, generator=generator)]
    x, network = make_x(), make(hidden_layer_sizes=(5,)).eval()
    network.start_from(weights, offsets)
    torch.testing.assert_close(network.represent(0, x[:, :3]), x[:, :3] @ weights[0] + offsets[0])
    torch.testing.assert_close(network.represent(1, x[:, 3:]), x[:, 3:] @ weights[1] + offsets[1])


def test_one_modality_is_seen_twice():
    x, network = make_x(), make([7], dropout=0.5)
    first, second = network.train()(x).representations
    assert not torch.allclose(first, second)
    first, second = network.eval()(x).representations
    torch.testing.assert_close(first, second)
