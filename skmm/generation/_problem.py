"""X and y as users pass them: features, source texts, and texts to generate; checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .._data.cells import describe_row, find_labels, is_missing, shorten
from .._data.columns import ModalityColumns
from .._data.scaling import ColumnScaler
from ._rows import GenerationRows


class InputRows(NamedTuple):
    """Validated rows, not yet scaled; they live for one call."""

    X: np.ndarray  # (n, n_columns), NaN where a modality is missing
    present: np.ndarray  # bool (n, m), in the network's order
    source: list[str] | None  # "" where a row has none

    @property
    def n_rows(self) -> int:  # the length of a NamedTuple is that of its fields
        return len(self.X)

    @property
    def inputs(self) -> np.ndarray:
        """Which modalities, and whether a source text, each row has: bool (n, m) or (n, m + 1)."""
        if self.source is None:
            return self.present
        return np.column_stack([self.present, [bool(text) for text in self.source]])

    def take(self, index: np.ndarray) -> InputRows:
        """Select rows by their positions."""
        source = None if self.source is None else [self.source[i] for i in index.tolist()]
        return InputRows(self.X[index], self.present[index], source)

    def scale(self, columns: ModalityColumns, scaler: ColumnScaler) -> GenerationRows:
        """Scale the features of each modality."""
        every = slice(None)
        blocks = {
            name: scaler.transform(self.X, every, positions)
            for name, positions in columns.network_groups.items()
        }
        return GenerationRows(blocks, self.present, self.source)


class GenerationProblem(NamedTuple):
    """Rows to learn from, and the texts of each."""

    rows: InputRows
    references: list[list[str]]  # one or more of each row
    columns: ModalityColumns
    groups: np.ndarray | None = None  # (n,) rows of one are held out together

    def select_texts(self, index: np.ndarray) -> tuple[list[list[str]], np.ndarray | None]:
        """Return the texts, and the groups, of some rows."""
        groups = None if self.groups is None else self.groups[index]
        return [self.references[i] for i in index.tolist()], groups


def read_references(y: Any) -> list[list[str]]:
    """Convert strings, or lists of strings, into the texts of each row.

    Raises
    ------
    ValueError
        If one of them is not a string, or empty; it names the row.
    """
    if y is None:
        raise ValueError(
            "FusionTextGenerator requires y to be passed, but the target y is None: a text for "
            "each row, or a list of texts."
        )
    labels = find_labels(y) if isinstance(y, pd.Series | pd.DataFrame) else None
    if isinstance(y, str) or not hasattr(y, "__len__"):
        raise ValueError(f"y must hold a text for each row, got {shorten(y)}.")
    if isinstance(y, pd.DataFrame):
        y = y.to_numpy()
    elif hasattr(y, "to_list"):  # a Series of pandas or polars
        y = y.to_list()
    return [_read_texts(cell, describe_row(row, labels)) for row, cell in enumerate(y)]


def _read_texts(cell: Any, row: str) -> list[str]:
    texts = list(cell) if isinstance(cell, list | tuple | np.ndarray) else [cell]
    if not texts:
        raise ValueError(f"y has no text in {row}; give at least one, or leave the row out.")
    for text in texts:
        if is_missing(text):
            raise ValueError(
                f"Input y contains NaN or None in {row}. Each row needs a text; leave the others "
                "out."
            )
        if not isinstance(text, str):
            raise ValueError(
                f"y must hold strings, or lists of strings where a row has several texts, got "
                f"{shorten(text)} ({type(text).__name__}) in {row}. FusionClassifier predicts "
                "classes, FusionRegressor numbers."
            )
        if not text.strip():
            raise ValueError(f"y has an empty text in {row}; give one, or leave the row out.")
        _check_characters(text, f"y in {row}")
    return [str(text) for text in texts]


def _check_characters(text: str, place: str) -> None:
    """Raise ValueError if a text holds half of a surrogate pair, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise ValueError(
            f"{text[e.start]!r}, half of a surrogate pair, is no text: {place}, character "
            f"{e.start}. text.encode('utf-8', 'replace').decode() makes a question mark of it."
        ) from e


def split_source(X: Any, source: str | None) -> tuple[Any, list[str] | None]:
    """Take the column ``source`` out of a frame of features; return the rest, and its texts.

    Raises
    ------
    ValueError
        If X has no such column, or cells of it are no texts.
    """
    if source is None:
        return X, None
    texts = read_source(X, source)
    if X.shape[1] == 1:
        raise ValueError(
            f"X has no column beside source={source!r}, and nothing to fuse. A transformer makes "
            "features of the text, too: transformer=ModalityTransformer()."
        )
    return X.drop(columns=[source]) if isinstance(X, pd.DataFrame) else X.drop(source), texts


def read_source(X: Any, source: str) -> list[str]:
    """Return the texts of a column, "" where they are missing.

    Raises
    ------
    ValueError
        If X has no such column, or cells of it are no texts; it names the first.
    """
    if not (isinstance(X, pd.DataFrame) or hasattr(X, "get_column")):  # of polars
        raise ValueError(
            f"source={source!r} names a column of texts, and X is a {type(X).__name__}: give a "
            "DataFrame of pandas or polars."
        )
    if source not in X.columns:
        raise ValueError(
            f"source={source!r} is not a column of X; it has {_name_some(list(X.columns))}."
        )
    if isinstance(X[source], pd.DataFrame):
        raise ValueError(f"X has several columns called {source!r}; the source is one of texts.")
    labels, texts = find_labels(X) if isinstance(X, pd.DataFrame) else None, []
    for row, cell in enumerate(X[source].to_list()):
        if is_missing(cell) or (isinstance(cell, str) and not cell.strip()):
            cell = ""
        if not isinstance(cell, str):
            raise ValueError(
                f"source={source!r} must be a column of texts, got {shorten(cell)} "
                f"({type(cell).__name__}) in {describe_row(row, labels)}."
            )
        _check_characters(cell, f"column {source!r}, {describe_row(row, labels)}")
        texts.append(str(cell))
    return texts


def _name_some(names: Sequence, n_named: int = 10) -> str:
    more = f" and {len(names) - n_named} more" if len(names) > n_named else ""
    return ", ".join(map(repr, names[:n_named])) + more
