"""A table of raw columns as a pandas frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse


def as_pandas(X) -> pd.DataFrame:
    """A frame of the columns of X, whatever holds them."""
    if not isinstance(X, pd.DataFrame):
        X = _frame_of_other(X) if _is_table(X) else _frame_of_array(X)
    X = without_arrow_types(X)
    check_not_empty(X, "ModalityTransformer")
    if X.columns.nlevels > 1:
        raise ValueError(
            f"ModalityTransformer expects one level of column names, got {X.columns.nlevels}. "
            'Join them: X.columns = ["_".join(name) for name in X.columns].'
        )
    if not X.columns.is_unique:
        twice = X.columns[X.columns.duplicated()][0]
        raise ValueError(
            f"ModalityTransformer expects unique column names, got {twice!r} "
            f"{(X.columns == twice).sum()} times. Rename the columns."
        )
    return X


def check_not_empty(X: pd.DataFrame, name: str) -> None:
    """Raise ValueError if a frame has no rows or no columns, in the words of scikit-learn."""
    for n, unit in zip(X.shape, ("sample", "feature"), strict=True):
        if n == 0:
            raise ValueError(
                f"Found array with 0 {unit}(s) (shape={X.shape}) while a minimum of 1 is required "
                f"by {name}."
            )


def without_arrow_types(X: pd.DataFrame) -> pd.DataFrame:
    """Convert what Arrow holds, but numbers and booleans, to the types of pandas and Python."""
    is_held = [isinstance(t, pd.ArrowDtype) and t.kind not in "biuf" for t in X.dtypes]
    if not any(is_held):
        return X
    columns = [
        _without_arrow_type(values) if held else values
        for held, (_, values) in zip(is_held, X.items(), strict=True)
    ]
    converted = pd.concat(columns, axis=1)
    converted.columns = X.columns
    return converted


def _without_arrow_type(values: pd.Series) -> pd.Series:
    cells = [None if missing else cell for missing, cell in zip(values.isna(), values, strict=True)]
    if str(values.dtype).startswith("dictionary"):
        return pd.Series(pd.Categorical(cells), index=values.index)
    return pd.Series(cells, index=values.index, dtype=object).infer_objects()


def _is_table(X) -> bool:
    """Return whether X is a frame of polars, a table of pyarrow, a data set or the like."""
    return hasattr(X, "to_pandas") or hasattr(X, "collect")


def _frame_of_other(X) -> pd.DataFrame:
    if not hasattr(X, "to_pandas"):
        raise TypeError(
            f"ModalityTransformer does not take a {type(X).__name__}, whose rows are not there "
            "yet: pass X.collect()."
        )
    if hasattr(X, "get_column"):
        return _frame_of_polars(X)
    if type(X).__module__.startswith("pyarrow"):
        return X.to_pandas(types_mapper=pd.ArrowDtype)
    return X.to_pandas()


def _frame_of_polars(X) -> pd.DataFrame:
    categorical = {name for name, dtype in X.schema.items() if str(dtype)[:4] in ("Cate", "Enum")}
    columns = {}
    for name in X.columns:
        cells = X.get_column(name).to_list()
        columns[name] = pd.Categorical(cells) if name in categorical else cells
    return pd.DataFrame(columns)


def check_no_records(X, name: str) -> None:
    """Raise if X is a row, or rows, of names and values, of which pandas makes a table."""
    is_list = isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.ndim == 1)
    first: Any = X[0] if is_list and len(X) else X
    if sparse.issparse(first) or not (
        isinstance(first, Mapping)
        or (isinstance(first, pd.Series) and first.index.inferred_type == "string")
    ):
        return
    kind = type(first).__name__ if first is X else f"{type(X).__name__} of {type(first).__name__}"
    names = ", ".join(map(repr, list(first.keys())[:2]))
    raise ValueError(
        f"{name} expects a table with a row for each sample, such as a DataFrame, and got a {kind} "
        f"with {names}. One row is pd.DataFrame([row]), or frame.iloc[[0]]; a list of rows is "
        "pd.DataFrame(rows); a dict of columns is pd.DataFrame(columns)."
    )


def _frame_of_array(X) -> pd.DataFrame:
    check_no_records(X, "ModalityTransformer")
    if sparse.issparse(X):
        raise TypeError("ModalityTransformer does not take sparse data; pass X.toarray().")
    # As objects, for numpy makes strings of the numbers in a list that has both.
    array = np.asarray(X, dtype=object) if isinstance(X, list | tuple) else np.asarray(X)
    if array.dtype.names is not None and array.ndim == 1:  # a structured array
        return pd.DataFrame(array)
    if array.ndim != 2:
        raise ValueError(
            "ModalityTransformer expects a DataFrame or a 2D array of raw columns, got "
            f"{type(X).__name__} of shape {array.shape}. Reshape your data; one column is a frame "
            "of one column, X[[name]]."
        )
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported by ModalityTransformer.")
    return pd.DataFrame(array).infer_objects()
