import numpy as np
import pytest
from generation_shapes import PAIRS, make_shapes, name

from skmm.generation._chrf import NgramVocabulary
from skmm.generation._evidence import TrainingTexts
from skmm.generation._likelihood import (
    N_NEGATIVES,
    draw_contests,
    learn_scales,
    mark_negatives,
    text_profiles,
)
from skmm.generation._neighbors import InputSpace, kernels

TEXTS = [name(pair) for pair in PAIRS]
FOLD = np.arange(len(PAIRS)) % 5


def describe(texts):
    return TrainingTexts.describe([[text] for text in texts], None, NgramVocabulary.learn(texts))


def learn(texts=TEXTS, fold=FOLD, noise=0.1):
    rows = make_shapes(source=False, noise=noise)
    inputs = InputSpace.learn(rows).embed(rows)
    weights = np.full(3, 1 / 3)
    training = describe(texts)
    return learn_scales(kernels(inputs, inputs), inputs.present, fold, texts, weights, training)


def test_noise_counts_less_than_what_finds_the_right_text():
    color, noise, shape = learn().scales
    assert 0 <= noise < 0.5 * min(color, shape)


def test_clearer_inputs_are_trusted_more():
    assert learn(noise=0.05).scales[[0, 2]].sum() > learn(noise=1.0).scales[[0, 2]].sum()


@pytest.mark.parametrize(
    ("texts", "fold"), [(["same"] * len(PAIRS), FOLD), (TEXTS, np.zeros(len(PAIRS), dtype=int))]
)
def test_nothing_to_tell_apart_leaves_the_unit(texts, fold):
    np.testing.assert_array_equal(learn(texts, fold).scales, 1)


def test_profiles_have_the_same_length_whatever_that_of_the_text():
    profiles = text_profiles(
        ["abcdefgh", "abcdefghijklmnop", "", "xyz"], describe(["abcdefghijkl"])
    )
    np.testing.assert_allclose(profiles.multiply(profiles).sum(1), [1, 1, 0, 0])


def test_rare_ngrams_count_more():
    training = describe(["ab", "ac", "ad"])
    both, a, b = (text_profiles([text], training).toarray()[0] for text in ("ab", "a", "b"))
    assert both @ b > both @ a > 0


def test_negatives_are_other_texts_that_were_left_out_with_the_row():
    is_negative = mark_negatives(["a", "b", "a", "b", "c"], np.array([0, 0, 0, 1, 1]))
    expected = [[1], [0], [1], [4], [3]]  # of the equal texts 0 and 2 the first
    assert [np.flatnonzero(of_row).tolist() for of_row in is_negative] == expected


def test_a_text_competes_with_those_that_an_input_takes_for_the_likeliest():
    n = 2 * N_NEGATIVES
    scores = np.random.default_rng(0).normal(size=(2, n, n))
    is_negative = ~np.eye(n, dtype=bool)
    is_negative[1, 2:] = False  # one negative is left
    present = np.ones((n, 2), dtype=bool)
    present[0, 1] = False
    contests, competes = draw_contests(scores, present, is_negative)
    rows = np.concatenate([np.arange(n), np.arange(1, n)])  # of the first input, then the second
    np.testing.assert_array_equal(contests[:, :, 0], scores[:, rows, rows])
    for i, (row, of_input) in enumerate(zip(rows, [0] * n + [1] * (n - 1), strict=True)):
        others = np.delete(scores[of_input, row], row) if row != 1 else scores[of_input, 1, :1]
        hardest = np.sort(others)[::-1][:N_NEGATIVES]
        np.testing.assert_array_equal(contests[of_input, i, 1:][competes[i, 1:]], hardest)
