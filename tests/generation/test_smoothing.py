import numpy as np
import pytest
from generation_shapes import PAIRS, make_shapes, name

from skmm.generation._chrf import NgramVocabulary
from skmm.generation._neighbors import InputSpace, combine, kernels
from skmm.generation._smoothing import (
    learn_kernel,
    left_out_neighbors,
    left_out_smoother,
    softmax,
    text_similarity,
)

TEXTS = [name(pair) for pair in PAIRS]
FOLD = np.arange(len(PAIRS)) % 5


@pytest.fixture
def values():
    rows = make_shapes(source=False)
    inputs = InputSpace.learn(rows).embed(rows)
    return kernels(inputs, inputs), inputs.present


def test_left_out_predictions_are_those_of_a_fit_without_the_fold(values):
    kernel = combine(*values[:1], values[1], values[1], np.full(3, 1 / 3)).astype(float)
    smoother = left_out_smoother(kernel, 0.2, FOLD)
    y = np.random.default_rng(0).normal(size=(len(PAIRS), 4))
    for number in range(5):
        rows, others = number == FOLD, number != FOLD
        dual = np.linalg.solve(
            kernel[np.ix_(others, others)] + 0.2 * np.eye(others.sum()), y[others]
        )
        expected = kernel[np.ix_(rows, others)] @ dual
        np.testing.assert_allclose(smoother[rows] @ y, expected, atol=1e-9)


def test_left_out_neighbors_are_of_other_folds(values):
    kernel = combine(*values[:1], values[1], values[1], np.full(3, 1 / 3))
    weights = left_out_neighbors(kernel, 0.05, FOLD)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(weights[FOLD[:, None] == FOLD], 0)


def test_noise_has_hardly_a_weight(values):
    kernel = learn_kernel(*values, FOLD, TEXTS)
    assert kernel.weights.sum() == pytest.approx(1)
    color, noise, shape = kernel.weights
    assert noise < 0.1 < min(color, shape)


def test_fixed_weights_stay(values):
    fixed = np.array([0.2, 0.5, 0.3])
    np.testing.assert_array_equal(learn_kernel(*values, FOLD, TEXTS, fixed).weights, fixed)


def test_one_fold_has_nothing_to_learn_from(values):
    kernel = learn_kernel(*values, np.zeros(len(PAIRS), dtype=int), TEXTS)
    np.testing.assert_allclose(kernel.weights, 1 / 3)


def test_text_similarity_is_the_mean_cosine_over_orders():
    texts = ["abcdefg", "abcxyzw", "q"]
    expected = [1, np.mean([3 / 7, 2 / 6, 1 / 5, 0, 0, 0]), 0]
    np.testing.assert_allclose(text_similarity(texts)[0], expected, rtol=1e-6)
    assert len(NgramVocabulary.learn(texts).bounds) == 7


def test_softmax_of_nothing_is_nothing():
    assert softmax(np.empty((3, 0))).shape == (3, 0)
