"""Rules of fusion: modules that make one vector a row of the parts of its modalities.

Each is called with the row's weights (n, m), 0 for modalities that are missing or do not count, and
the parts (n, m, q). Of `Attention` and `Bilinear` the weights only say which modalities count.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ._layers import Dropout, make_linear

MAX_ATTENTION_HEADS = 4
BILINEAR_RANK = 4


def weigh(weights: Tensor, values: Tensor) -> Tensor:
    """Weights, (n, m) or one for each value (n, m, q), times values (n, m, q)."""
    return (weights if weights.ndim == values.ndim else weights[:, :, None]) * values


def fuse(weights: Tensor, parts: Tensor) -> Tensor:
    """Sum over modalities of `weigh`: (n, q)."""
    return weigh(weights, parts).sum(1)


def renormalise(alpha: Tensor, odds: Tensor) -> Tensor:
    """Alpha, (m,) or (m, k), times the odds of each row (n, m), to sum to 1 over modalities.

    Zeros where no modality has weight.
    """
    weights = alpha * (odds if alpha.ndim == 1 else odds[:, :, None])
    total = weights.sum(1, keepdim=True)
    return weights / torch.where(total > 0, total, 1.0)


class WeightedSum(nn.Module):
    """sum_i a_i f_i."""

    def forward(self, weights: Tensor, parts: Tensor) -> Tensor:
        return fuse(weights, parts)


class Attention(nn.Module):
    """Let the modalities of a row attend to each other, then average them.

    One token per modality, marked by a vector of its own, and one layer of a Transformer encoder
    (Vaswani et al. 2017).
    """

    def __init__(self, n_modalities: int, width: int, dropout: float):
        super().__init__()
        self.marks = nn.Parameter(torch.randn(n_modalities, width) / math.sqrt(width))
        self.layer = nn.TransformerEncoderLayer(
            width,
            math.gcd(width, MAX_ATTENTION_HEADS),
            dim_feedforward=width,
            dropout=dropout,
            batch_first=True,
            norm_first=True,
        )

    def forward(self, weights: Tensor, parts: Tensor) -> Tensor:
        counts = weights > 0
        # Attention to nothing would be NaN: a row without modalities sees all, and sums none.
        hidden = ~counts & counts.any(1, keepdim=True)
        tokens = self.layer(parts + self.marks, src_key_padding_mask=hidden)
        share = counts / counts.sum(1, keepdim=True).clamp(min=1)
        return fuse(share, tokens)


class Bilinear(nn.Module):
    """Multiply what the modalities of a row say: low-rank multimodal fusion (Liu et al. 2018).

    The mean over `BILINEAR_RANK` products over modalities of 1 + b_i + W_i f_i; a missing one is a
    factor of 1. Less 1, so that a row without modalities is 0.
    """

    def __init__(self, n_modalities: int, width: int, dropout: float):
        super().__init__()
        self.dropout = Dropout(dropout)
        bound = 1 / math.sqrt(width)
        size = (n_modalities, width, BILINEAR_RANK * width)
        self.weight = nn.Parameter(torch.empty(size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_modalities, 1, BILINEAR_RANK * width))

    def forward(self, weights: Tensor, parts: Tensor) -> Tensor:
        factors = torch.baddbmm(
            1 + self.bias, self.dropout(parts).transpose(0, 1), self.weight
        )  # (m, n, r q)
        factors = factors.masked_fill((weights == 0).T[:, :, None], 1.0)
        products = factors.prod(0)  # (n, r q)
        return products.unflatten(1, (BILINEAR_RANK, -1)).mean(1) - 1


class Gate(nn.Module):
    """Say of each row how far its weights are from alpha, by all of its parts: odds (n, m).

    At first, and where it has learned nothing, they are equal. Scores are divided by the root of
    the width, as those of attention are: otherwise, with a step of the same size for each of so
    many parameters, the gate learns its rows by heart.
    """

    def __init__(self, n_modalities: int, width: int, dropout: float, n_members: int = 1):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.score = make_linear(n_members, n_modalities * width, n_modalities)
        self.scale = 1 / math.sqrt(width)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, counts: Tensor, parts: Tensor) -> Tensor:
        """Softmax over the modalities that ``counts`` (n, m) marks; the others are not looked at.

        Zeros where none is marked.
        """
        seen = (parts * counts[:, :, None]).flatten(1)  # (n, m q)
        scores = self.scale * self.score(self.dropout(seen))
        return scores.masked_fill(~counts, -1e9).softmax(1) * counts
