"""Alpha, and what else is learned from rows that no network was trained on.

The temperature of late fusion, the penalty of a missing modality, and calibration.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .._torch.fusing import TemperatureHead, renormalise, weighted_sum
from .._torch.layers import scale_per_output
from .._torch.losses import row_losses
from .._torch.tasks import Task
from ._network import FusionNetwork

PRIOR_STRENGTH = 0.5  # rows' worth of belief in equal weights
NOISE_PENALTY = 4.0
MAX_ROWS_REDUCED = 2000  # of each fold, that are predicted without some of their modalities


class OutOfFold(NamedTuple):
    """What a network computes of rows that it was not trained on; it lives while alpha is learned.

    `to_cpu` copies it, for what is learned of it in float64.
    """

    head: nn.Module
    values: Tensor  # (n, m, q)
    gate_scores: Tensor  # (n, m) what alpha is multiplied by
    present: Tensor  # (n, m) which modalities each row has
    target: Tensor  # (n, t)
    weight: Tensor  # (n,)

    def to_cpu(self) -> OutOfFold:
        """Copy to the CPU, head and values in float64."""
        head = copy.deepcopy(self.head).cpu().double().requires_grad_(False)
        return OutOfFold(head, self.values.cpu().double(), *(t.cpu() for t in self[2:]))

    def every(self, step: int) -> OutOfFold:
        """Take every ``step``-th row."""
        return OutOfFold(self.head, *(t[::step] for t in self[1:]))


def learn_weights(
    network: FusionNetwork,
    samples: Sequence[OutOfFold],
    tasks: Sequence[Task],
    *,
    alpha: bool,
    calibrate: bool,
) -> None:
    """Set alpha (where asked) and the temperatures of late fusion to what suits unseen rows best.

    Minimises their loss over the simplex of weights and one scale of what is fused (of late fusion,
    one for each task): stacked generalisation (Wolpert 1992), the heads kept. Only late fusion
    keeps the scale; elsewhere it serves that an overconfident head does not count against a
    modality. A prior towards equal weights and an unchanged scale counts for half a row; the weight
    of a modality that may be noise is penalised. With ``calibrate`` the logits get a scale too.
    """
    samples = [sample.to_cpu() for sample in samples]
    per_class = network.modality_weights.ndim == 2
    log_alpha = network.modality_weights.cpu().double().log()
    log_alpha = log_alpha.mean(1) if per_class else log_alpha  # equal so far
    log_scale = torch.zeros(_n_scales(network.head), dtype=torch.float64)
    penalty = _noise_penalty(samples, tasks) if alpha else torch.zeros_like(log_alpha)

    def loss() -> Tensor:
        weights = log_alpha.softmax(0)
        prior = (log_scale**2).sum() - (log_alpha.log_softmax(0).mean() if alpha else 0.0)
        total = PRIOR_STRENGTH * prior + penalty @ weights
        for head, values, gate_scores, _, target, weight in samples:
            fused = weighted_sum(renormalise(weights, gate_scores), values)
            logits = head(_per_value(head, log_scale.exp()) * fused)
            losses = row_losses(tasks, logits, target)
            total = total + (losses * weight[:, None]).sum()
        return total

    _minimise(loss, [log_scale, log_alpha] if alpha else [log_scale])
    weights = log_alpha.softmax(0)
    if per_class:
        weights = _class_weights(samples, tasks, weights, log_scale)
    network.modality_weights.copy_(weights)
    penalties = _missing_penalty(samples, tasks, weights, log_scale)
    network.missing_penalty.copy_(penalties)
    if calibrate:
        _calibrate(network, samples, tasks, weights, penalties, log_scale)
    if isinstance(network.head, TemperatureHead):
        heads = [sample.head for sample in samples if isinstance(sample.head, TemperatureHead)]
        scales = torch.stack([head.log_scale for head in heads])
        with torch.no_grad():
            network.head.log_scale.copy_(scales.mean(0) + log_scale)
        network.head.log_scale.requires_grad_(False)


def _calibrate(
    network: FusionNetwork,
    samples: Sequence[OutOfFold],
    tasks: Sequence[Task],
    weights: Tensor,
    penalties: Tensor,
    log_scale: Tensor,
) -> None:
    """Calibrate on unseen rows, with the scale of what is fused where the network keeps it."""
    log_scale = log_scale if isinstance(network.head, TemperatureHead) else log_scale * 0
    logits = []
    for head, values, gate_scores, present, _, _ in samples:
        confidence = torch.exp(-((~present).double() @ penalties))[:, None]
        fused = confidence * weighted_sum(renormalise(weights, gate_scores), values)
        logits.append(head(_per_value(head, log_scale.exp()) * fused))
    target = torch.cat([sample.target for sample in samples])
    weight = torch.cat([sample.weight for sample in samples])
    learn_calibration(network, torch.cat(logits), target, weight, tasks)


def learn_calibration(
    network: FusionNetwork, logits: Tensor, target: Tensor, weight: Tensor, tasks: Sequence[Task]
) -> None:
    """Set the scale of each task's logits that suits unseen rows best (Guo et al. 2017)."""
    logits, target, weight = logits.cpu().double(), target.cpu(), weight.cpu().double()
    n_outputs = network.calibration.n_outputs.cpu()
    log_scale = torch.zeros(len(n_outputs), dtype=torch.float64)

    def loss() -> Tensor:
        losses = row_losses(tasks, scale_per_output(log_scale.exp(), n_outputs) * logits, target)
        return (losses * weight[:, None]).sum() + PRIOR_STRENGTH * (log_scale**2).sum()

    _minimise(loss, [log_scale])
    network.calibration.log_scale.copy_(log_scale)


def _class_weights(
    samples: Sequence[OutOfFold], tasks: Sequence[Task], weights: Tensor, log_scale: Tensor
) -> Tensor:
    """Learn weights of each class (m, k) instead of those of all, ``weights`` (m,).

    The divergence of a class's weights from those for all costs sqrt(n) nats for each nat, as much
    as chance gains: a class of few rows, which can gain little, stays where it is.
    """
    strength = math.sqrt(sum(len(sample.values) for sample in samples))
    start = weights.log()[:, None]
    log_alpha = start.repeat(1, samples[0].values.shape[2])

    def loss() -> Tensor:
        log_weights = log_alpha.log_softmax(0)
        class_weights = log_weights.exp()
        total = strength * (class_weights * (log_weights - start)).sum()
        for head, values, gate_scores, _, target, weight in samples:
            fused = weighted_sum(renormalise(class_weights, gate_scores), values)
            losses = row_losses(tasks, head(_per_value(head, log_scale.exp()) * fused), target)
            total = total + (losses * weight[:, None]).sum()
        return total

    _minimise(loss, [log_alpha])
    return log_alpha.softmax(0)


def _missing_penalty(
    samples: Sequence[OutOfFold], tasks: Sequence[Task], weights: Tensor, log_scale: Tensor
) -> Tensor:
    """Compute c (m,), not negative: a row that lacks modality i has exp(-c_i) of the confidence.

    Minimises the loss of rows from which modalities are taken: each in turn, and all but each.
    """
    if len(weights) == 1:
        return torch.zeros(1, dtype=torch.float64)
    alone = torch.eye(len(weights), dtype=torch.bool)
    subsets = torch.cat([alone, ~alone] if len(weights) > 2 else [alone])  # (s, m)
    has_weight = (weights > 0).reshape(len(weights), -1).any(1)
    root = torch.full((len(weights),), 0.1, dtype=torch.float64)
    samples = [s.every(math.ceil(len(s.values) / MAX_ROWS_REDUCED)) for s in samples]

    def loss() -> Tensor:
        penalties = root**2 * has_weight
        total = PRIOR_STRENGTH * (penalties**2).sum()
        for head, values, gate_scores, present, target, weight in samples:
            for subset in subsets:
                left = present & subset
                # A gate's scores are those of the row with all that it has.
                fused = weighted_sum(renormalise(weights, gate_scores * left), values)
                confidence = torch.exp(-((~left).double() @ penalties))[:, None]
                scale = _per_value(head, log_scale.exp()) * confidence
                losses = row_losses(tasks, head(scale * fused), target).sum(1)
                predicted = weight * (left & has_weight).any(1)
                total = total + (losses * predicted).sum() / len(subsets)
        return total

    _minimise(loss, [root])
    return root**2 * has_weight


def _n_scales(head: nn.Module) -> int:
    return len(head.log_scale) if isinstance(head, TemperatureHead) else 1


def _per_value(head: nn.Module, scale: Tensor) -> Tensor:
    """From scales (..., `_n_scales`) to what multiplies fused values (..., q)."""
    return scale_per_output(scale, head.n_outputs) if isinstance(head, TemperatureHead) else scale


def _noise_penalty(samples: Sequence[OutOfFold], tasks: Sequence[Task]) -> Tensor:
    """Compute a penalty on each modality's weight, in nats, for what it does not prove alone.

    By chance noise seems to gain about sqrt(2 n) a nats with a weight of a: each pair of rows in
    two folds counts twice, once with either as the unseen one, hence the 2. `NOISE_PENALTY` times
    sqrt(n) a, nearly three such standard errors, is asked in advance; the less, the more nats a
    modality gains on its own at its best scale, and nothing from sqrt(n) / 2 on: of 1,000 rows,
    four standard errors. The loss of a number, scaled to a spread of 1, is in nats too: those of a
    normal or Laplace distribution of that spread.
    """
    n_rows = sum(len(sample.values) for sample in samples)
    m = samples[0].values.shape[1]
    log_scale = torch.zeros(m, _n_scales(samples[0].head), dtype=torch.float64)

    def losses(scale: Tensor) -> Tensor:
        total = torch.zeros(m, dtype=torch.float64)
        for head, values, _, present, target, weight in samples:
            logits = head(_per_value(head, scale) * values).transpose(1, 2)  # (n, k, m)
            repeated = target[:, :, None].expand(-1, -1, m)
            row_loss = row_losses(tasks, logits, repeated).sum(1)  # (n, m)
            total = total + (row_loss * present * weight[:, None]).sum(0)
        return total

    _minimise(lambda: losses(log_scale.exp()).sum(), [log_scale])
    with torch.no_grad():
        gain = losses(torch.zeros_like(log_scale)) - losses(log_scale.exp())
    return NOISE_PENALTY * (math.sqrt(n_rows) - 2 * gain.clamp(min=0)).clamp(min=0)


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
