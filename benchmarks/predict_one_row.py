"""How long does `predict_proba` of one row take, and how much memory do a million rows take?

One row, as a frame and as an array: the estimator, and the bare network on a tensor of the row.
One raw row through a pipeline: a path to a photo that is in the cache, a text and two numbers.
Many rows of float32: the most memory beyond X itself. 3 modalities of 256 columns, defaults else.

    python benchmarks/predict_one_row.py [n_rows]
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.pipeline import make_pipeline

from skmm import AdamW, FusionClassifier, ModalityTransformer
from skmm._torch.float64 import float64_network
from skmm.datasets import make_multimodal_classification

WIDTHS = {"audio": 256, "image": 256, "text": 256}


def milliseconds(function, repeats=500):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * np.median(times)


def time_raw_row(settings, n_rows=300):
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(1000)]
    X = pd.DataFrame(rng.normal(size=(n_rows, 2)), columns=["price", "age"])
    X["text"] = [" ".join(rng.choice(words, 20)) for _ in range(n_rows)]
    with tempfile.TemporaryDirectory() as folder:
        X["photo"] = [str(Path(folder, f"{number}.jpg")) for number in range(n_rows)]
        for path in X["photo"]:
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
        model = make_pipeline(ModalityTransformer(), FusionClassifier(**settings))
        model.fit(X, rng.integers(0, 2, n_rows))
        row = X.iloc[:1]
        whole = milliseconds(lambda: model.predict_proba(row))
        encoding = milliseconds(lambda: model[0].transform(row))
    print(f"one raw row, photo in the cache: {whole:.2f} ms, of which encoding {encoding:.2f} ms")


def main():
    torch.set_num_threads(1)
    X, y = make_multimodal_classification(
        1000, n_features=tuple(WIDTHS.values()), modality_names=tuple(WIDTHS), random_state=0
    )
    settings = {"solver": AdamW(max_iter=2), "random_state": 0, "device": "cpu"}
    alone = {**settings, "interaction": None}  # the network
    of_frames = FusionClassifier(**alone).fit(X, y)
    of_arrays = FusionClassifier(modalities=WIDTHS, **alone).fit(X.to_numpy(), y)
    mixed = FusionClassifier(modalities=WIDTHS, **settings).fit(X.to_numpy(), y)
    frame, array = X.iloc[:1], X.to_numpy()[:1]
    network = float64_network(of_arrays.network_, torch.device("cpu"))
    x, present = torch.tensor(array).double(), torch.ones(1, 3, dtype=torch.bool)

    def bare():
        with torch.inference_mode():
            values, weights = network.evaluate(x, present)
            return network.logits(weights, values).softmax(1)

    least = milliseconds(bare)
    for name, predict in {
        "frame": lambda: of_frames.predict_proba(frame),
        "array": lambda: of_arrays.predict_proba(array),
        "array, with an interaction": lambda: mixed.predict_proba(array),
    }.items():
        taken = milliseconds(predict)
        print(f"one row, {name}: {taken:.2f} ms, {taken / least:.1f} x the bare network's")
    time_raw_row(alone)

    n_rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    shape = (n_rows, len(X.columns))
    many = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    proba = of_arrays.predict_proba(many)
    seconds = time.perf_counter() - start
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(
        f"{n_rows:,} rows ({many.nbytes / 2**20:,.0f} MiB): {seconds:.1f} s, at most "
        f"{added / 2**20:.0f} MiB beyond X, of which {proba.nbytes / 2**20:.0f} are the result"
    )


if __name__ == "__main__":
    main()
