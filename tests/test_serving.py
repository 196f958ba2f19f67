"""A fitted pipeline of raw columns as it is served: in threads, and from MLflow."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from fresh_process import ROOT
from PIL import Image
from sklearn.pipeline import make_pipeline

from skmm import MLP, AdamW, FusionClassifier, ModalityTransformer

LOG_AND_LOAD = """
import pickle
import sys

import mlflow
import numpy as np

import skmm

pickled, folder = sys.argv[1:]
with open(pickled, "rb") as file:
    model, X = pickle.load(file)
mlflow.set_tracking_uri(folder)
with mlflow.start_run():
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        skops_trusted_types=skmm.trusted_types,
        pip_requirements=["skmm"],  # else MLflow loads the model in another process to see them
    )
with open(mlflow.artifacts.download_artifacts(info.model_uri) + "/MLmodel") as file:
    assert "serialization_format: skops" in file.read()
loaded = mlflow.sklearn.load_model(info.model_uri)
np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
served = mlflow.pyfunc.load_model(info.model_uri)
np.testing.assert_array_equal(served.predict(X), model.predict(X))
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return 80 rows of a title, a path to a photo and a weight, and their classes."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    y = rng.choice(["new", "old"], 80)
    X = pd.DataFrame({"weight": rng.normal(size=80)})
    X["title"] = [f"{word} lamp number {row}" for row, word in enumerate(y)]
    X["photo"] = [str(folder / f"{row}.png") for row in range(80)]
    for path in X["photo"]:
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    return X, y


@pytest.fixture(scope="module")
def model(table):
    fusion = FusionClassifier(
        modality_model=MLP((8,)), solver=AdamW(max_iter=3), interaction=None, random_state=0
    )
    return make_pipeline(ModalityTransformer(), fusion).fit(*table)


def test_rows_in_threads_get_the_predictions_that_they_get_alone(table, model):
    rows = [table[0][row : row + 1] for row in range(24)]
    expected = [model.predict_proba(row) for row in rows]
    loaded = pickle.loads(pickle.dumps(model))  # its first predictions come from all threads
    with ThreadPoolExecutor(8) as pool:
        predicted = list(pool.map(loaded.predict_proba, rows * 2))
    np.testing.assert_array_equal(predicted, expected * 2)


@pytest.mark.slow
def test_mlflow_logs_and_loads_a_pipeline(table, model, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "tests.pth").write_text("\n".join([str(ROOT), *filter(None, sys.path)]))
    options = ["--quiet", "--no-compile", "--disable-pip-version-check"]
    install = [python, "-m", "pip", "install", *options, "mlflow-skinny>=3.17"]
    installed = subprocess.run(install, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"mlflow-skinny cannot be installed: {installed.stderr[-500:]}")
    with open(tmp_path / "model.pkl", "wb") as file:
        pickle.dump((model, table[0]), file)
    arguments = [tmp_path / "model.pkl", tmp_path / "runs"]
    done = subprocess.run(
        [python, "-c", LOG_AND_LOAD, *arguments],
        env=os.environ | {"MLFLOW_ALLOW_FILE_STORE": "true"},  # a database needs all of MLflow
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
