"""What FusionClassifier.fit costs: beside a bare torch loop, skorch, and scikit-learn's perceptron.

First, all train the same network on the same rows with the same batches, epochs, loss and
optimizer, on one thread. fit does more than the bare loop: it checks and scales X, merges equal
rows, records each term of the loss, and measures the statistics of what it fuses over all rows.

Then, what the defaults add to that: learning modality weights on unseen rows, and the interaction;
beside an MLPClassifier of as many weights, epochs and rows in a batch.

Needs the extra `bench`. Run: python benchmarks/fit_overhead.py
"""

import time
import warnings
from functools import partial

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier

from skmm import MLP, AdamW, FusionClassifier
from skmm._torch.perceptrons import PerceptronSpec
from skmm._torch.tasks import class_tasks
from skmm._torch.tensors import TrainingTensors
from skmm.datasets import make_multimodal_classification
from skmm.fusion._architecture import NetworkSpec, build_network
from skmm.fusion._objective import FusionObjective
from skmm.fusion._settings import DEFAULTS

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


def measure(fits):
    """Print and return the least processor time of each fit, taken in turns."""
    times = {name: [] for name in fits}
    for _ in range(REPEATS):  # in turns, so that a busy moment does not fall on one of them
        for name, fit in fits.items():
            start = time.process_time()
            fit()
            times[name].append(time.process_time() - start)
    best = {name: min(values) for name, values in times.items()}
    print("   " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in best.items()))
    return best


def make_data(widths):
    frame, y = make_multimodal_classification(
        N_ROWS, n_features=widths, n_classes=N_CLASSES, random_state=0
    )
    return frame, np.ascontiguousarray(frame.to_numpy()), y


def compare(name, widths, hidden):
    _, X, y = make_data(widths)
    print(f"{name}: {N_ROWS:,} rows x {widths}, {hidden} hidden units, {EPOCHS} epochs")
    candidates = {"skmm": fit_skmm, "bare torch loop": fit_bare, "skorch": fit_skorch}
    best = measure(
        {candidate: partial(fit, X, y, widths, hidden) for candidate, fit in candidates.items()}
    )
    print(f"   skmm / bare torch loop = {best['skmm'] / best['bare torch loop']:.2f} (goal: 1.1)")
    print(f"   skmm / skorch          = {best['skmm'] / best['skorch']:.2f} (goal: 0.6)")


def compare_defaults():
    """Time what is learned beside one network, and an MLPClassifier of the same size."""
    frame, X, y = make_data(SIZES["default"][0])
    solver = AdamW(batch_size=BATCH)
    n_epochs = DEFAULTS.max_iter
    shared = {"solver": solver, "device": "cpu", "random_state": 0}
    perceptron = MLPClassifier(
        256, batch_size=BATCH, max_iter=n_epochs, n_iter_no_change=n_epochs, random_state=0
    )
    models = {
        # Late fusion would be trained on folds, too, for its temperature.
        "uniform weights": FusionClassifier(
            "weighted", modality_weights="uniform", interaction=None, **shared
        ),
        "learned weights": FusionClassifier(interaction=None, **shared),
        "defaults": FusionClassifier(**shared),
    }
    print(f"defaults: {N_ROWS:,} rows x {SIZES['default'][0]}, {n_epochs} epochs")
    fits = {name: partial(model.fit, frame, y) for name, model in models.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is to run all epochs
        best = measure({**fits, "MLPClassifier": partial(perceptron.fit, X, y)})
    for name, other, goal in (
        ("learned weights", "uniform weights", 1.5),
        ("learned weights", "MLPClassifier", 2.0),
        ("defaults", "MLPClassifier", 2.0),
    ):
        print(f"   {name} / {other} = {best[name] / best[other]:.2f} (goal: {goal})")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for size, (widths, hidden) in SIZES.items():
        compare(size, widths, hidden)
    compare_defaults()
