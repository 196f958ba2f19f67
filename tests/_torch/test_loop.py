"""The epochs of one network: when they end, what is recorded, and how they go on."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from nested_settings import FUSIONS
from torch import nn
from tqdm.auto import tqdm

from skmm._torch.checkpoint import Checkpoint
from skmm._torch.generators import Generators, use_generators
from skmm._torch.loop import EpochLoop
from skmm._torch.solvers import TrainingSettings
from skmm._torch.tensors import TrainingTensors

SETTINGS = TrainingSettings(
    solver="adamw",
    learning_rate_init=0.05,
    weight_decay=0.0,
    batch_size=8,
    max_iter=30,
    tol=1e-4,
    n_iter_no_change=5,
)


class Line(nn.Module):
    """One weight and one bias, with all that a loop asks of a network."""

    n_members, scales = 1, frozenset()

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.weight * x + self.bias


class SquaredError(NamedTuple):
    """An objective of one term."""

    prepared: list

    coefficients = property(lambda self: [1.0])

    def run(self, network, batch, present):
        return network(batch.values), batch

    def terms(self, output, rows):
        return ((output - rows.target) ** 2).mean()[None]

    def prepare_evaluation(self, network, rows, index):
        self.prepared.append(len(index))

    @torch.no_grad()
    def held_out_loss(self, network, rows, held_out):
        rows = rows.take(held_out)
        return float(((network(rows.values) - rows.target) ** 2).mean())


def make_loop(held_out=None, noise=0.0, **settings):
    x = torch.linspace(-1, 1, 48)[:, None]
    target = 2 * x - 1 + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    rows = TrainingTensors(x, torch.ones(48, 1, dtype=torch.bool), target, torch.ones(48))
    fitting = torch.arange(32) if held_out is not None else torch.arange(48)
    settings = SETTINGS._replace(**settings)
    return EpochLoop(Line(), rows, fitting, held_out, SquaredError([]), settings)


def run(loop, *args):
    with use_generators(Generators.seeded(torch.device("cpu"), 0)), tqdm(disable=True) as bar:
        loop.run(bar, *args)
    return loop


def test_any_objective_is_learned():
    loop = run(make_loop(n_iter_no_change=30))
    assert len(loop.history.terms) == 30
    assert loop.history.validation == []
    assert loop.network.weight.item() == pytest.approx(2, abs=0.1)
    assert loop.network.bias.item() == pytest.approx(-1, abs=0.1)
    assert loop.objective.prepared == [48]
    assert loop.converged


def test_it_stops_when_the_loss_stalls():
    loop = run(make_loop(tol=10.0, n_iter_no_change=4))
    assert len(loop.history.terms) == 5  # the first is an improvement on nothing
    assert loop.ended


def test_early_stopping_restores_the_epoch_of_the_least_loss():
    loop = make_loop(torch.arange(32, 48), noise=3.0, max_iter=200, tol=0.0)
    run(loop)
    losses = loop.history.validation
    assert len(losses) == len(loop.history.terms) < 200
    assert len(losses) - 1 - int(np.argmin(losses)) == 5
    restored = loop.objective.held_out_loss(loop.network, loop.rows, loop.held_out)
    assert restored == min(losses) < losses[-1]
    assert loop.objective.prepared == [32] * (1 + len(losses))


@pytest.mark.parametrize("n_epochs", [0, 1, 7])
@pytest.mark.parametrize("held_out", [None, torch.arange(32, 48)])
def test_a_loop_goes_on_from_its_state(tmp_path, n_epochs, held_out):
    class StoppedError(Exception):
        pass

    class Stopping(Checkpoint):
        def save(self, number, state, generators):
            if len(state["terms"]) > n_epochs:
                raise StoppedError
            super().save(number, state, generators)

    parameters = {"held_out": held_out, "noise": 1.0, "n_iter_no_change": 30}
    whole = run(make_loop(**parameters))
    with pytest.raises(StoppedError):
        run(make_loop(**parameters), Stopping(tmp_path / "loop.pt"), 3)
    found = Checkpoint(tmp_path / "loop.pt")
    assert found.find(2) is None
    assert (found.find(3) is None) == (n_epochs == 0)
    resumed = run(make_loop(**parameters), found, 3)
    assert resumed.history == whole.history
    for name, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value)


def test_a_checkpoint_needs_the_generators_of_a_fit(tmp_path):
    loop = make_loop()
    with tqdm(disable=True) as bar, pytest.raises(RuntimeError, match="use_generators"):
        loop.run(bar, Checkpoint(tmp_path / "loop.pt"))


def test_lbfgs_converges_on_what_it_can_solve():
    loop = make_loop(solver="lbfgs", max_iter=100, tol=1e-6)
    loop.network.normalizer = type("Normalizer", (), {"prior_rows": 2})()
    run(loop)
    assert len(loop.history.terms) < 20
    assert loop.converged
    assert loop.network.normalizer.prior_rows == 2
    assert loop.network.weight.item() == pytest.approx(2, abs=1e-4)
    short = make_loop(solver="lbfgs", max_iter=1, tol=0.0)
    short.network.normalizer = loop.network.normalizer
    assert not run(short).converged


# Of estimators


def test_early_stopping_of_the_estimator(data, small):
    model = small(early_stopping=True, max_iter=200, n_iter_no_change=5, learning_rate_init=0.05)
    model.fit(*data)
    losses = model.history_["validation_loss"]
    assert model.n_iter_ == len(model.loss_curve_) == len(losses) < 200
    assert len(losses) - 1 - losses.idxmin() >= 5
    assert "validation_loss" not in small().fit(*data).history_


def test_stops_when_the_training_loss_stalls(small):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)), rng.integers(0, 2, 200)
    model = small(modalities={"a": 2, "b": 2}, max_iter=500, n_iter_no_change=3, tol=0.01).fit(X, y)
    assert model.n_iter_ < 500
    assert model.n_iter_ == len(model.loss_curve_)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_one_epoch(data, small, fusion, early_stopping):
    model = small(fusion=fusion, max_iter=1, early_stopping=early_stopping).fit(*data)
    assert model.n_iter_ == len(model.loss_curve_) == 1
    if hasattr(model, "modality_weights_"):
        assert sum(model.modality_weights_.values()) == pytest.approx(1)


@pytest.mark.parametrize("fusion", ["late", "weighted", "concat"])
def test_batches_of_one_row_train_too(data, small, fusion):
    model = small(
        fusion=fusion,
        modality_weights="uniform",
        batch_size=1,
        hidden_layer_sizes=(32,),
        learning_rate_init=0.01,
        dropout=0.0,
        max_iter=8,
    )
    X, y = (values[:75] for values in data)
    assert model.fit(X, y).score(X, y) > 0.85  # the largest class has a third of the rows


def test_divergence_is_an_error(data, small):
    with pytest.raises(ValueError, match=r"learning_rate_init.*1e\+30"):
        small(learning_rate_init=1e30, max_iter=50).fit(*data)


def test_verbose_shows_a_bar(data, small, capsys):
    small(verbose=True, fusion="weighted", modality_weights="uniform").fit(*data)
    assert "5/5" in capsys.readouterr().err
    small().fit(*data)
    assert capsys.readouterr().err == ""
