"""Regularised canonical correlations of two modalities or more, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from scipy import linalg

CHUNK = 2048  # rows
LEAST_RIDGE = 1e-6  # with which a matrix is safely positive definite


class LinearMaps(NamedTuple):
    """A linear map of each modality's scaled columns, the best components first."""

    weights: list[np.ndarray]  # of each modality (d_i, q)
    offsets: list[np.ndarray]  # (q,), so that the mean over the rows is 0
    correlations: np.ndarray  # (q,) of the modalities' components, the mean over pairs


def canonical_maps(
    x,
    present: np.ndarray,
    widths: Sequence[int],
    n_components: int,
    regularization: float,
) -> LinearMaps:
    """Compute the maps whose components correlate most between the modalities.

    The canonical correlations of two modalities (Hotelling 1936), and of more the generalised ones
    named MAXVAR (Kettenring 1971): the eigenvectors of ``A v = rho D v``, in which A holds the
    covariances between modalities and D those within each, shrunk towards a multiple of the
    identity (a canonical ridge, Vinod 1976). Of one modality, its principal components.

    Parameters
    ----------
    x : array-like of shape (n, d)
        Scaled rows, 0 where a modality is missing; read chunk by chunk.
    present : ndarray of bool, shape (n, m)
    widths : sequence of int
        How many of the columns each modality has.
    n_components : int
    regularization : float
        From 0 to 1: the weight of the identity, times the mean variance.
    """
    ends = np.cumsum(widths)
    columns = [slice(end - width, end) for width, end in zip(widths, ends, strict=True)]
    mean, covariance = _moments(x, present, columns)
    if len(columns) == 1:
        return _principal_components(mean, covariance, n_components)
    whiteners = [_whiten(covariance[block, block], regularization) for block in columns]
    if len(columns) == 2:
        between = whiteners[0].T @ covariance[columns[0], columns[1]] @ whiteners[1]
        left, correlations, right = linalg.svd(between, full_matrices=False)
        rotated = [left, right.T]
    else:
        rotated, correlations = _maxvar(covariance, columns, whiteners, n_components)
    weights = [
        whitener @ rotation[:, :n_components]
        for whitener, rotation in zip(whiteners, rotated, strict=True)
    ]
    signs = _signs(np.concatenate(weights))
    weights = [weight * signs for weight in weights]
    offsets = [-mean[block] @ w for block, w in zip(columns, weights, strict=True)]
    return LinearMaps(weights, offsets, correlations[:n_components])


def _principal_components(mean, covariance, n_components) -> LinearMaps:
    last = len(mean) - 1
    _, vectors = linalg.eigh(covariance, subset_by_index=[max(0, last + 1 - n_components), last])
    vectors = vectors[:, ::-1] * _signs(vectors[:, ::-1])
    return LinearMaps([vectors], [-mean @ vectors], np.ones(vectors.shape[1]))


def _signs(vectors: np.ndarray) -> np.ndarray:
    """Return signs that make the largest element of each column positive."""
    largest = np.abs(vectors).argmax(0)
    return np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


def _moments(x, present, columns) -> tuple[np.ndarray, np.ndarray]:
    """Compute means (d,) and covariances (d, d), those of two modalities over rows with both.

    Memory is needed for these, not for the rows.
    """
    has = present.astype(float)
    d = columns[-1].stop
    products, sums = np.zeros((d, d)), np.zeros((len(columns), d))
    for start in range(0, len(present), CHUNK):
        rows = slice(start, min(start + CHUNK, len(present)))
        block = np.asarray(x[rows], dtype=np.float64)
        products += block.T @ block
        sums += has[rows].T @ block  # [j, i's columns]: over the rows that have i and j
    counts = np.maximum(has.T @ has, 1)  # (m, m)
    mean = np.empty(d)
    for i, left in enumerate(columns):
        mean[left] = sums[i, left] / counts[i, i]
        for j, right in enumerate(columns):
            with_j, with_i = sums[j, left] / counts[i, j], sums[i, right] / counts[i, j]
            products[left, right] /= counts[i, j]
            products[left, right] -= np.outer(with_j, with_i)
    return mean, products


def _whiten(covariance: np.ndarray, regularization: float) -> np.ndarray:
    """Compute W with ``W.T @ D @ W = I``, D the shrunk covariance; directions of 0 are left out."""
    d = len(covariance)
    shrunk = (1 - regularization) * covariance
    shrunk[np.diag_indices(d)] += regularization * np.trace(covariance) / d
    if regularization > LEAST_RIDGE:
        with suppress(linalg.LinAlgError):  # in an eighth of the time
            lower = linalg.cholesky(shrunk, lower=True)
            return linalg.solve_triangular(lower, np.eye(d), lower=True).T
    variances, vectors = linalg.eigh(shrunk)
    kept = variances > max(variances[-1], 0.0) * d * np.finfo(float).eps
    return vectors[:, kept] / np.sqrt(variances[kept])


def _maxvar(covariance, columns, whiteners, n_components) -> tuple[list[np.ndarray], np.ndarray]:
    """Compute the rotations of whitened modalities, and the correlations of their components."""
    ends = np.cumsum([whitener.shape[1] for whitener in whiteners])
    blocks = [slice(e - w.shape[1], e) for w, e in zip(whiteners, ends, strict=True)]
    between = np.zeros((ends[-1], ends[-1]))
    for i, left in enumerate(blocks):
        for j, right in enumerate(blocks[:i]):
            cross = covariance[columns[i], columns[j]]
            between[left, right] = whiteners[i].T @ cross @ whiteners[j]
    wanted = min(n_components, len(between))  # eigh reads the lower triangle alone
    last = len(between) - 1
    values, vectors = linalg.eigh(between, subset_by_index=[last + 1 - wanted, last])
    vectors = vectors[:, ::-1] * np.sqrt(len(columns))  # as of two: a variance of 1, on average
    return [vectors[block] for block in blocks], values[::-1] / (len(columns) - 1)
