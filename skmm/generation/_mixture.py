"""The likelihood of given texts, where retrieval and a decoder both have one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

MAX_ROWS = 100  # that weights are learned on
N_TEXTS = 16  # of which one is the row's
PRIOR_STRENGTH = 0.5  # rows' worth of belief in retrieval


class LikelihoodWeights(NamedTuple):
    """What is added up: each factor is not negative."""

    retrieval: float  # of the nats by retrieval
    decoder: float  # of the nats that the inputs gain a text, by the decoder
    prior: float  # of the decoder's log-likelihood without any input


RETRIEVAL_ALONE = LikelihoodWeights(1.0, 0.0, 0.0)
DECODER_ALONE = LikelihoodWeights(0.0, 1.0, 1.0)


class Contest(NamedTuple):
    """Rows that nobody was fitted to, and for each one its text among others."""

    rows: np.ndarray  # (n,) positions
    texts: list[list[str]]  # (n, k) the row's own text first

    @property
    def n_texts(self) -> int:
        """How many texts are compared for a row."""
        return len(self.texts[0])

    @property
    def flat(self) -> tuple[np.ndarray, list[str]]:
        """Each row once for each of its texts."""
        texts = [text for of_row in self.texts for text in of_row]
        return np.repeat(self.rows, self.n_texts), texts


def draw_contest(references: Sequence[Sequence[str]], seed: int) -> Contest | None:
    """Draw, for up to `MAX_ROWS` rows, other texts that none of their own is equal to.

    None if there are none.
    """
    random_state = np.random.RandomState(seed)
    pool = sorted({texts[0] for texts in references})
    n_texts = min(N_TEXTS, len(pool))
    chosen, contests = [], []
    for row in random_state.permutation(len(references))[:MAX_ROWS].tolist():
        own = references[row][0]
        others = [text for text in pool if text not in references[row]]
        if len(others) < n_texts - 1 or n_texts < 2:
            continue
        drawn = random_state.permutation(len(others))[: n_texts - 1]
        chosen.append(row)
        contests.append([own, *(others[i] for i in drawn)])
    return Contest(np.array(chosen), contests) if chosen else None


def learn_likelihood_weights(terms: np.ndarray) -> LikelihoodWeights:
    """Find the weights with which a softmax over the texts finds a row's own one likeliest.

    A conditional logit (McFadden 1974).

    Parameters
    ----------
    terms : ndarray of shape (3, n, k)
        The terms of `LikelihoodWeights` for k texts of each row, its own text first.
    """
    start = np.array(RETRIEVAL_ALONE)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.einsum("t,tnk->nk", weights, terms)
        total = logsumexp(logits, axis=1)
        shares = np.exp(logits - total[:, None])
        gain = terms[:, :, 0] - np.einsum("tnk,nk->tn", terms, shares)
        penalty = PRIOR_STRENGTH * (weights - start)
        value = (total - logits[:, 0]).sum() + 0.5 * penalty @ (weights - start)
        return float(value), penalty - gain.sum(1)

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * 3)
    return LikelihoodWeights(*map(float, found.x))
