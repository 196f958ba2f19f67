"""Nearest neighbours by cosine, and how well pairs are found; vectors have unit length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.special import digamma, gammaln
from sklearn.neighbors import NearestNeighbors

from .._optional import import_optional

CHUNK_VALUES = 2**22  # cosines, or products of them, that are held at once
SPARE = 8  # more candidates than neighbours, so that rounding decides nothing
ROUNDING = 1e-5  # cosines of float32 vectors that are closer than this may be equal
TIE = 1e-6  # cosines that are closer than this are equal, of which all orders are averaged


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
    """The rank of the right item that is nearest to each query, among the distinct items."""

    n_nearer: np.ndarray  # (n,) items that are nearer to the query than this one
    n_equal: np.ndarray  # (n,) other items that are just as near
    n_right: np.ndarray  # (n,) those of them that are right as well

    def reciprocal(self) -> np.ndarray:
        """Return one over the rank of the first right item (n,), averaged over orders of ties."""
        values = _mean_reciprocal(self.n_nearer, self.n_equal + 1)
        for row in np.flatnonzero(self.n_right):
            places = np.arange(1, self.n_equal[row] - self.n_right[row] + 2)
            is_first = -np.diff(self._missed(row, np.append(0, places)))
            values[row] = (is_first / (self.n_nearer[row] + places)).sum()
        return values

    def within(self, k: int) -> np.ndarray:
        """Return whether a right item is among the first ``k`` (n,); of ties the probability."""
        return 1 - self._missed(slice(None), (k - self.n_nearer).clip(0))

    def _missed(self, rows, n_places: np.ndarray) -> np.ndarray:
        """Return the probability that none of the first places of a tie has a right item."""
        n_right, n_wrong = self.n_right[rows] + 1, self.n_equal[rows] - self.n_right[rows]
        n_left = np.maximum(n_wrong - n_places, -1)  # wrong ones behind the places, if they fit
        all_orders = gammaln(n_wrong + n_right + 1) - gammaln(n_wrong + 1)
        orders = gammaln(n_left + n_right + 1) - gammaln(np.maximum(n_left, 0) + 1)
        return np.where(n_left < 0, 0.0, np.exp(orders - all_orders))


def pair_ranks(
    source: np.ndarray,
    target: np.ndarray,
    labels: np.ndarray | None = None,
    items: np.ndarray | None = None,
) -> Ranks:
    """Rank the distinct rows of ``target`` by their cosine with each row of ``source``.

    Parameters
    ----------
    source, target : ndarray of shape (n, q)
        Unit vectors of pairs.
    labels : ndarray of int, shape (n,), default=None
        Right is the target of every row that has the query's label. None: of its own row alone.
    items : ndarray of int, shape (n,), default=None
        The item of each row of ``target``: rows of one number count once. None: they are distinct.
    """
    target, labels, right = _find_right(target, labels, items)
    counts = np.empty((3, len(source)), dtype=int)
    for rows in _query_chunks(len(source), len(target)):
        cosines, is_right = (
            source[rows] @ target.T,
            right[labels[rows]].toarray(),
        )  # (chunk, n_items)
        best = cosines.max(axis=1, where=is_right, initial=-np.inf)[:, None]
        nearer, near = cosines > best + TIE, cosines >= best - TIE
        counts[0, rows] = np.count_nonzero(nearer, axis=1)
        counts[1, rows] = np.count_nonzero(near, axis=1) - counts[0, rows] - 1
        counts[2, rows] = np.count_nonzero(near & is_right, axis=1) - 1
    return Ranks(*counts)


def separating_distance(
    source: np.ndarray, target: np.ndarray, labels: np.ndarray, items: np.ndarray
) -> tuple[float, float]:
    """Find the distance that separates right items best from the nearest wrong ones.

    Parameters as of `pair_ranks`.

    Returns
    -------
    distance : float
        In the middle between two of those that occur.
    separation : float
        The share of queries whose right item is within it, less that of those whose nearest wrong
        item is.
    """
    target, labels, right = _find_right(target, labels, items)
    distances = np.empty((2, len(source)))
    for rows in _query_chunks(len(source), len(target)):
        cosines = source[rows] @ target.T
        is_right = right[labels[rows]].toarray()
        for i, counted in enumerate((is_right, ~is_right)):
            distances[i, rows] = 1 - cosines.max(axis=1, where=counted, initial=-1.0)
    values = np.unique(distances)
    of_right, of_wrong = np.sort(distances)
    shares = np.searchsorted(of_right, values, "right") - np.searchsorted(of_wrong, values, "right")
    best = int(shares.argmax())
    return float(values[best : best + 2].mean()), float(shares[best] / len(source))


def average_precision(
    source: np.ndarray,
    target: np.ndarray,
    labels: np.ndarray | None = None,
    items: np.ndarray | None = None,
) -> float:
    """Compute the mean average precision of the distinct rows of ``target``, as `pair_ranks`.

    Averaged over the orders of ties, which are cosines that differ by rounding.
    """
    target, labels, right = _find_right(target, labels, items)
    total = 0.0
    for rows in _query_chunks(len(source), len(target)):
        cosines, is_right = source[rows] @ target.T, right[labels[rows]].toarray()
        total += sum(map(_query_precision, cosines, is_right))
    return total / len(source)


def _find_right(target, labels, items) -> tuple[np.ndarray, np.ndarray, csr_array]:
    """Return the distinct rows of ``target``, labels, and what is right for each of these."""
    rows = np.arange(len(target))
    labels = rows if labels is None else np.unique(labels, return_inverse=True)[1]
    _, first, items = np.unique(
        rows if items is None else items, return_index=True, return_inverse=True
    )
    right = coo_array((np.ones(len(rows), dtype=bool), (labels, items))).tocsr()
    return target[first], labels, right


def _query_precision(cosines: np.ndarray, is_right: np.ndarray) -> float:
    """Average the precision at each right item (n_items,), and over the orders of ties."""
    of_right = np.sort(cosines[is_right])
    nearer, ties = _count_near(np.sort(cosines), of_right)
    right_nearer, right_ties = _count_near(of_right, of_right)
    # Precision at place p of a tie is (right_nearer + 1 + (p - 1) * share) / (nearer + p).
    share = (right_ties - 1) / np.maximum(ties - 1, 1)
    constant = right_nearer + 1 - share * (nearer + 1)
    return float((share + constant * _mean_reciprocal(nearer, ties)).mean())


def _count_near(ascending: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the cosines above each value, and those that differ from it by rounding."""
    n_nearer = len(ascending) - np.searchsorted(ascending, values + TIE, "right")
    return n_nearer, len(ascending) - n_nearer - np.searchsorted(ascending, values - TIE)


def _mean_reciprocal(n_before: np.ndarray, n_places: np.ndarray) -> np.ndarray:
    """Average one over the place, for places from ``n_before`` + 1 on."""
    return (digamma(n_before + n_places + 1) - digamma(n_before + 1)) / n_places


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
    items: np.ndarray,
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float],
    source: str | None = None,
    target: str | None = None,
    labels: np.ndarray | None = None,
) -> float:
    """Average ``measure(source, target, labels, items)`` over ordered pairs of modalities.

    Parameters
    ----------
    vectors : ndarray of shape (n, m, q)
        The unit vectors of each modality, NaN where it is missing.
    names : sequence of str
        The modalities.
    items : ndarray of int, shape (n, m)
        Rows that have equal values in a modality have one number there.
    measure : callable
        `pair_ranks` or the like, of the rows that have both modalities.
    source, target : str, default=None
        One of the modalities, to measure no other pairs.
    labels : ndarray of int, shape (n,), default=None
        What is right for a query: rows of its label. None: those whose source is equal to it.

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
                of_query = (items[:, i] if labels is None else labels)[both]
                values.append(measure(vectors[both, i], vectors[both, j], of_query, items[both, j]))
    if not values:
        raise ValueError(
            "No row has two modalities to find one by the other; those of X in fit are "
            f"{list(names)}."
        )
    return float(np.mean(values))
