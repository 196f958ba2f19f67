"""The composite loss, its terms pure functions of tensors.

    Loss = L(logits, y) + sum_i lambda_i L(head_i(f_i(x_i)), y)
                        + sum_{i != j} gamma_ij L_ij(f_i(x_i), f_j(x_j))

Each term is a mean over the rows it speaks of, every row's value times the row's weight. Weights
have mean 1 over the training rows, so where all are equal a term is a plain mean. L is the weighted
mean of the losses of all columns of y, each of which speaks of the rows in which it is known.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ._network import FusionNetwork, FusionOutput
from ._tasks import Task

CONTRASTIVE_TEMPERATURE = 0.1
REDUNDANCY_WEIGHT = 0.005
HUBER_DELTA = 1.0  # in units of the scaled target's spread


class Rows(NamedTuple):
    """Training rows, one of each."""

    x: Tensor  # (n, sum of widths) scaled, zeros where missing
    present: Tensor  # (n, m) boolean
    target: Tensor  # (n, t) class numbers, -1 where not known; or numbers, NaN where not known
    weight: Tensor  # (n,) with mean 1

    def take(self, index: Tensor) -> Rows:
        return Rows(*(tensor.index_select(0, index) for tensor in self))

    def cpu(self) -> Rows:
        return Rows(*(tensor.cpu() for tensor in self))

    def tile(self, network: FusionNetwork) -> Rows:
        """Repeat the rows for each member of an ensemble."""
        return Rows(*(network.tile(tensor) for tensor in self))


class Objective(NamedTuple):
    """The weights of the composite loss; modalities are counted in the network's order."""

    modality: Mapping[int, float]  # i -> lambda_i, those above 0
    alignment: Mapping[tuple[int, int], float]  # (i, j) -> gamma_ij, those above 0
    alignment_loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    tasks: Sequence[Task]
    n_members: int = 1

    @property
    def coefficients(self) -> list[float]:
        """What each term is multiplied by: 1, then lambda, then gamma."""
        return [1.0, *self.modality.values(), *self.alignment.values()]

    def terms(self, output: FusionOutput, rows: Rows) -> Tensor:
        """Every term, not yet multiplied by its coefficient, (n_terms,)."""
        return loss_terms(self, output, rows.target, rows.weight, rows.present)


def loss_terms(
    objective: Objective, output: FusionOutput, target: Tensor, weight: Tensor, present: Tensor
) -> Tensor:
    """Every term of the composite loss, not yet multiplied by its coefficient, (n_terms,)."""
    tasks, everyone = objective.tasks, torch.ones_like(present[:, 0])
    terms = [supervised(tasks, output.logits, target, weight, everyone)]
    for i in objective.modality:
        terms.append(supervised(tasks, output.modality_logits[i], target, weight, present[:, i]))
    align, aligned = objective.alignment_loss, output.representations
    if align is kl:
        align, aligned = functools.partial(agreement, tasks), output.modality_logits
    for i, j in objective.alignment:
        both = present[:, i] & present[:, j]
        members = [
            values.tensor_split(objective.n_members)
            for values in (aligned[i], aligned[j], weight, both)
        ]
        terms.append(torch.stack([align(*each) for each in zip(*members, strict=True)]).mean())
    return torch.stack(terms)


def supervised(
    tasks: Sequence[Task], outputs: Tensor, target: Tensor, weight: Tensor, valid: Tensor
) -> Tensor:
    """L and L_i: the losses of outputs (n, k), summed over the columns of the target."""
    losses = row_losses(tasks, outputs, target)  # (n, t)
    return _mean(losses, weight[:, None], valid[:, None] & known(target)).sum()


def row_losses(tasks: Sequence[Task], outputs: Tensor, target: Tensor) -> Tensor:
    """Loss of outputs (n, k, ...) for each value of ``target`` (n, t, ...), times that of its task.

    Zeros where the target is not known.
    """
    losses = [
        task.weight * LOSSES[task.kind](outputs[:, task.outputs], target[:, task.columns])
        for task in tasks
    ]
    return losses[0] if len(losses) == 1 else torch.cat(losses, dim=1)


def known(target: Tensor) -> Tensor:
    """Which values of a target are known."""
    return ~target.isnan() if target.is_floating_point() else target >= 0


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits, target[:, 0], ignore_index=-1, reduction="none")[:, None]


def _of_known(loss: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Make a loss of torch one of each value, 0 where the target is NaN."""

    def losses(outputs: Tensor, target: Tensor) -> Tensor:
        there = known(target)
        values = torch.where(there, target, 0.0).to(outputs.dtype)
        return torch.where(there, loss(outputs, values, reduction="none"), 0.0)

    return losses


def _half_squared_error(outputs: Tensor, target: Tensor, reduction: str) -> Tensor:
    return F.mse_loss(outputs, target, reduction=reduction) / 2


LOSSES = {
    "multiclass": _cross_entropy,
    "multilabel": _of_known(F.binary_cross_entropy_with_logits),
    "squared_error": _of_known(_half_squared_error),
    "absolute_error": _of_known(F.l1_loss),
    "huber": _of_known(functools.partial(F.huber_loss, delta=HUBER_DELTA)),
}


def cosine(f_i: Tensor, f_j: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """L_ij: one minus the cosine of the angle between a row's two representations."""
    return _mean(1 - F.cosine_similarity(f_i, f_j, dim=1), weight, valid)


def mse(f_i: Tensor, f_j: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """L_ij: the mean squared difference of a row's two representations."""
    return _mean(((f_i - f_j) ** 2).mean(1), weight, valid)


def contrastive(
    f_i: Tensor,
    f_j: Tensor,
    weight: Tensor,
    valid: Tensor,
    temperature: Tensor | float = CONTRASTIVE_TEMPERATURE,
) -> Tensor:
    """L_ij: each row's f_i has to find its own f_j among those of the batch.

    InfoNCE (van den Oord et al. 2018) from i to j on cosine similarities; the sum over ordered
    pairs in the composite loss makes it the symmetric loss of CLIP (Radford et al. 2021).
    """
    logits = _contrastive_logits(f_i, f_j, valid, temperature)
    own = torch.arange(len(logits), device=logits.device)
    return _mean(F.cross_entropy(logits, own, reduction="none"), weight, valid)


def supervised_contrastive(
    f_i: Tensor,
    f_j: Tensor,
    weight: Tensor,
    valid: Tensor,
    temperature: Tensor | float,
    positive: Tensor,
) -> Tensor:
    """L_ij: each row's f_i has to find the f_j of all rows that are ``positive`` (n, n) to it.

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
    """Cosines of all f_i (rows) and f_j, over the temperature; of rows without a pair, 0."""
    similarity = F.normalize(f_i, dim=1) @ F.normalize(f_j, dim=1).T  # (n, n)
    logits = (similarity / temperature).masked_fill(~valid, float("-inf"))
    return logits.masked_fill(~valid[:, None], 0.0)  # rows without a pair must stay finite


def kl(logits_i: Tensor, logits_j: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """L_ij: the Kullback-Leibler divergence of j's own prediction from i's, KL(p_i || p_j).

    As in deep mutual learning (Zhang et al. 2018), but nothing is detached: i and j both move, so
    that this is a loss with a gradient, as a line search needs it.
    """
    log_p_i, log_p_j = logits_i.log_softmax(-1), logits_j.log_softmax(-1)
    divergence = F.kl_div(log_p_j, log_p_i, reduction="none", log_target=True)
    return _mean(divergence.flatten(1).sum(1), weight, valid)


def agreement(
    tasks: Sequence[Task], outputs_i: Tensor, outputs_j: Tensor, weight: Tensor, valid: Tensor
) -> Tensor:
    """L_ij: `kl` of every task, weighted as their losses are; a label is a choice of two."""
    total = torch.zeros((), dtype=outputs_i.dtype, device=outputs_i.device)
    for task in tasks:
        pair = [outputs[:, task.outputs] for outputs in (outputs_i, outputs_j)]
        if task.kind == "multilabel":
            pair = [torch.stack([z, torch.zeros_like(z)], dim=-1) for z in pair]
        total = total + task.weight * kl(*pair, weight, valid)
    return total


def correlation(f_i: Tensor, f_j: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """L_ij: each unit is to correlate with its namesake of the other modality, and with no other.

    Barlow Twins (Zbontar et al. 2021): with C the correlations of the units of f_i (rows) and f_j
    over the batch, the mean over units of (1 - C_dd)^2 plus a small weight times the sum of the
    other C_de^2. 0 where fewer than two rows have both modalities.
    """
    share = weight * valid
    share = share / share.sum().clamp(min=1e-12)  # (n,)
    z_i, z_j = _standardise(f_i, share), _standardise(f_j, share)
    c = (share[:, None] * z_i).T @ z_j  # (h, h)
    own = c.diagonal()
    redundancy = (c**2).sum() - (own**2).sum()
    loss = (((1 - own) ** 2).sum() + REDUNDANCY_WEIGHT * redundancy) / len(c)
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
    """Mean of weight times value over the valid rows (axis 0), 0 where there is none."""
    return (values * weight * valid).sum(0) / valid.sum(0).clamp(min=1)
