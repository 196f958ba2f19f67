"""How likely given texts are: a score that is a sum over the inputs of a row, in nats.

The kernel ridge regression predicts the n-grams of a row's text as a sum over the inputs. What an
input says of a text is the sum of the text's n-grams that it predicts, less their mean over the
training rows, so that an input that says nothing adds 0. How much each input counts is learned on
rows that were left out: a softmax over the texts of all of them is to find the right one, as in
contrastive learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse
from scipy.optimize import minimize
from scipy.special import logsumexp

from ._chrf import N_ORDERS, NgramVocabulary, count_ngrams
from ._neighbors import combine, terms
from ._smoothing import PENALTIES

PRIOR_SCALE = 1e-3  # of the penalty on scales, so that they stay finite


def text_profiles(texts: Sequence[str], vocabulary: NgramVocabulary) -> sparse.csr_array:
    """Describe texts by their n-grams (n, F), those of an order divided by their root number."""
    profiles = vocabulary.encode(texts)
    scales = 1 / np.sqrt(np.maximum(count_ngrams(texts), 1)) / N_ORDERS
    owner = np.repeat(np.arange(len(texts)), np.diff(profiles.indptr))
    profiles.data *= scales[owner, vocabulary.orders[profiles.indices]]
    return profiles


class LikelihoodScales(NamedTuple):
    """How the regression is penalised, and how much each input counts."""

    penalty: float
    scales: np.ndarray  # (m,) nats


def learn_scales(
    values: np.ndarray,
    present: np.ndarray,
    fold: np.ndarray,
    texts: Sequence[str],
    weights: np.ndarray,
    vocabulary: NgramVocabulary,
) -> LikelihoodScales:
    """Choose what makes the right texts of rows that were left out likeliest.

    Parameters
    ----------
    values : ndarray of shape (m, n, n)
        Kernels of each input.
    present : ndarray of bool, shape (n, m)
    fold : ndarray of int, shape (n,)
    texts : sequence of str
        Of the rows; equal ones are right for the same rows.
    weights : ndarray of shape (m,)
    vocabulary : NgramVocabulary
    """
    marks = vocabulary.encode(texts)
    matches = (marks @ text_profiles(texts, vocabulary).T).toarray()  # [text, text]: shares
    number = np.unique(np.array(texts, dtype=object), return_inverse=True)[1]
    is_right = number[:, None] == number
    best, lowest = LikelihoodScales(PENALTIES[-1], np.ones(len(weights))), np.inf
    if is_right.all() or len(np.unique(fold)) < 2:
        return best
    for penalty in PENALTIES:
        scores = _left_out_scores(values, present, weights, fold, matches, penalty)
        scales, loss = _fit_scales(scores, is_right)
        if loss < lowest:
            best, lowest = LikelihoodScales(penalty, scales), loss
    return best


def _left_out_scores(values, present, weights, fold, matches, penalty) -> np.ndarray:
    """Score all texts for each row by each input, from the rows of other folds (m, n, n)."""
    scores = np.zeros_like(values)
    for number in np.unique(fold):
        rows, others = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        known = present[others]
        square = combine(values[:, others[:, None], others], known, known, weights)
        square[np.diag_indices_from(square)] += penalty
        dual = linalg.solve(square, matches[others], assume_a="pos")  # (n_others, n)
        near = values[:, rows[:, None], others]
        predicted = terms(near, present[rows], known, weights) @ dual
        has = present[rows].T[:, :, None]  # (m, n_rows, 1)
        mean = (predicted * has).sum(1, keepdims=True) / np.maximum(has.sum(1, keepdims=True), 1)
        scores[:, rows] = (predicted - mean) * has
    return scores


def _fit_scales(scores: np.ndarray, is_right: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit factors of the inputs, at least 0, by the likelihood of right texts."""
    spread = np.maximum(scores.std(axis=(1, 2)), 1e-12)
    scores = scores / spread[:, None, None]

    def loss(scales: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.tensordot(scales, scores, 1)
        among_right = np.where(is_right, logits, -np.inf)
        total, right = logsumexp(logits, axis=1), logsumexp(among_right, axis=1)
        excess = np.exp(logits - total[:, None]) - np.exp(among_right - right[:, None])
        gradient = np.einsum("ij,mij->m", excess, scores) / len(scores[0])
        penalty = PRIOR_SCALE * (scales @ scales) / 2
        return float((total - right).mean() + penalty), gradient + PRIOR_SCALE * scales

    found = minimize(loss, np.ones(len(scores)), jac=True, bounds=[(0, None)] * len(scores))
    return found.x / spread, float(found.fun)


class TextLikelihood(NamedTuple):
    """What scores are computed with: another penalty than that of the regression for candidates."""

    solver: np.ndarray  # (r, r)
    background: np.ndarray  # (m, F) the mean shares of n-grams that each input predicts
    scales: np.ndarray  # (m,) nats
