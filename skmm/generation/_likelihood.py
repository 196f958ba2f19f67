"""How likely given texts are: a score that is a sum over the inputs of a row, in nats.

The kernel ridge regression predicts the n-grams of a row's text as a sum over the inputs. What an
input says of a text is the sum of the text's n-grams that it predicts, less their mean over the
training rows, so that an input that says nothing adds 0. How much each input counts is learned on
rows that were left out: a softmax over a few texts is to find the right one, as in contrastive
learning. These are hard negatives: of the texts that were left out with the row, for each input
those that it takes for the likeliest. For whoever compares texts compares likely ones; among all
texts an input may help that says nothing of which of two likely ones is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse
from scipy.optimize import minimize
from scipy.special import logsumexp

from ._evidence import TrainingTexts
from ._neighbors import Inputs, combine, input_terms, terms
from ._regression import Regression
from ._smoothing import PENALTIES

N_NEGATIVES = 5  # texts of each input that the right one is compared with
PRIOR_SCALE = 1e-3  # of the penalty on scales, so that they stay finite
CHUNK = 64  # training rows
SPARE = 1e-12


def text_profiles(texts: Sequence[str], training: TrainingTexts) -> sparse.csr_array:
    """Describe texts by the TF-IDF of their n-grams (n, F), as vectors of length 1.

    A text that has no n-gram of the training texts is a vector of zeros.
    """
    profiles = training.vocabulary.encode(texts).astype(np.float64)
    idf = np.log((1 + len(training.n_characters)) / (1 + training.counts)) + 1
    profiles.data *= idf[profiles.indices]
    lengths = np.sqrt(profiles.multiply(profiles).sum(1))
    return (sparse.diags_array(1 / np.maximum(lengths, SPARE)) @ profiles).tocsr()


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
    training: TrainingTexts,
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
    training : TrainingTexts
        What texts are described by.
    """
    marks = training.vocabulary.encode(texts)
    matches = (marks @ text_profiles(texts, training).T).toarray()  # [text, text]: shares
    matches = matches.astype(values.dtype)
    is_negative = mark_negatives(texts, fold)
    best, lowest = LikelihoodScales(PENALTIES[-1], np.ones(len(weights))), np.inf
    if not is_negative.any() or len(np.unique(fold)) < 2:
        return best
    for penalty in PENALTIES:
        scores = _left_out_scores(values, present, weights, fold, matches, penalty)
        scales, loss = _fit_scales(*draw_contests(scores, present, is_negative))
        if loss < lowest:
            best, lowest = LikelihoodScales(penalty, scales), loss
    return best


def mark_negatives(texts: Sequence[str], fold: np.ndarray) -> np.ndarray:
    """Mark the wrong texts that were left out with each row (n, n), of equal ones the first.

    Not those of other folds: what predicts a row's text has seen them, and not the row's own.
    """
    number = np.unique(np.array(texts, dtype=object), return_inverse=True)[1]
    is_negative = np.zeros((len(fold), len(fold)), dtype=bool)
    for i in np.unique(fold):
        rows = np.flatnonzero(fold == i)
        first = rows[np.unique(number[rows], return_index=True)[1]]
        is_negative[np.ix_(rows, first)] = True
    return is_negative & (number[:, None] != number)


def draw_contests(
    scores: np.ndarray, present: np.ndarray, is_negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compare each row's text, for each input it has, with the negatives likeliest by that input.

    Returns
    -------
    scores : ndarray of shape (m, n_contests, 1 + N_NEGATIVES)
        Of each input, the right text first.
    competes : ndarray of bool, shape (n_contests, 1 + N_NEGATIVES)
        There may be fewer negatives.
    """
    contests, competes = [], []
    for of_input, has in zip(scores, present.T, strict=True):
        rows = np.flatnonzero(has & is_negative.any(1))
        hardest = np.where(is_negative[rows], -of_input[rows], np.inf)
        index = np.argsort(hardest, axis=1, kind="stable")[:, :N_NEGATIVES]
        is_in = np.take_along_axis(is_negative[rows], index, 1)
        index = np.column_stack([rows, index])
        contests.append(scores[:, rows[:, None], index])
        competes.append(np.column_stack([np.ones(len(rows), dtype=bool), is_in]))
    return np.concatenate(contests, axis=1), np.concatenate(competes)


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


def _fit_scales(scores: np.ndarray, competes: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit factors of the inputs, at least 0, by the likelihood of the right texts, the first."""
    spread = np.maximum(scores.std(axis=(1, 2)), SPARE)
    scores = scores / spread[:, None, None]

    def loss(scales: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.where(competes, np.tensordot(scales, scores, 1), -np.inf)
        total = logsumexp(logits, axis=1)
        shares = np.exp(logits - total[:, None])
        gradient = (np.einsum("nk,mnk->m", shares, scores) - scores[:, :, 0].sum(1)) / len(logits)
        penalty = PRIOR_SCALE * (scales @ scales) / 2
        return float((total - logits[:, 0]).mean() + penalty), gradient + PRIOR_SCALE * scales

    found = minimize(loss, np.ones(len(scores)), jac=True, bounds=[(0, None)] * len(scores))
    return found.x / spread, float(found.fun)


class TextLikelihood(NamedTuple):
    """What scores are computed with: another penalty than that of the regression for candidates."""

    solver: np.ndarray  # (r, r)
    background: np.ndarray  # (m, F) the mean shares of n-grams that each input predicts
    scales: np.ndarray  # (m,) nats

    @classmethod
    def fit(
        cls,
        learned: LikelihoodScales,
        regression: Regression,
        near: Inputs,
        weights: np.ndarray,
        n_ngrams: int,
    ) -> TextLikelihood:
        """Find what each input predicts of the texts of the landmarks ``near`` on average."""
        solver = regression.make_solver(learned.penalty)
        total = np.zeros((len(weights), near.n_rows))
        for start in range(0, near.n_rows, CHUNK):
            total += input_terms(near.take(slice(start, start + CHUNK)), near, weights).sum(1)
        mean = total / np.maximum(near.present.sum(0), 1)[:, None]
        background = np.asarray((mean @ solver) @ regression.targets[:, :n_ngrams])
        return cls(solver, background, learned.scales)
