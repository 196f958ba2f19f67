"""One column of raw inputs as a list of cells, from whatever holds it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd


def is_missing(cell: Any) -> bool:
    """Return whether a cell is None, NaN, NaT or pd.NA."""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return True
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))


class Column(NamedTuple):
    """The cells of a column, and the names by which messages locate one."""

    cells: list
    labels: list | None  # the index of a pandas object, where it is not just the position
    name: Any

    def describe(self, row: int) -> str:
        """Name a row by its column, its position, and its label where that differs."""
        column = "" if self.name in (None, "") else f"column {self.name!r}, "
        return column + describe_row(row, self.labels)


def as_column(X, *, estimator: str) -> Column:
    """Turn a Series, one-column frame, list or array with samples first into a list of cells."""
    labels = find_labels(X) if isinstance(X, pd.DataFrame | pd.Series) else None
    if hasattr(X, "columns"):  # a frame of pandas or polars, or a table of pyarrow
        names = list(getattr(X, "column_names", X.columns))
        if len(names) != 1:
            raise ValueError(
                f"{estimator} expects one column, got {len(names)}: {names}. Name "
                f'one, as in ModalityTransformer([("name", {estimator}(), "column")]).'
            )
        X = X[names[0]]
    has_order = hasattr(X, "__len__") and not isinstance(X, str | bytes | dict | set | frozenset)
    if not has_order or (isinstance(X, np.ndarray) and X.ndim == 0):
        raise ValueError(
            f"{estimator} expects a column: a Series, a frame of one column, a list or an array "
            f"with samples first, got {type(X).__name__}. For one item pass a list of one."
        )
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1:
        X = X[:, 0]
    to_list = getattr(X, "to_pylist", getattr(X, "to_list", None))  # to_pylist: pyarrow's
    cells = list(X) if to_list is None else to_list()
    if not cells:
        raise ValueError(
            f"Found array with 0 sample(s) while a minimum of 1 is required by {estimator}."
        )
    return Column(cells, labels, getattr(X, "name", None))


def find_labels(X: pd.DataFrame | pd.Series) -> list | None:
    """Return the index, unless it is just the position."""
    return None if isinstance(X.index, pd.RangeIndex) else X.index.tolist()


def describe_row(row: int, labels: list | None) -> str:
    """Name a row by position, and by its label in the frame where that differs."""
    return f"row {row}" if labels is None else f"row {row} (index {labels[row]!r})"


def describe_cell(values: pd.Series, row: int) -> str:
    """Represent a cell of a column, and name its row."""
    return f"{shorten(values.iloc[row])} in {describe_row(row, find_labels(values))}"


def shorten(value: Any, width: int = 60) -> str:
    """Represent a value in at most ``width`` characters."""
    if isinstance(value, str | bytes):
        value = value[: width + 1]  # the repr of a whole file would take long
    text = repr(value)
    if "\n" in text:  # an array of several rows
        text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."
