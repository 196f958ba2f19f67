"""One cell of a text column."""

from __future__ import annotations

from typing import Any


def check_text(cell: Any) -> None:
    """Raise TypeError if a cell is not a text."""
    if not isinstance(cell, str):
        raise TypeError(f"a text must be a str, got {type(cell).__name__}")
