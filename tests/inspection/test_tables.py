import numpy as np
import pandas as pd
import pytest

from skmm.inspection._tables import Table

GROUPS = {"a": np.array([0, 2]), "b": np.array([1])}


def test_rows_of_several_come_together():
    X = np.arange(12.0).reshape(4, 3)
    table = Table(X, GROUPS)
    mixed = table.assemble(np.array([0, 1]), {"b": np.array([3, 3])})
    np.testing.assert_array_equal(mixed, [[0, 10, 2], [3, 10, 5]])
    np.testing.assert_array_equal(X, np.arange(12.0).reshape(4, 3))
    kept = table.keep(["b"])
    assert np.isnan(kept[:, [0, 2]]).all()
    np.testing.assert_array_equal(kept[:, 1], X[:, 1])


def test_means_instead_of_nan():
    table = Table(np.array([[0, 1, 2], [2, np.nan, 4]]), GROUPS)
    table.use_means()
    np.testing.assert_array_equal(table.keep([]), [[1, 1, 3]] * 2)


def test_frames_stay_frames_of_one_block():
    X = pd.DataFrame(np.ones((2, 3), dtype=np.float32), columns=list("xyz"), index=[5, 7])
    mixed = Table(X, GROUPS).keep(["a"])
    assert list(mixed) == list("xyz")
    assert set(mixed.dtypes) == {np.dtype(np.float32)}
    assert mixed["y"].isna().all()


def test_raw_columns():
    X = pd.DataFrame({"says": ["meow", "woof"], "age": [1, 2], "photo": [b"1", b"2"]})
    table = Table(X, GROUPS)
    mixed = table.assemble(np.array([1, 1]), {"a": np.array([0, 1]), "b": None})
    assert mixed["says"].tolist() == ["meow", "woof"]
    assert mixed["photo"].tolist() == [b"1", b"2"]
    assert mixed["age"].isna().all()
    assert mixed["age"].dtype == float
    assert table.keep(["b"])["says"].tolist() == [None, None]
    with pytest.raises(ValueError, match=r"\['says', 'photo'\]"):
        table.use_means()
