"""Rows whose modalities are removed, or come from other rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd


class Table:
    """Rows, and which columns each modality has.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_samples, n_columns)
    groups : dict of str to ndarray of int
        Positions of columns.
    """

    def __init__(self, X: pd.DataFrame | np.ndarray, groups: Mapping[str, np.ndarray]):
        self.groups = dict(groups)
        self.X = X
        self.columns = getattr(X, "columns", None)
        self.values = _as_floats(X)  # None where they are not numbers
        self.fill: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def names(self) -> list[str]:
        """The modalities."""
        return list(self.groups)

    def complete(self) -> Table:
        """Return a table in which the columns of no modality are one more modality."""
        used = np.concatenate([*self.groups.values()])
        unused = np.setdiff1d(np.arange(self.X.shape[1]), used)
        return Table(self.X, {**self.groups, "": unused}) if len(unused) else self

    def use_means(self) -> None:
        """Fill a missing modality with the mean of each column from now on, instead of NaN.

        Raises
        ------
        ValueError
            If columns do not hold numbers.
        """
        if self.values is None:
            kinds = pd.DataFrame(self.X).dtypes
            others = [n for n, kind in kinds.items() if not pd.api.types.is_numeric_dtype(kind)]
            raise ValueError(
                f"The estimator takes no missing values, and X holds columns {others}, which are "
                "no numbers and have no mean. Put a step into the Pipeline that imputes missing "
                "values, or one of skmm's models at its end."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of columns of NaN alone
            self.fill = np.nanmean(self.values, axis=0)

    def assemble(
        self, rows: np.ndarray, sources: Mapping[str, np.ndarray | None]
    ) -> pd.DataFrame | np.ndarray:
        """Assemble rows whose modalities come from several rows.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            The rows that columns come from.
        sources : dict of str to ndarray of int, shape (n,), or None
            The rows that a modality comes from instead; None makes it missing.

        Returns
        -------
        DataFrame or ndarray of shape (n, n_columns)
        """
        if self.values is None:
            return self._assemble_raw(rows, sources)
        values = self.values[rows]
        for name, source in sources.items():
            columns = self.groups[name]
            if source is not None:
                values[:, columns] = self.values[np.ix_(source, columns)]
            else:
                values[:, columns] = np.nan if self.fill is None else self.fill[columns]
        return values if self.columns is None else pd.DataFrame(values, columns=self.columns)

    def keep(self, names: Any) -> pd.DataFrame | np.ndarray:
        """Return the rows with these modalities alone."""
        missing = [name for name in self.groups if name not in names]
        return self.assemble(np.arange(len(self)), dict.fromkeys(missing))

    def _assemble_raw(self, rows, sources) -> pd.DataFrame | np.ndarray:
        frame = pd.DataFrame(self.X)
        origin: list[Any] = [rows] * frame.shape[1]
        for name, source in sources.items():
            for position in self.groups[name]:
                origin[position] = source
        columns = [
            _missing_like(frame.iloc[:, i], len(rows)) if source is None else frame.iloc[source, i]
            for i, source in enumerate(origin)
        ]
        assembled = pd.concat([c.reset_index(drop=True) for c in columns], axis=1)
        assembled.columns = frame.columns
        return assembled if self.columns is not None else assembled.to_numpy(dtype=object)


def _as_floats(X: pd.DataFrame | np.ndarray) -> np.ndarray | None:
    if isinstance(X, np.ndarray):
        if X.dtype.kind not in "fiub":
            return None
        return X if X.dtype.kind == "f" else X.astype(np.float64)
    if not all(pd.api.types.is_numeric_dtype(kind) for kind in X.dtypes):
        return None
    kinds = {np.dtype(kind) for kind in X.dtypes if isinstance(kind, np.dtype)}
    dtype = np.float32 if kinds == {np.dtype(np.float32)} else np.float64
    return X.to_numpy(dtype=dtype, na_value=np.nan)


def _missing_like(values: pd.Series, n_rows: int) -> pd.Series:
    """Make a column of missing values that is named and typed like ``values``."""
    is_number = pd.api.types.is_numeric_dtype(values.dtype)
    empty = pd.Series([np.nan if is_number else None] * n_rows, name=values.name)
    return empty.astype(float if is_number else object)


@contextmanager
def ignore_rows_without_modality() -> Iterator[None]:
    """Ignore the warning of rows without any modality, where such rows are made on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*rows have no modality that counts")
        yield
