"""Folders of models: what is loaded is what was saved, no pickle lies in them, the Hub has them."""

import json
import pickle
import re
import shutil

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
from foreign import Foreign
from fresh_process import run
from local_hub import serve_hub
from nested_settings import nest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmm import (
    FusionClassifier,
    FusionRegressor,
    LateFusionClassifier,
    ModalityTransformer,
    model_card,
)
from skmm.export import load_pretrained, push_to_hub, save_pretrained
from skmm.text import TextDescriptor

FILES = {"config.json", "estimator.skops", "model.safetensors"}


@pytest.fixture(scope="module")
def raw():
    rng = np.random.default_rng(0)
    y = rng.choice(["new", "old"], 60)
    X = pd.DataFrame({"title": [f"{word} lamp {i % 7}" for i, word in enumerate(y)]})
    X["weight"] = rng.normal(size=60)
    return X, y


@pytest.fixture(scope="module")
def pipeline(raw):
    encoders = [
        ("text", TextDescriptor(n_components=4), "title"),
        ("table", "passthrough", ["weight"]),
    ]
    fusion = nest(FusionClassifier, hidden_layer_sizes=(4,), max_iter=3, random_state=0)
    return make_pipeline(ModalityTransformer(encoders), fusion).fit(*raw)


def test_pipeline_of_raw_columns(raw, pipeline, tmp_path):
    save_pretrained(pipeline, tmp_path, card=model_card(pipeline, *raw, name="Lamps"))
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "README.md"}
    loaded = load_pretrained(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(raw[0]), pipeline.predict_proba(raw[0]))
    card = huggingface_hub.ModelCard.load(tmp_path / "README.md")
    assert card.data["model_name"] == "Lamps"


def test_no_file_is_a_pickle(raw, pipeline, tmp_path):
    save_pretrained(pipeline, tmp_path)
    for path in tmp_path.iterdir():
        with pytest.raises((pickle.UnpicklingError, ValueError, EOFError)):
            pickle.loads(path.read_bytes())
    # And what was learned is in no other file than that of the weights.
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_pretrained(tmp_path)


def test_search_regressor_and_estimators(data, tmp_path):
    X, y = data
    numbers = nest(FusionRegressor, hidden_layer_sizes=(4,), max_iter=3, random_state=0)
    search = GridSearchCV(numbers, {"fusion": ["late", "concat"]}, cv=2).fit(X, y)
    late = LateFusionClassifier(
        [(n, LogisticRegression(), [c for c in X if c.startswith(n)]) for n in ("text", "image")]
    ).fit(X, y)
    for i, model in enumerate([search, late]):
        folder = tmp_path / str(i)
        save_pretrained(model, folder)
        loaded = load_pretrained(str(folder))
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert not (folder / "model.safetensors").exists()


def test_folder_is_used_again(data, tmp_path):
    X, y = data
    for fusion in ("late", "concat"):
        model = nest(FusionClassifier, fusion=fusion, hidden_layer_sizes=(4,), max_iter=2)
        save_pretrained(model.fit(X, y), tmp_path)
    assert load_pretrained(tmp_path).fusion == "concat"


def test_foreign_code_is_refused(data, tmp_path):
    X, y = data
    models = {"text": Foreign(), "image": "linear"}
    model = nest(FusionClassifier, modality_model=models, max_iter=2, random_state=0).fit(X, y)
    with pytest.raises(TypeError, match="Foreign"):
        save_pretrained(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["config.json", "estimator.skops"])
def test_missing_file_is_named(name, data, small, tmp_path):
    save_pretrained(small().fit(*data), tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=name):
        push_to_hub(tmp_path, "someone/model")


@pytest.mark.parametrize("name", sorted(FILES))
def test_damaged_file_is_named(name, data, small, tmp_path):
    save_pretrained(small().fit(*data), tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=re.escape(name)):
        load_pretrained(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "null"])
def test_config_that_is_none_is_named(content, data, small, tmp_path):
    save_pretrained(small().fit(*data), tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json"):
        load_pretrained(tmp_path)


def test_file_of_another_model_is_named(data, small, tmp_path):
    X, y = data
    save_pretrained(small().fit(X, y), tmp_path / "a")
    save_pretrained(small().fit(X, y == 0), tmp_path / "b")
    shutil.copy(tmp_path / "b" / "model.safetensors", tmp_path / "a")
    with pytest.raises(ValueError, match=r"model\.safetensors.*another model"):
        load_pretrained(tmp_path / "a")


def test_other_versions_are_a_warning(data, small, tmp_path):
    model = small().fit(*data)
    save_pretrained(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["versions"]["scikit-learn"] = "1.2.0"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match=r"scikit-learn 1\.2\.0 \(here is"):
        loaded = load_pretrained(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(data[0]), model.predict_proba(data[0]))


def test_a_file_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").touch()
    with pytest.raises(FileNotFoundError, match="'model' holds no config"):
        load_pretrained("model")


def test_other_format_is_an_error(data, small, tmp_path):
    save_pretrained(small().fit(*data), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(ValueError, match=r"config\.json.*99"):
        load_pretrained(tmp_path)


PUSH = """
import sys
from skmm.export import push_to_hub
print(push_to_hub(sys.argv[1], "someone/model", token="hf_nobody"))
"""
PULL = """
import sys
import pandas as pd
from skmm.export import load_pretrained
model = load_pretrained("someone/model")
print(model.predict_proba(pd.read_json(sys.argv[1])).tolist())
"""


@pytest.mark.slow
def test_push_and_pull(raw, pipeline, tmp_path):
    folder, repository, rows = (tmp_path / name for name in ("model", "hub", "rows.json"))
    repository.mkdir()
    raw[0].to_json(rows, double_precision=15)
    save_pretrained(pipeline, folder, card=model_card(pipeline, *raw))
    (folder / "rows.csv").write_text("not to be uploaded")
    # In processes of their own, for huggingface_hub reads these when it is imported.
    home = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    with serve_hub(repository) as address:
        assert run(PUSH, folder, HF_ENDPOINT=address, **home).startswith(address)
        pulled = json.loads(run(PULL, rows, HF_ENDPOINT=address, **home))
    assert json.loads((repository / "created.json").read_text())["visibility"] == "private"
    uploaded = {path.name for path in repository.iterdir()} - {"created.json"}
    assert uploaded == {*FILES, "README.md"}
    np.testing.assert_allclose(pulled, pipeline.predict_proba(raw[0]), atol=1e-9)
    from_disk = json.loads(run(PULL, rows, HF_HUB_OFFLINE="1", **home))
    assert from_disk == pulled
