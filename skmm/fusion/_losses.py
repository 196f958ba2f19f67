"""The composite loss, its terms pure functions of tensors.

    Loss = L(logits, y) + sum_i lambda_i L(head_i(f_i(x_i)), y)
                        + sum_{i != j} gamma_ij L_ij(f_i(x_i), f_j(x_j))

Each term is a mean over the rows it speaks of, every row's value times the row's weight. Weights
have mean 1 over the training rows, so where all are equal a term is a plain mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ._network import FusionOutput

CONTRASTIVE_TEMPERATURE = 0.1


class Rows(NamedTuple):
    """Training rows, one of each."""

    x: Tensor  # (n, sum of widths) scaled, zeros where missing
    present: Tensor  # (n, m) boolean
    target: Tensor  # (n,) class numbers
    weight: Tensor  # (n,) with mean 1

    def take(self, index: Tensor) -> Rows:
        return Rows(*(tensor.index_select(0, index) for tensor in self))

    def cpu(self) -> Rows:
        return Rows(*(tensor.cpu() for tensor in self))


class Objective(NamedTuple):
    """The weights of the composite loss; modalities are counted in the network's order."""

    modality: Mapping[int, float]  # i -> lambda_i, those above 0
    alignment: Mapping[tuple[int, int], float]  # (i, j) -> gamma_ij, those above 0
    alignment_loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

    @property
    def coefficients(self) -> list[float]:
        """What each term is multiplied by: 1, then lambda, then gamma."""
        return [1.0, *self.modality.values(), *self.alignment.values()]


def loss_terms(
    objective: Objective, output: FusionOutput, target: Tensor, weight: Tensor, present: Tensor
) -> Tensor:
    """Every term of the composite loss, not yet multiplied by its coefficient, (n_terms,)."""
    terms = [cross_entropy(output.logits, target, weight, torch.ones_like(present[:, 0]))]
    for i in objective.modality:
        terms.append(cross_entropy(output.modality_logits[i], target, weight, present[:, i]))
    for i, j in objective.alignment:
        both = present[:, i] & present[:, j]
        f_i, f_j = output.representations[i], output.representations[j]
        terms.append(objective.alignment_loss(f_i, f_j, weight, both))
    return torch.stack(terms)


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """L and L_i: the log-loss."""
    return _mean(F.cross_entropy(logits, target, reduction="none"), weight, valid)


def log_losses(logits: Tensor, rows: Rows) -> Tensor:
    """L of each row, times its weight (n,)."""
    return F.cross_entropy(logits, rows.target, reduction="none") * rows.weight


def cosine(f_i: Tensor, f_j: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """L_ij: one minus the cosine of the angle between a row's two representations."""
    return _mean(1 - F.cosine_similarity(f_i, f_j, dim=1), weight, valid)


def mse(f_i: Tensor, f_j: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """L_ij: the mean squared difference of a row's two representations."""
    return _mean(((f_i - f_j) ** 2).mean(1), weight, valid)


def contrastive(f_i: Tensor, f_j: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """L_ij: each row's f_i has to find its own f_j among those of the batch.

    InfoNCE (van den Oord et al. 2018) from i to j on cosine similarities; the sum over ordered
    pairs in the composite loss makes it the symmetric loss of CLIP (Radford et al. 2021).
    """
    similarity = F.normalize(f_i, dim=1) @ F.normalize(f_j, dim=1).T  # (n, n)
    logits = (similarity / CONTRASTIVE_TEMPERATURE).masked_fill(~valid, float("-inf"))
    logits = logits.masked_fill(~valid[:, None], 0.0)  # rows without a pair must stay finite
    own = torch.arange(len(logits), device=logits.device)
    return _mean(F.cross_entropy(logits, own, reduction="none"), weight, valid)


ALIGNMENT_LOSSES = {"contrastive": contrastive, "cosine": cosine, "mse": mse}


def _mean(values: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """Mean of weight times value over the valid rows, 0 where there is none."""
    return (values * weight * valid).sum() / valid.sum().clamp(min=1)
