"""How likely given texts are: a score that is a sum over the inputs of a row, in nats.

The score of a text is the sum of its n-grams' predicted shares, less their mean over the training
rows, so that an input that says nothing adds 0. Its unit is chosen so that a softmax over the texts
of many rows gives the right one the highest likelihood, on rows that were left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from ._chrf import N_ORDERS, NgramVocabulary, count_ngrams

LOG_SCALES = (-3.0, 8.0)  # between which the unit is searched


def text_profiles(texts: Sequence[str], vocabulary: NgramVocabulary) -> sparse.csr_array:
    """Describe texts by their n-grams (n, F), those of an order divided by their root number."""
    profiles = vocabulary.encode(texts)
    scales = 1 / np.sqrt(np.maximum(count_ngrams(texts), 1)) / N_ORDERS
    owner = np.repeat(np.arange(len(texts)), np.diff(profiles.indptr))
    profiles.data *= scales[owner, vocabulary.orders[profiles.indices]]
    return profiles


def learn_scale(scores: np.ndarray, texts: Sequence[str]) -> float:
    """Find the factor that makes each row's own text likeliest.

    Parameters
    ----------
    scores : ndarray of shape (n, n)
        Of each row (first axis) and each row's text.
    texts : sequence of str of length n
        Equal ones are right for the same rows.
    """
    number = np.unique(np.array(texts, dtype=object), return_inverse=True)[1]
    is_equal = (number[:, None] == number) & ~np.eye(len(texts), dtype=bool)
    if (is_equal.sum(1) == len(texts) - 1).all():
        return 1.0  # all texts are equal
    others = np.where(is_equal, -np.inf, 0.0)

    def loss(log_scale: float) -> float:
        logits = np.exp(log_scale) * scores + others
        return float((logsumexp(logits, axis=1) - np.diag(logits)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=LOG_SCALES, method="bounded").x))


class TextLikelihood(NamedTuple):
    """What scores are relative to, and their unit."""

    background: np.ndarray  # (m, F) the mean predicted shares by each input
    scale: float
