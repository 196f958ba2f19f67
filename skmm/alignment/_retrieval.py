"""Nearest neighbours by cosine, and how well pairs are found; vectors have unit length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import digamma
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.neighbors import NearestNeighbors

from .._optional import import_optional

CHUNK_VALUES = 2**22  # cosines, or products of them, that are held at once
SPARE = 8  # more candidates than neighbours, so that rounding decides nothing
ROUNDING = 1e-5  # cosines of float32 vectors that are closer than this may be equal


def nearest(
    queries: np.ndarray, gallery: np.ndarray, n_neighbors: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows of ``gallery`` (n, q) with the largest cosines with each query.

    Whichever library searches, the answer is the same: of rows as near as each other, the first
    comes first.

    Returns
    -------
    distances : ndarray of shape (n_queries, n_neighbors), float64
        One minus the cosine.
    indices : ndarray of shape (n_queries, n_neighbors), int64
    """
    n_candidates = min(n_neighbors + SPARE, len(gallery))
    candidates = _search(queries, gallery, n_candidates)
    distances = np.empty((len(queries), n_neighbors))
    indices = np.empty((len(queries), n_neighbors), dtype=np.int64)
    for rows in _query_chunks(len(queries), n_candidates * queries.shape[1]):
        cosines = _cosines(queries[rows], gallery, candidates[rows])
        found, sorted_cosines = _sort(cosines, candidates[rows], n_candidates)
        distances[rows] = 1 - sorted_cosines[:, :n_neighbors]
        indices[rows] = found[:, :n_neighbors]
        if n_candidates < len(gallery):  # may one that is no candidate be as near?
            gaps = sorted_cosines[:, n_neighbors - 1] - sorted_cosines[:, -1]
            unsure = np.flatnonzero(gaps <= ROUNDING) + rows.start
            _search_all(queries, gallery, unsure, distances, indices)
    return distances, indices


def _search_all(queries, gallery, rows, distances, indices) -> None:
    """Find again, among all, the neighbours of the queries ``rows``; those found are about as near.

    Only of those that may be as near are the cosines computed as exactly as `nearest` needs them.
    """
    n_neighbors = distances.shape[1]
    for chunk in _query_chunks(len(rows), len(gallery)):
        for row, cosines in zip(rows[chunk], queries[rows[chunk]] @ gallery.T, strict=True):
            near = np.flatnonzero(cosines >= 1 - distances[row, -1] - ROUNDING)[None]
            exact = _cosines(queries[row : row + 1], gallery, near)
            found, sorted_cosines = _sort(exact, near, n_neighbors)
            distances[row], indices[row] = 1 - sorted_cosines[0], found[0]


def _search(queries: np.ndarray, gallery: np.ndarray, n: int) -> np.ndarray:
    """Find positions of about the ``n`` nearest rows of the gallery (n_queries, n)."""
    try:
        faiss = import_optional("faiss", extra="faiss", purpose="Searching")
    except ImportError:
        return search_with_scikit_learn(queries, gallery, n)
    return search_with_faiss(faiss, queries, gallery, n)


def search_with_faiss(faiss, queries: np.ndarray, gallery: np.ndarray, n: int) -> np.ndarray:
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(np.ascontiguousarray(gallery, dtype=np.float32))
    return index.search(np.ascontiguousarray(queries, dtype=np.float32), n)[1]


def search_with_scikit_learn(queries: np.ndarray, gallery: np.ndarray, n: int) -> np.ndarray:
    # Of unit vectors, which are the nearest by angle are so by Euclidean distance.
    index = NearestNeighbors(n_neighbors=n, algorithm="brute").fit(gallery)
    return index.kneighbors(queries, return_distance=False)


def _cosines(queries: np.ndarray, gallery: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Compute cosines (n_queries, n) in float64, equal for equal rows of the gallery."""
    vectors = gallery[indices].astype(np.float64)  # (n_queries, n, q)
    vectors *= queries[:, None, :]
    return vectors.sum(2)


def _sort(cosines: np.ndarray, indices: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort by cosine, largest first, then by index; return the first ``n`` of both."""
    order = np.lexsort((indices, -cosines), axis=1)[:, :n]
    return np.take_along_axis(indices, order, 1), np.take_along_axis(cosines, order, 1)


class Ranks(NamedTuple):
    """The rank of each query's own pair among the gallery."""

    n_nearer: np.ndarray  # (n,) rows that are nearer to the query than its pair is
    n_equal: np.ndarray  # (n,) other rows that are just as near

    def reciprocal(self) -> np.ndarray:
        """Return one over the rank (n,), averaged over the orders of ties."""
        harmonic = digamma(self.n_nearer + self.n_equal + 2) - digamma(self.n_nearer + 1)
        return harmonic / (self.n_equal + 1)

    def within(self, k: int) -> np.ndarray:
        """Return whether the pair is among the first ``k`` (n,); of ties the probability."""
        return ((k - self.n_nearer) / (self.n_equal + 1)).clip(0, 1)


def pair_ranks(source: np.ndarray, target: np.ndarray) -> Ranks:
    """Rank row i of ``target`` among all of its rows, by cosine with row i of ``source``."""
    nearer, equal = np.empty(len(source), dtype=int), np.empty(len(source), dtype=int)
    for rows in _query_chunks(len(source), len(target)):
        cosines = source[rows] @ target.T  # (chunk, n)
        of_pair = cosines[np.arange(len(cosines)), np.arange(rows.start, rows.stop)][:, None]
        nearer[rows] = np.count_nonzero(cosines > of_pair + ROUNDING, axis=1)
        as_near = np.count_nonzero(cosines >= of_pair - ROUNDING, axis=1)  # or nearer
        equal[rows] = as_near - nearer[rows] - 1
    return Ranks(nearer, equal)


def average_precision(source: np.ndarray, target: np.ndarray, labels: np.ndarray) -> float:
    """Compute the mean average precision of rows of ``target`` that have the query's label."""
    total = 0.0
    for rows in _query_chunks(len(source), len(target)):
        relevant = labels[rows, None] == labels
        scores = source[rows] @ target.T
        total += label_ranking_average_precision_score(relevant, scores) * len(scores)
    return total / len(source)


def _query_chunks(n_queries: int, n_values: int) -> Iterator[slice]:
    """Iterate over slices of queries, each of ``n_values``, that are worked on at once."""
    size = max(1, CHUNK_VALUES // max(n_values, 1))
    for start in range(0, n_queries, size):
        yield slice(start, min(start + size, n_queries))


def mean_direction(of_each: Sequence[np.ndarray]) -> np.ndarray:
    """Average those unit vectors (n, q) that are not NaN, scaled to length 1; else NaN."""
    counts = sum(~np.isnan(vectors[:, 0]) for vectors in of_each)
    total = sum(np.nan_to_num(vectors.astype(np.float64)) for vectors in of_each)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    total /= np.where(length > 1e-12, length, 1.0)
    total[counts == 0] = np.nan
    return total


def mean_over_pairs(
    vectors: np.ndarray,
    names: Sequence[str],
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray], float],
    source: str | None = None,
    target: str | None = None,
) -> float:
    """Average ``measure(source vectors, target vectors, rows)`` over ordered pairs of modalities.

    Parameters
    ----------
    vectors : ndarray of shape (n, m, q)
        The unit vectors of each modality, NaN where it is missing.
    names : sequence of str
        The modalities.
    measure : callable
        It is given the vectors of the rows that have both modalities, and the positions of these.
    source, target : str, default=None
        One of the modalities, to measure no other pairs.

    Raises
    ------
    ValueError
        If no row has both, or source and target are the same.
    """
    if source is not None and source == target and len(names) > 1:
        raise ValueError(
            f"source and target are both {source!r}, in which each row finds itself: name two of "
            f"{list(names)}."
        )
    present, values = ~np.isnan(vectors[:, :, 0]), []
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            is_asked_for = source in (None, a) and target in (None, b)
            both = np.flatnonzero(present[:, i] & present[:, j])
            if is_asked_for and (i != j or len(names) == 1) and len(both):
                values.append(measure(vectors[both, i], vectors[both, j], both))
    if not values:
        raise ValueError(
            "No row has two modalities to find one by the other; those of X in fit are "
            f"{list(names)}."
        )
    return float(np.mean(values))
