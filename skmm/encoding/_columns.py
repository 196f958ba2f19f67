"""What estimators of one column share: their tags, broken items, and columns to columns."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from tqdm.auto import tqdm

from ._cells import Column, as_column, is_missing, shorten
from ._files import BrokenItemError
from ._warnings import warn_user

N_NAMED = 5


def set_column_tags(tags):
    """Tell scikit-learn that an estimator takes one column, of texts or of any objects."""
    tags.input_tags.two_d_array = False
    tags.input_tags.one_d_array = True
    tags.input_tags.string = True
    tags.input_tags.allow_nan = True
    tags.transformer_tags.preserves_dtype = []
    return tags


def identify(cell: Any) -> Any:
    """What makes two cells the same item: equal paths or bytes, or one object."""
    if isinstance(cell, str | bytes):
        return cell
    return os.fspath(cell) if isinstance(cell, os.PathLike) else id(cell)


def check_text(cell: Any) -> None:
    """Refuse what is not a text."""
    if not isinstance(cell, str):
        raise TypeError(f"a text must be a str, got {type(cell).__name__}")


def read_item(read: Callable, column: Column, row: int, *, estimator: str, errors: str):
    """Give what ``read`` makes of a cell, or why there is nothing if that is no reason to stop."""
    cell = column.cells[row]
    try:
        return read(cell)
    except TypeError as e:
        raise TypeError(f"{estimator}: {column.describe(row)}: {e} ({shorten(cell)}).") from e
    except BrokenItemError as e:
        if errors == "missing":
            return BrokenItemError(str(e))  # without the frames that e holds
        raise ValueError(
            f"{estimator}: {column.describe(row)}: {e}. Mend or drop the row, or name the encoder, "
            f'{estimator}(errors="missing"), to treat broken items as missing.'
        ) from e


def warn_of_broken(broken: dict[int, BrokenItemError], column: Column, *, estimator: str) -> None:
    """Warn of broken items, by row."""
    named = [f"{column.describe(row)}: {broken[row]}" for row in list(broken)[:N_NAMED]]
    if len(broken) > N_NAMED:
        named.append(f"and {len(broken) - N_NAMED} more")
    warn_user(
        f"{estimator}: {len(broken)} of {len(column.cells)} items are broken and count as missing: "
        f"{'; '.join(named)}"
    )


class ColumnPreparer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Turn a column of raw inputs into another, learning nothing."""

    def fit(self, X, y=None):
        """Check the parameters and that ``X`` is a column; nothing is learned from its items.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column.
        y : None
            Ignored.

        Returns
        -------
        ColumnPreparer
            The estimator itself.
        """
        self._validate_params()
        self._read_column(X)
        self.n_features_in_ = 1
        return self

    def _read_column(self, X) -> Column:
        return as_column(X, estimator=type(self).__name__)

    def set_output(self, *, transform=None):
        """Do nothing: a column stays a column, and the steps after this one choose the container.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Ignored.

        Returns
        -------
        ColumnPreparer
            The estimator itself.
        """
        return self

    def get_feature_names_out(self, input_features=None):
        """Name the column.

        Parameters
        ----------
        input_features : array-like of one str, default=None
            The name of the column.

        Returns
        -------
        ndarray of one str
            The given name, or else ``"x0"``.
        """
        return np.asarray(["x0"] if input_features is None else input_features, dtype=object)

    def __sklearn_is_fitted__(self):
        return True  # nothing is learned

    def __sklearn_tags__(self):
        tags = set_column_tags(super().__sklearn_tags__())
        tags.requires_fit = False
        return tags


class CellPreparer(ColumnPreparer, auto_wrap_output_keys=None):
    """Prepare each cell of a column on its own; a subclass says how in `_prepare`.

    It has the parameters ``errors`` and ``verbose``.
    """

    @abstractmethod
    def _prepare(self, cell: Any) -> Any:
        """Turn a cell that is not missing into another, or raise BrokenItemError."""

    def transform(self, X):
        """Prepare each item.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column.

        Returns
        -------
        Series or ndarray of shape (n_samples,) of object
            The prepared items; a Series, with the index and the name of the column, if ``X`` is of
            pandas. Missing cells are as they were.

        Raises
        ------
        TypeError
            If a cell is of no accepted type.
        ValueError
            If an item is broken and ``errors="raise"``; the message names row, path and cause.
        """
        self._validate_params()
        column = self._read_column(X)
        prepared = np.empty(len(column.cells), dtype=object)
        done: dict[Any, Any] = {}  # by item: what became of it, or the error that it is broken
        broken: dict[int, BrokenItemError] = {}
        name = type(self).__name__
        for row, cell in enumerate(tqdm(column.cells, desc=name, disable=not self.verbose)):
            if is_missing(cell):
                prepared[row] = cell
                continue
            key = identify(cell)
            if key not in done:
                done[key] = read_item(
                    self._prepare, column, row, estimator=name, errors=self.errors
                )
            if isinstance(done[key], BrokenItemError):
                broken[row] = done[key]
            else:
                prepared[row] = done[key]
        if broken:
            warn_of_broken(broken, column, estimator=name)
        if not isinstance(X, pd.Series | pd.DataFrame):
            return prepared
        return pd.Series(prepared, index=X.index, name=column.name, dtype=object)
