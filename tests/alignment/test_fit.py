"""How the maps are trained: what determines them, and when training ends."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skmm import MLP, AdamW
from skmm.alignment import CrossModalAligner


def test_training_starts_from_canonical_correlations(frame):
    start = CrossModalAligner("cca").fit(frame)
    solver = AdamW(1e-12, weight_decay=0.0, max_iter=1)
    for model in ("linear", MLP(8)):
        unmoved = CrossModalAligner(modality_model=model, solver=solver).fit(frame)
        np.testing.assert_allclose(unmoved.transform(frame), start.transform(frame), atol=1e-5)
        np.testing.assert_array_equal(unmoved.correlations_, start.correlations_)


def test_canonical_correlations_have_no_hidden_layers(frame):
    plain = CrossModalAligner("cca").fit(frame)
    deep = CrossModalAligner("cca", modality_model=MLP(8)).fit(frame)
    np.testing.assert_array_equal(plain.embeddings_, deep.embeddings_)


@pytest.mark.parametrize("alignment", ["contrastive", "cca"])
def test_fits_are_identical_and_leave_torch_alone(frame, alignment):
    aligner = CrossModalAligner(alignment, solver=AdamW(max_iter=2), random_state=0)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = clone(aligner).fit(frame)
    assert torch.equal(torch.random.get_rng_state(), before)
    again = clone(aligner).fit(frame)
    np.testing.assert_array_equal(first.embeddings_, again.embeddings_)
    other = clone(aligner).set_params(random_state=1).fit(frame)
    assert np.array_equal(first.embeddings_, other.embeddings_) == (alignment == "cca")


def test_fits_in_two_threads_are_those_of_one(frame):
    aligners = [
        CrossModalAligner(
            init="random",
            n_components=8,
            modality_model=MLP(16),
            solver=AdamW(0.01, batch_size=60, max_iter=6, early_stopping=True),
            random_state=seed,
        )
        for seed in range(4)
    ]
    expected = [clone(aligner).fit(frame).embeddings_ for aligner in aligners]
    with ThreadPoolExecutor(2) as pool:
        fitted = list(pool.map(lambda aligner: aligner.fit(frame), aligners))
    for aligner, embeddings in zip(fitted, expected, strict=True):
        np.testing.assert_array_equal(aligner.embeddings_, embeddings)


def test_early_stopping(frame, quick):
    aligner = quick(init="random", n_components=4).set_params(
        solver=AdamW(0.05, max_iter=300, early_stopping=True, n_iter_no_change=3)
    )
    losses = aligner.fit(frame).history_["validation_loss"]
    assert aligner.n_iter_ < 300
    assert losses.idxmin() <= len(losses) - 3
    with pytest.raises(ValueError, match=r"validation_fraction=0\.1 .*\b8\b"):
        clone(aligner).fit(frame[:8])


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_temperature_is_learned_unless_it_is_given(frame, quick, temperature):
    aligner = quick(temperature=temperature).fit(frame)
    if temperature is None:
        assert 0 < aligner.temperature_ != pytest.approx(0.07, rel=1e-3)
    else:
        assert aligner.temperature_ == pytest.approx(0.5)


def test_interrupted_training_keeps_what_it_has(frame, quick, monkeypatch):
    step, calls = torch.optim.AdamW.step, []

    def press(*arguments, **options):
        calls.append(1)
        if len(calls) == 11:  # in the third epoch of four batches
            raise KeyboardInterrupt
        return step(*arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", press)
    aligner = quick(solver__batch_size=40)
    with pytest.warns(UserWarning, match=r"\b2 of 15\b"):
        aligner.fit(frame[:160])
    assert aligner.n_iter_ == len(aligner.history_) == 2
    calls[:] = [1] * 10
    with pytest.raises(KeyboardInterrupt):
        clone(aligner).fit(frame[:160])


def test_rows_that_take_much_memory_are_scaled_when_they_are_needed(frame, quick, monkeypatch):
    expected = quick("correlation").fit(frame)
    monkeypatch.setattr("skmm._data.scaling.KEPT_BYTES", 100)
    np.testing.assert_array_equal(quick("correlation").fit(frame).embeddings_, expected.embeddings_)
