"""How columns are scaled, and rows that are scaled when they are needed."""

import numpy as np
import pytest

from skmm._data.scaling import ColumnScaler, ScaledRows, compute_moments


def scaler(X, groups=None, present=None, weight=None, index=None):
    X = np.asarray(X, dtype=float)
    groups = {"a": np.arange(X.shape[1])} if groups is None else groups
    index = np.arange(len(X)) if index is None else np.asarray(index)
    present = np.ones((len(index), len(groups)), dtype=bool) if present is None else present
    weight = np.ones(len(index)) if weight is None else np.asarray(weight, dtype=float)
    return ColumnScaler.fit(X, index, groups, np.asarray(present, dtype=bool), weight)


def test_scale_is_a_compromise():
    # Standard deviations 1, 4, 16, 64, 4: the median is 4, their ratios to it 1/4, 1, 4, 16, 1, the
    # roots of these 1/2, 1, 2, 4 (at most 2), 1; the scales are what is left of the deviations.
    X = np.array([[-1.0], [1.0]]) * [1, 4, 16, 64, 4] + [0, 5, 0, -7, 1]
    fitted = scaler(X)
    np.testing.assert_allclose(fitted.mean_, [0, 5, 0, -7, 1])
    np.testing.assert_allclose(fitted.scale_, [2, 4, 8, 32, 4])


def test_a_modality_has_a_scale_of_its_own():
    X = np.array([[-1.0], [1.0]]) * [2, 2, 1000, 1000]
    fitted = scaler(X, {"a": np.array([0, 1]), "b": np.array([2, 3])})
    np.testing.assert_allclose(fitted.scale_, [2, 2, 1000, 1000])


def test_scale_uses_weights_and_the_rows_that_have_the_modality():
    # column 0: 0 with weight 3 and 4 with weight 1: mean 1, variance (3 * 1 + 9) / 4 = 3
    # column 1: the first row is missing, the third has no part in fitting
    X = np.array([[0, np.nan], [4, 6], [1e9, 1e9], [0, 2]])
    groups = {"a": np.array([0]), "b": np.array([1])}
    fitted = scaler(X, groups, [[1, 0], [1, 1], [1, 1]], weight=[2, 1, 1], index=[0, 1, 3])
    np.testing.assert_allclose(fitted.mean_, [1, 4])
    np.testing.assert_allclose(fitted.scale_, [3**0.5, 2])


def test_transform_takes_rows_and_columns_in_the_order_asked():
    X = np.array([[0.0, 10.0], [4.0, 30.0], [np.nan, np.nan]])
    fitted = scaler(X, index=[0, 1], groups={"a": np.array([0]), "b": np.array([1])})
    scaled = fitted.transform(X, np.array([1, 0, 2]), np.array([1, 0]))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[1, 1], [-1, -1], [0, 0]])


def test_constant_columns_have_no_effect():
    X = np.c_[np.full(5, 0.1, dtype=np.float32), np.arange(5)]
    fitted = scaler(X)
    new = np.array([[0.1, 2.0], [1e6, 2.0]])
    np.testing.assert_array_equal(fitted.transform(new, np.arange(2), np.arange(2)), 0)


def test_large_offsets_keep_their_spread():
    X = 1.7e9 + np.array([[-1.0], [0.0], [1.0]])
    scaled = scaler(X).transform(X, np.arange(3), np.arange(1))
    np.testing.assert_allclose(scaled[:, 0], [-(1.5**0.5), 0, 1.5**0.5], rtol=1e-6)


def test_scaled_values_are_finite_whatever_float64_holds():
    fitted = scaler(np.array([[-1.0], [1.0]]))
    new = np.array([[1e300], [-1e300], [3.0]])
    np.testing.assert_allclose(fitted.transform(new, np.arange(3), np.arange(1)), [[3], [-3], [3]])


def test_modality_without_rows_is_scaled_in_silence():
    with np.errstate(all="raise"):
        fitted = scaler(
            [[1.0, np.nan], [2.0, np.nan]],
            {"a": np.array([0]), "b": np.array([1])},
            [[True, False], [True, False]],
        )
        assert np.isfinite(fitted.transform(np.ones((1, 2)), np.arange(1), np.arange(2))).all()


def test_long_tables_are_scaled_as_a_whole():
    rng = np.random.default_rng(0)
    X = rng.normal(3, [1, 2, 1.5], size=(200_000, 3))  # several chunks
    fitted = scaler(X)
    np.testing.assert_allclose(fitted.mean_, X.mean(0))
    scaled = fitted.transform(X, np.arange(len(X)), np.arange(3))
    np.testing.assert_allclose(scaled, (X - X.mean(0)) / fitted.scale_, atol=1e-5)


def test_values_outside_of_the_training_range_are_clipped():
    X = np.array([[0.0, 1e-9], [2.0, 2e-9], [4.0, 3e-9]])
    fitted = ColumnScaler.fit(
        X, np.arange(3), {"a": np.arange(2)}, np.ones((3, 1), bool), np.ones(3)
    )
    new = np.array([[8.0, 5e-9], [9.0, 0.1], [-1e9, -0.1], [np.nan, np.nan]])
    scaled = fitted.transform(new, np.arange(4), np.arange(2))
    # as far again as the training values are apart: from -4 to 8, and from -1e-9 to 5e-9
    expected = fitted.transform(
        np.array([[8.0, 5e-9], [8.0, 5e-9], [-4.0, -1e-9]]), np.arange(3), np.arange(2)
    )
    np.testing.assert_array_equal(scaled[:3], expected)
    assert np.abs(scaled).max() < 10
    np.testing.assert_array_equal(scaled[3], 0)
    inside = fitted.transform(X, np.arange(3), np.arange(2))
    np.testing.assert_allclose(inside[:, 0] / inside[0, 0], [1, 0, -1], atol=1e-6)


def test_statistics_of_blocks_add_up_to_those_of_all_rows():
    rng = np.random.default_rng(0)
    X, weight = rng.normal([1, -2, 30], [1, 5, 2], size=(90, 3)), rng.uniform(0.5, 2, 90)
    present = np.ones((90, 2), dtype=bool)
    present[:20, 1] = False
    X[:20, 2] = np.nan
    groups = {"a": np.array([0, 1]), "b": np.array([2])}
    whole = scaler(X, groups, present, weight)
    merged = ColumnScaler(3)
    for rows in np.split(np.arange(90), [20, 25, 60]):  # the first without "b"
        moments = compute_moments(X, rows, groups, present[rows], weight[rows])
        for columns, block in zip(groups.values(), moments, strict=True):
            merged.merge(columns, [block])
    for name, value in whole.state.items():
        if name != "n_rows_":  # which its owner counts
            np.testing.assert_allclose(merged.state[name], value, rtol=1e-12, err_msg=name)


def test_a_scaler_is_its_state():
    fitted = scaler([[-1.0, 3.0], [1.0, 5.0], [4.0, 5.0]])
    copied = ColumnScaler.from_state(fitted.state)
    X = np.array([[2.0, 4.0], [np.nan, 9.0]])
    args = X, np.arange(2), np.arange(2)
    np.testing.assert_array_equal(copied.transform(*args), fitted.transform(*args))
    assert copied.n_rows_ == 3


def test_columns_of_another_table_are_scaled_as_those_fitted_to():
    fitted = scaler(np.array([[-1.0], [1.0]]) * [1, 4, 4])
    block = np.array([[2.0, 1.0], [0.0, 2.0]])
    scaled = fitted.transform_block(block, np.arange(2), np.arange(2), np.array([2, 0]))
    expected = block / fitted.scale_[[2, 0]]
    np.testing.assert_allclose(scaled, expected)


@pytest.mark.parametrize("columns", [[0, 1, 2], [2, 0]])
def test_rows_scaled_when_asked_for_are_those_scaled_at_once(columns):
    X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    fitted, index, columns = scaler(X), np.array([4, 2, 9, 21, 0]), np.array(columns)
    rows = ScaledRows(X, index, columns, fitted)
    expected = fitted.transform(X, index, columns)
    assert len(rows) == 5
    assert rows.shape == expected.shape
    assert rows.nbytes == expected.nbytes
    for part in (slice(None), slice(1, 3), np.array([3, 3, 0])):
        assert rows[part].dtype == np.float32
        np.testing.assert_array_equal(rows[part], expected[part])
