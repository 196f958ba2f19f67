"""Where the vectors of a cache stand: what every store shares, and the one in memory."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections import OrderedDict, defaultdict
from collections.abc import Sequence

import numpy as np

ENTRY_BYTES = 270  # of key, place and dictionary, measured with tracemalloc
BLOCK_BYTES = 33 * 2**20  # malloc asks the system for these; only what is written takes memory


class Store(ABC):
    """Vectors by key, bounded, least recently used first to go; safe with threads and forks.

    A fork waits until no thread is inside a store, so that the child finds it whole and its lock
    free.
    """

    def __init__(self, max_size: int):
        self.max_size = max_size
        self._lock = threading.Lock()
        _STORES[id(self)] = self

    @abstractmethod
    def get_many(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        """Give the vector of each key, read-only, or None."""

    @abstractmethod
    def put_many(
        self, keys: Sequence[bytes], vectors: Sequence[np.ndarray], *, counted: bool = True
    ) -> None:
        """Keep a vector of float32 for each key; ``len`` leaves out what is not ``counted``."""

    @abstractmethod
    def __len__(self) -> int:
        """Count the vectors."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The bytes in use."""

    @abstractmethod
    def prune(self, max_size: int) -> None:
        """Drop the least recently used until ``max_size`` bytes are in use, or fewer."""

    @abstractmethod
    def clear(self) -> None:
        """Drop everything."""

    def close(self) -> None:  # noqa: B027 (most stores have nothing to close)
        """Let go of files; the next use opens them again."""

    def _prepare_fork(self) -> None:  # noqa: B027 (likewise)
        """Let go, with the lock held, of what a child process must not inherit."""


_STORES: weakref.WeakValueDictionary[int, Store] = weakref.WeakValueDictionary()
_fork_lock = threading.Lock()
_held_for_fork: list[Store] = []


def _living_stores() -> list[Store]:
    # valuerefs copies in one step; iterating fails when another thread makes a store meanwhile
    return [store for ref in _STORES.valuerefs() if (store := ref()) is not None]


def _before_fork() -> None:
    _fork_lock.acquire()
    for store in _living_stores():
        store._lock.acquire()
        _held_for_fork.append(store)
        store._prepare_fork()


def _after_fork() -> None:
    while _held_for_fork:
        store = _held_for_fork.pop()  # keeps it alive: its __del__ may want the lock
        store._lock.release()
    _fork_lock.release()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )


@atexit.register
def _close_stores() -> None:
    for store in _living_stores():
        store.close()


class MemoryStore(Store):
    """Vectors in the memory of this process."""

    def __init__(self, max_size: int):
        super().__init__(max_size)
        # least recently used first; where it is among the rows of its length
        self._places: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        self._rows: dict[int, _Rows] = {}
        self._uncounted: set[bytes] = set()
        self._size = 0

    def get_many(self, keys):
        found: list[np.ndarray | None] = [None] * len(keys)
        wanted: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        with self._lock:
            for i, key in enumerate(keys):
                place = self._places.get(key)
                if place is not None:
                    self._places.move_to_end(key)
                    length, row = place
                    wanted[length].append((i, row))
            for length, places in wanted.items():
                indices, rows = zip(*places, strict=True)
                for i, vector in zip(indices, self._rows[length].take(rows), strict=True):
                    found[i] = vector
        return found

    def put_many(self, keys, vectors, *, counted=True):
        with self._lock:
            for key, vector in zip(keys, vectors, strict=True):
                self._drop(key)
                rows = self._rows.setdefault(len(vector), _Rows(len(vector)))
                self._places[key] = (len(vector), rows.add(vector))
                self._size += _count_bytes(len(vector))
                if not counted:
                    self._uncounted.add(key)
            self._evict(self.max_size)
            if sparse := {length for length, rows in self._rows.items() if rows.is_sparse}:
                self._repack(sparse)

    def __len__(self):
        return len(self._places) - len(self._uncounted)

    @property
    def size(self):
        return self._size

    def prune(self, max_size):
        with self._lock:
            self._evict(max_size)
            self._repack(set(self._rows))

    def clear(self):
        with self._lock:
            self._places.clear()
            self._rows.clear()
            self._uncounted.clear()
            self._size = 0

    def _repack(self, lengths: set[int]) -> None:
        """Bring vectors of some lengths together, and free what then holds none."""
        scattered = {length: self._rows.pop(length) for length in lengths}
        for key, (length, row) in self._places.items():
            if length in scattered:
                rows = self._rows.setdefault(length, _Rows(length))
                self._places[key] = (length, rows.add(scattered[length].take([row])[0]))

    def _evict(self, max_size: int) -> None:
        while self._size > max_size:
            self._drop(next(iter(self._places)))

    def _drop(self, key: bytes) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            length, row = place
            self._rows[length].drop(row)
            self._uncounted.discard(key)
            self._size -= _count_bytes(length)


class _Rows:
    """Vectors of one length, in blocks of memory that hold nothing else.

    As arrays of their own they would stand among the large ones that a model makes for each batch,
    and keep malloc from using the space of these again: memory grew by a batch with each batch.
    """

    def __init__(self, length: int):
        self._length = length
        self._per_block = max(1, BLOCK_BYTES // (4 * max(1, length)))
        self._blocks: list[np.ndarray] = []
        self._free: list[int] = []

    def take(self, rows: Sequence[int]) -> np.ndarray:
        """Give copies, since others may take the place of what is dropped."""
        vectors = np.empty((len(rows), self._length), dtype=np.float32)
        blocks, places = np.divmod(rows, self._per_block)
        for block in np.unique(blocks):
            here = blocks == block
            vectors[here] = self._blocks[block][places[here]]
        vectors.flags.writeable = False
        return vectors

    def add(self, vector: np.ndarray) -> int:
        if not self._free:
            first = len(self._blocks) * self._per_block
            self._free.extend(range(first + self._per_block - 1, first - 1, -1))
            self._blocks.append(np.empty((self._per_block, self._length), dtype=np.float32))
        row = self._free.pop()
        block, place = divmod(row, self._per_block)
        self._blocks[block][place] = vector
        return row

    def drop(self, row: int) -> None:
        self._free.append(row)

    @property
    def is_sparse(self) -> bool:
        """Whether more than half of the memory, but for a block, holds nothing."""
        n_rows = len(self._blocks) * self._per_block
        return len(self._free) > n_rows / 2 + self._per_block


def _count_bytes(length: int) -> int:
    return 4 * length + ENTRY_BYTES
