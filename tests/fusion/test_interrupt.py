"""Ctrl-C during a fit: a theme, not a module."""

import io
import math
import re
import sys
import threading

import numpy as np
import pytest
from tqdm.auto import tqdm


class InterruptingStream(io.StringIO):
    """Where the progress bar is drawn, and a user who presses Ctrl-C once it shows an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def write(self, text):
        shown = re.search(r"(\d+)/\d+", text)
        if shown and int(shown[1]) >= self.epoch:
            self.epoch = math.inf
            raise KeyboardInterrupt
        return super().write(text)


@pytest.fixture
def interrupt(monkeypatch):
    """A function that sets the epoch in which to press Ctrl-C."""
    lock = tqdm.get_lock()
    tqdm.set_lock(threading.RLock())  # the interrupt comes while the bar holds it

    def at(epoch):
        monkeypatch.setattr(sys, "stderr", InterruptingStream(epoch))

    yield at
    tqdm.set_lock(lock)


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


def test_interrupt_before_the_network_itself_is_trained(data, small, interrupt):
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        small(**LONG).fit(*data)
