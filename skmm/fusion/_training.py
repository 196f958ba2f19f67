"""Training a fusion network in memory: tensors in, losses out.

First, networks are trained on all folds of the rows but one. On the rows that a network has not
seen, alpha, the temperature of late fusion and what a missing modality costs are learned
(cross-fitting). Then the network itself
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

from ._losses import Objective, Rows, known, row_losses
from ._network import FusionNetwork
from ._solvers import SOLVERS, Settings
from ._tasks import Task
from ._weights import Unseen, learn_weights

CROSS_FIT_SHARE = 0.5  # of the epochs
EVALUATION_ROWS = 2048
WEIGHING_ROWS = 5000  # of each fold, at most


class Split(NamedTuple):
    """Which rows are used for what, as positions; in an order that the data determine."""

    fitting: Tensor  # trained on
    folds: list[Tensor]  # a partition of these, for cross-fitting
    held_out: Tensor | None  # for early stopping


class History(NamedTuple):
    """What was measured after each epoch."""

    terms: list[list[float]]
    validation: list[float]  # L of the held-out rows; empty without early stopping
    converged: bool = True  # False if more epochs would have been of use


def train(
    network: FusionNetwork,
    rows: Rows,
    split: Split,
    objective: Objective,
    settings: Settings,
) -> History:
    """Train ``network`` in place."""
    history, converged = History([], []), True
    free = settings.learn_weights or network.fusion == "late"
    cross_fitted = free and len(split.folds) > 1
    n_short = max(1, round(settings.max_iter * CROSS_FIT_SHARE)) if cross_fitted else 0
    n_epochs = settings.max_iter + n_short * len(split.folds)
    dtype, used = network.modality_weights.dtype, rows
    if settings.solver == "lbfgs":  # which ends early where a float32 cannot show progress
        used = rows._replace(x=precise(rows.x), weight=precise(rows.weight))
        network.to(used.x.dtype)
    with tqdm(total=n_epochs, desc="fusion", disable=not settings.verbose) as bar:
        try:
            if cross_fitted:
                trained_on = 1 - 1 / len(split.folds)  # as many steps in an epoch as with all rows
                short = settings._replace(
                    max_iter=n_short, batch_size=math.ceil(settings.batch_size * trained_on)
                )
                _cross_fit(network, used, split.folds, objective, short, bar)
            converged = _run_pass(
                network, used, split.fitting, split.held_out, objective, settings, history, bar
            )
        except KeyboardInterrupt:
            if not history.terms:
                raise
            warnings.warn(
                f"Training was interrupted after {len(history.terms)} of {settings.max_iter} "
                "epochs; the estimator is fitted as far as it got.",
                stacklevel=2,
            )
    network.to(dtype)
    store_statistics(network, rows, split.fitting)
    return history._replace(converged=converged)


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
        odds = trained.odds(sample.present, parts).detach()
        unseen.append(Unseen(trained.head, parts, odds, sample))
    learn_weights(network, unseen, objective.tasks, alpha=settings.learn_weights)


def _run_pass(
    network: FusionNetwork,
    rows: Rows,
    fitting: Tensor,
    held_out: Tensor | None,
    objective: Objective,
    settings: Settings,
    history: History,
    bar: tqdm,
) -> bool:
    """Epochs while there is progress; tells whether they ended before there were too many."""
    store_statistics(network, rows, fitting[:EVALUATION_ROWS])  # what the batches' begin from
    solver = SOLVERS[settings.solver](network, rows, fitting, objective, settings)
    best, best_state, n_stale = math.inf, None, 0
    waits = settings.solver == "adamw" or held_out is not None
    try:
        for epoch in range(settings.max_iter):
            network.train()
            terms = solver.run_epoch(epoch)
            loss = float(solver.coefficients @ terms)
            _check_loss(loss, settings)
            if held_out is not None:
                store_statistics(network, rows, fitting)
                loss = held_out_loss(network, rows, held_out, objective.tasks)
                history.validation.append(loss)
            history.terms.append(terms.tolist())
            bar.update()
            bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            n_stale = 0 if loss < best - settings.tol else n_stale + 1
            if held_out is not None and loss < best:
                best_state = copy.deepcopy(network.state_dict())
            best = min(best, loss)
            if solver.converged or (waits and n_stale >= settings.n_iter_no_change):
                return True
        return settings.solver == "adamw"  # whose step size has come down to 0
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
def evaluate(
    network: FusionNetwork, x: Tensor, present: Tensor, *, alone: bool = False
) -> tuple[Tensor, Tensor]:
    """Parts (n, m, q) and weights (n, m) of rows; the network must be in evaluation mode.

    With ``alone`` each part is that of a row that has no other modality.
    """
    parts = network.normalizer(network.values(x)[2], present)
    there = torch.eye(present.shape[1], dtype=torch.bool, device=x.device) if alone else present
    confidence = network.confidence(there)  # (m,) if alone, else (n,)
    parts = parts * (confidence[:, None] if alone else confidence[:, None, None])
    return parts, network.row_weights(present, parts)


@torch.no_grad()
def held_out_loss(
    network: FusionNetwork, rows: Rows, held_out: Tensor, tasks: Sequence[Task]
) -> float:
    """L of the rows ``held_out``, which are not trained on."""
    network.eval()
    total = torch.zeros(rows.target.shape[1], dtype=torch.float64)
    for index in held_out.split(EVALUATION_ROWS):
        chunk = rows.take(index)
        parts, weights = evaluate(network, chunk.x, chunk.present)
        losses = row_losses(tasks, network.logits(weights, parts), chunk.target)
        total += (losses * chunk.weight[:, None]).sum(0).cpu()
    weight = (rows.weight[held_out][:, None] * known(rows.target[held_out])).sum(0).cpu()
    return float((total / weight.double().clamp(min=1e-300)).sum())
