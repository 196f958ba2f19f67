"""The cache of vectors: in memory or on disk, and never a reason to stop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TypeVar

import numpy as np

from ..._data.cells import shorten
from ..._warnings import warn_user
from ._memory_store import MemoryStore
from ._stores import Store

MAX_SIZE_IN_MEMORY = 2**30
MAX_SIZE_ON_DISK = 10 * 2**30
FILE_IN_FOLDER = "embeddings.sqlite"
RETRY_SECONDS = 60.0  # after a failure, so that not every batch waits for a file that is locked

_Result = TypeVar("_Result")


class EmbeddingCache:
    """Vectors of items that were encoded before, in memory or in a file.

    Encoders fill it and look up what it holds. A user chooses a place and a limit, and looks after
    the file. Where the limit is reached, the least recently used vectors go first.

    A file may be used by many threads and processes at once, and a process that is killed leaves
    it readable, with all that was written before. It must be on a local disk: what SQLite does
    for several processes at once does not work on most network file systems.

    If a file cannot be read or written (read-only, locked for long, disk full, disk gone), a
    warning says so, once, and encoding goes on without it; it is tried again every minute. A
    read-only file still serves what it holds. A file that another version of skmm has made, in
    another layout, is a ValueError when it is first used, and stays as it is.

    Parameters
    ----------
    path : str or PathLike, default=None
        Where to keep the vectors; None for memory. A folder, or a path that has no suffix and is
        no file, stands for the file ``embeddings.sqlite`` in it; folders are made as needed.

    max_size : int, default=None
        The limit in bytes. None for 1 GiB in memory, 10 GiB on disk.

    Attributes
    ----------
    path : str or None
        The absolute path of the file.

    max_size : int
        The limit in bytes.

    Notes
    -----
    A copy or a clone is the same cache. A pickle holds the path and the limit, no vectors: in
    another process it becomes the cache that all with that path and limit share there. That goes
    for memory too, where each process starts with an empty one.

    Examples
    --------
    >>> import numpy as np
    >>> from skmm.encoding import EmbeddingCache
    >>> cache = EmbeddingCache(max_size=1_000_000)
    >>> cache.put_many([b"0123456789abcdef"], np.array([[0.5, 1.5]]))
    >>> cache.get_many([b"0123456789abcdef", b"a key not stored"])
    [array([0.5, 1.5], dtype=float32), None]
    >>> len(cache)
    1
    """

    def __init__(self, path: str | os.PathLike | None = None, *, max_size: int | None = None):
        if max_size is None:
            max_size = MAX_SIZE_IN_MEMORY if path is None else MAX_SIZE_ON_DISK
        self.path = None if path is None else _find_file(path)
        self.max_size = _check_size(max_size)
        self._store = _make_store(self.path, self.max_size)
        self._retry_at = {"read": 0.0, "written": 0.0}
        self._warned = False

    def get_many(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        """Look up vectors.

        Parameters
        ----------
        keys : list of bytes
            The keys.

        Returns
        -------
        list of ndarray of shape (n_features,), float32, or None
            The vector of each key, read-only; None where there is none.
        """
        keys = list(keys)
        return self._attempt("read", lambda: self._store.get_many(keys), [None] * len(keys))

    def put_many(self, keys: Sequence[bytes], vectors: np.ndarray | Sequence[np.ndarray]) -> None:
        """Keep vectors; where a key is known, the new one takes its place.

        Parameters
        ----------
        keys : list of bytes
            The keys, 16 bytes each.

        vectors : ndarray of shape (n_keys, n_features) or list of ndarray of shape (n_features,)
            The vectors, kept as float32. In a list they may differ in length.
        """
        keys = list(keys)
        vectors = [np.asarray(vector, dtype=np.float32) for vector in vectors]
        if len(keys) != len(vectors):
            raise ValueError(
                f"vectors must be one for each of {len(keys)} keys, got {len(vectors)}."
            )
        for key, vector in zip(keys, vectors, strict=True):
            if not (isinstance(key, bytes) and len(key) == 16):
                raise ValueError(f"keys must be bytes, 16 each, got {shorten(key)}.")
            if vector.ndim != 1:
                raise ValueError(
                    f"vectors must have one dimension each, got one of shape {vector.shape}."
                )
        if keys:
            self._attempt("written", lambda: self._store.put_many(keys, vectors), None)

    def _get_digests(self, keys: list[bytes]) -> list[bytes | None]:
        """Look up the digests of files, by what identifies a version of a file."""
        return self._attempt("read", lambda: self._store.get_digests(keys), [None] * len(keys))

    def _put_digests(self, keys: list[bytes], digests: list[bytes]) -> None:
        """Keep digests of files."""
        self._attempt("written", lambda: self._store.put_digests(keys, digests), None)

    def __len__(self) -> int:
        return len(self._store)

    def __bool__(self) -> bool:
        return True  # `if cache:` means whether there is one, not whether it is filled

    @property
    def size(self) -> int:
        """The bytes that are in use.

        Returns
        -------
        int
            In memory with what Python adds, on disk with what SQLite adds. The digests of files
            that were read are part of it, though ``len`` counts vectors only.
        """
        return self._store.size

    def clear(self) -> None:
        """Drop everything; a file gets small again."""
        self._store.clear()

    def prune(self, max_size: int | None = None) -> None:
        """Drop the least recently used vectors, and make a file as small as that allows.

        Parameters
        ----------
        max_size : int, default=None
            Drop until at most so many bytes are in use. None for the limit of the cache.
        """
        self._store.prune(self.max_size if max_size is None else _check_size(max_size))

    def _attempt(self, what: str, operation: Callable[[], _Result], otherwise: _Result) -> _Result:
        if time.monotonic() < self._retry_at[what]:
            return otherwise
        try:
            return operation()
        except OSError as e:
            self._retry_at[what] = time.monotonic() + RETRY_SECONDS
            if not self._warned:
                self._warned = True
                warn_user(f"The cache cannot be {what}: {e}. Encoding goes on without it.")
            return otherwise

    def __repr__(self) -> str:
        place = "" if self.path is None else f"{self.path!r}, "
        return f"EmbeddingCache({place}max_size={self.max_size})"

    def __copy__(self) -> EmbeddingCache:
        return self

    def __deepcopy__(self, memo: dict) -> EmbeddingCache:
        return self

    def __reduce__(self):
        return _share_cache, (self.path, self.max_size)


def open_cache(spec: str | os.PathLike | EmbeddingCache | None) -> EmbeddingCache | None:
    """Return the cache that an encoder's parameter ``cache`` stands for.

    "memory" and each path stand for one cache in a process, shared by all encoders.
    """
    if spec is None or isinstance(spec, EmbeddingCache):
        return spec
    if not isinstance(spec, str | os.PathLike):
        raise TypeError(
            f'cache must be "memory", a path, an EmbeddingCache or None, got {type(spec).__name__}.'
        )
    if spec == "memory":
        return _share_cache(None, MAX_SIZE_IN_MEMORY)
    return _share_cache(_find_file(spec), MAX_SIZE_ON_DISK)


_shared: dict[tuple[str | None, int], EmbeddingCache] = {}


def _share_cache(path: str | None, max_size: int) -> EmbeddingCache:
    cache = _shared.get((path, max_size))
    if cache is None:  # setdefault: if two threads come here, both get the same
        cache = _shared.setdefault((path, max_size), EmbeddingCache(path, max_size=max_size))
    return cache


def _check_size(max_size: int) -> int:
    if not isinstance(max_size, Integral) or isinstance(max_size, bool) or max_size < 0:
        raise ValueError(f"max_size must be a number of bytes, 0 or more, got {max_size!r}.")
    return int(max_size)


def _find_file(path: str | os.PathLike) -> str:
    path = os.path.abspath(os.path.expanduser(os.fsdecode(path)))
    if os.path.isdir(path) or not (os.path.splitext(path)[1] or os.path.isfile(path)):
        path = os.path.join(path, FILE_IN_FOLDER)
    return path


def _make_store(path: str | None, max_size: int) -> Store:
    if path is None:
        return MemoryStore(max_size)
    from ._sqlite_store import SQLiteStore

    return SQLiteStore(path, max_size)
