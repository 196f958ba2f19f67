"""The network that writes texts: fused modalities as a prefix, and a decoder behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor, nn

from ._beam import Stepper
from ._prefix import FusedPrefix

if TYPE_CHECKING:
    from ._pretrained import PretrainedDecoder
    from ._transformer import SmallTransformer

NO_TOKEN = -1  # what fills a matrix of texts after their last tokens


class GenerationOutput(NamedTuple):
    """One forward pass of n rows."""

    logits: Tensor  # (n, T, V) of the tokens of the text


class GenerationNetwork(nn.Module):
    """A prefix of fused modalities and a decoder.

    In ``present`` (n, m) or (n, m + 1) the modalities stand in the network's order; where rows have
    a source text, the last column says whether it is read.
    """

    n_members = 1  # it is one network, not an ensemble

    prefix: FusedPrefix
    decoder: SmallTransformer | PretrainedDecoder

    def __init__(self, prefix: FusedPrefix, decoder: SmallTransformer | PretrainedDecoder):
        super().__init__()
        self.prefix, self.decoder = prefix, decoder

    @property
    def scales(self) -> set[str]:
        """The parameters that have far to go: where the prefix is, on average."""
        return {"prefix.head.bias"}

    def forward(self, x: Tensor, present: Tensor, source: Tensor, target: Tensor):
        """Compute the logits of texts (n, T), which are `NO_TOKEN` after their last tokens."""
        prefix, source = self._read(x, present, source)
        return GenerationOutput(self.decoder.logits(prefix, source, target))

    def open(self, x: Tensor, present: Tensor, source: Tensor) -> Stepper:
        """Read the inputs of rows, to generate their texts."""
        prefix, source = self._read(x, present, source)
        return self.decoder.open(prefix, source)

    def _read(self, x: Tensor, present: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        m = len(self.prefix.n_features)
        if present.shape[1] > m:
            source = source.masked_fill(~present[:, m:], NO_TOKEN)
        return self.prefix(x, present[:, :m]), source


def token_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the negative log-likelihood of each token (n, T), 0 where there is none."""
    flat = nn.functional.cross_entropy(
        logits.flatten(0, 1), target.flatten(), ignore_index=NO_TOKEN, reduction="none"
    )
    return flat.view(target.shape)


def pad_tokens(sequences: Sequence[Sequence[int]]) -> np.ndarray:
    """Stack texts of different lengths, (n, length of the longest)."""
    lengths = np.array([len(ids) for ids in sequences], dtype=int)
    padded = np.full((len(sequences), max(lengths, default=0)), NO_TOKEN, dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = [
        token for ids in sequences for token in ids
    ]
    return padded


def trim(tokens: Tensor) -> Tensor:
    """Leave out the last columns that no text of these rows reaches."""
    used = (tokens != NO_TOKEN).any(0)
    return tokens[:, : int(used.sum())]
