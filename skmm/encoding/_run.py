"""One column on its way from cells to vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._cache import EmbeddingCache
from ._cells import Column, is_missing
from ._columns import identify, read_item
from ._files import BrokenItemError

LOOKED_UP = 10_000  # keys in one look into the cache


class Run:
    """One column on its way to vectors: which rows are equal, found, or broken."""

    def __init__(self, column: Column, name: str, errors: str):
        self.column = column
        self.cells = column.cells
        self.name = name
        self.errors = errors
        self.broken: dict[int, BrokenItemError] = {}
        self.found: set[int] = set()
        self._first_of = np.full(len(column.cells), -1)  # the first row with this item; -1: missing
        self._vectors: np.ndarray | None = None  # (n_samples, n_features)

    def find_distinct(self) -> list[int]:
        """Give the first row of each item, as far as a glance shows that they are the same."""
        firsts: dict[Any, int] = {}
        for row, cell in enumerate(self.cells):
            if not is_missing(cell):
                self._first_of[row] = firsts.setdefault(identify(cell), row)
        return list(firsts.values())

    def merge_equal(self, keys: dict[int, bytes]) -> list[int]:
        """Give the first row of each item, now that keys tell which are the same."""
        firsts: dict[bytes, int] = {}
        merged = np.arange(len(self.cells))
        for row in [row for row in keys if row != firsts.setdefault(keys[row], row)]:
            merged[row] = firsts[keys.pop(row)]
        present = self._first_of >= 0
        self._first_of[present] = merged[self._first_of[present]]
        return np.unique(self._first_of[present]).tolist()

    def look_up(self, cache: EmbeddingCache, keys: dict[int, bytes]) -> None:
        """Put what the cache holds."""
        rows = list(keys)
        for start in range(0, len(rows), LOOKED_UP):
            some = rows[start : start + LOOKED_UP]
            vectors = cache.get_many([keys[row] for row in some])
            hits = [i for i, vector in enumerate(vectors) if vector is not None]
            if hits:
                self.put([some[i] for i in hits], np.stack([vectors[i] for i in hits]))

    def read(self, read, row: int) -> Any:
        """Give what ``read`` makes of a cell; note it where it is broken and that is no error."""
        result = read_item(read, self.column, row, estimator=self.name, errors=self.errors)
        if isinstance(result, BrokenItemError):
            self.broken[row] = result
        return result

    def read_all(self, readers: dict[int, Any]) -> tuple[list[int], list]:
        """Give the rows that can be read, and their items."""
        items = {row: self.read(lambda _, reader=reader: reader(), row)
                 for row, reader in readers.items()}
        good = [row for row in items if row not in self.broken]
        return good, [items[row] for row in good]

    def put(self, rows: list[int], vectors: np.ndarray) -> None:
        """Keep the vectors of some rows."""
        if not rows:
            return
        if self._vectors is None:
            self._vectors = np.full((len(self.cells), vectors.shape[1]), np.nan, dtype=np.float32)
        self._vectors[rows] = vectors
        self.found.update(rows)

    def collect_broken(self) -> dict[int, BrokenItemError]:
        """Give every row whose item is broken, and why."""
        rows = np.flatnonzero(np.isin(self._first_of, list(self.broken))).tolist()
        return {row: self.broken[self._first_of[row]] for row in rows}

    def collect_vectors(self, n_features: int) -> np.ndarray:
        """Give a vector of ``n_features`` values for every row."""
        if self._vectors is None:
            return np.full((len(self.cells), n_features), np.nan, dtype=np.float32)
        own = np.arange(len(self.cells))
        again = np.flatnonzero((self._first_of >= 0) & (self._first_of != own))
        self._vectors[again] = self._vectors[self._first_of[again]]
        return self._vectors
