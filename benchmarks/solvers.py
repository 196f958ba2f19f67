"""How long do the two solvers take to the same training loss, for linear f_i on embeddings?

Rows that look like embeddings (a few strong directions, a long tail, unit length) of 384 and 512
dimensions, three classes that overlap. Additive fusion of linear f_i without penalties is convex:
both solvers have one minimum to find. AdamW runs with several step sizes and numbers of epochs,
L-BFGS with several numbers of iterations. The loss to reach is the least that AdamW reached, or
some percent more; of each solver the quickest run that reached it counts.

    python benchmarks/solvers.py [n_rows ...]
"""

import sys
import time
import warnings

import numpy as np
import torch
from sklearn.metrics import log_loss

from skmm import LBFGS, MLP, AdamW, FusionClassifier

WIDTHS = {"image": 512, "text": 384}
N_CLASSES, N_LATENT = 3, 64
ABOVE = (0.10, 0.03, 0.01, 0.0)
EPOCHS, STEPS = (5, 10, 20, 40, 80), (0.001, 0.005, 0.02)


def make_embeddings(n_rows, random_state=0):
    rng = np.random.default_rng(random_state)
    latent = rng.normal(size=(n_rows, N_LATENT)) / np.sqrt(np.arange(1, N_LATENT + 1))
    blocks = []
    for width in WIDTHS.values():
        block = latent @ rng.normal(size=(N_LATENT, width)) + 0.3 * rng.normal(size=(n_rows, width))
        blocks.append(block / np.linalg.norm(block, axis=1, keepdims=True))
    scores = 2 * latent @ rng.normal(size=(N_LATENT, N_CLASSES)) + rng.gumbel(
        size=(n_rows, N_CLASSES)
    )
    return np.hstack(blocks).astype(np.float32), scores.argmax(1)


def fit(X, y, solver):
    """Fit; return seconds, loss over the training rows, and iterations."""
    model = FusionClassifier(
        "additive",
        modalities=WIDTHS,
        modality_model=MLP((), dropout=0.0),
        modality_loss_weight=0.0,
        solver=solver,
        random_state=0,
        device="cpu",
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # iterations run out: on purpose
        model.fit(X, y)
    seconds = time.perf_counter() - start
    return seconds, log_loss(y, model.predict_proba(X)), model.n_iter_


def compare(n_rows):
    X, y = make_embeddings(n_rows)
    print(f"{len(X):,} rows x {tuple(WIDTHS.values())}, {N_CLASSES} classes", flush=True)
    lbfgs = [
        fit(X, y, LBFGS(weight_decay=0.0, tol=1e-6, max_iter=n))
        for n in (5, 10, 15, 20, 30, 40, 80, 160)
    ]
    adamw = [
        fit(X, y, AdamW(step, weight_decay=0.0, max_iter=n, n_iter_no_change=n))
        for n in EPOCHS
        for step in STEPS
    ]
    least = [min(run[1] for run in runs) for runs in (adamw, lbfgs)]
    print(f"the least loss that AdamW reached: {least[0]:.4f}, L-BFGS: {least[1]:.4f}")
    for share in ABOVE:
        goal = least[0] * (1 + share)
        times = [
            min((run[0] for run in runs if run[1] <= goal), default=np.inf)
            for runs in (adamw, lbfgs)
        ]
        print(
            f"to {share:.0%} above AdamW's ({goal:.4f}): AdamW {times[0]:.1f} s, L-BFGS "
            f"{times[1]:.1f} s, AdamW / L-BFGS = {times[0] / times[1]:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    for n_rows in map(int, sys.argv[1:] or (2_000, 20_000)):
        compare(n_rows)
