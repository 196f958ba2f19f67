"""Training a fusion network in memory: tensors in, losses out.

Two passes. In the first, some rows are held out; on these, which no f_i has seen, alpha and the
temperature of late fusion are learned. In the second, with both fixed, training goes on with every
row. On its own training rows a modality looks the better the more it can memorise: 200 columns of
noise would get their share.
"""

from __future__ import annotations

import copy
import math
import warnings
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from ._losses import Objective, loss_terms
from ._network import FusionNetwork, TemperatureHead, fuse

FIRST_PASS_SHARE = 0.4
WARM_UP_SHARE = 0.1
HEAD_STEP_RATIO = 10  # a scale and a bias per class have further to go than weights do
PRIOR_STRENGTH = 0.5  # rows' worth of belief in equal weights
EVALUATION_ROWS = 8192


class Rows(NamedTuple):
    """Training rows, one of each."""

    x: Tensor  # (n, sum of widths) scaled, zeros where missing
    present: Tensor  # (n, m) boolean
    target: Tensor  # (n,) class numbers
    weight: Tensor  # (n,) with mean 1

    def take(self, index: Tensor) -> Rows:
        return Rows(*(tensor[index] for tensor in self))


class Settings(NamedTuple):
    """Hyperparameters of training, under the names of `FusionClassifier`."""

    learning_rate_init: float
    weight_decay: float
    batch_size: int
    max_iter: int
    tol: float
    n_iter_no_change: int
    modality_dropout: float
    early_stopping: bool
    learn_weights: bool
    verbose: bool


class History(NamedTuple):
    """What was measured after each epoch."""

    terms: list[list[float]]
    validation: list[float]  # log-loss of the held-out rows; empty without early stopping


def train(
    network: FusionNetwork,
    rows: Rows,
    held_out: Tensor,
    objective: Objective,
    settings: Settings,
) -> History:
    """Train ``network`` in place on ``rows``; ``held_out`` is a boolean mask over them."""
    fitting, holding = (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]
    two_passes = len(holding) > 0 and (settings.learn_weights or network.fusion == "late")
    n_first = max(1, round(settings.max_iter * FIRST_PASS_SHARE)) if two_passes else 0
    last = fitting if settings.early_stopping else torch.arange(len(held_out), device=rows.x.device)
    history = History([], [])
    with tqdm(total=settings.max_iter, desc="fusion", disable=not settings.verbose) as bar:
        try:
            if two_passes:
                _run_pass(network, rows, fitting, None, n_first, objective, settings, history, bar)
                store_statistics(network, rows.take(fitting))
                learn_weights(network, rows.take(holding), alpha=settings.learn_weights)
            monitored = holding if settings.early_stopping else None
            n_last = settings.max_iter - n_first
            _run_pass(network, rows, last, monitored, n_last, objective, settings, history, bar)
        except KeyboardInterrupt:
            if not history.terms:
                raise
            warnings.warn(
                f"Training was interrupted after {len(history.terms)} of {settings.max_iter} "
                "epochs; the estimator is fitted as far as it got.",
                stacklevel=2,
            )
    store_statistics(network, rows.take(last))
    network.eval()
    return history


def _run_pass(
    network: FusionNetwork,
    rows: Rows,
    fitting: Tensor,
    monitored: Tensor | None,
    n_epochs: int,
    objective: Objective,
    settings: Settings,
    history: History,
    bar: tqdm,
) -> None:
    """Epochs under one warm-up and one cosine decay of the step size, while there is progress."""
    optimizer = _optimizer(network, settings)
    n_batches = math.ceil(len(fitting) / settings.batch_size)
    coefficients = torch.tensor(objective.coefficients, device=rows.x.device)
    best, best_state, n_stale = math.inf, None, 0
    for epoch in range(n_epochs):
        network.train()
        sums = torch.zeros_like(coefficients)
        order = fitting[torch.randperm(len(fitting)).to(fitting.device)]
        for step, index in enumerate(order.tensor_split(n_batches), start=epoch * n_batches):
            _set_step_size(optimizer, step / (n_epochs * n_batches))
            terms = _step(network, optimizer, rows.take(index), objective, coefficients, settings)
            sums += terms * len(index)
        terms = sums / len(fitting)
        loss = float(coefficients @ terms)
        if not math.isfinite(loss):
            raise ValueError(
                f"The loss became {loss} in epoch {len(history.terms) + 1}: training diverged. "
                f"Lower learning_rate_init (it is {settings.learning_rate_init})."
            )
        history.terms.append(terms.tolist())
        bar.update()
        bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        if monitored is not None:
            loss = log_loss(network, rows.take(monitored))
            history.validation.append(loss)
        n_stale = 0 if loss < best - settings.tol else n_stale + 1
        if monitored is not None and loss < best:
            best_state = copy.deepcopy(network.state_dict())
        best = min(best, loss)
        if n_stale >= settings.n_iter_no_change:
            break
    if best_state is not None:
        network.load_state_dict(best_state)


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
def store_statistics(network: FusionNetwork, rows: Rows) -> None:
    """Replace the running statistics by those of all rows, summed in float64."""
    network.eval()
    weights = (rows.present * rows.weight[:, None]).double()  # (n, m)
    share = weights / weights.sum(0).clamp(min=1e-300)
    mean, square = 0.0, 0.0
    for x, s in zip(rows.x.split(EVALUATION_ROWS), share.split(EVALUATION_ROWS), strict=True):
        values = network.values(x)[2].double()  # (chunk, m, q)
        mean += (s[:, :, None] * values).sum(0)  # (m, q)
        square += (s * (values**2).mean(2)).sum(0)  # (m,)
    variance = (square - (mean**2).mean(1)).clamp(min=0)
    network.normalizer.store(mean, (variance + 1e-8).sqrt())


@torch.no_grad()
def evaluate(network: FusionNetwork, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Parts (n, m, q) and weights (n, m) of rows; the network must be in evaluation mode."""
    return network.normalizer(network.values(x)[2], present), network.row_weights(present)


@torch.no_grad()
def log_loss(network: FusionNetwork, rows: Rows) -> float:
    """L of rows that are not trained on."""
    network.eval()
    total = 0.0
    for start in range(0, len(rows.x), EVALUATION_ROWS):
        chunk = rows.take(slice(start, start + EVALUATION_ROWS))
        parts, weights = evaluate(network, chunk.x, chunk.present)
        losses = F.cross_entropy(network.head(fuse(weights, parts)), chunk.target, reduction="none")
        total += float((losses * chunk.weight).sum())
    return total / float(rows.weight.sum())


def learn_weights(network: FusionNetwork, rows: Rows, *, alpha: bool) -> None:
    """Set alpha (where asked) and the temperature of late fusion to what suits ``rows`` best.

    Minimises the log-loss of rows that the f_i have not seen over the simplex of weights and one
    scale of the logits (stacked generalisation, Wolpert 1992, with the head kept), plus a prior
    towards equal weights that counts for half a row.
    """
    parts, _ = evaluate(network, rows.x, rows.present)
    parts, present = parts.double(), rows.present.double()
    head = copy.deepcopy(network.head).double()
    log_alpha = network.modality_weights.double().log()
    log_scale = torch.zeros((), dtype=torch.float64, device=parts.device)
    free = [log_scale.requires_grad_()] + ([log_alpha.requires_grad_()] if alpha else [])
    optimizer = torch.optim.LBFGS(free, max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        weights = log_alpha.softmax(0) * present
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-300)
        logits = head(fuse(weights, parts)) * log_scale.exp()
        losses = F.cross_entropy(logits, rows.target, reduction="none")
        prior = log_scale**2 - (log_alpha.log_softmax(0).mean() if alpha else 0.0)
        value = (losses * rows.weight).mean() + PRIOR_STRENGTH / len(rows.target) * prior
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        network.modality_weights.copy_(log_alpha.softmax(0))
        if isinstance(network.head, TemperatureHead):
            network.head.log_scale.add_(log_scale)
            network.head.log_scale.requires_grad_(False)
