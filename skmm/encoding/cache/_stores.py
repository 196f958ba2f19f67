"""What the stores of a cache share: two tables, a limit, and safety with threads and forks."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np


class Store(ABC):
    """Vectors by key, and digests of files by key; safe with threads and forks.

    The limit is of both together. The least recently used go first, of whichever table.

    A fork waits until no thread is inside a store, so that the child finds it whole and its lock
    free.
    """

    def __init__(self, max_size: int):
        self.max_size = max_size
        self._lock = threading.Lock()
        _STORES[id(self)] = self

    @abstractmethod
    def get_many(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        """Return the vector of each key, read-only, or None."""

    @abstractmethod
    def put_many(self, keys: Sequence[bytes], vectors: Sequence[np.ndarray]) -> None:
        """Keep a vector of float32 for each key."""

    @abstractmethod
    def get_digests(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the digest of each file, or None."""

    @abstractmethod
    def put_digests(self, keys: Sequence[bytes], digests: Sequence[bytes]) -> None:
        """Keep a digest for each file."""

    @abstractmethod
    def __len__(self) -> int:
        """Count the vectors, not the digests of files."""

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
        """Close files; the next use opens them again."""

    def _prepare_fork(self) -> None:  # noqa: B027 (likewise)
        """Close, with the lock held, what a child process must not inherit."""


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
