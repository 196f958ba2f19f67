"""Training a fusion network in memory: tensors in, losses out.

First, networks are trained on all folds of the rows but one. On the rows that a network has not
seen, alpha and the temperature of late fusion are learned (cross-fitting). Then the network itself
is trained on all rows, with both fixed. On its own training rows a modality looks the better the
more it can memorise: 200 columns of noise would get their share.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ._losses import Objective, Rows, known, loss_terms, row_losses
from ._network import FusionNetwork, TemperatureHead, fuse
from ._tasks import Task
from ._weights import Unseen, learn_weights

CROSS_FIT_SHARE = 0.5  # of the epochs
WARM_UP_SHARE = 0.1
HEAD_STEP_RATIO = 10  # a scale and a bias per class have further to go than weights do
EVALUATION_ROWS = 2048
WEIGHING_ROWS = 5000  # of each fold, at most


class Settings(NamedTuple):
    """Hyperparameters of training, under the names of `FusionClassifier`."""

    learning_rate_init: float
    weight_decay: float
    batch_size: int
    max_iter: int
    tol: float
    n_iter_no_change: int
    modality_dropout: float
    learn_weights: bool
    verbose: bool


class Split(NamedTuple):
    """Which rows are used for what, as positions; in an order that the data determine."""

    fitting: Tensor  # trained on
    folds: list[Tensor]  # a partition of these, for cross-fitting
    held_out: Tensor | None  # for early stopping


class History(NamedTuple):
    """What was measured after each epoch."""

    terms: list[list[float]]
    validation: list[float]  # L of the held-out rows; empty without early stopping


def train(
    network: FusionNetwork,
    rows: Rows,
    split: Split,
    objective: Objective,
    settings: Settings,
) -> History:
    """Train ``network`` in place."""
    history = History([], [])
    free = settings.learn_weights or network.fusion == "late"
    cross_fitted = free and len(split.folds) > 1
    n_short = max(1, round(settings.max_iter * CROSS_FIT_SHARE)) if cross_fitted else 0
    n_epochs = settings.max_iter + n_short * len(split.folds)
    with tqdm(total=n_epochs, desc="fusion", disable=not settings.verbose) as bar:
        try:
            if cross_fitted:
                trained_on = 1 - 1 / len(split.folds)  # as many steps in an epoch as with all rows
                short = settings._replace(
                    max_iter=n_short, batch_size=math.ceil(settings.batch_size * trained_on)
                )
                _cross_fit(network, rows, split.folds, objective, short, bar)
            _run_pass(
                network, rows, split.fitting, split.held_out, objective, settings, history, bar
            )
        except KeyboardInterrupt:
            if not history.terms:
                raise
            warnings.warn(
                f"Training was interrupted after {len(history.terms)} of {settings.max_iter} "
                "epochs; the estimator is fitted as far as it got.",
                stacklevel=2,
            )
    store_statistics(network, rows, split.fitting)
    return history


def _cross_fit(
    network: FusionNetwork,
    rows: Rows,
    folds: Sequence[Tensor],
    objective: Objective,
    settings: Settings,
    bar: tqdm,
) -> None:
    """Set alpha and temperature of ``network`` by copies of it, each trained without one fold."""
    unseen = []
    for i, fold in enumerate(folds):
        others = torch.cat([other for j, other in enumerate(folds) if j != i])
        trained = copy.deepcopy(network)
        _run_pass(trained, rows, others, None, objective, settings, History([], []), bar)
        store_statistics(trained, rows, others)
        sample = rows.take(fold[:: math.ceil(len(fold) / WEIGHING_ROWS)])
        parts, _ = evaluate(trained, sample.x, sample.present)
        unseen.append(Unseen(trained.head, parts, sample))
    learn_weights(network, unseen, objective.tasks, alpha=settings.learn_weights)


def _run_pass(
    network: FusionNetwork,
    rows: Rows,
    fitting: Tensor,
    monitored: Tensor | None,
    objective: Objective,
    settings: Settings,
    history: History,
    bar: tqdm,
) -> None:
    """Epochs under one warm-up and one cosine decay of the step size, while there is progress."""
    n_epochs = settings.max_iter
    optimizer = _optimizer(network, settings)
    n_batches = math.ceil(len(fitting) / settings.batch_size)
    coefficients = torch.tensor(objective.coefficients, device=rows.x.device)
    best, best_state, n_stale = math.inf, None, 0
    held_out = None if monitored is None else rows.take(monitored)
    store_statistics(network, rows, fitting[:EVALUATION_ROWS])  # what the batches' begin from
    try:
        for epoch in range(n_epochs):
            network.train()
            sums = torch.zeros_like(coefficients)
            order = fitting[torch.randperm(len(fitting)).to(fitting.device)]
            for step, index in enumerate(order.tensor_split(n_batches), start=epoch * n_batches):
                _set_step_size(optimizer, step / (n_epochs * n_batches))
                batch = rows.take(index)
                sums += _step(network, optimizer, batch, objective, coefficients, settings) * len(
                    index
                )
            terms = sums / len(fitting)
            loss = float(coefficients @ terms)
            _check_loss(loss, settings)
            if held_out is not None:
                store_statistics(network, rows, fitting)
                loss = held_out_loss(network, held_out, objective.tasks)
                history.validation.append(loss)
            history.terms.append(terms.tolist())
            bar.update()
            bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            n_stale = 0 if loss < best - settings.tol else n_stale + 1
            if held_out is not None and loss < best:
                best_state = copy.deepcopy(network.state_dict())
            best = min(best, loss)
            if n_stale >= settings.n_iter_no_change:
                break
    finally:  # after an interrupt too
        del history.validation[len(history.terms) :]
        if best_state is not None:
            network.load_state_dict(best_state)


def _check_loss(loss: float, settings: Settings) -> None:
    if not math.isfinite(loss):
        raise ValueError(
            f"The loss became {loss}: training diverged. Lower learning_rate_init "
            f"(it is {settings.learning_rate_init}) or weight_decay ({settings.weight_decay})."
        )


def _optimizer(network: FusionNetwork, settings: Settings) -> torch.optim.Optimizer:
    """AdamW; a `TemperatureHead` has a larger step, no decay, and keeps a scale once learned."""
    rate = settings.learning_rate_init
    groups = {
        False: {"params": [], "peak": rate, "weight_decay": settings.weight_decay},
        True: {"params": [], "peak": rate * HEAD_STEP_RATIO, "weight_decay": 0.0},
    }
    late = isinstance(network.head, TemperatureHead)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[late and name.startswith("head.")]["params"].append(parameter)
    return torch.optim.AdamW([g for g in groups.values() if g["params"]], lr=rate, fused=True)


def _set_step_size(optimizer: torch.optim.Optimizer, progress: float) -> None:
    """Linear from near 0 to the peak, then half a cosine down to 0."""
    if progress < WARM_UP_SHARE:
        factor = (progress + 0.01) / (WARM_UP_SHARE + 0.01)
    else:
        factor = (1 + math.cos(math.pi * (progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))) / 2
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def _step(
    network: FusionNetwork,
    optimizer: torch.optim.Optimizer,
    batch: Rows,
    objective: Objective,
    coefficients: Tensor,
    settings: Settings,
) -> Tensor:
    """One gradient step; the terms of the loss, detached."""
    fused = drop_modalities(batch.present, settings.modality_dropout)
    output = network(batch.x, fused, batch.weight)
    terms = loss_terms(objective, output, batch.target, batch.weight, batch.present)
    optimizer.zero_grad()
    (coefficients @ terms).backward()
    optimizer.step()
    return terms.detach()


def drop_modalities(present: Tensor, rate: float) -> Tensor:
    """Leave out each modality of a row with probability ``rate``, never all of them."""
    if rate == 0:
        return present
    kept = present & (torch.rand(present.shape, device=present.device) >= rate)
    return torch.where(kept.any(1, keepdim=True), kept, present)


@torch.no_grad()
def store_statistics(network: FusionNetwork, rows: Rows, index: Tensor) -> None:
    """Store the statistics of the rows ``index`` for evaluation, summed in float64."""
    network.eval()
    total = (rows.present[index] * rows.weight[index][:, None]).sum(0, dtype=torch.float32)
    mean, square = 0.0, 0.0
    for chunk in index.split(EVALUATION_ROWS):
        x, present, _, weight = rows.take(chunk)
        share = precise(present * weight[:, None] / total.clamp(min=1e-30))  # (chunk, m)
        values = precise(network.values(x)[2])  # (chunk, m, q)
        mean += (share[:, :, None] * values).sum(0)  # (m, q)
        square += (share * (values**2).mean(2)).sum(0)  # (m,)
    variance = square - (mean**2).mean(1)
    # A modality of one row, or of none, has no spread.
    network.normalizer.store(mean, torch.where(variance > 1e-9 * square, variance, 0.0))


def precise(values: Tensor) -> Tensor:
    """Values in float64, where the device is sure to have it: "mps" has none, nor some "xpu"."""
    return values.double() if values.device.type in ("cpu", "cuda") else values


@torch.no_grad()
def evaluate(network: FusionNetwork, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Parts (n, m, q) and weights (n, m) of rows; the network must be in evaluation mode."""
    return network.normalizer(network.values(x)[2], present), network.row_weights(present)


@torch.no_grad()
def held_out_loss(network: FusionNetwork, rows: Rows, tasks: Sequence[Task]) -> float:
    """L of rows that are not trained on."""
    network.eval()
    total = torch.zeros(rows.target.shape[1], dtype=torch.float64)
    for index in torch.arange(len(rows.x), device=rows.x.device).split(EVALUATION_ROWS):
        chunk = rows.take(index)
        parts, weights = evaluate(network, chunk.x, chunk.present)
        losses = row_losses(tasks, network.head(fuse(weights, parts)), chunk.target)
        total += (losses * chunk.weight[:, None]).sum(0).cpu()
    weight = (rows.weight[:, None] * known(rows.target)).sum(0).cpu()
    return float((total / weight.double().clamp(min=1e-300)).sum())
