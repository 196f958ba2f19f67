"""What every test relies on: one thread per process, no window, small data, tiny models."""

import json
import os
import sys
import threading
from pathlib import Path

import pytest

# Before numpy and torch load, and inherited by joblib's processes: with two test processes on
# two cores, more threads only wait for each other.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import torch  # noqa: E402 (reads the variables above)
from interrupts import InterruptingStream  # noqa: E402
from nested_settings import nest  # noqa: E402

torch.set_num_threads(1)

_REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items):
    """Start slow tests first where several processes share them, so that none ends alone."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def shared_data():
    """Return a function that maps a path inside the shared data to a path, or skips the test.

    The folder is $SKMM_SHARED_DATA, or ../shared/data beside the repository.
    """
    folder = Path(os.environ.get("SKMM_SHARED_DATA", _REPOSITORY.parent / "shared" / "data"))

    def locate(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"no shared data at {path} (set SKMM_SHARED_DATA)")
        return path

    return locate


@pytest.fixture(scope="session")
def data():
    """150 rows of "text" (5 columns) and "image" (4), and three classes, not to be changed."""
    from skmm.datasets import make_multimodal_classification

    return make_multimodal_classification(
        150, n_features=(5, 4), n_classes=3, modality_names=("text", "image"), random_state=0
    )


@pytest.fixture(scope="session")
def small():
    """A function that makes a classifier with 8 hidden units and 5 epochs of few batches.

    Parameters of `MLP` and of the solver are named as if they were the classifier's own:
    ``small(max_iter=20, dropout=0.1, solver="lbfgs")``.
    """

    from skmm import FusionClassifier

    def make(**parameters):
        defaults = {"random_state": 0}
        if "modality_model" not in parameters:
            defaults["hidden_layer_sizes"] = (8,)
        if parameters.get("solver", "adamw") in ("adamw", "lbfgs"):
            defaults["max_iter"] = 5
        if parameters.get("solver", "adamw") == "adamw":
            defaults["batch_size"] = 50  # a third of the steps that "auto" takes
        return nest(FusionClassifier, **{**defaults, **parameters})

    return make


CLIP_CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1},
}


@pytest.fixture(scope="session")
def save_clip():
    """Return a function that saves a tiny model as open_clip does, and returns folder and model."""
    from skmm.encoding.engine import patch_torchvision

    patch_torchvision()
    import open_clip

    def save(folder, *, seed=0, **preprocessing):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = open_clip.CLIP(**CLIP_CONFIG).eval()
        config = {"model_cfg": CLIP_CONFIG, "preprocess_cfg": preprocessing}
        Path(folder).mkdir(exist_ok=True)
        Path(folder, "open_clip_config.json").write_text(json.dumps(config))
        torch.save(model.state_dict(), Path(folder, "open_clip_pytorch_model.bin"))
        return str(folder), model

    return save


@pytest.fixture(scope="session")
def save_timm():
    """Return a function that saves a tiny model as timm does, and returns folder and model."""
    from skmm.encoding.engine import patch_torchvision

    patch_torchvision()
    import timm

    def save(folder):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = timm.create_model("test_vit.r160_in1k", pretrained=False).eval()
        timm.models.save_for_hf(model, folder)
        return str(folder), model

    return save


@pytest.fixture
def interrupt(monkeypatch):
    """A function that sets the epoch in which to press Ctrl-C."""
    from skmm._progress import tqdm

    lock = tqdm.get_lock()
    tqdm.set_lock(threading.RLock())  # the interrupt comes while the bar holds it

    def at(epoch):
        monkeypatch.setattr(sys, "stderr", InterruptingStream(epoch))

    yield at
    tqdm.set_lock(lock)
