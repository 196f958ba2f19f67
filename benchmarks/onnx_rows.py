"""How long does a prediction take in onnxruntime, beside `predict_proba` of the same model?

A model of 3 modalities of 256 columns, as a file of `skmm.export.to_onnx`, on one thread: one row
and 1,000 rows, with the network alone and with an interaction (the default). In each repetition
both predict, one after the other, so that what else the machine does is the same for both. Prints
the table of results/speed.md.

    python benchmarks/onnx_rows.py
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from skmm import AdamW, FusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.export import to_onnx

WIDTHS = {"audio": 256, "image": 256, "text": 256}
SIZES = {1: 300, 1000: 20}  # rows, and how often they are predicted


def milliseconds(functions, repeats):
    """Return the median time of each function, (n_functions,), called in turns."""
    times = np.zeros((repeats, len(functions)))
    for repeat in range(repeats):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[repeat, i] = time.perf_counter() - start
    return 1e3 * np.median(times, axis=0)


def open_session(model, folder):
    path = Path(folder, "model.onnx")
    start = time.perf_counter()
    to_onnx(model, path)
    seconds = time.perf_counter() - start
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session, seconds, path.stat().st_size / 2**20


def main():
    torch.set_num_threads(1)
    X, y = make_multimodal_classification(
        1000, n_features=tuple(WIDTHS.values()), modality_names=tuple(WIDTHS), random_state=0
    )
    X = X.to_numpy(np.float32)
    settings = {"modalities": WIDTHS, "solver": AdamW(max_iter=5), "random_state": 0}
    print("| model | rows | skmm, ms | onnxruntime, ms | skmm / onnxruntime | largest difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    remarks = []
    for name, extra in {"network alone": {"interaction": None}, "with an interaction": {}}.items():
        model = FusionClassifier(**settings, **extra, device="cpu").fit(X, y)
        with tempfile.TemporaryDirectory() as folder:
            session, seconds, mebibytes = open_session(model, folder)
        remarks.append(f"{name}: exported in {seconds:.1f} s, {mebibytes:.1f} MiB")
        for n_rows, repeats in SIZES.items():
            rows = X[:n_rows]

            def ours(model=model, rows=rows):
                return model.predict_proba(rows)

            def theirs(session=session, rows=rows):
                return session.run(["probabilities"], {"X": rows})[0]

            difference = np.abs(ours() - theirs()).max()
            taken = milliseconds([ours, theirs], repeats)
            print(
                f"| {name} | {n_rows:,} | {taken[0]:.2f} | {taken[1]:.2f} | "
                f"{taken[0] / taken[1]:.1f} | {difference:.0e} |"
            )
    print("\n" + "; ".join(remarks))


if __name__ == "__main__":
    main()
