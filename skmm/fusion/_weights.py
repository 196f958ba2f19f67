"""What is learned from rows that no network was trained on.

Alpha, the temperature of late fusion, and how much less sure a row is that lacks a modality.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ._layers import per_output
from ._losses import Rows, row_losses
from ._network import FusionNetwork, TemperatureHead
from ._rules import fuse, renormalise
from ._tasks import Task

PRIOR_STRENGTH = 0.5  # rows' worth of belief in equal weights
DOUBT = 4.0
ROWS_WITHOUT = 2000  # of each fold, at most, are looked at without some of their modalities


class Unseen(NamedTuple):
    """Rows, what a network that was not trained on them makes of them, and its head."""

    head: nn.Module
    parts: Tensor  # (n, m, q)
    odds: Tensor  # (n, m) what alpha is multiplied by
    rows: Rows


def learn_weights(
    network: FusionNetwork,
    unseen: Sequence[Unseen],
    tasks: Sequence[Task],
    *,
    alpha: bool,
    calibrate: bool,
) -> None:
    """Set alpha (where asked) and the temperatures of late fusion to what suits unseen rows best.

    Minimises their loss over the simplex of weights and one scale of what is fused (of late fusion,
    one for each task): stacked generalisation (Wolpert 1992), the heads kept. Only late fusion
    keeps the scale; elsewhere it is there so that too bold a head does not speak against a
    modality. A prior towards equal weights and an unchanged scale counts for half a row; the weight
    of a modality that may be noise is penalised. With ``calibrate`` the logits get a scale too.
    """
    unseen = [
        Unseen(
            copy.deepcopy(u.head).cpu().double().requires_grad_(False),
            u.parts.cpu().double(),
            u.odds.cpu(),
            u.rows.cpu(),
        )
        for u in unseen
    ]
    per_class = network.modality_weights.ndim == 2
    log_alpha = network.modality_weights.cpu().double().log()
    log_alpha = log_alpha.mean(1) if per_class else log_alpha  # equal so far
    log_scale = torch.zeros(_n_scales(network.head), dtype=torch.float64)
    penalty = _doubt(unseen, tasks) if alpha else torch.zeros_like(log_alpha)

    def loss() -> Tensor:
        weights = log_alpha.softmax(0)
        prior = (log_scale**2).sum() - (log_alpha.log_softmax(0).mean() if alpha else 0.0)
        total = PRIOR_STRENGTH * prior + penalty @ weights
        for head, parts, odds, rows in unseen:
            fused = fuse(renormalise(weights, odds), parts)
            logits = head(_per_value(head, log_scale.exp()) * fused)
            losses = row_losses(tasks, logits, rows.target)
            total = total + (losses * rows.weight[:, None]).sum()
        return total

    _minimise(loss, [log_scale, log_alpha] if alpha else [log_scale])
    weights = log_alpha.softmax(0)
    if per_class:
        weights = _class_weights(unseen, tasks, weights, log_scale)
    network.modality_weights.copy_(weights)
    costs = _absence_costs(unseen, tasks, weights, log_scale)
    network.absence_costs.copy_(costs)
    if calibrate:
        _calibrate(network, unseen, tasks, weights, costs, log_scale)
    if isinstance(network.head, TemperatureHead):
        scales = torch.stack([u.head.log_scale for u in unseen])
        with torch.no_grad():
            network.head.log_scale.copy_(scales.mean(0) + log_scale)
        network.head.log_scale.requires_grad_(False)


def _calibrate(
    network: FusionNetwork,
    unseen: Sequence[Unseen],
    tasks: Sequence[Task],
    weights: Tensor,
    costs: Tensor,
    log_scale: Tensor,
) -> None:
    """Calibrate by unseen rows: with the scale of what is fused only where the network keeps it."""
    log_scale = log_scale if isinstance(network.head, TemperatureHead) else log_scale * 0
    logits = []
    for head, parts, odds, rows in unseen:
        confidence = torch.exp(-((~rows.present).double() @ costs))[:, None]
        fused = confidence * fuse(renormalise(weights, odds), parts)
        logits.append(head(_per_value(head, log_scale.exp()) * fused))
    target = torch.cat([u.rows.target for u in unseen])
    weight = torch.cat([u.rows.weight for u in unseen])
    learn_calibration(network, torch.cat(logits), target, weight, tasks)


def learn_calibration(
    network: FusionNetwork, logits: Tensor, target: Tensor, weight: Tensor, tasks: Sequence[Task]
) -> None:
    """Set the scale of each task's logits that unseen rows call for (Guo et al. 2017)."""
    logits, target, weight = logits.cpu().double(), target.cpu(), weight.cpu().double()
    n_outputs = network.calibration.n_outputs.cpu()
    log_scale = torch.zeros(len(n_outputs), dtype=torch.float64)

    def loss() -> Tensor:
        losses = row_losses(tasks, per_output(log_scale.exp(), n_outputs) * logits, target)
        return (losses * weight[:, None]).sum() + PRIOR_STRENGTH * (log_scale**2).sum()

    _minimise(loss, [log_scale])
    network.calibration.log_scale.copy_(log_scale)


def _class_weights(
    unseen: Sequence[Unseen], tasks: Sequence[Task], weights: Tensor, log_scale: Tensor
) -> Tensor:
    """Weights for each class (m, k) instead of those for all, ``weights`` (m,).

    The divergence of a class's weights from those for all costs sqrt(n) nats for each nat, as much
    as chance gains: a class of few rows, which can gain little, stays where it is.
    """
    strength = math.sqrt(sum(len(u.parts) for u in unseen))
    start = weights.log()[:, None]
    log_alpha = start.repeat(1, unseen[0].parts.shape[2])

    def loss() -> Tensor:
        log_weights = log_alpha.log_softmax(0)
        own = log_weights.exp()
        total = strength * (own * (log_weights - start)).sum()
        for head, parts, odds, rows in unseen:
            fused = fuse(renormalise(own, odds), parts)
            losses = row_losses(tasks, head(_per_value(head, log_scale.exp()) * fused), rows.target)
            total = total + (losses * rows.weight[:, None]).sum()
        return total

    _minimise(loss, [log_alpha])
    return log_alpha.softmax(0)


def _absence_costs(
    unseen: Sequence[Unseen], tasks: Sequence[Task], weights: Tensor, log_scale: Tensor
) -> Tensor:
    """By what factor, exp(-c_i), a row that lacks modality i is less sure: c (m,), not negative.

    Minimises the loss of rows from which modalities are taken: each in turn, and all but each.
    """
    if len(weights) == 1:
        return torch.zeros(1, dtype=torch.float64)
    each = torch.eye(len(weights), dtype=torch.bool)
    kept = torch.cat([each, ~each] if len(weights) > 2 else [each])  # (s, m)
    counts = (weights > 0).reshape(len(weights), -1).any(1)
    root = torch.full((len(weights),), 0.1, dtype=torch.float64)
    samples = [
        Unseen(head, parts[::step], odds[::step], rows.take(torch.arange(0, len(parts), step)))
        for head, parts, odds, rows in unseen
        for step in [math.ceil(len(parts) / ROWS_WITHOUT)]
    ]

    def loss() -> Tensor:
        costs = root**2 * counts
        total = PRIOR_STRENGTH * (costs**2).sum()
        for head, parts, odds, rows in samples:
            for subset in kept:
                there = rows.present & subset
                # A gate's odds are those of the row with all that it has.
                fused = fuse(renormalise(weights, odds * there), parts)
                confidence = torch.exp(-((~there).double() @ costs))[:, None]
                scale = _per_value(head, log_scale.exp()) * confidence
                losses = row_losses(tasks, head(scale * fused), rows.target).sum(1)
                asked = rows.weight * (there & counts).any(1)
                total = total + (losses * asked).sum() / len(kept)
        return total

    _minimise(loss, [root])
    return root**2 * counts


def _n_scales(head: nn.Module) -> int:
    return len(head.log_scale) if isinstance(head, TemperatureHead) else 1


def _per_value(head: nn.Module, scale: Tensor) -> Tensor:
    """From scales (..., `_n_scales`) to what multiplies fused values (..., q)."""
    return per_output(scale, head.n_outputs) if isinstance(head, TemperatureHead) else scale


def _doubt(unseen: Sequence[Unseen], tasks: Sequence[Task]) -> Tensor:
    """Penalty on each modality's weight, in nats, for what the modality alone does not prove.

    By chance noise seems to gain about sqrt(2 n) a nats with a weight of a: each pair of rows in
    two folds counts twice, once with either as the unseen one, hence the 2. `DOUBT` sqrt(n) a,
    nearly three such standard errors, is asked in advance; the less, the more nats a modality gains
    on its own at its best scale, and nothing from sqrt(n) / 2 on: of 1,000 rows, four standard
    errors. The loss of a number, scaled to a spread of 1, is in nats too: those of a normal or
    Laplace distribution of that spread.
    """
    n_rows = sum(len(u.parts) for u in unseen)
    m = unseen[0].parts.shape[1]
    log_scale = torch.zeros(m, _n_scales(unseen[0].head), dtype=torch.float64)

    def losses(scale: Tensor) -> Tensor:
        total = 0.0
        for head, parts, _, rows in unseen:
            logits = head(_per_value(head, scale) * parts).transpose(1, 2)  # (n, k, m)
            target = rows.target[:, :, None].expand(-1, -1, m)
            each = row_losses(tasks, logits, target).sum(1)  # (n, m)
            total = total + (each * rows.present * rows.weight[:, None]).sum(0)
        return total

    _minimise(lambda: losses(log_scale.exp()).sum(), [log_scale])
    with torch.no_grad():
        gain = losses(torch.zeros_like(log_scale)) - losses(log_scale.exp())
    return DOUBT * (math.sqrt(n_rows) - 2 * gain.clamp(min=0)).clamp(min=0)


def _minimise(function: Callable[[], Tensor], variables: Sequence[Tensor]) -> None:
    """Minimise in place, by L-BFGS; from where the variables stand."""
    optimizer = torch.optim.LBFGS(
        [variable.requires_grad_() for variable in variables],
        max_iter=100,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = function()
        value.backward()
        return value

    optimizer.step(closure)
    for variable in variables:
        variable.requires_grad_(False)
