"""What is loaded starts no thread, so that processes that are forked later can predict."""

import pickle
import sys

import numpy as np
import pytest
from fresh_process import run
from nested_settings import nest

from skmm import FusionClassifier
from skmm.alignment import CrossModalAligner

X = np.random.default_rng(0).normal(size=(40, 704)).astype(np.float32)  # large enough for threads
Y = np.arange(40) % 2
MODALITIES = {"a": list(range(352)), "b": list(range(352, 704))}

PREDICT_IN_FORKS = """
import multiprocessing, pickle, sys, torch
torch.set_num_threads(2)
fork = multiprocessing.get_context("fork")
for path in sys.argv[1:]:  # this process itself predicts nothing, and so starts no thread
    with open(path, "rb") as file:
        model, rows = pickle.load(file)
    if isinstance(model, bytes):
        import skmm, skops.io
        model = skops.io.loads(model, trusted=skmm.trusted_types)
    predict = getattr(model, "predict", None) or model.transform
    workers = [fork.Process(target=predict, args=(rows,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(50)
        worker.kill()
        worker.join()
    print([worker.exitcode for worker in workers])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_load_then_fork_then_predict(tmp_path):
    import skops.io

    fusion = nest(FusionClassifier, modalities=MODALITIES, max_iter=1).fit(X, Y)
    aligner = CrossModalAligner(modalities=MODALITIES, n_components=128).fit(X)
    models = {"fusion": fusion, "skops": skops.io.dumps(fusion), "aligner": aligner}
    paths = [tmp_path / f"{kind}.pkl" for kind in models]
    for path, model in zip(paths, models.values(), strict=True):
        path.write_bytes(pickle.dumps((model, X[:1])))
    exit_codes = run(PREDICT_IN_FORKS, *paths, OMP_NUM_THREADS="2").splitlines()
    assert dict(zip(models, exit_codes, strict=True)) == dict.fromkeys(models, "[0, 0]")
