"""VectorEncoder: a column of vectors that were computed elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._data.cells import Column, as_column, is_missing, shorten
from .._data.columns import number_features
from ..encoding.engine import set_column_tags


class VectorEncoder(TransformerMixin, BaseEstimator):
    """Stack a column of vectors that were computed elsewhere, such as embeddings.

    Attributes
    ----------
    n_features_in_ : int
        1, the number of columns.
    length_ : int
        The length of the vectors.

    See Also
    --------
    ModalityTransformer : Encode a frame with columns of several modalities.

    Examples
    --------
    >>> import numpy as np
    >>> from skmm.compose import VectorEncoder
    >>> VectorEncoder().fit_transform([np.array([1.0, 2.0]), None, [3, 4]])
    array([[ 1.,  2.],
           [nan, nan],
           [ 3.,  4.]], dtype=float32)
    """

    def fit(self, X, y=None):
        """Learn the length of the vectors.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column: arrays of one dimension or lists of numbers, or what is missing.
        y : None
            Ignored.

        Returns
        -------
        VectorEncoder
            The fitted encoder.

        Raises
        ------
        ValueError
            If all are missing; or one is no vector of finite numbers, or of another length.
        """
        column, vectors = _read(X)
        if not vectors:
            raise ValueError(
                f"VectorEncoder found no vector: all {len(column.cells)} cells are missing. Drop "
                "the column, or fit on rows that have vectors."
            )
        self.n_features_in_ = 1
        self.length_ = Counter(map(len, vectors.values())).most_common(1)[0][0]
        self._check_lengths(column, vectors)
        return self

    def transform(self, X):
        """Stack vectors.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column: arrays of one dimension or lists of numbers, or what is missing.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
            The vectors; NaN in the rows of missing ones.

        Raises
        ------
        ValueError
            If one is no vector of finite numbers, or of another length than in `fit`.
        """
        check_is_fitted(self)
        column, vectors = _read(X)
        self._check_lengths(column, vectors)
        stacked = np.full((len(column.cells), self.length_), np.nan, dtype=np.float32)
        for row, vector in vectors.items():
            stacked[row] = vector
        return stacked

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
        return number_features(self.length_)

    def _check_lengths(self, column: Column, vectors: dict[int, np.ndarray]) -> None:
        for row, vector in vectors.items():
            if len(vector) != self.length_:
                raise ValueError(
                    f"VectorEncoder: {column.describe(row)}: a vector of {self.length_} numbers "
                    f"was expected, got {len(vector)}. Were all computed by the same model?"
                )

    def __sklearn_tags__(self):
        return set_column_tags(super().__sklearn_tags__())


def _read(X) -> tuple[Column, dict[int, np.ndarray]]:
    """Return the column, and by row the vectors that are there."""
    column = as_column(X, estimator="VectorEncoder")
    present = [row for row, cell in enumerate(column.cells) if not is_missing(cell)]
    return column, {row: _read_vector(column, row) for row in present}


def _read_vector(column: Column, row: int) -> np.ndarray:
    cell: Any = column.cells[row]
    try:
        vector = np.asarray(cell, dtype=np.float32)
    except (TypeError, ValueError):
        vector = np.empty(())
    if vector.ndim != 1 or not len(vector) or isinstance(cell, str | bytes):
        raise ValueError(
            f"VectorEncoder: {column.describe(row)}: an array of one dimension or a list of "
            f"numbers was expected, got {shorten(cell)}. Fix or drop the row."
        )
    if not np.isfinite(vector).all():
        raise ValueError(
            f"VectorEncoder: {column.describe(row)}: the vector holds values that are not finite. "
            "A missing one is None; fix or drop the row."
        )
    return vector
