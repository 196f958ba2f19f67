"""The base of the encoders that look at one cell at a time."""

from __future__ import annotations

import os
import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from ._cells import Column, as_column, is_missing, shorten
from ._images import BrokenItemError

N_NAMED = 5


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
        broken: dict[int, str] = {}
        name = type(self).__name__
        for row, cell in enumerate(tqdm(column.cells, desc=name, disable=not self.verbose)):
            if is_missing(cell):
                continue
            first = first_rows.setdefault(_identity(cell), row)
            if first < row:
                encoded[row] = encoded[first]
                if first in broken:
                    broken[row] = broken[first]
                continue
            try:
                encoded[row] = self._encode(cell)
            except TypeError as e:
                raise TypeError(f"{name}: {column.describe(row)}: {e} ({shorten(cell)}).") from e
            except BrokenItemError as e:
                if self.errors == "raise":
                    raise ValueError(
                        f"{name}: {column.describe(row)}: {e}. Mend or drop the row, or pass "
                        'errors="missing" to treat broken items as missing.'
                    ) from e
                broken[row] = str(e)
        if broken:
            self._warn_of(broken, column)
        return encoded

    def _read_column(self, X) -> Column:
        return as_column(X, estimator=type(self).__name__)

    def _warn_of(self, broken: dict[int, str], column: Column) -> None:
        named = [f"{column.describe(row)}: {broken[row]}" for row in list(broken)[:N_NAMED]]
        if len(broken) > N_NAMED:
            named.append(f"and {len(broken) - N_NAMED} more")
        warnings.warn(
            f"{type(self).__name__}: {len(broken)} of {len(column.cells)} items are broken and "
            f"count as missing: {'; '.join(named)}",
            stacklevel=3,
        )

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
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _identity(cell: Any) -> Any:
    """What makes two cells the same item: equal paths or bytes, or one object."""
    if isinstance(cell, str | bytes):
        return cell
    return os.fspath(cell) if isinstance(cell, os.PathLike) else id(cell)
