import numpy as np
import pytest
from generation_shapes import PAIRS, make_shapes

from skmm.generation._neighbors import InputSpace, combine, find_neighbors, kernels, terms

WEIGHTS = np.array([0.4, 0.1, 0.3, 0.2])


@pytest.fixture
def inputs():
    rows = make_shapes()
    rows.present[3] = [True, False, False]
    rows.present[4] = False
    rows.source[3] = rows.source[4] = ""
    rows.blocks["noise"][~rows.present[:, 1]] = 0
    return InputSpace.learn(rows).embed(rows)


def similarity(inputs):
    return combine(kernels(inputs, inputs), inputs.present, inputs.present, WEIGHTS)


def test_a_row_is_most_similar_to_itself_whatever_it_lacks(inputs):
    values = similarity(inputs)
    has_any = inputs.present.any(1)
    np.testing.assert_allclose(np.diag(values)[has_any], 1, rtol=1e-5)
    np.testing.assert_array_equal(values[4], 0)  # of which nothing is known
    assert (values <= 1 + 1e-5).all()


def test_similarity_is_a_kernel(inputs):
    assert np.linalg.eigvalsh(similarity(inputs).astype(float)).min() > -1e-5


def test_terms_sum_to_the_similarity(inputs):
    parts = terms(kernels(inputs, inputs), inputs.present, inputs.present, WEIGHTS)
    np.testing.assert_allclose(parts.sum(0), similarity(inputs), atol=1e-6)
    np.testing.assert_array_equal(parts[1][~inputs.present[:, 1]], 0)


@pytest.mark.parametrize("chunk", [1, 10**6])
def test_neighbors_are_the_largest_similarities(inputs, chunk, monkeypatch):
    monkeypatch.setattr("skmm.generation._neighbors.CHUNK_VALUES", chunk)
    found = find_neighbors(inputs, inputs, WEIGHTS, 5)
    expected = -np.sort(-similarity(inputs), axis=1)[:, :5]
    np.testing.assert_allclose(found.similarity, expected, atol=2e-6)
    np.testing.assert_array_equal(found.index[4], np.arange(5))  # equally near: the first ones
    assert found.index[7, 0] == 7


def test_more_neighbors_than_rows_are_all_rows(inputs):
    assert find_neighbors(inputs, inputs.take(slice(0, 3)), WEIGHTS, 16).index.shape == (30, 3)


def test_source_texts_are_similar_by_rare_ngrams():
    rows = make_shapes([PAIRS[0], PAIRS[1], PAIRS[7]])
    rows = rows._replace(source=["the zebra", "the giraffe", "a zebra"])
    inputs = InputSpace.learn(rows).embed(rows)
    source = kernels(inputs, inputs)[3]
    assert source[0, 2] > source[0, 1] > 0
