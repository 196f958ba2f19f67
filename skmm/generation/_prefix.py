"""The fused modalities of a row as the first vectors that a decoder reads (ClipCap)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .._torch.fusing import renormalise, weighted_sum
from .._torch.layers import ModalityNormalizer, make_linear
from .._torch.perceptrons import PerceptronSpec, make_perceptron


class PrefixSpec(NamedTuple):
    """What a prefix is built from, as plain numbers; modalities in the network's order."""

    n_features: list[int]  # the width of each modality
    n_hidden: int  # the width of f_i, which is fused
    dropout: float
    length: int
    width: int  # of the decoder
    scale: float  # of its embeddings


class FusedPrefix(nn.Module):
    """Fuse modalities, normalised and weighted, and map the sum to vectors of the decoder.

        prefix = head( sum_i a_i f_i(x_i) ),   a = alpha over the modalities of the row

    A row without any modality has the prefix of an average row, as what is fused is centred.
    """

    modality_weights: Tensor

    def __init__(self, spec: PrefixSpec, modality_weights: Tensor):
        super().__init__()
        self.n_features, self.shape = list(spec.n_features), (spec.length, spec.width)
        self.scale = spec.scale
        layers = PerceptronSpec((spec.n_hidden,), "gelu", spec.dropout, spec.dropout)
        self.encoders = nn.ModuleList(make_perceptron(n, layers, 1) for n in spec.n_features)
        self.normalizer = ModalityNormalizer(len(spec.n_features), spec.n_hidden)
        self.head = make_linear(1, spec.n_hidden, spec.length * spec.width)
        self.register_buffer("modality_weights", modality_weights)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Map scaled columns (n, sum of d_i) to vectors (n, length, width)."""
        weights = renormalise(self.modality_weights, present.to(x.dtype))  # (n, m)
        values = self.normalizer(self.encode(x), weights)
        fused = weighted_sum(weights, values)  # (n, q)
        return self.scale * self.head(fused).unflatten(1, self.shape)

    def encode(self, x: Tensor) -> Tensor:
        """Compute f_i of each modality (n, m, q), not yet normalised."""
        blocks = x.split(self.n_features, dim=1)
        encoded = [f(block) for f, block in zip(self.encoders, blocks, strict=True)]
        return torch.stack(encoded, dim=1)

    @torch.no_grad()
    def store_statistics(self, x: Tensor, present: Tensor) -> None:
        """Set the mean and spread of each modality's values to those of rows that have it."""
        values = self.encode(x).double()  # (n, m, q)
        weights = present.double() / present.sum(0).clamp(min=1)  # (n, m)
        mean = (weights[:, :, None] * values).sum(0)
        variance = (weights * ((values - mean) ** 2).mean(2)).sum(0)
        self.normalizer.store(mean, variance)
