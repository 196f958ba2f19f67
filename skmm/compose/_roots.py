"""The folder in which relative paths of files start."""

from __future__ import annotations

import os
from typing import Any

import pandas as pd

from .._data.cells import is_missing
from ..encoding.readers import URL, expand_home, unwrap
from ._media import N_OPENED


def check_root(root: Any) -> None:
    """Raise an error if a root is given and is no folder."""
    if root is not None and not isinstance(root, str | os.PathLike):
        raise TypeError(f"root must be the path of a folder, got {root!r}.")
    if root is not None and not os.path.isdir(expand_home(root)):
        raise ValueError(f"root must be a folder, got {os.fspath(root)!r}.")


def find_files(X: pd.DataFrame, root: Any) -> list:
    """List the columns whose first cells are files under a folder."""
    found, root = [], expand_home(root)
    for column, values in X.items():
        paths = [unwrap(cell) for cell in values.dropna().iloc[:N_OPENED]]
        if any(_is_relative(path) and os.path.isfile(os.path.join(root, path)) for path in paths):
            found.append(column)
    return found


def prepend_root(X: pd.DataFrame, columns: list, root: Any) -> pd.DataFrame:
    """Prepend a folder to the relative paths of some columns, in dicts too."""
    X, root = X.copy(deep=False), expand_home(root)
    for column in columns:
        cells = [_prepend(cell, root) for cell in X[column]]
        X[column] = pd.Series(cells, index=X.index, dtype=object)
    return X


def _prepend(cell: Any, root: Any) -> Any:
    path: Any = None if is_missing(cell) else unwrap(cell)
    if not _is_relative(path):
        return cell
    joined = os.path.join(root, path)
    return {**cell, "path": joined} if isinstance(cell, dict) else joined


def _is_relative(cell: Any) -> bool:
    """Return whether a cell is a path that a folder can be prepended to."""
    is_path = isinstance(cell, str | os.PathLike) and not URL.match(os.fspath(cell))
    return is_path and not os.path.isabs(expand_home(cell))
