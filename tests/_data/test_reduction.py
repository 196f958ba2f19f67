"""Wide modalities as few columns."""

import numpy as np

from skmm._data.reduction import BlockReducer, QuantileBinner

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
    assert reducer.reduced_widths == [3, 64, 100]
    z = reducer.transform(x, present)
    np.testing.assert_array_equal(z[:, :3], x[:, :3])
    np.testing.assert_array_equal(z[:, -100:], x[:, -100:])
    assert np.isnan(z[:40, 3:67]).all()
    block = z[40:, 3:67]
    assert np.abs(block.mean(0)).max() < 1e-5
    assert 0.7 < block.var(0).sum() / x[40:, 3:103].var(0).sum() < 1
    np.testing.assert_array_equal(reducer.transform(x[50:51], present[50:51])[0], z[50])


def test_bins_are_quantiles_and_few_values_stay_apart():
    rng = np.random.default_rng(0)
    X = np.column_stack([np.exp(5 * rng.normal(size=2000)), rng.integers(3, size=2000)])
    X[7] = np.nan
    codes = QuantileBinner().fit(X).transform(X)
    assert np.isnan(codes[7]).all()
    known = np.delete(codes, 7, axis=0)
    assert np.bincount(known[:, 0].astype(int)).max() <= 12  # of 1,999 rows in 255 bins
    np.testing.assert_array_equal(known[:, 1], np.delete(X, 7, axis=0)[:, 1])
