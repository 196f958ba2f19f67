"""One column on its way from cells to vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ._batches import Batch
from ._cache import EmbeddingCache
from ._cells import Column, is_missing
from ._columns import identify, read_item
from ._files import BrokenItemError

LOOKED_UP = 10_000  # keys in one look into the cache


class Run:
    """One column on its way to vectors: which rows are equal, found, or broken.

    Between entering and leaving it, cells are read in threads, unless ``n_readers`` is 0.
    """

    def __init__(
        self,
        column: Column,
        name: str,
        *,
        is_path: Callable[[Any], bool],
        errors: str,
        verbose: bool,
        n_readers: int,
    ):
        self.column = column
        self.cells = column.cells
        self.name = name
        self.is_path = is_path
        self.started = time.time_ns()
        self.broken: dict[int, BrokenItemError] = {}
        self.found: set[int] = set()
        self._errors = errors
        self._verbose = verbose
        self._pool = ThreadPoolExecutor(n_readers) if n_readers else None
        self._first_of = np.full(len(column.cells), -1)  # the first row with this item; -1: missing
        self._vectors: np.ndarray | None = None  # (n_samples, n_features)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exception) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def show(self, n_items: int, doing: str = "") -> tqdm:
        """Give a progress bar; that of what comes before encoding goes, and only comes if late."""
        return tqdm(
            total=n_items,
            desc=f"{self.name}: {doing}" if doing else self.name,
            disable=not (self._verbose and n_items),
            leave=not doing,
            delay=1 if doing else 0,
        )

    def find_distinct(self) -> list[int]:
        """Give the first row of each item, as far as a glance shows that they are the same."""
        firsts: dict[Any, int] = {}
        for row, cell in enumerate(self.cells):
            if not is_missing(cell):
                is_text = isinstance(cell, str) and not self.is_path(cell)
                item = (str, cell) if is_text else identify(cell)
                self._first_of[row] = firsts.setdefault(item, row)
        return list(firsts.values())

    def merge_equal(self, rows: list[int], keys: dict[int, bytes]) -> list[int]:
        """Give the first row of each item of ``rows``, now that keys tell which are the same."""
        firsts: dict[bytes, int] = {}
        merged = np.arange(len(self.cells))
        for row in [row for row in keys if row != firsts.setdefault(keys[row], row)]:
            merged[row] = firsts[keys.pop(row)]
        present = self._first_of >= 0
        self._first_of[present] = merged[self._first_of[present]]
        return np.unique(merged[rows]).tolist()

    def look_up(self, cache: EmbeddingCache, keys: dict[int, bytes]) -> None:
        """Put what the cache holds."""
        rows = list(keys)
        for start in range(0, len(rows), LOOKED_UP):
            some = rows[start : start + LOOKED_UP]
            vectors = cache.get_many([keys[row] for row in some])
            hits = [i for i, vector in enumerate(vectors) if vector is not None]
            if hits:
                self.put([some[i] for i in hits], np.stack([vectors[i] for i in hits]))

    def split(self, rows: list[int], size: int = 1_000) -> Iterator[list[int]]:
        """Yield rows, some at a time."""
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def start(
        self,
        read: Callable[[Any], Any],
        rows: list[int],
        *,
        only_paths: bool = False,
        into: Batch | None = None,
    ) -> dict[int, Callable[[], Any]]:
        """Let the threads read some rows; give what to call for each result, if it has no batch."""
        started = {}
        for place, row in enumerate(rows):
            cell = self.cells[row]
            work = partial(read, cell) if into is None else partial(into.fill, place, read, cell)
            threaded = self._pool is not None and (not only_paths or self.is_path(cell))
            started[row] = self._pool.submit(work).result if threaded else work
        return started

    def read(self, read: Callable[[Any], Any], row: int) -> Any:
        """Give what ``read`` makes of a cell; note it where it is broken and that is no error."""
        result = read_item(read, self.column, row, estimator=self.name, errors=self._errors)
        if isinstance(result, BrokenItemError):
            self.broken[row] = result
        return result

    def check(self, check: Callable[[Any], None], rows: list[int]) -> None:
        """Find out which rows are broken."""
        with self.show(len(rows), "checks") as bar:
            for some in self.split(rows):
                some = [row for row in some if row not in self.broken]
                self._wait(self.start(check, some, only_paths=True))
                bar.update(len(some))

    def read_batches(
        self,
        read: Callable[[Any], Any],
        make_batch: Callable[[], Batch],
        rows: list[int],
        size: int,
    ) -> Iterator[tuple[list[int], Any]]:
        """Yield the rows and items of each batch, and read the next one in the meantime.

        Two batches take turns, so that at no time there are more than these.
        """
        turns = cycle([make_batch(), make_batch()])
        batch, current = next(turns), []
        started: dict[int, Callable[[], Any]] = {}
        for following in [*self.split(rows, size), []]:
            self._wait(started)
            good = [place for place, row in enumerate(current) if row not in self.broken]
            rows_read = [current[place] for place in good]
            items = batch.take(good) if good else None
            batch, current = next(turns), following
            started = self.start(read, current, into=batch)
            if good:
                yield rows_read, items
            del items  # not to be held while the next ones are read

    def _wait(self, started: dict[int, Callable[[], Any]]) -> None:
        for row, get in started.items():
            self.read(lambda _, get=get: get(), row)

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
