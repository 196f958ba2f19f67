"""Do fits in two threads give the same bits as one after the other, and in what time?

Each fit draws from generators of its own, so that none waits for another. torch computes on one
thread in each. On two free processors the ratio of times is 0.5 at best; Python's lock, and what
else runs on the machine, make it larger. The load is printed, too.

    python benchmarks/threads.py [--fits 8] [--rows 4000]
"""

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from skmm import AdamW, FusionClassifier
from skmm.datasets import make_multimodal_classification

N_THREADS, WIDTHS, EPOCHS = 2, (256, 256), 10


def fit(X, y, seed):
    """Fit, and return the probabilities of the training rows, the weights and all parameters."""
    solver = AdamW(max_iter=EPOCHS)
    model = FusionClassifier(solver=solver, random_state=seed, device="cpu").fit(X, y)
    parameters = [tensor.numpy() for tensor in model.network_.state_dict().values()]
    return [model.predict_proba(X), np.array([*model.modality_weights_.values()]), *parameters]


def timed(fit_all):
    """Return what is fitted, and the seconds."""
    start = time.perf_counter()
    return [*fit_all()], time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fits", type=int, default=8)
    parser.add_argument("--rows", type=int, default=4000)
    arguments = parser.parse_args()
    n_fits, n_rows = arguments.fits, arguments.rows
    torch.set_num_threads(1)
    X, y = make_multimodal_classification(n_rows, n_features=WIDTHS, n_classes=5, random_state=0)
    fit(X[:500], y[:500], 0)  # loads what is imported late

    def fit_one(seed):
        return fit(X, y, seed)

    with ThreadPoolExecutor(N_THREADS) as pool:
        alone, seconds_alone = timed(lambda: map(fit_one, range(n_fits)))
        side_by_side, seconds = timed(lambda: pool.map(fit_one, range(n_fits)))
    for one, other in zip(alone, side_by_side, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    print(f"{n_fits} fits of {n_rows:,} rows x {WIDTHS}, {EPOCHS} epochs: all bits are the same")
    print(f"one after the other {seconds_alone:.1f} s, in {N_THREADS} threads {seconds:.1f} s")
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"{N_THREADS} threads / one after the other = {seconds / seconds_alone:.2f} ({load})")


if __name__ == "__main__":
    main()
