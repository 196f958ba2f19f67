"""A fit that was killed, and goes on."""

import functools
import io
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch
from fresh_process import run
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV

from skmm._torch.checkpoint import Checkpoint

EPOCHS = {"max_iter": 4, "n_iter_no_change": 4}
PARAMETERS = {
    "gated": {**EPOCHS, "fusion": "gated"},
    "adamw": {**EPOCHS, "modality_dropout": 0.2, "early_stopping": True},
    "lbfgs": {**EPOCHS, "solver": "lbfgs", "dropout": 0.0, "tol": 0.0},
}


class KilledError(Exception):
    pass


def weights(model):
    return {name: value.clone() for name, value in model.network_.state_dict().items()}


def assert_same(model, other):
    assert weights(model).keys() == weights(other).keys()
    for name, value in weights(model).items():
        assert torch.equal(value, weights(other)[name]), name
    assert model.history_.equals(other.history_)
    assert model.modality_weights_ == other.modality_weights_


FIT = """
import sys, torch
torch.set_num_threads(1)
from skmm import MLP, AdamW, FusionClassifier
from skmm.datasets import make_multimodal_classification
X, y = make_multimodal_classification(
    150, n_features=(5, 4), n_classes=3, modality_names=("text", "image"), random_state=0
)
solver = AdamW(max_iter=40, n_iter_no_change=40)
FusionClassifier(
    modality_model=MLP((8,)),
    interaction=None,
    solver=solver,
    random_state=0,
    checkpoint=sys.argv[1],
).fit(X, y)
"""


LONG = {"max_iter": 40, "n_iter_no_change": 40, "batch_size": "auto"}  # as in `FIT`


@pytest.fixture(scope="module")
def whole(data, small):
    """The fit of `FIT`, not killed."""
    return small(**LONG).fit(*data)


@pytest.mark.parametrize("n_loop", [1, 3], ids=["cross-fitting", "final"])
def test_a_killed_fit_ends_with_the_same_weights(data, small, whole, tmp_path, n_loop):
    path = tmp_path / "fit.pt"
    command = [sys.executable, "-c", textwrap.dedent(FIT), str(path)]
    process, seen = subprocess.Popen(command, stdout=subprocess.PIPE), 0
    try:
        while process.poll() is None:
            written = path.stat().st_mtime_ns if path.exists() else 0
            if written != seen:
                seen = written
                found = torch.load(path, weights_only=True)  # replaced as a whole: never half of it
                if found.get("loop") == n_loop and len(found["state"]["terms"]) > 2:
                    break
            time.sleep(0.002)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    n_done = len(torch.load(path, weights_only=True)["state"]["terms"])
    assert 2 < n_done < (20 if n_loop == 1 else 40)
    resumed = small(**LONG, checkpoint=path).fit(*data)
    assert_same(resumed, whole)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def fit_whole(data, small):
    """A function that makes a fit of `PARAMETERS` that nothing stops, once."""
    return functools.cache(lambda kind: small(**PARAMETERS[kind]).fit(*data))


@pytest.mark.parametrize("n_epochs", [0, 1, 4, 5, 6, 8])
@pytest.mark.parametrize("kind", list(PARAMETERS))
@pytest.mark.filterwarnings("ignore:L-BFGS did not converge")
def test_a_fit_may_stop_after_any_epoch(
    data, small, fit_whole, tmp_path, monkeypatch, kind, n_epochs
):
    path, saves, replace = tmp_path / "fit.pt", [], os.replace

    def replace_or_stop(*args):
        if len(saves) == 1 + n_epochs:  # the first is written before training
            raise KilledError
        saves.append(1)
        replace(*args)

    parameters = PARAMETERS[kind]
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_or_stop)
        with pytest.raises(KilledError):
            small(**parameters, checkpoint=path).fit(*data)
    assert_same(small(**parameters, checkpoint=path).fit(*data), fit_whole(kind))
    assert not path.exists()


def stopped(small, data, path, monkeypatch, **parameters):
    """Leave a checkpoint of a fit that was stopped after an epoch."""
    saves, replace = [], os.replace

    def replace_and_stop(*args):
        replace(*args)
        saves.append(1)
        if len(saves) == 2:  # the first is written before training
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_and_stop)
        with pytest.raises(KilledError):
            small(checkpoint=path, **parameters).fit(*data)


def test_another_fit_is_an_error_and_loses_nothing(data, small, tmp_path, monkeypatch):
    X, y = data
    path = tmp_path / "fit.pt"
    stopped(small, data, path, monkeypatch)
    before = path.read_bytes()
    changed = X.copy()
    changed.iloc[3, 2] += 1e-6
    for fit, match in [
        (lambda: small(checkpoint=path, max_iter=6).fit(X, y), r"solver.*max_iter=5.*max_iter=6"),
        (lambda: small(checkpoint=path, random_state=1).fit(X, y), r"random_state.*\b0\b.*\b1\b"),
        (lambda: small(checkpoint=path, fusion="concat").fit(X, y), r"fusion.*Late.*Concat"),
        (lambda: small(checkpoint=path, dropout=0.1).fit(X, y), r"modality_model.*dropout=0\.1"),
        (lambda: small(checkpoint=path).fit(changed, y), r"checkpoint=.*fit\.pt' .*\bdata\b"),
        (
            lambda: small(checkpoint=path).fit(X, y, np.arange(150)),
            r"checkpoint=.*fit\.pt' .*\bdata\b",
        ),
        (lambda: small(checkpoint=path).fit(X, y[::-1]), r"checkpoint=.*fit\.pt' .*\bdata\b"),
        (
            lambda: small(checkpoint=path).fit(X, y, groups=np.arange(150) % 5),
            r"checkpoint=.*fit\.pt' .*\bdata\b",
        ),
    ]:
        with pytest.raises(ValueError, match=match):
            fit()
        assert torch.load(path, weights_only=True)["state"]["terms"]
        assert len(path.read_bytes()) == len(before)
    assert_same(small(checkpoint=path, verbose=True).fit(X, y), small().fit(X, y))


def test_no_random_state_is_the_one_that_was_drawn(data, small, tmp_path, monkeypatch):
    path = tmp_path / "fit.pt"
    stopped(small, data, path, monkeypatch, random_state=None)
    seed = torch.load(path, weights_only=True)["seed"]
    resumed = small(checkpoint=path, random_state=None).fit(*data)
    assert_same(resumed, small(random_state=seed).fit(*data))


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps({"format": 1}), "cut"])
def test_damaged_files(data, small, tmp_path, monkeypatch, content):
    path = tmp_path / "fit.pt"
    if content == "cut":
        stopped(small, data, path, monkeypatch)
        content = path.read_bytes()[:2000]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint=.*fit\.pt"):
        small(checkpoint=path).fit(*data)
    assert path.read_bytes() == content


def test_files_cut_or_altered_anywhere(tmp_path):
    path = tmp_path / "fit.pt"
    checkpoint = Checkpoint(path)
    checkpoint.identify({})
    checkpoint.save(0, {"network": {"weight": torch.arange(5000.0)}}, [])
    whole = path.read_bytes()
    assert Checkpoint(path).find(0)["network"]["weight"][4999] == 4999
    places = np.linspace(0, len(whole) - 1, 40).astype(int).tolist()
    contents = [whole[:end] for end in [*places, len(whole) - 16]]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        contents.append(bytes(flipped))
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint=.*fit\.pt"):
            Checkpoint(path)
        assert path.read_bytes() == content


FULL_DISK = """
import errno, re, resource, sys, torch
from skmm import MLP, AdamW, FusionClassifier
from skmm.datasets import make_multimodal_classification

torch.set_num_threads(1)

class Stream:
    def write(self, text):
        shown = re.search(r"(\\d+)/", text)
        if shown and int(shown[1]) >= 10:  # from here on, no file may be larger than 100 bytes
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))

    def flush(self):
        pass

X, y = make_multimodal_classification(
    150, n_features=(5, 4), n_classes=3, modality_names=("text", "image"), random_state=0
)
solver = AdamW(max_iter=40, n_iter_no_change=40, batch_size=50)
parameters = {"modality_model": MLP((8,)), "solver": solver, "random_state": 0, "interaction": None}
sys.stderr = Stream()
try:
    FusionClassifier(**parameters, checkpoint=sys.argv[1], verbose=True).fit(X, y)
except OSError as e:
    assert e.errno == errno.EFBIG
    print(e)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_leaves_the_last_state(data, small, tmp_path):
    long = {"max_iter": 40, "n_iter_no_change": 40}
    path = tmp_path / "fit.pt"
    message = run(FULL_DISK, path)
    assert str(path) in message
    assert "File too large" in message
    assert [file.name for file in tmp_path.iterdir()] == ["fit.pt"]
    assert torch.load(path, weights_only=True)["state"]["terms"]
    assert_same(small(**long, checkpoint=path).fit(*data), small(**long).fit(*data))


class CallingStream(io.StringIO):
    """Where a progress bar is drawn, and what happens meanwhile once it shows an epoch."""

    def __init__(self, epoch, call):
        super().__init__()
        self.epoch, self.call = epoch, call

    def write(self, text):
        shown = re.search(r"(\d+)/\d+", text)
        if shown and int(shown[1]) >= self.epoch and self.call is not None:
            call, self.call = self.call, None
            call()
        return super().write(text)


def test_another_fit_at_the_same_time_loses_nothing(data, small, tmp_path, monkeypatch):
    X, y = data
    path, errors = tmp_path / "fit.pt", []

    def fit_other():
        with pytest.raises(ValueError, match=r"checkpoint=.*fit\.pt.*search") as caught:
            small(checkpoint=path).fit(X, y[::-1])
        errors.append(caught)

    monkeypatch.setattr(sys, "stderr", CallingStream(2, fit_other))
    model = small(checkpoint=path, verbose=True).fit(X, y)
    assert errors
    assert_same(model, small().fit(X, y))
    assert not path.exists()


def test_a_fit_whose_file_was_taken_is_an_error(data, small, tmp_path, monkeypatch):
    path = tmp_path / "fit.pt"

    def take():
        path.unlink()
        Checkpoint(path)

    monkeypatch.setattr(sys, "stderr", CallingStream(2, take))
    with pytest.raises(ValueError, match=r"checkpoint=.*fit\.pt.*another fit"):
        small(checkpoint=path, verbose=True).fit(*data)
    assert torch.load(path, weights_only=True) == {}


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more")
def test_search(data, small, tmp_path, n_jobs):
    X, y = data
    grid = {"modality_dropout": [0.0, 0.3]}
    expected = GridSearchCV(small(max_iter=2), grid, cv=2).fit(X, y).cv_results_
    search = GridSearchCV(
        small(max_iter=2, checkpoint=tmp_path / "fit.pt"), grid, cv=2, n_jobs=n_jobs, refit=False
    )
    with parallel_config("threading"):
        try:
            found = search.fit(X, y).cv_results_
        except ValueError as e:  # of scikit-learn, if every fit has failed
            assert n_jobs == 2
            assert "checkpoint=" in str(e)  # noqa: PT017
            return
    for split in ("split0_test_score", "split1_test_score"):
        failed = np.isnan(found[split])
        assert n_jobs == 2 or not failed.any()
        np.testing.assert_array_equal(found[split][~failed], expected[split][~failed])
    if n_jobs == 1:
        assert not list(tmp_path.iterdir())


def test_fits_in_threads_that_share_a_path_are_told(tmp_path):
    """Each removes what it takes for the unfinished file of a process that was killed."""
    path, told = tmp_path / "fit", []

    def write_again():
        for _ in range(200):
            try:
                Checkpoint(path)
            except (OSError, ValueError) as e:
                told.append(e)

    threads = [threading.Thread(target=write_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(re.search("another fit in the meantime", str(e)) for e in told), told[:3]


def test_what_killed_processes_have_left_is_removed(tmp_path):
    kept = [tmp_path / ".other.pt.12-34.tmp", tmp_path / ".fit.pt.2.12-34.tmp"]
    for file in [tmp_path / ".fit.pt.12-34.tmp", *kept]:
        file.write_bytes(b"half")
    Checkpoint(tmp_path / "fit.pt").remove()
    assert sorted(tmp_path.iterdir()) == sorted(kept)


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize("content", [{"format": 1}, {"format": 99, "loop": 0}])
def test_files_of_another_version(data, small, tmp_path, content):
    path = tmp_path / "fit.pt"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"checkpoint=.*fit\.pt.*version"):
        small(checkpoint=path).fit(*data)
    assert torch.load(path, weights_only=True) == content


def test_loading_runs_no_code(data, small, tmp_path, capsys):
    path = tmp_path / "fit.pt"
    torch.save({"format": Evil()}, path)
    with pytest.raises(ValueError, match=r"checkpoint=.*fit\.pt"):
        small(checkpoint=path).fit(*data)
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("nameless", ["", "."])
def test_a_path_without_a_name_is_found_before_training(data, small, nameless):
    with pytest.raises(OSError, match="checkpoint="):
        small(checkpoint=nameless).fit(*data)


@pytest.mark.parametrize("place", ["no/such/folder/fit.pt", "."])
def test_unwritable_path_is_found_before_training(data, small, tmp_path, place):
    with pytest.raises(OSError, match="checkpoint="):
        small(checkpoint=tmp_path / place).fit(*data)
