"""Losses L of predictions and L_ij between two modalities, as pure functions of tensors.

Each is a mean over the rows to which it applies, every row's value times the row's weight. Weights
have mean 1 over the training rows, so where all are equal it is a plain mean. L is the weighted
mean of the losses of all columns of y, each of which applies to the rows in which it is known.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .tasks import Task

CONTRASTIVE_TEMPERATURE = 0.1
REDUNDANCY_WEIGHT = 0.005
HUBER_DELTA = 1.0  # in units of the scaled target's spread


def supervised(
    tasks: Sequence[Task], outputs: Tensor, target: Tensor, weight: Tensor, valid: Tensor
) -> Tensor:
    """Compute L and L_i: the losses of outputs (n, k), summed over the columns of the target."""
    losses = row_losses(tasks, outputs, target)  # (n, t)
    return _mean(losses, weight[:, None], valid[:, None] & known(target)).sum()


def row_losses(tasks: Sequence[Task], outputs: Tensor, target: Tensor) -> Tensor:
    """Compute the loss of outputs (n, k, ...) for each value of ``target`` (n, t, ...).

    Each is multiplied by the weight of its task, and 0 where the target is not known.
    """
    losses = []
    for task in tasks:
        loss = LOSSES[task.kind](outputs[:, task.outputs], target[:, task.columns])
        losses.append(loss if task.weight == 1 else task.weight * loss)
    return losses[0] if len(losses) == 1 else torch.cat(losses, dim=1)


def known(target: Tensor) -> Tensor:
    """Mark the known values of a target."""
    return ~target.isnan() if target.is_floating_point() else target >= 0


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits, target[:, 0], ignore_index=-1, reduction="none")[:, None]


def _where_known(loss: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Make a loss of torch one for each value, 0 where the target is NaN."""

    def losses(outputs: Tensor, target: Tensor) -> Tensor:
        is_known = known(target)
        values = torch.where(is_known, target, 0.0).to(outputs.dtype)
        return torch.where(is_known, loss(outputs, values, reduction="none"), 0.0)

    return losses


def _half_squared_error(outputs: Tensor, target: Tensor, reduction: str) -> Tensor:
    return F.mse_loss(outputs, target, reduction=reduction) / 2


LOSSES = {
    "multiclass": _cross_entropy,
    "multilabel": _where_known(F.binary_cross_entropy_with_logits),
    "squared_error": _where_known(_half_squared_error),
    "absolute_error": _where_known(F.l1_loss),
    "huber": _where_known(functools.partial(F.huber_loss, delta=HUBER_DELTA)),
}


def cosine(f_i: Tensor, f_j: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """Compute L_ij: one minus the cosine of the angle between a row's two representations."""
    return _mean(1 - F.cosine_similarity(f_i, f_j, dim=1), weight, valid)


def mse(f_i: Tensor, f_j: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """Compute L_ij: the mean squared difference of a row's two representations."""
    return _mean(((f_i - f_j) ** 2).mean(1), weight, valid)


def contrastive(
    f_i: Tensor,
    f_j: Tensor,
    weight: Tensor,
    valid: Tensor,
    temperature: Tensor | float = CONTRASTIVE_TEMPERATURE,
) -> Tensor:
    """Compute L_ij: each row's f_i has to find its own f_j among those of the batch.

    InfoNCE (van den Oord et al. 2018) from i to j on cosine similarities; the sum over ordered
    pairs in the composite loss makes it the symmetric loss of CLIP (Radford et al. 2021).
    """
    logits = _contrastive_logits(f_i, f_j, valid, temperature)
    partner = torch.arange(len(logits), device=logits.device)
    return _mean(F.cross_entropy(logits, partner, reduction="none"), weight, valid)


def supervised_contrastive(
    f_i: Tensor,
    f_j: Tensor,
    weight: Tensor,
    valid: Tensor,
    temperature: Tensor | float,
    positive: Tensor,
) -> Tensor:
    """Compute L_ij: f_i of a row has to find f_j of all rows that are ``positive`` (n, n) to it.

    The mean over these of minus the log-probability of each (Khosla et al. 2020, their L_out).
    Rows that have none of them do not count.
    """
    positive = positive & valid & valid[:, None]
    logits = _contrastive_logits(f_i, f_j, valid, temperature)
    log_proba = torch.where(positive, logits.log_softmax(1), 0.0)
    n_positive = positive.sum(1)
    return _mean(-log_proba.sum(1) / n_positive.clamp(min=1), weight, n_positive > 0)


def _contrastive_logits(
    f_i: Tensor, f_j: Tensor, valid: Tensor, temperature: Tensor | float
) -> Tensor:
    """Compute cosines of f_i (rows) and f_j, over the temperature; 0 for rows without a pair."""
    similarity = F.normalize(f_i, dim=1) @ F.normalize(f_j, dim=1).T  # (n, n)
    logits = (similarity / temperature).masked_fill(~valid, float("-inf"))
    return logits.masked_fill(~valid[:, None], 0.0)  # rows without a pair must stay finite


def kl(logits_i: Tensor, logits_j: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """Compute L_ij: the Kullback-Leibler divergence of j's own prediction from i's, KL(p_i || p_j).

    As in deep mutual learning (Zhang et al. 2018), but nothing is detached: i and j both move, so
    that this is a loss with a gradient, as a line search needs it.
    """
    log_p_i, log_p_j = logits_i.log_softmax(-1), logits_j.log_softmax(-1)
    divergence = F.kl_div(log_p_j, log_p_i, reduction="none", log_target=True)
    return _mean(divergence.flatten(1).sum(1), weight, valid)


def task_kl(
    tasks: Sequence[Task], outputs_i: Tensor, outputs_j: Tensor, weight: Tensor, valid: Tensor
) -> Tensor:
    """Compute L_ij: `kl` of each task, weighted as its loss is; a label is a choice of two."""
    total = torch.zeros((), dtype=outputs_i.dtype, device=outputs_i.device)
    for task in tasks:
        logits_i, logits_j = outputs_i[:, task.outputs], outputs_j[:, task.outputs]
        if task.kind == "multilabel":
            logits_i, logits_j = _two_classes(logits_i), _two_classes(logits_j)
        total = total + task.weight * kl(logits_i, logits_j, weight, valid)
    return total


def _two_classes(logits: Tensor) -> Tensor:
    return torch.stack([logits, torch.zeros_like(logits)], dim=-1)


def correlation(f_i: Tensor, f_j: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """Compute L_ij: each unit is to correlate with its namesake of f_j, and with no other.

    Barlow Twins (Zbontar et al. 2021): with C the correlations of the units of f_i (rows) and f_j
    over the batch, the mean over units of (1 - C_dd)^2 plus a small weight times the sum of the
    other C_de^2. 0 where fewer than two rows have both modalities.
    """
    share = weight * valid
    share = share / share.sum().clamp(min=1e-12)  # (n,)
    z_i, z_j = _standardise(f_i, share), _standardise(f_j, share)
    c = (share[:, None] * z_i).T @ z_j  # (h, h)
    matching = c.diagonal()
    redundancy = (c**2).sum() - (matching**2).sum()
    loss = (((1 - matching) ** 2).sum() + REDUNDANCY_WEIGHT * redundancy) / len(c)
    return loss * (valid.sum() > 1)


ALIGNMENT_LOSSES = {
    "contrastive": contrastive,
    "cosine": cosine,
    "mse": mse,
    "kl": kl,
    "correlation": correlation,
}


def _standardise(values: Tensor, share: Tensor) -> Tensor:
    """Centre columns and divide them by their deviation; ``share`` (n,) adds up to 1."""
    centred = values - share @ values
    return centred / (share @ centred**2 + 1e-5).sqrt()


def _mean(values: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """Compute the mean of weight times value over valid rows (axis 0), 0 without any."""
    return (values * (weight * valid)).sum(0) / valid.sum(0).clamp(min=1)
