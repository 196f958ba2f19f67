"""Training: what is recorded, when it stops, and that it repeats."""

import math

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skmm.datasets import make_multimodal_classification
from skmm.fusion._combinations import FUSIONS as ALL_FUSIONS
from skmm.fusion._combinations import WEIGHTED_FUSIONS
from skmm.fusion._losses import ALIGNMENT_LOSSES, Objective, Rows, cosine, row_losses
from skmm.fusion._network import FusionNetwork
from skmm.fusion._solvers import AdamW, Settings
from skmm.fusion._tasks import Task
from skmm.fusion._training import (
    Split,
    evaluate,
    held_out_loss,
    store_statistics,
    train,
)

FUSIONS = ["late", "weighted", "concat"]
TASKS = [Task("multiclass", slice(0, 3), slice(0, 1), 1.0)]


# What is recorded


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("alignment", ["contrastive", "cosine"])
def test_history_terms_times_weights_are_the_loss(data, small, fusion, alignment):
    model = small(
        fusion=fusion,
        modality_loss_weight={"text": 0.2, "image": 0.7},
        alignment=alignment,
        alignment_weight={("text", "image"): 0.5, ("image", "text"): 0.1},
    ).fit(*data)
    history = model.history_
    assert list(history) == [
        "loss",
        "fused",
        "modality__image",
        "modality__text",
        "alignment__image__text",
        "alignment__text__image",
    ]
    weights = [1, 0.7, 0.2, 0.1, 0.5]
    np.testing.assert_allclose(history["loss"], history.iloc[:, 1:] @ weights)
    assert model.loss_curve_ == history["loss"].tolist()
    assert model.n_iter_ == len(history) == 5
    assert (history.iloc[-1] < history.iloc[0]).sum() >= 4  # it learns


def test_terms_without_weight_are_left_out(data, small):
    history = small(modality_loss_weight={"text": 0, "image": 1.0}).fit(*data).history_
    assert list(history) == ["loss", "fused", "modality__image"]
    history = small(modality_loss_weight=0.0).fit(*data).history_
    assert list(history) == ["loss", "fused"]
    np.testing.assert_array_equal(history["loss"], history["fused"])


def test_first_terms_are_those_of_a_guess(data, small):
    # with tiny steps nothing is learned, and logits are near 0 as they start: about ln 3 a row
    model = small(fusion="weighted", max_iter=1, learning_rate_init=1e-9, dropout=0.0).fit(*data)
    assert model.history_["modality__text"][0] == pytest.approx(math.log(3), abs=0.3)
    assert model.history_["modality__image"][0] == pytest.approx(math.log(3), abs=0.3)


@pytest.mark.parametrize("alignment", ["cosine", "mse", "kl", "correlation"])
def test_alignment_brings_representations_together(data, small, alignment):
    parameters = {"max_iter": 30, "fusion": "weighted", "modality_weights": "uniform"}
    parameters["learning_rate_init"] = 0.02
    apart = small(**parameters).fit(*data)
    drawn = small(alignment=alignment, alignment_weight=2.0, **parameters)
    assert "alignment__image__text" not in apart.history_
    together = drawn.fit(*data).history_["alignment__image__text"]
    assert together.iloc[-1] < 0.6 * together.iloc[0]


def test_alignment_of_modalities_that_never_meet(data, small):
    X, y = data
    X = X.copy()
    X.loc[:74, X.columns.str.startswith("text")] = np.nan
    X.loc[75:, X.columns.str.startswith("image")] = np.nan
    for alignment in ALIGNMENT_LOSSES:
        model = small(alignment=alignment, alignment_weight=1.0).fit(X, y)
        np.testing.assert_array_equal(model.history_.filter(like="alignment"), 0)
        for parameter in model.network_.parameters():
            assert torch.isfinite(parameter).all()


@pytest.mark.parametrize(
    ("fusion", "alignment"),
    [
        *((fusion, "cosine") for fusion in ALL_FUSIONS),
        *(("weighted", name) for name in ALIGNMENT_LOSSES),
    ],
)
def test_training_with_missing_modalities_stays_finite(data, small, fusion, alignment):
    X, y = data
    X = X.copy()
    X.loc[:60, X.columns.str.startswith("text")] = np.nan
    X.loc[90:, X.columns.str.startswith("image")] = np.nan
    model = small(fusion=fusion, alignment=alignment, alignment_weight=1.0, modality_dropout=0.5)
    model.fit(X, y)
    assert np.isfinite(model.history_.to_numpy()).all()
    assert (model.history_.filter(like="alignment") > 0).all(axis=None)
    for parameter in model.network_.parameters():
        assert torch.isfinite(parameter).all()


# When it stops


def problem(fusion="late", **settings):
    """A network and what `train` takes, in tensors; the last quarter of the rows is held out."""
    X, y = make_multimodal_classification(
        400, n_features=(10, 10), n_classes=3, informativeness=(0.7, 0.4), random_state=0
    )
    rows = Rows(
        torch.tensor(X.to_numpy()),
        torch.ones(400, 2, dtype=torch.bool),
        torch.from_numpy(y)[:, None],
        torch.ones(400),
    )
    torch.manual_seed(0)
    network = FusionNetwork(
        [10, 10],
        [3],
        torch.tensor([0.5, 0.5]),
        fusion=fusion,
        hidden_layer_sizes=(32,),
        activation="relu",
        dropout=0.0,
        modality_heads=True,
    )
    given = {
        "solver": "adamw",
        "learning_rate_init": 0.02,
        "weight_decay": 0.0,
        "batch_size": 30,
        "max_iter": 100,
        "tol": 1e-4,
        "n_iter_no_change": 5,
        "modality_dropout": 0.0,
        "precision": "float32",
        "balance": None,
        "learn_weights": True,
        "calibrate": False,
        "verbose": False,
    }
    split = Split(
        torch.arange(300), [torch.arange(150), torch.arange(150, 300)], torch.arange(300, 400)
    )
    objective = Objective({0: 0.3, 1: 0.3}, {}, cosine, TASKS)
    return network, rows, split, objective, Settings(**{**given, **settings})


@pytest.mark.parametrize("fusion", FUSIONS)
def test_early_stopping_returns_to_the_best_epoch(fusion):
    network, rows, split, objective, settings = problem(fusion)
    history = train(network, rows, split, objective, settings)
    best = int(np.argmin(history.validation))
    assert len(history.terms) == len(history.validation) < 100
    assert len(history.validation) - 1 - best == 5  # n_iter_no_change
    restored = held_out_loss(network, rows, split.held_out, TASKS)
    assert history.validation[-1] > history.validation[best] + 0.01
    assert restored == pytest.approx(history.validation[best], abs=1e-5)


def test_held_out_rows_are_not_trained_on():
    network, rows, split, objective, settings = problem(max_iter=10)
    train(network, rows, split, objective, settings)
    other, rows, split, objective, settings = problem(max_iter=10)
    rows.x[300:] = rows.x[300:].flip(0)  # other rows for the same targets: stops elsewhere at most
    settings = settings._replace(n_iter_no_change=100)
    history = train(other, rows, split, objective, settings)
    network, rows, split, objective, _ = problem(max_iter=10)
    same = train(network, rows, split, objective, settings)
    assert history.terms == same.terms
    assert history.validation != same.validation


def test_early_stopping_of_the_estimator(data, small):
    model = small(early_stopping=True, max_iter=200, n_iter_no_change=5, learning_rate_init=0.05)
    model.fit(*data)
    losses = model.history_["validation_loss"]
    assert model.n_iter_ == len(model.loss_curve_) == len(losses) < 200
    assert len(losses) - 1 - losses.idxmin() >= 5
    assert "validation_loss" not in small().fit(*data).history_


def test_early_stopping_needs_rows_on_both_sides(data, small):
    X, y = data
    for fraction, n_held_out in [(0.001, 0), (0.9999, 150)]:
        model = small(early_stopping=True, validation_fraction=fraction)
        with pytest.raises(ValueError, match=rf"of 150 distinct rows is {n_held_out}; early_stopp"):
            model.fit(X, y)


def test_stops_when_the_training_loss_stalls(small):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)), rng.integers(0, 2, 200)
    model = small(modalities={"a": 2, "b": 2}, max_iter=500, n_iter_no_change=3, tol=0.01).fit(X, y)
    assert model.n_iter_ < 500
    assert model.n_iter_ == len(model.loss_curve_)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("fusion", ALL_FUSIONS)
def test_one_epoch(data, small, fusion, early_stopping):
    model = small(fusion=fusion, max_iter=1, early_stopping=early_stopping).fit(*data)
    assert model.n_iter_ == len(model.loss_curve_) == 1
    if fusion in WEIGHTED_FUSIONS:
        assert sum(model.modality_weights_.values()) == pytest.approx(1)


@pytest.mark.parametrize("fusion", FUSIONS)
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
    with pytest.raises(ValueError, match=r"Lower learning_rate_init \(it is 1e\+30\)"):
        small(learning_rate_init=1e30, max_iter=50).fit(*data)


# What it shows, and that it repeats


def test_verbose_shows_a_bar(data, small, capsys):
    small(verbose=True, fusion="weighted", modality_weights="uniform").fit(*data)
    assert "5/5" in capsys.readouterr().err
    small().fit(*data)
    assert capsys.readouterr().err == ""


def test_fits_are_identical_and_leave_generators_alone(data, small):
    X, y = data
    torch.manual_seed(7)
    np.random.seed(7)
    before, before_numpy = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    model = small(modality_dropout=0.3).fit(X, y)
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], before_numpy)
    torch.manual_seed(8)
    again = small(modality_dropout=0.3).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.modality_weights_ == model.modality_weights_
    assert again.loss_curve_ == model.loss_curve_
    other = small(random_state=1, modality_dropout=0.3).fit(X, y)
    assert (other.predict_proba(X) != model.predict_proba(X)).any()


def test_random_state_may_be_a_generator(data, small):
    X, y = data
    first = small(random_state=np.random.RandomState(3)).fit(X, y).predict_proba(X)
    again = small(random_state=np.random.RandomState(3)).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(first, again)


def test_predicting_changes_nothing(data, small):
    X, y = data
    model = small().fit(X, y)
    before = {name: value.clone() for name, value in model.network_.state_dict().items()}
    first = model.predict_proba(X)
    torch.manual_seed(3)
    alone = np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(alone, first, atol=1e-6)
    np.testing.assert_array_equal(model.predict_proba(X), first)
    for name, value in model.network_.state_dict().items():
        assert torch.equal(value, before[name])


# Where it computes


def test_devices(data, small):
    X, y = data
    for device in ("nope", "meta"):
        with pytest.raises(
            ValueError, match=rf"device='{device}' cannot be used.*\"cpu\" always can"
        ):
            small(device=device).fit(X, y)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device='cuda' cannot be used"):
            small(device="cuda").fit(X, y)
        auto, cpu = small().fit(X, y), small(device="cpu").fit(X, y)
        np.testing.assert_array_equal(auto.predict_proba(X), cpu.predict_proba(X))


def test_threads_do_not_share_random_numbers(data, small):
    X, y = data

    def predict(seed):
        return small(random_state=seed).fit(X, y).predict_proba(X)

    together = Parallel(n_jobs=3, backend="threading")(delayed(predict)(i) for i in range(4))
    for seed, proba in enumerate(together):
        np.testing.assert_array_equal(proba, predict(seed))


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
    network, rows, split, _, settings = problem(fusion)
    network = network.to("meta")  # tensors without values, which every machine has
    rows = Rows(*(tensor.to("meta") for tensor in rows))
    objective = Objective({0: 0.3}, {(0, 1): 0.5}, cosine, TASKS)
    fitting = split.fitting.to("meta")
    with NoFloat64():
        solver = AdamW(network.train(), rows, fitting, objective, settings)
        solver.optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)  # not fused on "meta"
        solver.step(rows)
        store_statistics(network, rows, fitting)
        parts, weights = evaluate(network, rows.x, rows.present)
        losses = row_losses(TASKS, network.logits(weights, parts), rows.target)
    assert losses.shape == (400, 1)


# Parts


def test_store_statistics_weighs_rows_and_skips_missing_modalities():
    network, rows, *_ = problem("weighted")
    rows = rows.take(torch.arange(4))
    rows.present[3, 1] = False
    rows = rows._replace(weight=torch.tensor([0.5, 1.5, 1.0, 1.0]))
    with torch.no_grad():
        values = network.eval().values(rows.x)[2].double().numpy()  # (n, m, q)
    store_statistics(network, rows, torch.arange(4))
    for i, weight in enumerate([np.array([0.5, 1.5, 1, 1]), np.array([0.5, 1.5, 1, 0])]):
        mean = np.average(values[:, i], axis=0, weights=weight)
        rms = np.sqrt(np.average((values[:, i] - mean) ** 2, axis=0, weights=weight).mean())
        np.testing.assert_allclose(network.normalizer.mean[i], mean, atol=1e-6)
        np.testing.assert_allclose(network.normalizer.rms[i], rms, rtol=1e-4)


def test_store_statistics_of_a_modality_without_spread():
    network, rows, *_ = problem("weighted")
    rows.present[:, 1] = False
    store_statistics(network, rows, torch.arange(20))
    assert network.normalizer.rms[1] == 1
    np.testing.assert_array_equal(network.normalizer.mean[1], 0)
    rows.present[7, 1] = True
    store_statistics(network, rows, torch.arange(20))
    assert network.normalizer.rms[1] == 1
    with torch.no_grad():
        parts, _ = evaluate(network, rows.x, rows.present)
    np.testing.assert_allclose(parts[7, 1], 0, atol=1e-5)
    assert parts[:, 1].abs().max() < 10
