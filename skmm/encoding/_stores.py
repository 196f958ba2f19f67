"""Where the vectors of a cache stand: what every store shares, and the one in memory."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

ENTRY_BYTES = 250  # of key, array object and dictionary, measured with tracemalloc


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
        self._vectors: OrderedDict[bytes, np.ndarray] = OrderedDict()  # least recently used first
        self._uncounted: set[bytes] = set()
        self._size = 0

    def get_many(self, keys):
        with self._lock:
            found = [self._vectors.get(key) for key in keys]
            for key, vector in zip(keys, found, strict=True):
                if vector is not None:
                    self._vectors.move_to_end(key)
        return found

    def put_many(self, keys, vectors, *, counted=True):
        with self._lock:
            for key, vector in zip(keys, vectors, strict=True):
                self._drop(key)
                vector = vector.copy()  # a row of a batch would keep the whole batch alive
                vector.flags.writeable = False
                self._vectors[key] = vector
                self._size += vector.nbytes + ENTRY_BYTES
                if not counted:
                    self._uncounted.add(key)
            self._evict(self.max_size)

    def __len__(self):
        return len(self._vectors) - len(self._uncounted)

    @property
    def size(self):
        return self._size

    def prune(self, max_size):
        with self._lock:
            self._evict(max_size)

    def clear(self):
        with self._lock:
            self._vectors.clear()
            self._uncounted.clear()
            self._size = 0

    def _evict(self, max_size: int) -> None:
        while self._size > max_size:
            self._drop(next(iter(self._vectors)))

    def _drop(self, key: bytes) -> None:
        vector = self._vectors.pop(key, None)
        if vector is not None:
            self._uncounted.discard(key)
            self._size -= vector.nbytes + ENTRY_BYTES
