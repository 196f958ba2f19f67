import numpy as np
import pytest
from generation_shapes import PAIRS, make_shapes, name

from skmm.generation._chrf import NgramVocabulary
from skmm.generation._likelihood import learn_scales, text_profiles
from skmm.generation._neighbors import InputSpace, kernels

TEXTS = [name(pair) for pair in PAIRS]
FOLD = np.arange(len(PAIRS)) % 5


def learn(texts=TEXTS, fold=FOLD, noise=0.1):
    rows = make_shapes(source=False, noise=noise)
    inputs = InputSpace.learn(rows).embed(rows)
    vocabulary = NgramVocabulary.learn(texts)
    weights = np.full(3, 1 / 3)
    return learn_scales(kernels(inputs, inputs), inputs.present, fold, texts, weights, vocabulary)


def test_noise_counts_less_than_what_finds_the_right_text():
    color, noise, shape = learn().scales
    assert 0 <= noise < 0.3 * min(color, shape)


def test_clearer_inputs_are_trusted_more():
    assert learn(noise=0.05).scales[[0, 2]].sum() > learn(noise=1.0).scales[[0, 2]].sum()


@pytest.mark.parametrize(
    ("texts", "fold"), [(["same"] * len(PAIRS), FOLD), (TEXTS, np.zeros(len(PAIRS), dtype=int))]
)
def test_nothing_to_tell_apart_leaves_the_unit(texts, fold):
    np.testing.assert_array_equal(learn(texts, fold).scales, 1)


def test_profiles_have_the_same_length_whatever_that_of_the_text():
    vocabulary = NgramVocabulary.learn(["abcdefgh", "abcdefghijklmnop"])
    profiles = text_profiles(["abcdefgh", "abcdefghijklmnop"], vocabulary)
    np.testing.assert_allclose(profiles.multiply(profiles).sum(1), 6 / 36, rtol=1e-5)
