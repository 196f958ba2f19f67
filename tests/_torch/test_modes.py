"""Nothing that is switched in torch changes what estimators learn, predict or encode."""

import pickle
import threading

import numpy as np
import pytest
import torch
from minilm import MINILM, TEXTS
from nested_settings import FUSIONS, nest
from sklearn.ensemble import HistGradientBoostingClassifier
from switched_torch import SWITCHES, switched

from skmm import FusionClassifier, FusionRegressor
from skmm._torch.modes import model_modes
from skmm.alignment import CrossModalAligner
from skmm.fusion import Late

SMALL = {"hidden_layer_sizes": (4,), "random_state": 0}
SHORT = {**SMALL, "max_iter": 2, "batch_size": 50}
ESTIMATORS = {
    **{fusion: (FusionClassifier, {"fusion": fusion, **SHORT}) for fusion in FUSIONS},
    "members": (FusionClassifier, {**SHORT, "n_members": 2, "precision": "bfloat16"}),
    "weights of classes": (FusionClassifier, {**SHORT, "fusion": Late(per_class=True)}),
    "alignment": (FusionClassifier, {**SHORT, "alignment": "contrastive", "alignment_weight": 0.1}),
    "dropped modalities": (FusionClassifier, {**SHORT, "modality_dropout": 0.2}),
    "calibration": (FusionClassifier, {**SHORT, "calibrate": "temperature"}),
    "lbfgs": (FusionClassifier, {**SMALL, "solver": "lbfgs", "dropout": 0.0, "max_iter": 3}),
    "interaction": (
        FusionClassifier,
        {**SHORT, "interaction": HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5)},
    ),
    "regressor": (FusionRegressor, {**SHORT, "early_stopping": True}),
    **{
        alignment: (CrossModalAligner, {"alignment": alignment, "n_components": 3, **SHORT})
        for alignment in ("contrastive", "correlation")
    },
    "cca": (CrossModalAligner, {"alignment": "cca", "n_components": 3}),
}


@pytest.fixture(scope="module")
def incomplete(data):
    X, y = data
    X = X.iloc[:60].copy()
    X.iloc[:20, :5] = np.nan
    return X, y[:60]


@pytest.fixture(scope="module")
def fitted(incomplete):
    """A function from the name of an estimator to what it computes when nothing is switched."""
    found = {}

    def compute(name):
        if name not in found:
            found[name] = fit_and_run(name, *incomplete)
        return found[name]

    return compute


def fit_and_run(name, X, y):
    cls, parameters = ESTIMATORS[name]
    model = nest(cls, **parameters).fit(X, y)
    model = pickle.loads(pickle.dumps(model))
    run = model.predict_proba if cls is FusionClassifier else model.transform
    return run(X)


@pytest.mark.parametrize(
    ("name", "switch"),
    [
        (name, switch)
        for name in ESTIMATORS
        for switch in SWITCHES
        if name == "gated" or switch in ("float64", "meta", "inference_mode", "autocast")
    ],
)
@pytest.mark.filterwarnings("ignore:L-BFGS did not converge")
def test_fit_and_predict(name, switch, incomplete, fitted):
    expected = fitted(name)
    with switched(switch):
        np.testing.assert_array_equal(fit_and_run(name, *incomplete), expected)


@pytest.mark.parametrize("switch", SWITCHES)
def test_stream(switch, incomplete):
    X, y = incomplete

    def stream(model):
        for start in range(0, 60, 20):
            rows = slice(start, start + 20)
            model.partial_fit(X.iloc[rows], y[rows], classes=[0, 1, 2])
        return model.predict_proba(X)

    expected = stream(nest(FusionClassifier, **SMALL))
    with switched(switch):
        np.testing.assert_array_equal(stream(nest(FusionClassifier, **SMALL)), expected)


@pytest.mark.parametrize("switch", SWITCHES)
def test_training_goes_on_from_what_was_loaded(switch, incomplete):
    X, y = incomplete
    model = nest(FusionClassifier, **SHORT, warm_start=True).fit(X, y)
    content, expected = pickle.dumps(model), model.fit(X, y).predict_proba(X)
    with switched(switch):
        loaded = pickle.loads(content)
    np.testing.assert_array_equal(loaded.fit(X, y).predict_proba(X), expected)


def make_module():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5))


def to_tensor(picture):
    values = torch.tensor(np.asarray(picture.resize((8, 8))).tolist())
    return values / 255 + torch.zeros(3)  # of torch's default type


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("kind", ["text", "clip", "timm", "module"])
def test_encoders(kind, switch, save_clip, save_timm, tmp_path):
    from skmm.encoding import TorchEncoder
    from skmm.image import ImageEncoder
    from skmm.text import TextEncoder

    images = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)

    def prepare(copy):  # each copy of a model is loaded anew
        folder = tmp_path / copy
        if kind == "text":
            folder.symlink_to(MINILM)
            return TextEncoder(folder, cache=None), TEXTS
        if kind == "module":
            options = {"preprocess": to_tensor, "modality": "image", "cache": None}
            return TorchEncoder(lambda: make_module(), **options), images
        save = save_clip if kind == "clip" else save_timm
        return ImageEncoder(save(folder)[0], cache=None), images

    encoder, items = prepare("first")
    expected = encoder.fit_transform(items)
    encoder, items = prepare("second")
    with switched(switch):
        vectors = encoder.fit_transform(items)
    # With any default device torch leaves out its fast path of attention, which rounds otherwise.
    atol = 1e-6 if switch in ("meta", "cpu") else 0
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=atol)


def test_default_of_the_process_comes_back_when_the_last_thread_has_ended():
    entered, leave = threading.Event(), threading.Event()

    def load():
        with model_modes():
            entered.set()
            leave.wait(10)

    with switched("float64"):
        thread = threading.Thread(target=load)
        thread.start()
        entered.wait(10)
        with model_modes():
            leave.set()
            thread.join()
            assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_dtype() == torch.float64
