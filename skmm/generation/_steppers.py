"""Models of transformers token by token, with their own caches of keys and values."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class JoinedInputs(NamedTuple):
    """Source and prefix of n rows as one sequence."""

    embedded: Tensor  # (n, S + P, d)
    present: Tensor  # (n, S + P) 1 and 0


def join_inputs(model: Any, prefix: Tensor, source: Tensor) -> JoinedInputs:
    """Join the prefix (n, P, d) and the source (n, S), which is -1 after its last token.

    Before an encoder the prefix comes first. A causal model reads it last, so that it stands just
    before the text, and shorter sources start later; its positions are counted by what is present.
    """
    known = torch.ones(prefix.shape[:2], dtype=torch.int64, device=prefix.device)
    if model.config.is_encoder_decoder:
        embed = model.get_encoder().get_input_embeddings()
        embedded = embed(source.clamp(min=0))
        present = torch.cat([known, (source >= 0).long()], dim=1)
        return JoinedInputs(torch.cat([prefix.to(embedded), embedded], dim=1), present)
    order = (source >= 0).long().argsort(dim=1, stable=True)  # what is missing comes first
    source = source.gather(1, order)
    embedded = model.get_input_embeddings()(source.clamp(min=0))
    present = torch.cat([(source >= 0).long(), known], dim=1)
    return JoinedInputs(torch.cat([embedded, prefix.to(embedded)], dim=1), present)


class CausalStepper:
    """Texts of n rows in the making, b for each, by a causal model."""

    def __init__(self, model: Any, inputs: JoinedInputs):
        self.model, self.inputs = model, inputs
        self.present = inputs.present  # (r b, length so far)
        self.n_rows = len(inputs.present)
        self.cache: Any = None

    def first(self) -> Tensor:
        """Compute the log-likelihood of each first token (n, V)."""
        output = self.model(
            inputs_embeds=self.inputs.embedded,
            attention_mask=self.present,
            position_ids=(self.present.cumsum(1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache = output.past_key_values
        return output.logits[:, -1].float().log_softmax(-1)

    def next(self, tokens: Tensor, rows: Tensor, beams: Tensor) -> Tensor:
        """Append a token to each beam; compute the log-likelihood of each next one (r, b, V)."""
        order = _flatten_beams(rows, beams, len(self.present), self.n_rows)
        reorder(self.cache, order, len(self.present))
        present = self.present[order]
        self.present = torch.cat([present, torch.ones_like(present[:, :1])], dim=1)
        self.n_rows = len(rows)
        output = self.model(
            input_ids=tokens.reshape(-1, 1),
            attention_mask=self.present,
            position_ids=self.present.sum(1, keepdim=True) - 1,
            past_key_values=self.cache,
            use_cache=True,
        )
        likelihood = output.logits[:, -1].float().log_softmax(-1)
        return likelihood.unflatten(0, tokens.shape)


class SequenceStepper:
    """Texts of n rows in the making, b for each, by a model from sequence to sequence."""

    def __init__(self, model: Any, inputs: JoinedInputs):
        self.model, self.present = model, inputs.present
        self.n_rows = len(inputs.present)
        self.encoded = model.get_encoder()(
            inputs_embeds=inputs.embedded, attention_mask=inputs.present
        )
        self.cache: Any = None

    def first(self) -> Tensor:
        """Compute the log-likelihood of each first token (n, V)."""
        start = self.model.config.decoder_start_token_id
        return self._run(torch.full_like(self.present[:, :1], start))

    def next(self, tokens: Tensor, rows: Tensor, beams: Tensor) -> Tensor:
        """Append a token to each beam; compute the log-likelihood of each next one (r, b, V)."""
        n_before = len(self.present)
        order = _flatten_beams(rows, beams, n_before, self.n_rows)
        if len(order) == n_before and len(rows) == self.n_rows:
            # What was encoded is the same in all beams of a row.
            reorder(self.cache.self_attention_cache, order, n_before)
        else:
            self.cache.reorder_cache(order)
            self.n_rows, self.present = len(rows), self.present[order]
        # Of what was encoded the cache has keys and values; only its shape is looked at.
        hidden = self.encoded.last_hidden_state
        self.encoded.last_hidden_state = hidden[:1].expand(len(order), -1, -1)
        return self._run(tokens.reshape(-1, 1)).unflatten(0, tokens.shape)

    def _run(self, tokens: Tensor) -> Tensor:
        output = self.model(
            encoder_outputs=self.encoded,
            attention_mask=self.present,
            decoder_input_ids=tokens,
            past_key_values=self.cache,
            use_cache=True,
        )
        self.cache = output.past_key_values
        return output.logits[:, -1].float().log_softmax(-1)


def _flatten_beams(rows: Tensor, beams: Tensor, n_beams: int, n_rows: int) -> Tensor:
    """Return where (r b,) each beam stood among the beams of all rows of the last call."""
    return (rows[:, None] * (n_beams // n_rows) + beams).flatten()


def reorder(cache: Any, order: Tensor, n_before: int) -> None:
    """Let a cache follow the beams, unless all stay where they are."""
    if len(order) != n_before or not torch.equal(order, torch.arange(n_before).to(order)):
        cache.reorder_cache(order)
