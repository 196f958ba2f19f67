"""All random numbers of a fit come from generators of its own."""

import threading

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from nested_settings import FUSIONS, RULES
from small_networks import make_spec
from torch.nn.modules.module import register_module_forward_pre_hook

from skmm._torch.fusing import AttentionFusion, BilinearFusion, Gate
from skmm._torch.generators import (
    Generators,
    cpu_generator,
    current_generators,
    generator_for,
    use_generators,
)
from skmm._torch.layers import Dropout, bernoulli_dropout, make_linear
from skmm._torch.perceptrons import PerceptronSpec, make_perceptron, make_shared_perceptrons
from skmm._torch.solvers import drop_modalities
from skmm.fusion._architecture import build_network

CPU = torch.device("cpu")
SPEC = PerceptronSpec((4, 5), "relu", 0.5, 0.2)


@pytest.fixture
def untouched():
    """Fails if the test leaves torch's or numpy's global generator in another state."""
    torch.manual_seed(7)
    np.random.seed(7)
    before, before_numpy = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    yield
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], before_numpy)


# The generators


def test_generators_are_those_in_use_and_no_longer():
    assert current_generators() is None
    assert cpu_generator() is generator_for(CPU) is None  # torch's global one
    outer, inner = Generators.seeded(CPU, 0), Generators.seeded(CPU, 1)
    with use_generators(outer) as used:
        assert used is current_generators() is outer
        assert cpu_generator() is generator_for(CPU) is outer.cpu
        with use_generators(inner):
            assert current_generators() is inner
        with pytest.raises(KeyError), use_generators(inner):
            raise KeyError
        assert current_generators() is outer
        seen = []
        thread = threading.Thread(target=lambda: seen.append(current_generators()))
        thread.start()
        thread.join()
        assert seen == [None]  # another thread has its own
    assert current_generators() is None


def test_generators_return_to_their_states(untouched):
    generators = Generators.seeded(CPU, 3)
    assert generators.cpu is generators.device
    states = generators.states
    first = torch.rand(5, generator=generators.cpu)
    assert not torch.equal(torch.rand(5, generator=generators.cpu), first)
    generators.restore(states)
    assert torch.equal(torch.rand(5, generator=generators.cpu), first)
    assert torch.equal(torch.rand(5, generator=Generators.seeded(CPU, 3).cpu), first)


# What draws


def drawn(function, seed, global_seed):
    """What a function of no arguments draws."""
    torch.manual_seed(global_seed)
    before = torch.random.get_rng_state()
    with use_generators(Generators.seeded(CPU, seed)):
        values = function()
    assert torch.equal(torch.random.get_rng_state(), before)
    return values


def state(module):
    return torch.cat([value.double().flatten() for value in module.state_dict().values()])


INITIALISED = {
    "linear": lambda: make_linear(1, 5, 3),
    "linear of members": lambda: make_linear(3, 5, 3),
    "perceptron": lambda: make_perceptron(3, SPEC, 1),
    "shared layers": lambda: torch.nn.ModuleList(
        make_shared_perceptrons([3, 2], SPEC, 1, "layers")[0]
    ),
    "attention": lambda: AttentionFusion(2, 8, 0.5, 4),
    "bilinear": lambda: BilinearFusion(2, 8, 0.5, 4),
}


@pytest.mark.parametrize("name", INITIALISED)
def test_initialisation_draws_from_the_generators_in_use(name):
    made = [state(drawn(INITIALISED[name], *seeds)) for seeds in [(0, 1), (0, 2), (1, 1)]]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


ONES = torch.ones(30, 2, 8)
WEIGHTS = torch.full((30, 2), 0.5)
DROPPED = {
    "dropout": lambda: Dropout(0.5)(ONES),
    "bernoulli": lambda: bernoulli_dropout(ONES, 0.3),
    "modalities": lambda: drop_modalities(torch.ones(30, 3, dtype=torch.bool), 0.4),
    "attention": lambda: AttentionFusion(2, 8, 0.5, 4)(WEIGHTS, ONES),
    "bilinear": lambda: BilinearFusion(2, 8, 0.5, 4)(WEIGHTS, ONES),
    "gate": lambda: learned_gate()(WEIGHTS > 0, ONES),
    "perceptron": lambda: make_perceptron(8, SPEC, 1)(ONES),
}


def learned_gate():
    gate = Gate(2, 8, 0.5).train()
    torch.nn.init.constant_(gate.score.weight[0], 0.1)
    return gate


@pytest.mark.parametrize("name", DROPPED)
def test_dropout_draws_from_the_generators_in_use(name):
    values = [drawn(DROPPED[name], *seeds) for seeds in [(0, 1), (0, 2), (1, 1)]]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


@pytest.mark.parametrize("rule", RULES, ids=FUSIONS)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"sharing": "layers", "hidden_layer_sizes": (4, 5)},
        {"sharing": "parameters"},
        {"n_members": 2},
    ],
    ids=str,
)
def test_networks_draw_from_the_generators_in_use(rule, parameters):
    if ("sharing" in parameters and rule.reads_inputs) or (
        "n_members" in parameters and not rule.takes_ensembles
    ):
        pytest.skip("these do not go together")
    spec, x = make_spec(rule.name, dropout=0.5, **parameters), torch.ones(40, 5)

    def build_and_run():
        network = build_network(spec, torch.tensor([0.5, 0.5])).train()
        rows = 40 * network.n_members
        present = torch.ones(rows, 2, dtype=torch.bool)
        output = network(x.repeat(network.n_members, 1), present, torch.ones(rows))
        return torch.cat([state(network), output.logits.detach().double().flatten()])

    values = [drawn(build_and_run, *seeds) for seeds in [(0, 1), (0, 2), (1, 1)]]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


# Fits

FITS = {
    **{fusion: {"fusion": fusion, "modality_dropout": 0.3, "max_iter": 2} for fusion in FUSIONS},
    "members": {"n_members": 2, "max_iter": 2},
    "shared": {"sharing": "representation", "max_iter": 2},
    "early stopping": {"early_stopping": True, "calibrate": "temperature", "max_iter": 2},
    "bfloat16": {"precision": "bfloat16", "max_iter": 2},
    "lbfgs": {"solver": "lbfgs", "dropout": 0.0, "tol": 1.0},
}


@pytest.mark.parametrize("name", FITS)
def test_fits_repeat_whatever_the_global_seed(data, small, untouched, name):
    X, y = data
    model = small(**FITS[name]).fit(X, y)
    global_state = torch.random.get_rng_state()
    torch.manual_seed(8)
    again = small(**FITS[name]).fit(X, y)
    torch.random.set_rng_state(global_state)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.loss_curve_ == model.loss_curve_
    assert getattr(again, "modality_weights_", 0) == getattr(model, "modality_weights_", 0)
    other = small(**FITS[name], random_state=1).fit(X, y)
    assert (other.predict_proba(X) != model.predict_proba(X)).any()


def test_streams_repeat_whatever_the_global_seed(data, small, untouched):
    X, y = data
    proba, global_state = [], torch.random.get_rng_state()
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = small(modality_dropout=0.3)
        for rows in np.split(np.arange(150), 3):
            model.partial_fit(X.iloc[rows], y[rows], classes=[0, 1, 2])
        proba.append(model.predict_proba(X))
    torch.random.set_rng_state(global_state)
    np.testing.assert_array_equal(*proba)


@pytest.mark.parametrize("fusion", ["late", "gated", "attention"])
def test_fits_side_by_side_are_those_one_after_the_other(data, small, untouched, fusion):
    """Two fits that are under way at once: each waits for the other before its first steps."""
    X, y = data
    n_meetings, met, barrier = 20, threading.local(), threading.Barrier(2)

    def meet(module, args):
        met.count = getattr(met, "count", 0) + 1
        if met.count <= n_meetings:
            barrier.wait(timeout=60)

    def fit(seed):
        model = small(fusion=fusion, modality_dropout=0.3, max_iter=3, random_state=seed).fit(X, y)
        return state(model.network_)

    expected = [fit(seed) for seed in (0, 1)]
    assert not torch.equal(*expected)
    hook = register_module_forward_pre_hook(meet)
    try:
        at_once = Parallel(n_jobs=2, backend="threading")(delayed(fit)(seed) for seed in (0, 1))
    finally:
        hook.remove()
    for values, alone in zip(at_once, expected, strict=True):
        assert torch.equal(values, alone)


def test_more_fits_than_threads(data, small, untouched):
    X, y = data

    def predict(seed):
        return small(random_state=seed).fit(X, y).predict_proba(X)

    at_once = Parallel(n_jobs=3, backend="threading")(delayed(predict)(i) for i in range(4))
    for seed, proba in enumerate(at_once):
        np.testing.assert_array_equal(proba, predict(seed))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_gpu_has_a_generator_of_its_own(data, small, untouched, fusion):
    X, y = data
    before = torch.cuda.get_rng_state()
    settings = {"fusion": fusion, "device": "cuda", "modality_dropout": 0.3}
    model = small(**settings).fit(X, y)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    torch.cuda.manual_seed(8)
    again = small(**settings).fit(X, y)
    torch.cuda.set_rng_state(before)
    np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), atol=1e-3)
