"""From y to arrays of class numbers or values, and back."""

import numpy as np
import pytest

from skmm._data.targets import Scale, measure_scale, strata


def test_strata_of_one_target_are_its_classes():
    np.testing.assert_array_equal(strata(np.array([[2], [0], [1]]), "multiclass"), [2, 0, 1])


def test_strata_of_several_targets_are_combinations_of_classes():
    target = np.repeat([[0, 1], [1, 1], [0, -1], [1, 0]], [12, 15, 3, 4], axis=0)
    stratum = strata(target, "multiclass")
    groups = [np.unique(stratum[a:b]) for a, b in [(0, 12), (12, 27), (27, 34)]]
    assert [len(group) for group in groups] == [1, 1, 1]  # rare combinations are together
    assert len(set(np.concatenate(groups))) == 3


@pytest.mark.parametrize("n_targets", [1, 3])
def test_strata_of_numbers_are_tenths(n_targets):
    y = np.random.default_rng(0).normal(size=(200, n_targets))
    stratum = strata(y, "squared_error")
    np.testing.assert_array_equal(np.bincount(stratum), np.full(10, 20))
    assert (np.diff(stratum[np.argsort(y.mean(1))]) >= 0).all()
    order = np.random.default_rng(1).permutation(200)
    np.testing.assert_array_equal(strata(y[order], "squared_error"), stratum[order])


def test_strata_of_equal_numbers_are_equal():
    y = np.array([[0.0], [np.nan], [5.0], [5.0]])
    assert strata(y, "huber").tolist() == [0, 0, 5, 5]


def test_strata_of_labels_are_their_combinations():
    target = np.repeat([[0, 1], [1, 0], [np.nan, 1], [1, 1]], [12, 15, 11, 4], axis=0)
    stratum = strata(target.astype(np.float32), "multilabel")
    ends = [(0, 12), (12, 27), (27, 38), (38, 42)]
    groups = [np.unique(stratum[start:end]) for start, end in ends]
    assert [len(group) for group in groups] == [1, 1, 1, 1]
    assert len(set(np.concatenate(groups))) == 4


def test_what_is_predicted_reaches_one_range_beyond_that_of_y():
    y = np.array([[0.0, 5.0], [2.0, np.nan], [10.0, 5.0]])
    scale = measure_scale(y, np.ones(3), ["a", "b"], robust=False)
    outputs = scale.clip(np.array([[-1e9, 7.0], [0.5, -7.0], [1e9, 0.0], [np.inf, np.nan]]))
    np.testing.assert_allclose(outputs[[0, 2], 0] * scale.spread[0] + scale.centre[0], [-10, 20])
    assert outputs[1, 0] == 0.5
    np.testing.assert_array_equal(outputs[:3, 1], 0)  # all values are equal
    assert np.isnan(outputs[3]).all()


@pytest.mark.parametrize("robust", [True, False])
@pytest.mark.parametrize("unit", [1e-300, 1.0, 1e300])
def test_what_is_predicted_does_not_depend_on_the_units_of_y(unit, robust):
    y = np.array([[-1.0], [0.0], [3.0], [100.0]])
    expected = measure_scale(y, np.ones(4), ["y"], robust=robust)
    scale = measure_scale(y * unit, np.ones(4), ["y"], robust=robust)
    np.testing.assert_allclose([scale.lowest, scale.highest], [expected.lowest, expected.highest])


def test_a_scale_includes_what_another_allows():
    narrow = Scale(*np.array([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]))  # from -1 to 3
    wide = Scale(*np.array([[5.0, 2.0], [10.0, 1.0], [-0.2, -1.0], [1.0, 1.0]]))  # from 3 to 15
    both = narrow.include(wide)
    np.testing.assert_allclose(both.lowest, [-1, 0])
    np.testing.assert_allclose(both.highest, [7, 3])
    np.testing.assert_array_equal(both.centre, narrow.centre)
    np.testing.assert_array_equal(both.spread, narrow.spread)
