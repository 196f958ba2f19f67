"""How the weights of the inputs are learned: by the errors of a kernel ridge regression.

Kernel ridge regression predicts the n-grams of a row's text as a weighted sum over those of the
training texts; the weights are a row of a smoother matrix. Those of rows that were left out, fold
by fold, follow from one inverse of the whole kernel matrix (n, n), and so does their squared error.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse
from scipy.special import softmax as scipy_softmax

from ._chrf import NgramVocabulary, count_ngrams
from ._neighbors import combine

PENALTIES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
TEMPERATURES = (0.02, 0.03, 0.05, 0.08, 0.12, 0.2)
FACTORS = (0.1, 0.4, 2.5)  # by which weights are tried
N_ROUNDS = 3
LEAST_GAIN = 5e-4  # of the squared error, relative to 1


class Kernel(NamedTuple):
    """What was learned about similarity."""

    weights: np.ndarray  # (m,) of the inputs, sum to 1
    penalty: float  # of the ridge regression
    temperature: float  # of the nearest neighbours' softmax


def learn_kernel(values, present, fold, texts: list[str], fixed=None) -> Kernel:
    """Choose weights, penalty and temperature by the squared error on rows that are left out.

    Parameters
    ----------
    values : ndarray of shape (m, n, n)
        Kernels of each input.
    present : ndarray of bool, shape (n, m)
    fold : ndarray of int, shape (n,)
        Rows of one fold are left out together.
    texts : list of str
        Of the rows.
    fixed : ndarray of shape (m,), default=None
        Weights of the inputs; None: they are learned.
    """
    if len(np.unique(fold)) < 2:
        weights = np.full(len(values), 1 / len(values)) if fixed is None else fixed
        return Kernel(weights, PENALTIES[-1], TEMPERATURES[-1])
    gram = text_similarity(texts)

    def loss(weights, penalty):
        kernel = combine(values, present, present, weights)
        return _squared_error(_residual_maker(kernel, penalty, fold), gram)

    weights = np.full(len(values), 1 / len(values)) if fixed is None else fixed
    penalty = min(PENALTIES, key=lambda value: loss(weights, value))
    for _ in range(N_ROUNDS if fixed is None and len(values) > 1 else 0):
        before = weights
        weights = _change_weights(weights, partial(loss, penalty=penalty))
        penalty = min(PENALTIES, key=lambda value: loss(weights, value))
        if np.array_equal(weights, before):
            break
    kernel = combine(values, present, present, weights)
    temperature = min(
        TEMPERATURES, key=lambda t: _squared_error(_neighbor_residuals(kernel, t, fold), gram)
    )
    return Kernel(weights, penalty, temperature)


def _change_weights(weights: np.ndarray, loss) -> np.ndarray:
    """Multiply one weight after the other by the factor that lowers the loss most.

    A weight is lowered, too, where that hardly costs anything: the kernel of an input of noise is
    similar to a higher penalty.
    """
    lowest = loss(weights)
    for i in range(len(weights)):
        scaled = [weights * np.where(np.arange(len(weights)) == i, f, 1.0) for f in FACTORS]
        tried = [values / values.sum() for values in scaled]
        losses = [
            loss(values) + (LEAST_GAIN if factor > 1 else -LEAST_GAIN)
            for values, factor in zip(tried, FACTORS, strict=True)
        ]
        best = int(np.argmin(losses))
        if losses[best] < lowest:
            weights, lowest = tried[best], loss(tried[best])
    return weights


def text_similarity(texts: list[str]) -> np.ndarray:
    """Compute the cosines (n, n) of texts' n-grams, averaged over the orders."""
    vocabulary = NgramVocabulary.learn(texts)
    features, counts = vocabulary.encode(texts), count_ngrams(texts)
    total = np.zeros((len(texts), len(texts)), dtype=np.float32)
    for i, (a, b) in enumerate(pairwise(vocabulary.bounds)):
        scaled = sparse.diags_array(1 / np.sqrt(np.maximum(counts[:, i], 1))) @ features[:, a:b]
        total += (scaled @ scaled.T).toarray().astype(np.float32)
    return total / len(vocabulary.bounds[1:])


def _residual_maker(kernel: np.ndarray, penalty: float, fold: np.ndarray) -> np.ndarray:
    """Compute E (n, n) with E @ y the errors on left-out rows.

    With M the inverse of the penalised kernel matrix, those of the rows F are
    ``inv(M[F, F]) @ M[F] @ y``: the formula of leave-one-out errors, for whole folds.
    """
    penalised = kernel + np.diag(np.full(len(kernel), penalty, dtype=kernel.dtype))
    inverse = linalg.inv(penalised)
    errors = np.empty_like(inverse)
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        errors[rows] = linalg.solve(inverse[np.ix_(rows, rows)], inverse[rows])
    return errors


def _neighbor_residuals(kernel: np.ndarray, temperature: float, fold: np.ndarray) -> np.ndarray:
    return np.eye(len(kernel)) - left_out_neighbors(kernel, temperature, fold)


def left_out_neighbors(kernel: np.ndarray, temperature: float, fold: np.ndarray) -> np.ndarray:
    """Compute the softmax weights (n, n) of rows of other folds."""
    return softmax(np.where(fold[:, None] == fold, -np.inf, kernel / temperature))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (n, k) into weights that sum to 1 in each row; there may be none."""
    return scipy_softmax(logits, axis=1) if logits.shape[1] else logits


def left_out_smoother(kernel: np.ndarray, penalty: float, fold: np.ndarray) -> np.ndarray:
    """Compute the weights (n, n) that predict each row from the rows of other folds."""
    smoother = -_residual_maker(kernel, penalty, fold)
    smoother[fold[:, None] == fold] = 0
    return smoother


def _squared_error(errors: np.ndarray, gram: np.ndarray) -> float:
    """Return the mean squared norm of ``errors @ y``, for y with the inner values ``gram``."""
    return float(np.einsum("ij,ij->", errors @ gram, errors) / len(errors))
