"""A small Transformer that reads a prefix and source tokens, and writes a text.

Prefix and source see each other; a token of the text sees them, and the tokens before it. What is
computed of prefix and source serves all beams of a row, and is computed once.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .._torch.generators import cpu_generator
from .._torch.layers import Dropout, empty_linear, make_linear

TIME_SCALE = 10_000.0  # of the longest wave of positions (Vaswani et al. 2017)


class TransformerSpec(NamedTuple):
    """What the decoder is built from, as plain numbers."""

    n_tokens: int
    n_layers: int
    width: int
    n_heads: int
    dropout: float
    start: int  # the token before the first
    never_generated: tuple[int, ...]


class Cache(NamedTuple):
    """Keys and values of a layer (n, ..., h, length, width / h)."""

    keys: Tensor
    values: Tensor


class Memory(NamedTuple):
    """What is read before a text: of n rows, the keys and values of each layer."""

    caches: list[Cache]  # (n, h, L, width / h)
    present: Tensor  # (n, L) False where a source is shorter

    def take(self, rows: Tensor) -> Memory:
        """Select rows."""
        caches = [Cache(*(t.index_select(0, rows) for t in cache)) for cache in self.caches]
        return Memory(caches, self.present.index_select(0, rows))


class TransformerBlock(nn.Module):
    """Attention to memory and to the tokens before, and a perceptron; each normalised first."""

    def __init__(self, width: int, n_heads: int, rate: float):
        super().__init__()
        self.n_heads = n_heads
        self.query_key_value = empty_linear(width, 3 * width)
        nn.init.xavier_uniform_(self.query_key_value.weight, generator=cpu_generator())
        nn.init.zeros_(self.query_key_value.bias)
        self.output = make_linear(1, width, width)
        self.first, self.second = make_linear(1, width, 4 * width), make_linear(1, 4 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width, dtype=torch.float32) for _ in range(2))
        self.dropout = Dropout(rate)

    def forward(self, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Cache]:
        """Run memory (n, L, d), whose tokens see each other but those ``hidden`` (n, L)."""
        query, cache = self._split_heads(self.norms[0](tokens))  # (n, h, L, d / h)
        scores = self._score(query, cache.keys).masked_fill(hidden[:, None, None], -math.inf)
        attended = self.dropout(scores.softmax(-1)) @ cache.values
        return self._finish(tokens, attended), cache

    def continue_from(
        self, tokens: Tensor, memory: Cache, hidden: Tensor, past: Cache | None
    ) -> tuple[Tensor, Cache]:
        """Run the tokens (n, b, t, d) of b beams after ``past`` ones (n, b, h, p, d / h).

        They see memory (n, h, L, d / h), but its ``hidden`` tokens (n, L), and those before them.
        """
        query, cache = self._split_heads(self.norms[0](tokens))  # (n, b, h, t, d / h)
        if past is not None:
            pairs = zip(past, cache, strict=True)
            cache = Cache(*(torch.cat([before, now], dim=3) for before, now in pairs))
        b, t = query.shape[1], query.shape[3]
        of_row = query.transpose(1, 2).flatten(2, 3)  # (n, h, b t, d / h): one product for all
        far = self._score(of_row, memory.keys).masked_fill(hidden[:, None, None], -math.inf)
        far = far.unflatten(2, (b, t)).transpose(1, 2)  # (n, b, h, t, L)
        near = self._score(query, cache.keys)  # (n, b, h, t, p + t)
        if t > 1:
            later = torch.ones(t, near.shape[-1], dtype=torch.bool, device=near.device)
            near = near.masked_fill(later.triu(near.shape[-1] - t + 1), -math.inf)
        weights = self.dropout(torch.cat([far, near], dim=-1).softmax(-1))
        far, near = weights.split([memory.keys.shape[2], cache.keys.shape[3]], dim=-1)
        read = far.transpose(1, 2).flatten(2, 3) @ memory.values  # (n, h, b t, d / h)
        attended = read.unflatten(2, (b, t)).transpose(1, 2) + near @ cache.values
        return self._finish(tokens, attended), cache

    def _split_heads(self, tokens: Tensor) -> tuple[Tensor, Cache]:
        """From tokens (..., t, d) to queries, keys and values (..., h, t, d / h)."""
        heads = self.query_key_value(tokens).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = (heads.select(-3, i).transpose(-3, -2) for i in range(3))
        return query, Cache(key, value)

    def _score(self, query: Tensor, keys: Tensor) -> Tensor:
        return (query / math.sqrt(query.shape[-1])) @ keys.transpose(-2, -1)

    def _finish(self, tokens: Tensor, attended: Tensor) -> Tensor:
        merged = attended.transpose(-3, -2).flatten(-2)  # (..., t, d)
        tokens = tokens + self.dropout(self.output(merged))
        inner = nn.functional.gelu(self.first(self.norms[1](tokens)))
        return tokens + self.dropout(self.second(self.dropout(inner)))


class SmallTransformer(nn.Module):
    """A decoder that is trained from nothing; its input and output embeddings are one."""

    def __init__(self, spec: TransformerSpec):
        super().__init__()
        self.width, self.start = spec.width, spec.start
        self.never_generated = list(spec.never_generated)
        weight = torch.empty(spec.n_tokens, spec.width, dtype=torch.float32)
        weight.normal_(0.0, spec.width**-0.5, generator=cpu_generator())
        self.embedding = nn.Parameter(weight)
        # What marks a token of the source, whose numbers are those of the text's.
        self.source_mark = nn.Parameter(torch.zeros(spec.width, dtype=torch.float32))
        self.blocks = nn.ModuleList(
            TransformerBlock(spec.width, spec.n_heads, spec.dropout) for _ in range(spec.n_layers)
        )
        self.norm = nn.LayerNorm(spec.width, dtype=torch.float32)
        self.dropout = Dropout(spec.dropout)

    def logits(self, prefix: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Compute the logits of each token of a text (n, T, V) from those before it.

        ``source`` (n, S) and ``target`` (n, T) are numbers of tokens, -1 after the last.
        """
        memory = self.read(prefix, source)
        start = torch.full_like(target[:, :1], self.start)
        tokens = torch.cat([start, target[:, :-1].clamp(min=0)], dim=1)
        hidden, _ = self.run(tokens[:, None], memory, [])
        return self.read_out(hidden[:, 0])

    def read(self, prefix: Tensor, source: Tensor) -> Memory:
        """Run prefix (n, P, d) and source (n, S), which is -1 after its last token."""
        embedded = self._embed(source.clamp(min=0), 0) + self.source_mark
        known = torch.ones(prefix.shape[:2], dtype=torch.bool, device=prefix.device)
        present = torch.cat([known, source >= 0], dim=1)
        tokens, caches = torch.cat([prefix, embedded], dim=1), []
        for block in self.blocks:
            tokens, cache = block(tokens, ~present)
            caches.append(cache)
        return Memory(caches, present)

    def open(self, prefix: Tensor, source: Tensor) -> TransformerStepper:
        """Read the inputs of rows, to generate their texts token by token."""
        return TransformerStepper(self, self.read(prefix, source))

    def run(self, tokens: Tensor, memory: Memory, past: list[Cache]) -> tuple[Tensor, list[Cache]]:
        """Run tokens (n, b, t) after ``past`` ones; return (n, b, t, d) and all caches."""
        n_past = past[0].keys.shape[3] if past else 0
        hidden, caches = self._embed(tokens, n_past), []
        for i, block in enumerate(self.blocks):
            assert isinstance(block, TransformerBlock)
            before = past[i] if past else None
            hidden, cache = block.continue_from(hidden, memory.caches[i], ~memory.present, before)
            caches.append(cache)
        return hidden, caches

    def _embed(self, tokens: Tensor, n_before: int) -> Tensor:
        """Embed tokens (..., t), of which ``n_before`` precede the first."""
        embedded = self.embedding[tokens] * math.sqrt(self.width)
        positions = encode_positions(n_before, tokens.shape[-1], self.width).to(embedded)
        return self.dropout(embedded + positions)

    def read_out(self, hidden: Tensor) -> Tensor:
        """Compute logits (..., V)."""
        return self.norm(hidden) @ self.embedding.T


class TransformerStepper:
    """Texts of n rows in the making, b for each."""

    def __init__(self, decoder: SmallTransformer, memory: Memory):
        self.decoder, self.memory = decoder, memory
        self.caches: list[Cache] = []

    def first(self) -> Tensor:
        """Compute the log-likelihood of each first token (n, V)."""
        present = self.memory.present
        start = torch.full_like(present[:, :1, None], self.decoder.start, dtype=torch.int64)
        return self._run(start, [])[:, 0]

    def next(self, tokens: Tensor, rows: Tensor, beams: Tensor) -> Tensor:
        """Append a token to each beam; compute the log-likelihood of each next one (r, b, V)."""
        if len(rows) < len(self.memory.present):
            self.memory = self.memory.take(rows)
        past = [Cache(*(t[rows[:, None], beams] for t in cache)) for cache in self.caches]
        return self._run(tokens[:, :, None], past)

    def _run(self, tokens: Tensor, past: list[Cache]) -> Tensor:
        hidden, self.caches = self.decoder.run(tokens, self.memory, past)
        likelihood = self.decoder.read_out(hidden[:, :, 0]).log_softmax(-1)
        likelihood[..., self.decoder.never_generated] = -math.inf
        return likelihood


def encode_positions(first: int, n: int, width: int) -> Tensor:
    """Return the sines and cosines (n, width) of positions from ``first`` on."""
    half = (width + 1) // 2
    frequencies = TIME_SCALE ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(first, first + n, dtype=torch.float64)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
