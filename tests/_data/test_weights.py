"""From what a user writes for alpha, lambda and gamma to arrays."""

import numpy as np
import pytest

from skmm._data.weights import (
    resolve_alignment_weight,
    resolve_modality_loss_weight,
    resolve_modality_weights,
)

NAMES = ["text", "image", "sound"]


@pytest.mark.parametrize("given", [None, "uniform"])
def test_weights_start_equal(given):
    np.testing.assert_allclose(resolve_modality_weights(given, NAMES), [1 / 3] * 3)


def test_weights_are_divided_by_their_sum_in_the_order_of_the_modalities():
    alpha = resolve_modality_weights({"image": 1, "sound": 0, "text": 3}, NAMES)
    np.testing.assert_array_equal(alpha, [0.75, 0.25, 0.0])


@pytest.mark.parametrize("scale", [1e308, 1e-320])
def test_weights_whose_sum_no_float_can_hold_are_equal_all_the_same(scale):
    alpha = resolve_modality_weights(dict.fromkeys(NAMES, scale), NAMES)
    np.testing.assert_allclose(alpha, [1 / 3] * 3)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (
            {"text": 1, "image": 1, "smell": 1},
            r"modality_weights.*'smell'.*\['text', 'image', 'sound'\]",
        ),
        ({"text": 1}, r"modality_weights.*\['image', 'sound'\].*\['text', 'image', 'sound'\]"),
        ({}, r"modality_weights.*\['text', 'image', 'sound'\]"),
        ({"text": 1, "image": -1, "sound": 1}, "modality_weights.*-1.0"),
        ({"text": 1, "image": np.nan, "sound": 1}, "modality_weights.*nan"),
        ({"text": 1, "image": np.inf, "sound": 1}, "modality_weights.*inf"),
        ({"text": None, "image": 1, "sound": 1}, r"modality_weights\['text'\].*None"),
        ({"text": 0, "image": 0, "sound": 0}, "modality_weights"),
    ],
)
def test_bad_weights(given, match):
    with pytest.raises(ValueError, match=match):
        resolve_modality_weights(given, NAMES)


def test_modality_loss_weight():
    np.testing.assert_array_equal(resolve_modality_loss_weight(0.3, NAMES), [0.3] * 3)
    given = {"sound": 3, "text": 1, "image": 0}
    np.testing.assert_array_equal(resolve_modality_loss_weight(given, NAMES), [1, 0, 3])
    all_zero = dict.fromkeys(NAMES, 0)  # unlike alpha, lambda may be 0 for all
    np.testing.assert_array_equal(resolve_modality_loss_weight(all_zero, NAMES), [0, 0, 0])
    with pytest.raises(ValueError, match=r"modality_loss_weight.*'smell'"):
        resolve_modality_loss_weight({**given, "smell": 1}, NAMES)
    with pytest.raises(ValueError, match=r"modality_loss_weight.*\['image', 'sound'\]"):
        resolve_modality_loss_weight({"text": 1}, NAMES)
    with pytest.raises(ValueError, match=r"modality_loss_weight.*-1"):
        resolve_modality_loss_weight({**given, "text": -1}, NAMES)
    with pytest.raises(ValueError, match=r"modality_loss_weight.*inf"):
        resolve_modality_loss_weight(np.inf, NAMES)


def test_alignment_weight_as_a_number():
    np.testing.assert_array_equal(
        resolve_alignment_weight(0.5, NAMES), [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    )
    np.testing.assert_array_equal(resolve_alignment_weight(1.0, ["all"]), [[0]])


def test_alignment_weight_as_pairs():
    # one pair stands for both directions, unless both are given; row i, column j is gamma_ij
    given = {("text", "sound"): 0.5, ("image", "text"): 2, ("text", "image"): 1}
    np.testing.assert_array_equal(
        resolve_alignment_weight(given, NAMES), [[0, 1, 0.5], [2, 0, 0], [0.5, 0, 0]]
    )
    np.testing.assert_array_equal(resolve_alignment_weight({}, NAMES), np.zeros((3, 3)))


def test_alignment_weight_as_a_matrix():
    gamma = [[0, 1, 2], [3, 0, 4], [5, 6, 0]]
    np.testing.assert_array_equal(resolve_alignment_weight(gamma, NAMES), gamma)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (np.zeros((2, 2)), r"alignment_weight.*\(3, 3\).*\['text', 'image', 'sound'\].*\(2, 2\)"),
        ([1, 2, 3], r"alignment_weight.*\(3,\)"),
        (np.eye(3), "alignment_weight.*diagonal"),
        ([[0, -1, 0], [0, 0, 0], [0, 0, 0]], "alignment_weight.*-1"),
        ([[0, np.nan, 0], [0, 0, 0], [0, 0, 0]], "alignment_weight.*nan"),
        ({"text": 1}, "alignment_weight.*'text'"),
        ({("text",): 1}, r"alignment_weight.*\('text',\)"),
        ({("text", "text"): 1}, r"alignment_weight.*\('text', 'text'\)"),
        ({("text", "image", "sound"): 1}, "alignment_weight.*'sound'"),
        ({("text", "smell"): 1}, "alignment_weight.*'smell'"),
        ({("text", "image"): -1}, "alignment_weight.*-1"),
        (np.inf, "alignment_weight.*inf"),
    ],
)
def test_bad_alignment_weights(given, match):
    with pytest.raises(ValueError, match=match):
        resolve_alignment_weight(given, NAMES)
