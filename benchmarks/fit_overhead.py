"""What FusionClassifier.fit costs, compared with a bare torch loop and with skorch.

All three train the same network on the same rows with the same batches, epochs, loss and optimizer,
on one thread. fit does more than the bare loop: it checks and scales X, merges equal rows, records
each term of the loss, and measures the statistics of what it fuses over all rows.

Needs the extra `bench`. Run: python benchmarks/fit_overhead.py
"""

import time

import numpy as np
import torch
from skorch import NeuralNetClassifier

from skmm import MLP, AdamW, FusionClassifier
from skmm._torch.perceptrons import PerceptronSpec
from skmm._torch.tasks import class_tasks
from skmm._torch.tensors import TrainingTensors
from skmm.datasets import make_multimodal_classification
from skmm.fusion._architecture import NetworkSpec, build_network
from skmm.fusion._objective import FusionObjective

N_ROWS, N_CLASSES, BATCH, EPOCHS, REPEATS = 20_000, 10, 256, 20, 3
SIZES = {"small": ((128, 128), 64), "default": ((256, 256), 256)}  # widths, hidden units
OBJECTIVE = FusionObjective({0: 0.3, 1: 0.3}, {}, None, class_tasks([N_CLASSES], [1.0]))


def make_network(widths, hidden):
    perceptron = PerceptronSpec((hidden,), "relu", dropout=0.5, input_dropout=0.2)
    spec = NetworkSpec(
        n_features=list(widths),
        n_outputs=[N_CLASSES],
        fusion="weighted",
        rule_parameters={},
        perceptrons=[perceptron, perceptron],
        modality_heads=True,
    )
    return build_network(spec, torch.tensor([0.5, 0.5]))


def composite_loss(output, rows):
    return torch.tensor(OBJECTIVE.coefficients) @ OBJECTIVE.terms(output, rows)


def fit_bare(X, y, widths, hidden):
    x, target = torch.from_numpy(X), torch.from_numpy(y)
    present = torch.ones(len(x), len(widths), dtype=torch.bool)
    weight = torch.ones(len(x))
    network = make_network(widths, hidden)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003, fused=True)
    network.train()
    for _ in range(EPOCHS):
        for b in torch.randperm(len(x)).split(BATCH):
            rows = TrainingTensors(x[b], present[b], target[b, None], weight[b])
            loss = composite_loss(network(rows.x, rows.present, rows.weight), rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


class SkorchFusion(NeuralNetClassifier):
    """skorch's training loop around the same network and loss."""

    def get_loss(self, y_pred, y_true, X=None, training=False):
        rows = TrainingTensors(X["x"], X["present"], y_true[:, None], X["sample_weight"])
        return composite_loss(y_pred, rows)

    def infer(self, x, **fit_params):
        return self.module_(x["x"], x["present"], x["sample_weight"])


def fit_skorch(X, y, widths, hidden):
    rows = {
        "x": X,
        "present": np.ones((len(X), len(widths)), dtype=bool),
        "sample_weight": np.ones(len(X), dtype=np.float32),
    }
    SkorchFusion(
        make_network,
        module__widths=widths,
        module__hidden=hidden,
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        lr=0.003,
        max_epochs=EPOCHS,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    ).fit(rows, y)


def fit_skmm(X, y, widths, hidden):
    FusionClassifier(
        fusion="weighted",
        modalities=dict(zip("ab", widths, strict=True)),
        modality_weights="uniform",
        modality_model=MLP((hidden,)),
        solver=AdamW(batch_size=BATCH, max_iter=EPOCHS, n_iter_no_change=EPOCHS),
        device="cpu",
        random_state=0,
    ).fit(X, y)


def compare(name, widths, hidden):
    frame, y = make_multimodal_classification(
        N_ROWS, n_features=widths, n_classes=N_CLASSES, random_state=0
    )
    X = np.ascontiguousarray(frame.to_numpy())
    candidates = {"skmm": fit_skmm, "bare torch loop": fit_bare, "skorch": fit_skorch}
    times = {candidate: [] for candidate in candidates}
    for _ in range(REPEATS):  # in turns, so that a busy moment does not fall on one of them
        for candidate, fit in candidates.items():
            start = time.process_time()
            fit(X, y, widths, hidden)
            times[candidate].append(time.process_time() - start)
    best = {candidate: min(values) for candidate, values in times.items()}
    print(f"{name}: {N_ROWS:,} rows x {widths}, {hidden} hidden units, {EPOCHS} epochs")
    print("   " + ", ".join(f"{candidate} {seconds:.2f} s" for candidate, seconds in best.items()))
    print(f"   skmm / bare torch loop = {best['skmm'] / best['bare torch loop']:.2f} (goal: 1.1)")
    print(f"   skmm / skorch          = {best['skmm'] / best['skorch']:.2f} (goal: 0.6)")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for size, (widths, hidden) in SIZES.items():
        compare(size, widths, hidden)
