"""What estimators of one column share: tags, identity of cells, broken items."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from .._data.cells import Column, shorten
from .._warnings import warn_user
from .readers import BrokenItemError, check_text

N_NAMED = 5


def set_column_tags(tags):
    """Set scikit-learn's tags of an estimator that takes one column, of texts or any objects."""
    tags.input_tags.two_d_array = False
    tags.input_tags.one_d_array = True
    tags.input_tags.string = True
    tags.input_tags.allow_nan = True
    tags.transformer_tags.preserves_dtype = []
    return tags


def identify(cell: Any) -> Any:
    """Return what two cells that are the same item share: equal paths or bytes, or one object."""
    if isinstance(cell, str | bytes):
        return cell
    return os.fspath(cell) if isinstance(cell, os.PathLike) else id(cell)


class BrokenItems:
    """The broken items of one column: the first is an error, or all are reasons by row.

    Parameters
    ----------
    column : Column
        The column, by which messages name a row.
    estimator : str
        The name of the class that reads it.
    errors : {"raise", "missing"}
        Whether a broken item is an error, or counts as missing.
    """

    def __init__(self, column: Column, *, estimator: str, errors: str):
        self.reasons: dict[int, str] = {}  # by row
        self._column = column
        self._estimator = estimator
        self._errors = errors

    def add(self, row: int, error: TypeError | BrokenItemError) -> None:
        """Keep the reason why the item of a row cannot be read, unless that is an error.

        Raises
        ------
        TypeError
            If the cell is of no accepted type.
        ValueError
            If the item is broken and ``errors="raise"``.
        """
        name, where = self._estimator, self._column.describe(row)
        if isinstance(error, TypeError):
            cell = shorten(self._column.cells[row])
            raise TypeError(f"{name}: {where}: {error} ({cell}).") from error
        if self._errors == "raise":
            raise ValueError(
                f"{name}: {where}: {error}. Fix or drop the row, or treat broken items as missing: "
                f'{name}(errors="missing"), or ModalityTransformer(errors="missing").'
            ) from error
        self.reasons[row] = str(error)  # not the error, which holds the frames of its traceback

    def warn(self) -> None:
        """Warn, once, of all broken items."""
        if not self.reasons:
            return
        named = [
            f"{self._column.describe(row)}: {reason}"
            for row, reason in list(self.reasons.items())[:N_NAMED]
        ]
        if len(self.reasons) > N_NAMED:
            named.append(f"and {len(self.reasons) - N_NAMED} more")
        warn_user(
            f"{self._estimator}: {len(self.reasons)} of {len(self._column.cells)} items are broken "
            f"and count as missing: {'; '.join(named)}"
        )


def check_texts(column: Column, rows: Iterable[int], *, estimator: str) -> None:
    """Raise TypeError, which names the row, if the cell of one of these rows is not a text."""
    broken = BrokenItems(column, estimator=estimator, errors="raise")
    for row in rows:
        try:
            check_text(column.cells[row])
        except TypeError as e:
            broken.add(row, e)
