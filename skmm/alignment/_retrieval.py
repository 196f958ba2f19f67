"""Nearest neighbours by cosine, and how well pairs are found; vectors have unit length."""

from __future__ import annotations

from collections.abc import Iterator
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
    found = _search(queries, gallery, n_candidates)
    distances = np.empty((len(queries), n_neighbors))
    indices = np.empty((len(queries), n_neighbors), dtype=np.int64)
    for rows in _chunks(len(queries), n_candidates * queries.shape[1]):
        cosines = _cosines(queries[rows], gallery, found[rows])
        chosen, own = _best(cosines, found[rows], n_candidates)
        distances[rows], indices[rows] = 1 - own[:, :n_neighbors], chosen[:, :n_neighbors]
        if n_candidates < len(gallery):  # may one that was not found be as near?
            unsure = own[:, n_neighbors - 1] - own[:, -1] <= ROUNDING
            _look_at_all(queries, gallery, np.flatnonzero(unsure) + rows.start, distances, indices)
    return distances, indices


def _look_at_all(queries, gallery, rows, distances, indices) -> None:
    """Find again, among all, the neighbours of the queries ``rows``; those found are about as near.

    Only of those that may be as near are the cosines computed as exactly as `nearest` needs them.
    """
    n_neighbors = distances.shape[1]
    for some in _chunks(len(rows), len(gallery)):
        for row, cosines in zip(rows[some], queries[rows[some]] @ gallery.T, strict=True):
            near = np.flatnonzero(cosines >= 1 - distances[row, -1] - ROUNDING)[None]
            exact = _cosines(queries[row : row + 1], gallery, near)
            chosen, own = _best(exact, near, n_neighbors)
            distances[row], indices[row] = 1 - own[0], chosen[0]


def _search(queries: np.ndarray, gallery: np.ndarray, n: int) -> np.ndarray:
    """Positions of about the ``n`` nearest rows of the gallery (n_queries, n)."""
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


def _cosines(queries: np.ndarray, gallery: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Cosines (n_queries, n) in float64, equal for equal rows of the gallery."""
    chosen = gallery[found].astype(np.float64)  # (n_queries, n, q)
    chosen *= queries[:, None, :]
    return chosen.sum(2)


def _best(cosines: np.ndarray, found: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((found, -cosines), axis=1)[:, :n]
    return np.take_along_axis(found, order, 1), np.take_along_axis(cosines, order, 1)


class Ranks(NamedTuple):
    """Where each query's own pair stands among the gallery."""

    n_nearer: np.ndarray  # (n,) rows that are nearer to the query than its pair is
    n_equal: np.ndarray  # (n,) other rows that are just as near

    def reciprocal(self) -> np.ndarray:
        """One over the rank (n,); the mean over all orders of equals, of which none is known."""
        harmonic = digamma(self.n_nearer + self.n_equal + 2) - digamma(self.n_nearer + 1)
        return harmonic / (self.n_equal + 1)

    def within(self, k: int) -> np.ndarray:
        """Whether the pair is among the first ``k`` (n,); of equals the probability."""
        return ((k - self.n_nearer) / (self.n_equal + 1)).clip(0, 1)


def pair_ranks(source: np.ndarray, target: np.ndarray) -> Ranks:
    """Rank row i of ``target`` among all of its rows, by cosine with row i of ``source``."""
    nearer, equal = np.empty(len(source), dtype=int), np.empty(len(source), dtype=int)
    for rows in _chunks(len(source), len(target)):
        cosines = source[rows] @ target.T  # (chunk, n)
        own = cosines[np.arange(len(cosines)), np.arange(rows.start, rows.stop)][:, None]
        nearer[rows] = np.count_nonzero(cosines > own + ROUNDING, axis=1)
        as_near = np.count_nonzero(cosines >= own - ROUNDING, axis=1)  # or nearer
        equal[rows] = as_near - nearer[rows] - 1
    return Ranks(nearer, equal)


def average_precision(source: np.ndarray, target: np.ndarray, labels: np.ndarray) -> float:
    """Mean average precision of the rows of ``target`` that have the label of the query."""
    total = 0.0
    for rows in _chunks(len(source), len(target)):
        relevant = labels[rows, None] == labels
        scores = source[rows] @ target.T
        total += label_ranking_average_precision_score(relevant, scores) * len(scores)
    return total / len(source)


def _chunks(n_rows: int, n_values: int) -> Iterator[slice]:
    """Runs of rows, of ``n_values`` each, that are worked on at once."""
    size = max(1, CHUNK_VALUES // max(n_values, 1))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def mean_direction(each: list[np.ndarray]) -> np.ndarray:
    """The mean of those unit vectors (n, q) that are not NaN, scaled to length 1; else NaN."""
    there = sum(~np.isnan(vectors[:, 0]) for vectors in each)
    total = sum(np.nan_to_num(vectors.astype(np.float64)) for vectors in each)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    total /= np.where(length > 1e-12, length, 1.0)
    total[there == 0] = np.nan
    return total


def mean_over_pairs(aligner, X, measure, source=None, target=None) -> float:
    """Mean of ``measure(source vectors, target vectors, rows)`` over pairs of modalities.

    Of each pair with the rows that have both, whose positions are ``rows``.
    """
    table = aligner._read(X)
    names = list(aligner.modalities_)
    for name in (source, target):
        if name is not None and name not in names:
            raise ValueError(f"There is no modality {name!r}; those of X in fit are {names}.")
    if source is not None and source == target and len(names) > 1:
        raise ValueError(
            f"source and target are both {source!r}, in which each row finds itself: name two of "
            f"{names}."
        )
    vectors = {name: aligner._embed_one(table, name) for name in table.groups}
    values = []
    for a, of_a in vectors.items():
        for b, of_b in vectors.items():
            both = np.flatnonzero(table.has(a) & table.has(b))
            wanted = (source in (None, a)) and (target in (None, b))
            if wanted and (a != b or len(names) == 1) and len(both):
                values.append(measure(of_a[both], of_b[both], both))
    if not values:
        raise ValueError(
            f"No row has two modalities to find one by the other; those of X in fit are {names}."
        )
    return float(np.mean(values))
