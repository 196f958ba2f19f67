"""Beam search: the texts that a decoder finds likely, several at a time for each row."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Stepper(Protocol):
    """A decoder that has read the inputs of n rows, and keeps what it has computed."""

    def first(self) -> Tensor:
        """Compute the log-likelihood of each first token (n, V)."""
        ...

    def next(self, tokens: Tensor, rows: Tensor, beams: Tensor) -> Tensor:
        """Append a token to each beam; compute the log-likelihood of each next one (r, b, V).

        Parameters
        ----------
        tokens : Tensor of shape (r, b)
        rows : Tensor of shape (r,)
            Where the rows stood in the last call; the others are finished.
        beams : Tensor of shape (r, b)
            The beam of the last call that each of these continues.
        """
        ...


class Hypotheses(NamedTuple):
    """Finished texts of each row, the best first; there may be fewer than beams."""

    tokens: Tensor  # (n, b, length) with the end, which fills the rest
    scores: Tensor  # (n, b) log-likelihood of a token, the mean; -inf where there is none
    log_likelihood: Tensor  # (n, b) of the text, its end included


class Running(NamedTuple):
    """The beams that are not finished, of the rows that are not."""

    rows: Tensor  # (r,) positions among all rows
    tokens: Tensor  # (r, b, length)
    log_likelihood: Tensor  # (r, b); -inf for those that are none


@torch.inference_mode()
def beam_search(
    stepper: Stepper, n_rows: int, n_beams: int, max_length: int, end: int
) -> Hypotheses:
    """Search texts whose mean log-likelihood of a token is high.

    The search of a row ends where no running beam is better than the worst of ``n_beams`` finished
    ones, as `generate` of transformers does with ``length_penalty=1``, and the row is left out of
    the batch then.

    Parameters
    ----------
    stepper : Stepper
    n_rows, n_beams : int
    max_length : int
        The most tokens of a text, its end included; where it is reached a text ends without one.
    end : int
        The token that ends a text.
    """
    likelihood = stepper.first()
    device, dtype = likelihood.device, likelihood.dtype
    running = Running(
        torch.arange(n_rows, device=device),
        torch.empty(n_rows, n_beams, 0, dtype=torch.int64, device=device),
        torch.full((n_rows, n_beams), -math.inf, dtype=dtype, device=device),
    )
    running.log_likelihood[:, 0] = 0.0  # all beams start as one
    likelihood = likelihood[:, None].expand(-1, n_beams, -1)
    tokens = torch.full((n_rows, n_beams, max_length), end, device=device)
    scores = torch.full((n_rows, n_beams), -math.inf, dtype=dtype, device=device)
    found = Hypotheses(tokens, scores, scores.clone())
    for length in range(1, max_length + 1):
        running, parents, is_end = _extend(running, likelihood, n_beams, end)
        _add_finished(found, running, is_end | (length == max_length), length)
        kept, running, parents = _keep_running(found, running, parents, is_end, length)
        if length == max_length or len(kept) == 0:
            break
        previous = torch.zeros_like(parents) if length == 1 else parents
        likelihood = stepper.next(running.tokens[:, :, -1], kept, previous)
    return found


def _extend(
    running: Running, likelihood: Tensor, n_beams: int, end: int
) -> tuple[Running, Tensor, Tensor]:
    """Take the best 2 b extensions of the beams, with their beams, and which of them end.

    Of twice as many, so that b go on even if all of the best b end.
    """
    total = running.log_likelihood[:, :, None] + likelihood  # (r, b, V)
    best, index = total.flatten(1).topk(2 * n_beams)
    parents, token = index // likelihood.shape[-1], index % likelihood.shape[-1]
    tokens = torch.cat([_take_beams(running.tokens, parents), token[:, :, None]], dim=2)
    return Running(running.rows, tokens, best), parents, token == end


def _add_finished(found: Hypotheses, extended: Running, is_end: Tensor, length: int) -> None:
    """Keep the best b finished texts of each row; only the best b extensions may be among them."""
    n_beams = found.scores.shape[1]
    is_end = is_end.clone()
    is_end[:, n_beams:] = False
    scores = (extended.log_likelihood / length).masked_fill(~is_end, -math.inf)
    rows = extended.rows
    best, order = torch.cat([found.scores[rows], scores], dim=1).topk(n_beams)
    padded = found.tokens.new_full(
        (*extended.tokens.shape[:2], found.tokens.shape[2]), found.tokens[0, 0, -1].item()
    )
    padded[:, :, :length] = extended.tokens
    found.tokens[rows] = _take_beams(torch.cat([found.tokens[rows], padded], dim=1), order)
    found.scores[rows] = best
    both = torch.cat([found.log_likelihood[rows], extended.log_likelihood], dim=1)
    found.log_likelihood[rows] = both.gather(1, order)


def _keep_running(
    found: Hypotheses, extended: Running, parents: Tensor, is_end: Tensor, length: int
) -> tuple[Tensor, Running, Tensor]:
    """Keep the best b beams that have not ended, of the rows that they may still improve."""
    n_beams = found.scores.shape[1]
    best, order = extended.log_likelihood.masked_fill(is_end, -math.inf).topk(n_beams)
    improves = best[:, 0] / length > found.scores[extended.rows].min(1).values
    kept = torch.nonzero(improves)[:, 0]
    order = order[kept]
    tokens = _take_beams(extended.tokens[kept], order)
    running = Running(extended.rows[kept], tokens, best[kept])
    return kept, running, parents[kept].gather(1, order)


def _take_beams(tokens: Tensor, beams: Tensor) -> Tensor:
    """Select beams (r, k) of tokens (r, b, length)."""
    return tokens.gather(1, beams[:, :, None].expand(-1, -1, tokens.shape[2]))
