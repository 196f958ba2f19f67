"""One column on its way from cells to vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from tqdm.std import tqdm

from .._data.cells import Column, is_missing
from .._progress import progress_bar
from ._batches import Batch
from ._columns import BrokenItems, identify
from .cache import EmbeddingCache
from .readers import BrokenItemError

LOOKED_UP = 10_000  # keys in one look into the cache
CHECKED = 1_000  # rows that are checked or digested between two steps of the progress bar


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
        self.cells = column.cells
        self.name = name
        self.is_path = is_path
        self.started = time.time_ns()
        self.broken = BrokenItems(column, estimator=name, errors=errors)
        self.found: set[int] = set()
        self._verbose = verbose
        self._pool = ThreadPoolExecutor(n_readers) if n_readers else None
        self._first_of = np.full(len(column.cells), -1)  # the first row with this item; -1: missing
        self._vectors: np.ndarray | None = None  # (n_samples, n_features)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exception) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def make_bar(self, n_items: int, doing: str = "") -> tqdm:
        """Make a progress bar; that of what comes before encoding goes, and only comes if late."""
        return progress_bar(
            desc=f"{self.name}: {doing}" if doing else self.name,
            total=n_items,
            verbose=self._verbose and n_items > 0,
            leave=not doing,
            delay=1 if doing else 0,
        )

    def find_distinct(self) -> list[int]:
        """Return the first row of each item, as far as a glance shows that they are the same."""
        firsts: dict[Any, int] = {}
        for row, cell in enumerate(self.cells):
            if not is_missing(cell):
                is_text = isinstance(cell, str) and not self.is_path(cell)
                item = (str, cell) if is_text else identify(cell)
                self._first_of[row] = firsts.setdefault(item, row)
        return list(firsts.values())

    def merge_equal(self, rows: list[int], keys: dict[int, bytes]) -> list[int]:
        """Return the first row of each item of ``rows``, now that keys show which are the same."""
        firsts: dict[bytes, int] = {}
        merged = np.arange(len(self.cells))
        for row in [row for row in keys if row != firsts.setdefault(keys[row], row)]:
            merged[row] = firsts[keys.pop(row)]
        present = self._first_of >= 0
        self._first_of[present] = merged[self._first_of[present]]
        return np.unique(merged[rows]).tolist()

    def look_up(self, cache: EmbeddingCache, keys: dict[int, bytes]) -> None:
        """Store the vectors that the cache holds."""
        for rows in _split(list(keys), LOOKED_UP):
            vectors = cache.get_many([keys[row] for row in rows])
            hits = {row: v for row, v in zip(rows, vectors, strict=True) if v is not None}
            if hits:
                self.store(list(hits), list(hits.values()))

    def submit(
        self,
        read: Callable[[Any], Any],
        rows: list[int],
        *,
        only_paths: bool = False,
        into: Batch | None = None,
    ) -> dict[int, Callable[[], Any]]:
        """Start to read some rows in the threads; return what to call for the result of each.

        With a batch, results are put into it, each at the place of its row among ``rows``.
        """
        results = {}
        # To look at a single file takes less than to start a thread.
        pool = None if only_paths and len(rows) == 1 else self._pool
        for place, row in enumerate(rows):
            cell = self.cells[row]
            work = partial(read, cell) if into is None else partial(into.fill, place, read, cell)
            if pool is not None and (not only_paths or self.is_path(cell)):
                results[row] = pool.submit(work).result
            else:
                results[row] = work
        return results

    def check(self, check: Callable[[Any], None], rows: list[int]) -> None:
        """Find out which rows are broken."""
        with self.make_bar(len(rows), "checks") as bar:
            for chunk in _split(rows, CHECKED):
                good = [row for row in chunk if row not in self.broken.reasons]
                self._wait(self.submit(check, good, only_paths=True))
                bar.update(len(chunk))

    def digest(self, digest: Callable[[Any], bytes | None], rows: list[int]) -> dict[int, bytes]:
        """Compute the digest of each row that has one."""
        digests = {}
        with self.make_bar(len(rows), "files") as bar:
            for chunk in _split(rows, CHECKED):
                for row, get in self.submit(digest, chunk, only_paths=True).items():
                    if (computed := get()) is not None:
                        digests[row] = computed
                bar.update(len(chunk))
        return digests

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
        results: dict[int, Callable[[], Any]] = {}
        for following in [*_split(rows, size), []]:
            self._wait(results)
            good = [p for p, row in enumerate(current) if row not in self.broken.reasons]
            rows_read = [current[place] for place in good]
            items = batch.take(good) if good else None
            batch, current = next(turns), following
            results = self.submit(read, current, into=batch)
            if good:
                yield rows_read, items
            del items  # not to be held while the next ones are read

    def _wait(self, results: dict[int, Callable[[], Any]]) -> None:
        """Wait for rows that are being read, and add those that are broken."""
        for row, get in results.items():
            try:
                get()
            except (TypeError, BrokenItemError) as e:
                self.broken.add(row, e)

    def store(self, rows: list[int], vectors: Sequence[np.ndarray] | np.ndarray) -> None:
        """Store the vectors of some rows."""
        if not rows:
            return
        if self._vectors is None:
            n_features = len(vectors[0])
            self._vectors = np.full((len(self.cells), n_features), np.nan, dtype=np.float32)
        self._vectors[rows] = vectors
        self.found.update(rows)

    def warn_of_broken(self) -> None:
        """Warn of every row whose item is broken."""
        reasons = self.broken.reasons
        rows = np.flatnonzero(np.isin(self._first_of, list(reasons))).tolist()
        self.broken.reasons = {row: reasons[self._first_of[row]] for row in rows}
        self.broken.warn()

    def collect_vectors(self, n_features: int) -> np.ndarray:
        """Return a vector of ``n_features`` values for every row."""
        if self._vectors is None:
            return np.full((len(self.cells), n_features), np.nan, dtype=np.float32)
        is_copy = (self._first_of >= 0) & (self._first_of != np.arange(len(self.cells)))
        copies = np.flatnonzero(is_copy)
        self._vectors[copies] = self._vectors[self._first_of[copies]]
        return self._vectors


def _split(rows: list[int], size: int) -> Iterator[list[int]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
