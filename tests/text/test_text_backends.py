"""The backends onnx and openvino; what needs their packages is skipped where they are not."""

import copy
import pickle
import shutil
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from fresh_process import run
from minilm import MINILM, TEXTS, encode

from skmm.encoding import EmbeddingCache
from skmm.encoding.engine import patch_torchvision
from skmm.text import TextEncoder

BACKENDS = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}  # and the file that each runs
MODEL_OPTIONS = {
    "onnx": {},
    "openvino": {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}, "load_in_8bit": False},
}
REVISION = "0" * 40


@cache
def can_run(backend):
    patch_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the model is exported
        try:
            TextEncoder(MINILM, backend=backend, cache=None).fit(TEXTS)
        except ImportError:
            return False
    return True


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    if not can_run(request.param):
        pytest.skip(f"needs sentence-transformers[{request.param}]")
    return request.param


@pytest.fixture(scope="module")
def exported(backend, tmp_path_factory):
    """Return a folder that holds the model as the backend runs it."""
    from sentence_transformers import SentenceTransformer

    folder = str(tmp_path_factory.mktemp("exported") / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        SentenceTransformer(MINILM, device="cpu", backend=backend).save_pretrained(folder)
    return folder


# Without the packages


@pytest.mark.parametrize("backend", BACKENDS)
def test_packages_that_are_not_installed(backend):
    if can_run(backend):
        pytest.skip("they are installed")
    match = (
        rf"TextEncoder .*backend='{backend}' .*optimum.* {backend}.*pip install "
        rf"'sentence-transformers\[{backend}\]'"
    )
    with pytest.raises(ImportError, match=match):
        TextEncoder(MINILM, backend=backend).fit(TEXTS)


@pytest.mark.parametrize("backend", BACKENDS)
def test_precision_is_not_ignored(backend):
    with pytest.raises(ValueError, match=rf"precision='bfloat16' .*backend='{backend}'"):
        TextEncoder(MINILM, backend=backend, precision="bfloat16").fit(TEXTS)


def test_loaded_model_whose_weights_cannot_be_seen(reference):
    """Two such models would have one digest, and get each other's vectors from the cache."""
    model = copy.deepcopy(reference)
    model.backend = "onnx"
    with pytest.raises(ValueError, match=r"^model .*SentenceTransformer .*backend='onnx'"):
        TextEncoder(model).fit(TEXTS)


# With them


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prompt": "query: ", "normalize": True},
        {"truncate_dim": 5},
        {"max_seq_length": 4},
        {"batch_size": 1},
    ],
    ids=str,
)
def test_vectors_are_those_of_torch(exported, backend, options):
    vectors = encode(model=exported, backend=backend, **options)
    np.testing.assert_allclose(vectors, encode(**options), atol=1e-5)


def test_vectors_are_those_of_sentence_transformers(exported, backend):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        exported,
        device="cpu",
        backend=backend,
        model_kwargs=copy.deepcopy(MODEL_OPTIONS[backend]),
    )
    encoder = TextEncoder(exported, backend=backend, cache=None).fit(TEXTS)
    vectors = encoder.transform(TEXTS)
    np.testing.assert_allclose(vectors, model.encode(TEXTS), atol=1e-5)
    np.testing.assert_array_equal(encoder.transform(TEXTS), vectors)
    with pytest.raises(ValueError, match=r"max_seq_length=513 .*\b512\b"):
        encode(model=exported, backend=backend, max_seq_length=513)


def test_cache_tells_backends_apart(exported, backend):
    cache = EmbeddingCache()
    encode(cache=cache)
    n_texts = len(cache)
    encode(model=exported, backend=backend, cache=cache)
    assert len(cache) == 2 * n_texts


def test_pickle_in_another_process(exported, backend, tmp_path):
    encoder = TextEncoder(exported, backend=backend).fit(TEXTS)
    data = pickle.dumps(encoder)
    assert len(data) < 2000
    (tmp_path / "encoder.pickle").write_bytes(data)
    code = """
    import pickle, sys, warnings
    warnings.simplefilter("error", UserWarning)  # it is not exported again
    encoder = pickle.load(open(sys.argv[1], "rb"))
    print(encoder.transform(["a red shoe"])[0, :5].tolist())
    """
    printed = run(code, tmp_path / "encoder.pickle").splitlines()[-1]
    first = encoder.transform(["a red shoe"])[0, :5]
    np.testing.assert_allclose([float(x) for x in printed.strip("[]").split(",")], first, atol=1e-6)


def test_export_is_told_and_leaves_the_folder_as_it_is(backend, tmp_path, capfd):
    folder = shutil.copytree(MINILM, tmp_path / "model")
    before = sorted(folder.rglob("*"))
    match = (
        rf"TextEncoder: '.*model' .*{BACKENDS[backend]}.*"
        rf"SentenceTransformer\('.*model', backend='{backend}'\).save_pretrained\("
    )
    with pytest.warns(UserWarning, match=match) as caught:
        encode(model=folder, backend=backend)
    told = [w for w in caught if w.category is UserWarning]
    assert [Path(w.filename).name for w in told] == ["minilm.py"]  # the line that called fit
    assert sorted(folder.rglob("*")) == before
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode(model=folder, backend=backend)  # it is in memory


def test_name_in_the_cache_needs_no_network(exported, backend, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    place = tmp_path / "models--org--model"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(REVISION)
    shutil.copytree(exported, place / "snapshots" / REVISION)
    vectors = encode(model="org/model", backend=backend)
    np.testing.assert_allclose(vectors, encode(), atol=1e-5)
