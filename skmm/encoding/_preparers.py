"""Estimators from a column of raw inputs to another, before any encoder."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from .._data.cells import Column, as_column, is_missing
from .._progress import progress_bar
from ._columns import BrokenItems, identify, set_column_tags
from .readers import BrokenItemError


class ColumnPreparer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # pyright: ignore (untyped keyword of scikit-learn)
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

    # scikit-learn's mixin makes it a method only where there is an output to wrap.
    def set_output(self, *, transform=None):  # pyright: ignore[reportIncompatibleVariableOverride]
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


class CellPreparer(ColumnPreparer, auto_wrap_output_keys=None):  # pyright: ignore (untyped keyword of scikit-learn)
    """Prepare each cell of a column on its own; a subclass defines how in `_prepare`.

    It has the parameters ``errors`` and ``verbose``.
    """

    errors: str
    verbose: bool

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
        name = type(self).__name__
        prepared = np.empty(len(column.cells), dtype=object)
        firsts: dict[Any, int] = {}  # the first row of each item
        broken = BrokenItems(column, estimator=name, errors=self.errors)
        cells = progress_bar(column.cells, desc=name, verbose=bool(self.verbose))
        for row, cell in enumerate(cells):
            if is_missing(cell):
                prepared[row] = cell
                continue
            first = firsts.setdefault(identify(cell), row)
            if first in broken.reasons:
                broken.reasons[row] = broken.reasons[first]
            elif first < row:
                prepared[row] = prepared[first]
            else:
                try:
                    prepared[row] = self._prepare(cell)
                except (TypeError, BrokenItemError) as e:
                    broken.add(row, e)
        broken.warn()
        if not isinstance(X, pd.Series | pd.DataFrame):
            return prepared
        return pd.Series(prepared, index=X.index, name=column.name, dtype=object)
