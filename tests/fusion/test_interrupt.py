"""Ctrl-C during a fit: a theme, not a module."""

import pickle

import numpy as np
import pytest

LONG = {"verbose": True, "max_iter": 100_000, "n_iter_no_change": 100_000}
NOT_CROSS_FITTED = {"fusion": "weighted", "modality_weights": "uniform"}


def test_interrupt_keeps_what_was_learned(data, small, interrupt):
    interrupt(30)
    with pytest.warns(UserWarning, match=r"interrupted.*\b100000\b"):
        model = small(**LONG, **NOT_CROSS_FITTED, batch_size="auto").fit(*data)
    assert 30 <= model.n_iter_ == len(model.history_) < 100_000
    assert model.score(*data) > 0.6


def test_interrupted_early_stopping_returns_to_the_best_epoch(data, small, interrupt):
    X, y = data
    interrupt(300)
    long = {"verbose": True, "max_iter": 2_000, "n_iter_no_change": 2_000, "dropout": 0.0}
    model = small(
        early_stopping=True, learning_rate_init=0.02, weight_decay=0.0, **long, **NOT_CROSS_FITTED
    )
    with pytest.warns(UserWarning, match=r"interrupted.*\b2000\b"):
        model.fit(X, y)
    history = model.history_
    assert 300 <= len(history) == model.n_iter_ < 2_000
    # by then the network knows its rows better, but the best epoch came long before
    assert history["validation_loss"].idxmin() < 200
    log_proba = model.predict_log_proba(X)
    assert -log_proba[np.arange(len(y)), y].mean() > history["fused"].iloc[-1] + 0.1


FOLDS = {"verbose": True, "max_iter": 300, "n_iter_no_change": 300}  # three times 60 epochs


@pytest.mark.parametrize("parameters", [{}, {"n_members": 2}, {"fusion": "gated"}])
@pytest.mark.parametrize(("epoch", "n_folds"), [(20, 1), (70, 1), (130, 2)])
def test_interrupt_while_folds_are_trained(data, small, interrupt, parameters, epoch, n_folds):
    X, y = data
    interrupt(epoch)
    with pytest.warns(UserWarning, match=rf"interrupted when {n_folds} of 3 folds"):
        model = small(**FOLDS, **parameters).fit(X, y)
    assert model.n_iter_ == len(model.history_)
    assert 20 <= model.n_iter_ <= 60
    assert (model.n_iter_ == 60) == (epoch > 60)
    assert model.score(X, y) > 0.6
    assert sum(model.modality_weights_.values()) == pytest.approx(1)
    assert model.modality_weights_ != dict.fromkeys(model.modality_weights_, 0.5)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_interrupted_folds_go_on_from_a_checkpoint(data, small, interrupt, tmp_path, monkeypatch):
    X, y = data
    long = {**FOLDS, "verbose": False}
    whole = small(**long).fit(X, y).predict_proba(X)
    path = tmp_path / "fit.pt"
    for epoch in (20, 70):
        interrupt(epoch)
        with pytest.warns(UserWarning, match="interrupted"):
            small(**FOLDS, checkpoint=path).fit(X, y)
    monkeypatch.undo()
    np.testing.assert_array_equal(small(**long, checkpoint=path).fit(X, y).predict_proba(X), whole)


def test_interrupt_before_the_first_epoch(data, small, interrupt):
    interrupt(0)
    with pytest.raises(KeyboardInterrupt):
        small(**LONG).fit(*data)
