"""Tuning of a model: folds, checkpoints and interrupts."""

import numpy as np
import pytest
from tiny_text_encoders import draw_texts, save_encoder_model

from skmm.encoding import LoRA
from skmm.encoding._targets import read_targets
from skmm.encoding._tuning import TuningProblem, split_rows
from skmm.encoding.engine import patch_torchvision
from skmm.text import TextEncoder

patch_torchvision()
from sentence_transformers import SentenceTransformer  # noqa: E402

TEXTS, Y = draw_texts(30)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_encoder_model(tmp_path_factory.mktemp("tiny"))
    loaded = SentenceTransformer(folder, device="cpu")
    # From here on lower layers do not run, so that all fits have as many runs of the last one.
    TextEncoder(loaded, finetune=LoRA(n_layers=2, max_iter=1)).fit(TEXTS, Y)
    return loaded


class InterruptingHook:
    """Counts the runs of a layer, and presses Ctrl-C in one of them."""

    def __init__(self, at):
        self.n_runs, self.at = 0, at

    def __call__(self, layer, inputs):
        self.n_runs += 1
        if self.n_runs == self.at:
            raise KeyboardInterrupt

    def __deepcopy__(self, memo):
        return self  # that of the model and those of its copies count together


def fit(model, at, **options):
    """Fit with an interrupt at a run of the last layer; the encoder has the number of runs."""
    hook = InterruptingHook(at)
    settings = LoRA(4, n_layers=2, max_iter=4, n_iter_no_change=9, random_state=0, **options)
    encoder = TextEncoder(model, finetune=settings)
    handle = model[0].auto_model.encoder.layer[-1].register_forward_pre_hook(hook)
    try:
        encoder.fit(TEXTS, Y)
    finally:
        handle.remove()
        encoder.n_runs = hook.n_runs
    return encoder


def test_fit_goes_on_from_a_checkpoint(model, tmp_path):
    whole = fit(model, 0)
    n_fold = whole.n_runs // 3  # runs of one fold, or nearly
    path = tmp_path / "checkpoint"
    for at in (2 * n_fold - 3, n_fold // 2):
        with pytest.raises(KeyboardInterrupt):
            fit(model, at, checkpoint=path)
        assert path.exists()
    last = fit(model, 0, checkpoint=path)
    assert not path.exists()
    assert last.n_runs <= whole.n_runs - 1.5 * n_fold
    np.testing.assert_allclose(last.transform(TEXTS), whole.transform(TEXTS), atol=1e-5)
    assert last.history_.equals(whole.history_)


def test_checkpoint_of_another_fit_is_an_error(model, tmp_path):
    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        fit(model, 20, checkpoint=path)
    with pytest.raises(ValueError, match=r"belongs to a fit with other finetune"):
        fit(model, 0, checkpoint=path, alpha=3.0)


def test_interrupt_in_the_last_fold_keeps_what_was_learned(model, tmp_path):
    whole, path = fit(model, 0), tmp_path / "checkpoint"
    # The last runs of all compute the features of the last fold, and those before are an epoch.
    with pytest.warns(UserWarning, match=r"interrupted after 3 of 4 epochs"):
        encoder = fit(model, whole.n_runs - 2, checkpoint=path)
    assert len(encoder.history_) == len(whole.history_) - 1
    assert np.isfinite(encoder.transform(TEXTS)).all()
    again = fit(model, 0, checkpoint=path)
    assert not path.exists()
    np.testing.assert_allclose(again.transform(TEXTS), whole.transform(TEXTS), atol=1e-5)


def test_training_diverges(model):
    with pytest.raises(ValueError, match="learning_rate_init"):
        fit(model, 0, learning_rate_init=1e30)


def make_problem(y, groups=None):
    n = len(y)
    weight = np.ones(n)
    return TuningProblem(None, np.arange(n), read_targets(y, n, 5), weight, groups)


@pytest.mark.parametrize("n_rows", [2, 3, 10, 101])
def test_folds_are_a_partition(n_rows):
    y = np.arange(n_rows) % 2
    folds = split_rows(make_problem(y), LoRA(), np.random.RandomState(0))
    assert len(folds) == min(n_rows, 3)
    assert sorted(np.concatenate([fold.unseen for fold in folds])) == [*range(n_rows)]
    for fold in folds:
        everything = np.concatenate(fold)
        assert sorted(everything) == [*range(n_rows)]
        assert len(fold.fitting) > 0
        if n_rows == 101:
            assert len(fold.held_out) in (6, 7)
            assert abs(y[fold.unseen].mean() - 0.5) < 0.05


def test_groups_stay_together():
    groups = np.repeat(np.arange(12), 5)
    y = np.tile([0, 1, 1, 0, 1], 12)
    for fold in split_rows(make_problem(y, groups), LoRA(), np.random.RandomState(0)):
        parts = [{*groups[rows]} for rows in fold]
        assert all(parts)
        assert sum(map(len, parts)) == 12
