"""Processes that learn together learn what one does of all their rows (parallel, processes)."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nested_settings import nest

from skmm import FusionClassifier
from skmm._torch.processes import (
    data_parallel,
    gather_over_processes,
    is_data_parallel,
    rank,
    sum_over_processes,
)
from skmm.datasets import make_multimodal_classification
from skmm.fusion import Late

# The two processes take longest to start: once, not for each process of xdist.
pytestmark = pytest.mark.xdist_group("parallel")

ROOT = Path(__file__).resolve().parents[2]
N_BATCH, N_TEST = 64, 30
SETTINGS = {
    "late": {},
    "contrastive": {
        "fusion": "weighted",
        "alignment": "contrastive",
        "alignment_weight": 0.5,
        "weight_decay": 0.0,
    },
    "gated": {"fusion": "gated"},
    "correlation": {
        "fusion": "attention",
        "alignment": "correlation",
        "alignment_weight": 0.1,
    },
    "kl": {
        "fusion": "concat",
        "modality_weights": "uniform",
        "alignment": "kl",
        "alignment_weight": 0.3,
        "class_weight": {0: 1.0, 1: 3.0},
    },
    "per class": {"fusion": Late(per_class=True), "hidden_layer_sizes": ()},
}
# What each of two processes has of the batches: halves; different shares; and no row of use.
SHARES = [(32, 32), (45, 19), (60, 4), (32, 32)]


def make_batches():
    X, y = make_multimodal_classification(
        len(SHARES) * N_BATCH + N_TEST, informativeness=(0.9, 0.5), random_state=0
    )
    X = X.copy()
    first, second = (
        [name for name in X.columns if name.startswith(prefix)]
        for prefix in sorted({name.partition("__")[0] for name in X.columns})
    )
    X.loc[X.index % 5 == 0, first] = np.nan
    X.loc[X.index % 7 == 1, second] = np.nan
    X.iloc[2 * N_BATCH + 60 : 3 * N_BATCH] = np.nan
    starts = range(0, len(SHARES) * N_BATCH, N_BATCH)
    batches = [(X[i : i + N_BATCH], y[i : i + N_BATCH]) for i in starts]
    return batches, X[-N_TEST:].fillna(0.0)


def make_model(options):
    return nest(
        FusionClassifier,
        **{"hidden_layer_sizes": (16,), **options},
        dropout=0.0,
        batch_size=N_BATCH,
        random_state=0,
        device="cpu",
    )


def describe(model, X):
    weights = np.asarray(getattr(model, "modality_weights_", ()))
    if weights.shape == ():  # a dict
        weights = [*model.modality_weights_.values()]
    return [model.predict_proba(X), weights, model.history_.to_numpy(), model.class_prior_]


def learn_in_one_of_two(number, port, folder):
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", world_size=2, rank=number
    )
    batches, X_test = make_batches()
    learned = {}
    for name, options in SETTINGS.items():
        model = make_model(options)
        for (X, y), shares in zip(batches, SHARES, strict=True):
            share = slice(None, shares[0]) if number == 0 else slice(shares[0], None)
            with data_parallel():
                model.partial_fit(X[share], y[share], classes=np.unique(y))
        for i, value in enumerate(describe(model, X_test)):
            learned[f"{name} {i}"] = value
    np.savez(Path(folder, f"{number}.npz"), **learned)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """What two processes learn together."""
    folder = tmp_path_factory.mktemp("parallel")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    program = (
        "import sys, test_parallel\n"
        "test_parallel.learn_in_one_of_two(int(sys.argv[1]), *sys.argv[2:])"
    )
    path = [
        str(ROOT),
        str(ROOT / "tests"),
        str(Path(__file__).parent),
        os.environ.get("PYTHONPATH", ""),
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(number), str(port), str(folder)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
        )
        for number in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    return [np.load(folder / f"{number}.npz") for number in range(2)]


@pytest.mark.parametrize("name", SETTINGS)
def test_two_processes_learn_what_one_does(name, learned):
    batches, X_test = make_batches()
    model = make_model(SETTINGS[name])
    for X, y in batches:
        model.partial_fit(X, y, classes=np.unique(y))
    for i, expected in enumerate(describe(model, X_test)):
        first, second = (of_one[f"{name} {i}"] for of_one in learned)
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, expected, atol=1e-4)


def test_a_process_alone_has_all_rows():
    assert not is_data_parallel()
    assert rank() == 0
    assert gather_over_processes("rows") == ["rows"]
    assert sum_over_processes(3) == 3
