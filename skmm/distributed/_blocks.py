"""Blocks of a Ray Dataset, as they are: tables of Arrow, or frames of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import pyarrow


def to_frame(block: pyarrow.Table | pd.DataFrame) -> pd.DataFrame:
    """Return the frame that pandas reads from a Parquet file with these columns."""
    frame = block if isinstance(block, pd.DataFrame) else block.to_pandas(ignore_metadata=True)
    return pd.DataFrame({name: _to_cells(frame[name]) for name in frame})


def _to_cells(column: pd.Series) -> Any:
    """Return a column without the types of Ray, of which tensors are one."""
    if not type(column.dtype).__module__.startswith("ray."):
        return column
    cells = np.empty(len(column), dtype=object)
    for i, cell in enumerate(column):
        cells[i] = np.asarray(cell) if type(cell).__module__.startswith("ray.") else cell
    return cells


def to_arrow(column: pyarrow.ChunkedArray | pd.Series, cells: pd.Series) -> pyarrow.Array:
    """Return a column as Arrow writes it; ``cells`` are those that `to_frame` has made of it.

    Raises
    ------
    ValueError
        If Arrow has no type for its values.
    """
    import pyarrow

    name = cells.name
    is_plain = isinstance(column, pyarrow.ChunkedArray) and not isinstance(
        column.type, pyarrow.BaseExtensionType
    )
    try:
        values: Any = column if is_plain else pyarrow.array(cells)
        if pyarrow.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError) as e:
        kinds = " and ".join(sorted({type(cell).__name__ for cell in cells.dropna()})[:3])
        raise ValueError(
            f"Column {name!r} of keep holds {kinds} that Parquet has no type for ({e}). Keep "
            "numbers, strings, dates, bytes or lists of these, and join others later, by the key."
        ) from e
    return values.combine_chunks() if isinstance(values, pyarrow.ChunkedArray) else values
