"""Nearest neighbours, and the ranks of the right ones."""

import sys
import tracemalloc

import faiss
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from skmm.alignment import _retrieval
from skmm.alignment._retrieval import (
    average_precision,
    nearest,
    pair_ranks,
    search_with_faiss,
    search_with_scikit_learn,
)


def unit(n, q=6, seed=0):
    values = np.random.default_rng(seed).normal(size=(n, q)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_both_libraries_find_the_same():
    queries, gallery = unit(20), unit(300, seed=1)
    expected = np.argsort(-queries @ gallery.T, axis=1)[:, :7]
    np.testing.assert_array_equal(search_with_faiss(faiss, queries, gallery, 7), expected)
    np.testing.assert_array_equal(search_with_scikit_learn(queries, gallery, 7), expected)


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("n_copies", [2, 40])
def test_ties_come_in_order(installed, n_copies, monkeypatch):
    if not installed:
        monkeypatch.setitem(sys.modules, "faiss", None)
    queries = unit(9)
    gallery = np.tile(unit(5, seed=1), (n_copies, 1))
    distances, indices = nearest(queries, gallery, 3)
    cosines = queries.astype(float) @ gallery[:5].astype(float).T
    best = cosines.argmax(1)
    expected = np.stack([best, best + 5, best + 10], 1) if n_copies > 2 else None
    if n_copies == 2:
        second = np.argsort(-cosines, axis=1)[:, 1]
        expected = np.stack([best, best + 5, second], 1)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(
        distances, 1 - np.take_along_axis(cosines, indices % 5, 1), atol=1e-7
    )


def test_ties_cost_no_copy_of_the_gallery():
    gallery = np.tile(unit(200, q=64, seed=1), (20, 1))
    tracemalloc.start()
    _, indices = nearest(unit(1, q=64), gallery, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(np.diff(indices[0]), 200)
    assert peak < gallery.nbytes / 2


def test_whole_gallery_is_ordered():
    queries, gallery = unit(4), unit(6, seed=1)
    _, indices = nearest(queries, gallery, 6)
    np.testing.assert_array_equal(indices, np.argsort(-queries @ gallery.T, axis=1))


def test_chunks_change_nothing(monkeypatch):
    queries, gallery = unit(30), np.tile(unit(20, seed=1), (2, 1))
    labels = np.arange(30) % 4
    expected = nearest(queries, gallery, 4)
    ranks, precision = (
        pair_ranks(queries, gallery[:30]),
        average_precision(queries, gallery[:30], labels),
    )
    monkeypatch.setattr(_retrieval, "CHUNK_VALUES", 100)
    for values, again in zip(expected, nearest(queries, gallery, 4), strict=True):
        np.testing.assert_array_equal(values, again)
    for values, again in zip(ranks, pair_ranks(queries, gallery[:30]), strict=True):
        np.testing.assert_array_equal(values, again)
    assert average_precision(queries, gallery[:30], labels) == pytest.approx(precision)


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(_retrieval, "CHUNK_VALUES", 2**16)
    queries, gallery = unit(3000, q=4), unit(3000, q=4, seed=1)
    labels = np.arange(3000) % 2
    for function in (
        lambda: pair_ranks(queries, gallery),
        lambda: nearest(queries, gallery, 5),
        lambda: average_precision(queries[:100], gallery, labels),
    ):
        tracemalloc.start()
        function()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3000 * 3000 * 4 / 8  # an eighth of all cosines


def test_ranks():
    target = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], dtype=np.float32)
    source = np.array([[0.8, 0.6], [0.8, 0.6], [1, 0], [1, 0]], dtype=np.float32)
    ranks = pair_ranks(source, target)
    np.testing.assert_array_equal(ranks.n_nearer, [1, 0, 2, 3])
    np.testing.assert_allclose(ranks.reciprocal(), [1 / 2, 1, 1 / 3, 1 / 4])
    np.testing.assert_array_equal(ranks.within(2), [1, 1, 0, 0])


def test_ranks_of_ties_are_averaged():
    one_point = np.tile(unit(1), (5, 1))
    ranks = pair_ranks(one_point, one_point)
    np.testing.assert_allclose(ranks.reciprocal(), np.mean(1 / np.arange(1, 6)))
    np.testing.assert_allclose(ranks.within(2), 2 / 5)


def test_average_precision_of_labels():
    source, target, labels = unit(40), unit(40, seed=1), np.arange(40) % 3
    scores = source @ target.T
    expected = [
        average_precision_score(labels == label, row)
        for label, row in zip(labels, scores, strict=True)
    ]
    assert average_precision(source, target, labels) == pytest.approx(np.mean(expected))
