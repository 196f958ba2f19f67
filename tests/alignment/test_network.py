"""The network of the aligner, its objective, and its epochs."""

import pytest
import torch

from skmm.alignment._network import AlignmentNetwork, AlignmentObjective, align
from skmm.fusion._losses import Rows, contrastive
from skmm.fusion._solvers import Settings

SETTINGS = Settings(
    solver="adamw",
    learning_rate_init=0.01,
    weight_decay=0.0,
    batch_size=8,
    max_iter=20,
    tol=0.0,
    n_iter_no_change=20,
    modality_dropout=0.0,
    precision="float32",
    balance=None,
    learn_weights=False,
    calibrate=False,
    verbose=False,
)


def make(n_features=(3, 4), **options):
    torch.manual_seed(0)
    arguments = {
        "n_components": 2,
        "hidden_layer_sizes": [],
        "activation": "relu",
        "dropout": 0.0,
        "temperature": 0.5,
        "learn_temperature": True,
    }
    return AlignmentNetwork(n_features, **{**arguments, **options})


def make_rows(n=32, width=7, m=2):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, width, generator=generator)
    return Rows(x, torch.ones(n, m, dtype=bool), torch.full((n, 1), -1), torch.ones(n))


def objective_of(network, alignment="contrastive"):
    pairs = [(i, j) for i in range(len(network.views)) for j in range(len(network.views)) if i != j]
    return AlignmentObjective(alignment, pairs, network.views, supervised=False)


def test_hidden_layers_add_nothing_at_the_start():
    weights = [torch.randn(3, 2), torch.randn(4, 2)]
    offsets = [torch.randn(2), torch.randn(2)]
    x = make_rows().x
    network = make(hidden_layer_sizes=[5]).eval()
    network.start_from(weights, offsets)
    torch.testing.assert_close(network.represent(0, x[:, :3]), x[:, :3] @ weights[0] + offsets[0])
    torch.testing.assert_close(network.represent(1, x[:, 3:]), x[:, 3:] @ weights[1] + offsets[1])


def test_loss_is_the_mean_over_ordered_pairs():
    network, rows = make(), make_rows()
    objective = objective_of(network)
    output = network(rows.x, rows.present, rows.weight)
    terms = objective.terms(output, rows)
    valid = torch.ones(32, dtype=bool)
    forth = contrastive(*output.representations, rows.weight, valid, network.temperature)
    back = contrastive(*output.representations[::-1], rows.weight, valid, network.temperature)
    torch.testing.assert_close(terms, torch.stack([forth, back]))
    assert objective.coefficients == [0.5, 0.5]


def test_one_modality_is_seen_twice():
    network, rows = make([7], dropout=0.5), make_rows(m=1)
    first, second = network.train()(rows.x, rows.present, rows.weight).representations
    assert not torch.allclose(first, second)
    first, second = network.eval()(rows.x, rows.present, rows.weight).representations
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("learned", [True, False])
def test_temperature_is_learned_if_wanted(learned):
    network, rows = make(learn_temperature=learned), make_rows()
    align(network, rows, torch.arange(32), None, objective_of(network), SETTINGS)
    assert (network.temperature.item() == pytest.approx(0.5)) is not learned


def test_interrupted_training_keeps_what_it_has():
    network, rows = make(), make_rows()
    calls = []

    def press(*_):
        calls.append(1)
        if len(calls) == 11:  # in the third epoch of four batches
            raise KeyboardInterrupt

    network.register_forward_hook(press)
    with pytest.warns(UserWarning, match="interrupted after 2 of 20 epochs"):
        history = align(network, rows, torch.arange(32), None, objective_of(network), SETTINGS)
    assert len(history.terms) == 2
    calls[:] = [1] * 10
    with pytest.raises(KeyboardInterrupt):
        align(network, rows, torch.arange(32), None, objective_of(network), SETTINGS)
