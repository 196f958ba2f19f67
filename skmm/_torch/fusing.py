"""Layers that fuse the modalities of a row: sums, a gate, attention, products, and their heads.

Those that fuse are called with the row's weights (n, m), 0 for modalities that are missing or have
no weight, and the values (n, m, q). Of `AttentionFusion` and `BilinearFusion` the weights only say
which modalities count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .generators import cpu_generator
from .layers import Dropout, bernoulli_dropout, empty_linear, make_linear, scale_per_output

PRODUCT_BOUND = 16.0  # of the factors of all modalities


def weigh(weights: Tensor, values: Tensor) -> Tensor:
    """Multiply values (n, m, q) by weights, (n, m) or one for each value (n, m, q)."""
    return (weights if weights.ndim == values.ndim else weights[:, :, None]) * values


def weighted_sum(weights: Tensor, values: Tensor) -> Tensor:
    """Sum over modalities of `weigh`: (n, q)."""
    return weigh(weights, values).sum(1)


def renormalise(alpha: Tensor, gate_scores: Tensor) -> Tensor:
    """Multiply alpha, (m,) or (m, k), by the scores of each row (n, m), to sum to 1.

    Zeros where no modality has weight.
    """
    weights = alpha * (gate_scores if alpha.ndim == 1 else gate_scores[:, :, None])
    total = weights.sum(1, keepdim=True)
    return weights / torch.where(total > 0, total, 1.0)


class WeightedSum(nn.Module):
    """sum_i a_i f_i."""

    def forward(self, weights: Tensor, values: Tensor) -> Tensor:
        return weighted_sum(weights, values)


class TemperatureHead(nn.Module):
    """Logits from fused scores: one scale for all those of a task, and a bias for each."""

    n_outputs: Tensor

    def __init__(self, n_outputs: Sequence[int]):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(len(n_outputs), dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(sum(n_outputs), dtype=torch.float32))
        self.register_buffer("n_outputs", torch.tensor(n_outputs), persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        return scale_per_output(self.log_scale.exp(), self.n_outputs) * scores + self.bias


class SumHead(nn.Module):
    """Logits from the mean of scores: their sum had every modality been present, and a bias."""

    def __init__(self, n_modalities: int, n_outputs: int):
        super().__init__()
        self.n_modalities = n_modalities
        self.bias = nn.Parameter(torch.zeros(n_outputs, dtype=torch.float32))

    def forward(self, scores: Tensor) -> Tensor:
        return self.n_modalities * scores + self.bias


class AttentionFusion(nn.Module):
    """Let the modalities of a row attend to each other, then average them.

    One token per modality, marked by a vector of its own, and one layer of a Transformer encoder
    (Vaswani et al. 2017).
    """

    def __init__(self, n_modalities: int, width: int, dropout: float, n_heads: int):
        super().__init__()
        marks = torch.empty(n_modalities, width, dtype=torch.float32)
        marks.normal_(generator=cpu_generator())
        self.marks = nn.Parameter(marks / math.sqrt(width))
        self.layer = TransformerLayer(width, math.gcd(width, n_heads), dropout)

    def forward(self, weights: Tensor, values: Tensor) -> Tensor:
        counts = weights > 0
        # Attention to nothing would be NaN: a row without modalities sees all, and sums none.
        hidden = ~counts & counts.any(1, keepdim=True)
        tokens = self.layer(values + self.marks, hidden)
        share = counts.float() / counts.sum(1, keepdim=True).clamp(min=1)
        return weighted_sum(share, tokens)


class TransformerLayer(nn.Module):
    """A layer of a Transformer encoder that normalises first, drawing from the fit's generators.

    `nn.TransformerEncoderLayer` is the same, but draws from torch's global generator.
    """

    def __init__(self, width: int, n_heads: int, rate: float):
        super().__init__()
        self.n_heads, self.rate = n_heads, rate
        self.output = make_linear(1, width, width)
        self.query_key_value = empty_linear(width, 3 * width)
        nn.init.xavier_uniform_(self.query_key_value.weight, generator=cpu_generator())
        nn.init.zeros_(self.query_key_value.bias)
        nn.init.zeros_(self.output.bias)
        self.first, self.second = make_linear(1, width, width), make_linear(1, width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width, dtype=torch.float32) for _ in range(2))

    def forward(self, tokens: Tensor, hidden: Tensor) -> Tensor:
        """Run tokens (n, m, q); those marked ``hidden`` (n, m) are attended to by none."""
        tokens = tokens + self._drop(self._attend(self.norms[0](tokens), hidden))
        inner = self._drop(self.first(self.norms[1](tokens)).relu())
        return tokens + self._drop(self.second(inner))

    def _attend(self, tokens: Tensor, hidden: Tensor) -> Tensor:
        n, m, q = tokens.shape
        heads = self.query_key_value(tokens).view(n, m, 3, self.n_heads, -1)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # (n, h, m, q / h) each
        scale = math.sqrt(math.sqrt(self.n_heads / q))
        scores = (scale * query) @ (scale * key).transpose(2, 3)  # (n, h, m, m)
        scores = scores.masked_fill(hidden[:, None, None, :], float("-inf"))
        attended = self._drop(scores.softmax(-1)) @ value  # (n, h, m, q / h)
        merged = attended.permute(2, 0, 1, 3).reshape(m, n, q)
        return self.output(merged).transpose(0, 1)

    def _drop(self, values: Tensor) -> Tensor:
        return bernoulli_dropout(values, self.rate) if self.training and self.rate else values


class BilinearFusion(nn.Module):
    """Multiply the values of a row's modalities: low-rank multimodal fusion (Liu et al. 2018).

    The mean over ``rank`` products over modalities of 1 + s(b_i + W_i f_i); a missing one is a
    factor of 1. Less 1, so that a row without modalities is 0.

    s(u) = c tanh(u / c) bounds the factors, and with them the products, by `PRODUCT_BOUND` with any
    number of modalities. Unbounded, a few factors that grow together, as dropout makes them, send
    the loss and its gradient up by the product of the others, and training diverges.
    """

    def __init__(self, n_modalities: int, width: int, dropout: float, rank: int):
        super().__init__()
        self.rank = rank
        self.limit = PRODUCT_BOUND ** (1 / n_modalities) - 1  # c
        self.dropout = Dropout(dropout)
        bound = 1 / math.sqrt(width)
        weight = torch.empty(n_modalities, width, rank * width, dtype=torch.float32)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound, generator=cpu_generator()))
        bias = torch.zeros(n_modalities, 1, rank * width, dtype=torch.float32)
        self.bias = nn.Parameter(bias)

    def forward(self, weights: Tensor, values: Tensor) -> Tensor:
        terms = torch.baddbmm(
            self.bias, self.dropout(values).transpose(0, 1), self.weight
        )  # (m, n, r q)
        factors = 1 + self.limit * torch.tanh(terms / self.limit)
        factors = factors.masked_fill((weights == 0).T[:, :, None], 1.0)
        products = factors.prod(0)  # (n, r q)
        return products.unflatten(1, (self.rank, -1)).mean(1) - 1


class Gate(nn.Module):
    """Score each modality of a row by all of its values: how far its weights are from alpha (n, m).

    At first, and where it has learned nothing, scores are equal. They are divided by the root of
    the width, as those of attention are: otherwise, with a step of the same size for each of so
    many parameters, the gate memorises its rows.
    """

    def __init__(self, n_modalities: int, width: int, dropout: float, n_members: int = 1):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.score = make_linear(n_members, n_modalities * width, n_modalities)
        self.scale = 1 / math.sqrt(width)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, counts: Tensor, values: Tensor) -> Tensor:
        """Softmax over the modalities that ``counts`` (n, m) marks; the others are not read.

        Zeros where none is marked.
        """
        counted = (values * counts[:, :, None]).flatten(1)  # (n, m q)
        scores = self.scale * self.score(self.dropout(counted))
        return scores.masked_fill(~counts, -1e9).softmax(1) * counts
