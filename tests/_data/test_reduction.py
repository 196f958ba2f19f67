"""Columns as models of all columns read them."""

import numpy as np
import pytest

from skmm._data.reduction import (
    BlockReducer,
    BoundedScaler,
    PiecewiseLinearEncoder,
    QuantileBinner,
)

WIDTHS = [3, 100, 100]


def make_rows():
    rng = np.random.default_rng(0)
    one_hot = np.eye(100)[rng.integers(100, size=300)]
    x = np.hstack([rng.normal(size=(300, 103)), one_hot]).astype(np.float32)
    present = np.ones((300, 3), dtype=bool)
    present[:40, 1] = False
    return x, present


def test_wide_modalities_are_reduced_and_sparse_ones_are_not():
    x, present = make_rows()
    reducer = BlockReducer.fit(x, present, WIDTHS, np.arange(300), seed=0)
    assert reducer.keeps_columns
    assert reducer.output_widths == [3, 164, 100]
    z = reducer.transform(x, present)
    np.testing.assert_array_equal(z[40:, reducer.whole_columns], x[40:])
    z = z[:, reducer.reduced_columns]
    np.testing.assert_array_equal(z[:, :3], x[:, :3])
    np.testing.assert_array_equal(z[:, -100:], x[:, -100:])
    assert np.isnan(z[:40, 3:67]).all()
    block = z[40:, 3:67]
    assert np.abs(block.mean(0)).max() < 1e-5
    assert 0.7 < block.var(0).sum() / x[40:, 3:103].var(0).sum() < 1
    one = reducer.transform(x[50:51], present[50:51])[:, reducer.reduced_columns]
    np.testing.assert_array_equal(one[0], z[50])
    frugal = reducer._replace(keeps_columns=False)
    np.testing.assert_array_equal(frugal.transform(x, present), z)
    np.testing.assert_array_equal(frugal.whole_columns, frugal.reduced_columns)


def test_bins_are_quantiles_and_few_values_stay_apart():
    rng = np.random.default_rng(0)
    X = np.column_stack([np.exp(5 * rng.normal(size=2000)), rng.integers(3, size=2000)])
    X[7] = np.nan
    codes = QuantileBinner().fit(X).transform(X)
    assert np.isnan(codes[7]).all()
    known = np.delete(codes, 7, axis=0)
    assert np.bincount(known[:, 0].astype(int)).max() <= 12  # of 1,999 rows in 255 bins
    np.testing.assert_array_equal(known[:, 1], np.delete(X, 7, axis=0)[:, 1])


def test_a_linear_map_of_the_bins_has_a_threshold_where_a_quantile_is():
    x = np.random.default_rng(0).exponential(size=(4000, 1)) ** 3
    encoder = PiecewiseLinearEncoder().fit(x)
    bins = encoder.transform(x)
    assert bins.shape == (4000, 8)
    assert bins.min() == 0
    assert bins.max() == 1
    far = encoder.transform(np.array([[-1e9], [1e9]]))
    np.testing.assert_array_equal(far, [[0] * 8, [1] * 8])
    # Each bin is half of its own rows' and 0 or 1 elsewhere: sums are quantiles.
    edges = np.quantile(x, np.linspace(0, 1, 9))[:, None]
    np.testing.assert_allclose(encoder.transform(edges).sum(1), np.arange(9), atol=1e-12)
    y = np.where(x[:, 0] > edges[5, 0], 1.0, -1.0)
    fitted = np.linalg.lstsq(np.c_[bins, np.ones(4000)], y, rcond=None)[0]
    residual = y - np.c_[bins, np.ones(4000)] @ fitted
    straight = np.polyval(np.polyfit(x[:, 0], y, 1), x[:, 0])
    assert residual.var() < 0.15
    assert (y - straight).var() > 0.6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_of_two_values_one_value_and_none(dtype):
    X = np.array([[0.0, 5.0, np.nan], [2.0, 5.0, np.nan], [np.nan, 5.0, np.nan]], dtype=dtype)
    bins = PiecewiseLinearEncoder().fit(X).transform(X)
    assert bins.dtype == dtype
    np.testing.assert_array_equal(bins, [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.0, 0.0]])


def test_values_that_hardly_differ_make_no_bin_without_width():
    x = np.linspace(1, 1 + 3e-7, 1000).astype(np.float32)[:, None]  # four different values
    bins = PiecewiseLinearEncoder().fit(np.r_[x, x * 0]).transform(x)
    assert np.isfinite(bins).all()


def test_scaled_values_are_bounded_and_missing_ones_are_the_mean():
    x = np.random.default_rng(0).normal(3, 2, size=(1000, 2))
    x[:10, 0], x[:, 1] = np.nan, 7
    scaled = BoundedScaler().fit(x).transform(x)
    assert (scaled[:10, 0] == 0).all()
    assert scaled[10:, 0].std() == pytest.approx(1)
    assert (scaled[:, 1] == 0).all()
    far = BoundedScaler().fit(x).transform(np.array([[1e9, 1e9], [-1e9, 7]]))
    np.testing.assert_array_equal(far, [[5, 5], [-5, 0]])
