"""Columns of cells, and how messages name one of them; by a transformer that takes any column."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skmm.text import TextCleaner


@pytest.mark.parametrize("cell", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT])
def test_missing(cell):
    cleaned = TextCleaner().transform(["a", cell])
    assert cleaned[0] == "a"
    assert pd.isna(cleaned[1])


@pytest.mark.parametrize("cell", [b"", 0, 0.0, np.array([np.nan]), [None]])
def test_not_missing(cell):
    with pytest.raises(TypeError, match=rf"row 1: .* got {type(cell).__name__}"):
        TextCleaner().transform(["a", cell])


@pytest.mark.parametrize("cell", ["", "nan"])
def test_texts_that_are_not_missing(cell):
    assert TextCleaner().transform(["a", cell]).tolist() == ["a", cell]


COLUMNS = [
    (lambda cells: cells, "row 1: "),
    (lambda cells: np.array(cells, dtype=object)[:, None], "row 1: "),
    (pd.Series, "row 1: "),
    (lambda cells: pd.Series(cells, index=[7, 9]), "row 1 (index 9): "),
    (
        lambda cells: pd.Series(cells, index=["x", "y"], name="says"),
        "column 'says', row 1 (index 'y'): ",
    ),
    (lambda cells: pd.DataFrame({"says": cells}), "column 'says', row 1: "),
    (lambda cells: pl.Series("says", cells), "column 'says', row 1: "),
    (lambda cells: pl.DataFrame({"says": cells}), "column 'says', row 1: "),
    (pa.array, "row 1: "),
    (lambda cells: pa.table({"says": cells}), "row 1: "),
]


@pytest.mark.parametrize(("make", "described"), COLUMNS)
def test_rows_are_described(make, described):
    assert list(TextCleaner().transform(make(["a", "b"]))) == ["a", "b"]
    with pytest.raises(TypeError, match=rf"^TextCleaner: {re.escape(described)}"):
        TextCleaner().transform(make([None, 3]))


@pytest.mark.parametrize("column", ["a.png", b"bytes", {"a": 1}, {"a"}, np.array(3), 7, iter("ab")])
def test_what_is_no_column(column):
    with pytest.raises(ValueError, match=rf"TextCleaner .* got {type(column).__name__}"):
        TextCleaner().fit(column)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_two_columns_are_refused(make):
    with pytest.raises(ValueError, match=r"TextCleaner .* got 2: \['a', 'b'\]"):
        TextCleaner().fit(make({"a": ["x"], "b": ["y"]}))


def test_long_values_are_shortened():
    with pytest.raises(TypeError, match=r"\(b'short'\)"):
        TextCleaner().transform([b"short"])
    for value in (b"a" * 10**8, list(range(10_000))):
        with pytest.raises(TypeError, match=r"\([^)]{50,57}\.\.\.\)") as caught:
            TextCleaner().transform([value])
        assert len(str(caught.value)) < 200
