"""Learning on a Ray cluster."""

import os
import pickle
import signal
import threading

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from skmm import MLP, AdamW, FusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.distributed import fit
from skmm.distributed._training import (
    _check_same,
    _find_cause,
    _make_portable,
    _sort_labels,
    _with_new_name,
)

ray = pytest.importorskip("ray", reason="needs pip install 'skmm[ray]'")

# Ray 2.60 warns of itself: it copies a context with parameters that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")


def test_errors_of_workers_can_be_sent():
    class TwoArgumentsError(Exception):
        def __init__(self, first, second):
            super().__init__(f"{first} and {second}")

    class LockedError(Exception):
        def __init__(self):
            super().__init__("is locked")
            self.held = threading.Lock()

    error = ValueError("y has a label")
    assert _make_portable(error) is error
    for lost, text in [(TwoArgumentsError(1, 2), "1 and 2"), (LockedError(), "is locked")]:
        portable = _make_portable(lost)
        assert f"{type(lost).__name__}: {text}" in str(pickle.loads(pickle.dumps(portable)))


def test_rows_without_a_label():
    assert _sort_labels(["b", "a"], "label").tolist() == ["a", "b"]
    for labels in (["a", None], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="'label'"):
            _sort_labels(labels, "label")


def test_a_run_config_that_is_used_twice_gives_two_runs(tmp_path):
    from ray.train import RunConfig

    config = RunConfig(storage_path=str(tmp_path))
    runs = [_with_new_name(config) for _ in range(2)]
    assert len({config.name, *(run.name for run in runs)}) == 3
    assert {run.storage_path for run in runs} == {config.storage_path}
    assert _with_new_name(RunConfig(name="mine")).name == "mine"


def test_a_run_is_not_continued_by_another():
    _check_same({"label": "1", "classes": "2"}, {"label": "1", "classes": "2"})
    with pytest.raises(ValueError, match=r"\blabel\b.*\bclasses\b"):
        _check_same({"label": "1", "classes": "2"}, {"label": "3", "classes": "4"})


def test_cause_is_what_a_worker_raised_first():
    from ray.train import ControllerError, TrainingFailedError, WorkerGroupError

    error, follower = ValueError("y has a label"), RuntimeError("Connection closed by peer")
    assert _find_cause(WorkerGroupError("failed", {1: error, 0: follower})) is error
    assert _find_cause(WorkerGroupError("failed", {1: follower})) is follower
    assert _find_cause(ControllerError(error)) is error
    assert _find_cause(TrainingFailedError("failed")) is None


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_workers_fit_what_one_process_does_though_one_is_killed(cluster, tmp_path):
    from ray.train import FailureConfig, RunConfig, ScalingConfig

    X, y = make_multimodal_classification(60, informativeness=(0.9, 0.4), random_state=0)
    mark = tmp_path / "killed"

    class KilledOnce(FusionClassifier):
        def partial_fit(self, X, y, classes=None, sample_weight=None):
            if len(getattr(self, "loss_curve_", ())) == 1 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().partial_fit(X, y, classes, sample_weight)

    options = {
        "modality_model": MLP(8, dropout=0.0),
        "alignment": "contrastive",
        "alignment_weight": 0.1,
        "solver": AdamW(batch_size=60),
        "random_state": 0,
    }
    dataset = ray.data.from_pandas(X.assign(label=y))
    fitted = fit(
        KilledOnce(**options),
        dataset,
        "label",
        n_epochs=3,
        batch_size=60,
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(
            storage_path=str(tmp_path / "runs"), failure_config=FailureConfig(max_failures=1)
        ),
    )
    assert mark.exists()
    model = FusionClassifier(**options)
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1])
    assert fitted.n_iter_ == 3
    np.testing.assert_allclose(fitted.predict_proba(X), model.predict_proba(X), atol=1e-4)
    with pytest.raises(ValueError, match="'class'"):
        fit(model, dataset, "class")
    with pytest.raises(ValueError, match="n_epochs=0"):
        fit(model, dataset, "label", n_epochs=0)
    with pytest.raises(TypeError, match="GridSearchCV"):
        fit(GridSearchCV(model, {}), dataset, "label")


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_error_of_a_worker_is_the_cause(cluster, tmp_path):
    from ray.train import RunConfig, TrainingFailedError

    X, y = make_multimodal_classification(20, random_state=0)
    dataset = ray.data.from_pandas(X.assign(label=y))
    with pytest.raises(TrainingFailedError) as caught:
        fit(
            FusionClassifier(modality_model=MLP(4)),
            dataset,
            "label",
            classes=[0, 2],
            run_config=RunConfig(storage_path=str(tmp_path / "runs")),
        )
    assert isinstance(caught.value.__cause__, ValueError)
    assert "label 1" in str(caught.value.__cause__)
