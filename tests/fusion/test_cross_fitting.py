"""Training in memory: early stopping, and what is learned on rows that no network has seen."""

import numpy as np
import pytest
import torch
from small_networks import make_training
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skmm._torch.losses import row_losses
from skmm._torch.solvers import AdamWSolver
from skmm._torch.tensors import TrainingTensors
from skmm.fusion._cross_fitting import train

FUSIONS = ["late", "weighted", "concat"]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_early_stopping_returns_to_the_best_epoch(fusion):
    network, rows, split, objective, *how = make_training(fusion)
    history = train(network, rows, split, objective, *how).history
    best = int(np.argmin(history.validation))
    assert len(history.terms) == len(history.validation) < 100
    assert len(history.validation) - 1 - best == 5  # n_iter_no_change
    restored = objective.held_out_loss(network, rows, split.held_out)
    assert history.validation[-1] > history.validation[best] + 0.01
    assert restored == pytest.approx(history.validation[best], abs=1e-5)


def test_held_out_rows_are_not_trained_on():
    settings = {"max_iter": 10, "n_iter_no_change": 100}
    changed = make_training(**settings)
    rows = changed[1]
    rows.x[300:] = rows.x[300:].flip(0)  # other rows for the same targets: stops elsewhere at most
    history = train(*changed).history
    same = train(*make_training(**settings)).history
    assert history.terms == same.terms
    assert history.validation != same.validation


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_is_learned_on_unseen_rows(fusion):
    network, *how, learned = make_training(fusion, max_iter=4)
    train(network, *how, learned)
    alpha = network.modality_weights
    assert alpha.sum().item() == pytest.approx(1)
    assert alpha[0] > 0.55  # the first is more informative
    assert (network.missing_penalty >= 0).all()
    network, *how, learned = make_training(fusion, max_iter=4)
    train(network, *how, learned._replace(alpha=False))
    assert network.modality_weights.tolist() == [0.5, 0.5]
    network, *how, learned = make_training(fusion, max_iter=4)
    train(network, *how, learned._replace(alpha=False, scale=False))
    assert network.missing_penalty.tolist() == [0, 0]


def test_without_folds_nothing_is_learned_on_unseen_rows():
    network, rows, split, *how = make_training(max_iter=4)
    train(network, rows, split._replace(folds=[split.fitting]), *how)
    assert network.modality_weights.tolist() == [0.5, 0.5]
    assert network.missing_penalty.tolist() == [0, 0]


class NoFloat64(TorchDispatchMode):
    """Fails when a tensor in float64 is made on a device other than the CPU."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.device.type != "cpu":
                assert value.dtype != torch.float64, function
        return result


@pytest.mark.parametrize("fusion", FUSIONS)
def test_no_float64_on_a_device_that_may_have_none(fusion):
    network, rows, split, objective, settings, _ = make_training(fusion)
    network = network.to("meta")  # tensors without values, which every machine has
    rows = TrainingTensors(*(tensor.to("meta") for tensor in rows))
    objective = objective._replace(pairs={(0, 1): 0.5}, alignment="cosine")
    fitting = split.fitting.to("meta")
    with NoFloat64():
        solver = AdamWSolver(network.train(), rows, fitting, objective, settings)
        solver.optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)  # not fused on "meta"
        solver.step(rows)
        network.store_statistics(rows, fitting)
        values, weights = network.evaluate(rows.values, rows.present)
        losses = row_losses(objective.tasks, network.logits(weights, values), rows.target)
    assert losses.shape == (400, 1)
