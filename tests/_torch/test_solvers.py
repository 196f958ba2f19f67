"""How a network is brought closer to its objective."""

import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from skmm import LBFGS
from skmm._torch.solvers import drop_modalities
from skmm.datasets import make_multimodal_classification

EXACT = {"solver": "lbfgs", "dropout": 0.0, "max_iter": 1000, "tol": 1e-6}
LINEAR = {**EXACT, "hidden_layer_sizes": ()}


def converged(model, X, y, **fit_parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return model.fit(X, y, **fit_parameters)


def test_linear_additive_fusion_reaches_the_minimum_that_scipy_finds(small):
    X, y = make_multimodal_classification(80, n_features=(3, 2), random_state=0)
    weight = np.random.default_rng(0).uniform(0.5, 2, 80)
    share, sign = weight / weight.mean(), 2 * y - 1
    X = X - share @ X / 80
    X = X / np.sqrt(share @ X**2 / 80)  # so that fit has nothing to scale
    exact = {**LINEAR, "tol": 1e-9}
    model = small(**exact, fusion="additive", modality_loss_weight=0.4, weight_decay=2.0)
    converged(model, X, y, sample_weight=weight)
    scaled = X.to_numpy(dtype=float)

    def loss(theta):  # differences of the two classes' logits: three biases, then weights
        a, b = theta[0] + scaled[:, :3] @ theta[3:6], theta[1] + scaled[:, 3:] @ theta[6:]
        terms = [np.logaddexp(0, -sign * scores) for scores in (a + b + theta[2], a, b)]
        total = terms[0] + 0.4 * terms[1] + 0.4 * terms[2]
        # the weights of the classes are half of it and minus that
        return (share * total).mean() + 2.0 / (2 * 80) * 2 * np.square(theta[3:] / 2).sum()

    found = minimize(loss, np.zeros(8), tol=1e-12)
    weights = [p for p in model.network_.parameters() if p.ndim > 1]
    penalty = 2.0 / (2 * 80) * sum(p.square().sum().item() for p in weights)
    assert model.loss_curve_[-1] + penalty == pytest.approx(found.fun, abs=1e-6)


@pytest.mark.filterwarnings("ignore:L-BFGS did not converge")
@pytest.mark.parametrize("fusion", ["late", "weighted", "concat", "additive"])
def test_loss_falls_with_each_iteration(data, small, fusion):
    model = small(
        fusion=fusion,
        solver="lbfgs",
        dropout=0.0,
        max_iter=30,
        activation="tanh",
        modality_weights="uniform",
        weight_decay=0.0,
        modality_loss_weight={"text": 0.2, "image": 0.1},
        alignment="cosine",
        alignment_weight=0.1,
    )
    model.fit(*data)
    assert (np.diff(model.loss_curve_) < 0).all()
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    assert {parameter.dtype for parameter in model.network_.parameters()} == {torch.float32}
    assert model.score(*data) > 0.9


def test_recorded_loss_is_that_of_the_stored_network(data, small):
    X, y = data
    model = converged(small(**{**LINEAR, "tol": 1e-4}), X, y)
    loss = -model.predict_log_proba(X)[np.arange(len(y)), y].mean()
    assert model.history_["fused"].iloc[-1] == pytest.approx(loss, rel=1e-5)


def test_fits_repeat_and_learn_weights(data, small):
    X, y = data
    model = converged(small(**LINEAR), X, y)
    again = converged(small(**LINEAR), X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert model.modality_weights_["text"] != 0.5


def test_n_iter_and_warning_when_iterations_run_out(data, small):
    with pytest.warns(ConvergenceWarning, match=r"tol=1e-06.*max_iter=3\b"):
        model = small(**{**LINEAR, "max_iter": 3}).fit(*data)
    assert model.n_iter_ == len(model.history_) == 3
    done = converged(small(**LINEAR), *data)
    assert 3 < done.n_iter_ < 1000
    coarse = converged(small(**{**LINEAR, "tol": 1e-2}), *data)
    assert coarse.n_iter_ < done.n_iter_


def test_early_stopping(data, small):
    model = small(**LINEAR, early_stopping=True, n_iter_no_change=3, weight_decay=0.0)
    history = converged(model, *data).history_
    assert len(history) - 1 - history["validation_loss"].idxmin() >= 3
    assert len(history) < 1000


def test_missing_modalities(data, small):
    X, y = data
    X = X.copy()
    X.loc[:60, X.columns.str.startswith("text")] = np.nan
    X.loc[90:, X.columns.str.startswith("image")] = np.nan
    model = converged(small(**LINEAR, fusion="late"), X, y)
    assert model.score(X, y) > 0.6


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"dropout": 0.5}, r"\bdropout=0\.5\b"),
        ({"dropout": 0.5, "input_dropout": 0.0}, r"\bdropout=0\.5\b"),
        ({"dropout": 0.0, "input_dropout": 0.2}, r"\binput_dropout=0\.2\b"),
        ({"dropout": 0.0, "modality_dropout": 0.1}, r"\bmodality_dropout=0\.1\b"),
        ({"hidden_layer_sizes": (), "modality_dropout": 0.1}, r"\bmodality_dropout=0\.1\b"),
    ],
)
def test_the_function_to_minimise_must_not_change(data, small, parameters, match):
    with pytest.raises(ValueError, match=rf'solver="lbfgs".*{match}'):
        small(solver="lbfgs", **parameters).fit(*data)


def test_drop_modalities():
    torch.manual_seed(0)
    present = torch.ones(10_000, 3, dtype=torch.bool)
    present[:100] = torch.tensor([True, False, False])
    kept = drop_modalities(present, 0.4)
    assert kept.any(1).all()  # never all of a row's
    assert not (kept & ~present).any()  # nothing comes back
    # a row of three keeps each with .6, or all three where it would have lost all (.4^3 = .064)
    assert kept[100:].float().mean().item() == pytest.approx(0.6 + 0.064, abs=0.01)
    assert torch.equal(drop_modalities(present, 0.0), present)


# Precision


def test_bfloat16_learns_the_same_but_not_bit_for_bit(data, small):
    X, y = data
    aligned = {"alignment": "contrastive", "alignment_weight": 0.1}
    full = small(max_iter=20, **aligned).fit(X, y)
    half = small(max_iter=20, **aligned, precision="bfloat16").fit(X, y)
    difference = np.abs(half.predict_proba(X) - full.predict_proba(X))
    assert 0 < difference.max() < 0.2
    assert {p.dtype for p in half.network_.state_dict().values()} == {torch.float32}
    np.testing.assert_allclose(half.loss_curve_, full.loss_curve_, rtol=0.05)


@pytest.mark.parametrize(
    "parameters",
    [
        {"precision": "bfloat16"},
        {"batch_size": 16},
        {"learning_rate_init": 0.1},
        {"modality_dropout": 0.1},
    ],
)
def test_lbfgs_has_no_parameters_of_batches(parameters):
    with pytest.raises(TypeError, match=next(iter(parameters))):
        LBFGS(**parameters)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fusion", ["late", "weighted", "concat", "gated"])
@pytest.mark.parametrize(
    "parameters", [{"precision": "bfloat16"}, {"solver": "lbfgs", "dropout": 0.0}]
)
@pytest.mark.filterwarnings("ignore:L-BFGS did not converge")
def test_cuda(data, small, fusion, parameters):
    X, y = data
    scores = {"cuda": [], "cpu": []}
    for device, of_seeds in scores.items():
        for seed in range(3):
            settings = {"fusion": fusion, "max_iter": 30, "random_state": seed, **parameters}
            model = small(device=device, **settings).fit(X, y)
            assert next(model.network_.parameters()).device.type == device
            of_seeds.append(model.score(X, y))
    chance = np.bincount(y).max() / len(y)
    spread = max(map(np.ptp, scores.values()))
    assert min(scores["cuda"]) > chance + 0.2  # the CPU has .66 to .95, and chance is .33
    assert abs(np.mean(scores["cuda"]) - np.mean(scores["cpu"])) <= max(spread, 0.05)
