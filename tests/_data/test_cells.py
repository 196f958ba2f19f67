"""Columns of cells, and how messages name one of them."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skmm._data.cells import as_column, is_missing, shorten


@pytest.mark.parametrize("cell", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT])
def test_missing(cell):
    assert is_missing(cell)


@pytest.mark.parametrize("cell", ["", b"", 0, 0.0, np.array([np.nan]), [None], "nan"])
def test_not_missing(cell):
    assert not is_missing(cell)


@pytest.mark.parametrize(
    ("column", "described"),
    [
        (["a", "b"], "row 1"),
        (np.array([["a"], ["b"]], dtype=object), "row 1"),
        (pd.Series(["a", "b"]), "row 1"),
        (pd.Series(["a", "b"], index=[7, 9]), "row 1 (index 9)"),
        (pd.Series(["a", "b"], index=["x", "y"], name="says"), "column 'says', row 1 (index 'y')"),
        (pd.DataFrame({"says": ["a", "b"]}), "column 'says', row 1"),
        (pl.Series("says", ["a", "b"]), "column 'says', row 1"),
        (pl.DataFrame({"says": ["a", "b"]}), "column 'says', row 1"),
        (pa.array(["a", "b"]), "row 1"),
        (pa.table({"says": ["a", "b"]}), "row 1"),
    ],
)
def test_rows_are_described(column, described):
    column = as_column(column, estimator="Encoder")
    assert column.cells == ["a", "b"]
    assert column.describe(1) == described


@pytest.mark.parametrize("column", ["a.png", b"bytes", {"a": 1}, {"a"}, np.array(3), 7, iter("ab")])
def test_what_is_no_column(column):
    with pytest.raises(ValueError, match=rf"Encoder .* got {type(column).__name__}"):
        as_column(column, estimator="Encoder")


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_two_columns_are_refused(make):
    with pytest.raises(ValueError, match=r"Encoder .* got 2: \['a', 'b'\]"):
        as_column(make({"a": [1], "b": [2]}), estimator="Encoder")


def test_long_values_are_shortened():
    assert shorten("short") == "'short'"
    for value in ("a" * 10**8, b"a" * 10**8, list(range(10_000))):
        assert len(shorten(value)) <= 60
        assert shorten(value).endswith("...")
