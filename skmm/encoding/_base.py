"""The base of the encoders that look at one cell at a time."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from ._cells import Column, as_column, is_missing
from ._columns import identify, read_item, set_column_tags, warn_of_broken
from ._images import BrokenItemError


class CellEncoder(TransformerMixin, BaseEstimator):
    """Encode each cell of a column on its own; a subclass says how in `_encode`.

    It has the parameters ``errors`` and ``verbose``.
    """

    @abstractmethod
    def _encode(self, cell: Any) -> np.ndarray:
        """Turn a cell that is not missing into a vector, or raise BrokenItemError."""

    @property
    @abstractmethod
    def _n_features_out(self) -> int:
        """The length of each vector."""

    def fit(self, X, y=None):
        """Check the parameters and that ``X`` is a column; nothing is learned.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column.
        y : None
            Ignored.

        Returns
        -------
        CellEncoder
            The estimator itself.
        """
        self._validate_params()
        self._read_column(X)
        self.n_features_in_ = 1
        return self

    def transform(self, X):
        """Encode each item.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
            NaN in the rows of missing items.

        Raises
        ------
        TypeError
            If a cell is of no accepted type.
        ValueError
            If an item is broken and ``errors="raise"``; the message names row, path and cause.
        """
        check_is_fitted(self)
        column = self._read_column(X)
        encoded = np.full((len(column.cells), self._n_features_out), np.nan, dtype=np.float32)
        first_rows: dict[Any, int] = {}
        broken: dict[int, BrokenItemError] = {}
        name = type(self).__name__
        for row, cell in enumerate(tqdm(column.cells, desc=name, disable=not self.verbose)):
            if is_missing(cell):
                continue
            first = first_rows.setdefault(identify(cell), row)
            if first < row:
                encoded[row] = encoded[first]
                if first in broken:
                    broken[row] = broken[first]
                continue
            vector = read_item(self._encode, column, row, estimator=name, errors=self.errors)
            if isinstance(vector, BrokenItemError):
                broken[row] = vector
            else:
                encoded[row] = vector
        if broken:
            warn_of_broken(broken, column, estimator=name)
        return encoded

    def _read_column(self, X) -> Column:
        return as_column(X, estimator=type(self).__name__)

    def get_feature_names_out(self, input_features=None):
        """Name the features.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
            ``"0"`` to ``"n_features - 1"``.
        """
        check_is_fitted(self)
        return np.arange(self._n_features_out).astype(str).astype(object)

    def __sklearn_is_fitted__(self):
        return True  # nothing is learned

    def __sklearn_tags__(self):
        tags = set_column_tags(super().__sklearn_tags__())
        tags.requires_fit = False
        return tags
