"""Digests of the content of files, which are read only if they have changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from hashlib import blake2b, file_digest
from threading import Lock

from ..readers import expand_home
from ._cache import EmbeddingCache
from ._digests import N_BYTES, hash_parts

MTIME_GRANULARITY = 2 * 10**9  # ns; that of FAT, the coarsest in use
N_NEW = 1_000  # how many digests of files are written at a time


def digest_file(path: str | os.PathLike, files: FileDigests | None = None) -> bytes:
    """Compute the digest of the content of a file, as ``digest_item`` does of its bytes.

    Parameters
    ----------
    path : str or PathLike
        The file.

    files : FileDigests, default=None
        The digests that are known; None to read the file in any case.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    return FileDigests(None).digest(path) if files is None else files.digest(path)


class FileDigests:
    """Digests of files, which a cache keeps while the files do not change.

    A file is known by its absolute path, size and times of change. If one of them changes it is
    read again; its vector is still found by its content. One modified within the last two seconds
    is always read, as it may change again without a sign.

    Parameters
    ----------
    cache : EmbeddingCache or None
        Where the digests are kept; None to keep none.
    """

    def __init__(self, cache: EmbeddingCache | None):
        self._cache = cache
        self._known: dict[str | bytes, bytes] = {}
        self._new: dict[bytes, bytes] = {}
        self._lock = Lock()  # files are digested in several threads

    def load(self, paths: Iterable[str | os.PathLike]) -> FileDigests:
        """Look up, all at once, which files are known; those that do not exist are not."""
        if self._cache is None:
            return self
        now = time.time_ns()
        keys: dict[str | bytes, bytes] = {}
        for path in map(expand_home, paths):
            try:
                status = os.stat(path)
            except (OSError, ValueError):  # reading it will raise what is wrong
                continue
            if _is_settled(status, now):
                keys[path] = _file_key(path, status)
        digests = self._cache._get_digests(list(keys.values()))
        self._known.update(
            (path, digest) for path, digest in zip(keys, digests, strict=True) if digest is not None
        )
        return self

    def digest(self, path: str | os.PathLike) -> bytes:
        """Return the digest of the content of a file, which is read unless it is known."""
        name = expand_home(path)
        if name in self._known:
            return self._known[name]
        if _is_pipe(name):  # opening it may wait for ever
            raise OSError(f"{name!r} is a pipe or a device, not a file")
        with open(name, "rb", buffering=0) as file:
            now, status = time.time_ns(), os.fstat(file.fileno())
            hashed = file_digest(file, lambda: blake2b(digest_size=N_BYTES, person=b"bytes"))
        if self._cache is not None and _is_settled(status, now):
            with self._lock:
                self._new[_file_key(name, status)] = hashed.digest()
                if len(self._new) >= N_NEW:
                    self._save()
        return hashed.digest()

    def _save(self) -> None:
        if self._cache is not None and self._new:
            self._cache._put_digests(list(self._new), list(self._new.values()))
            self._new.clear()

    def __enter__(self) -> FileDigests:
        return self

    def __exit__(self, *exception) -> None:
        with self._lock:
            self._save()


def _is_pipe(path: str | bytes) -> bool:
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _is_settled(status: os.stat_result, now: int) -> bool:
    """Return whether a later change would show in the time of modification."""
    return now - status.st_mtime_ns >= MTIME_GRANULARITY


def _file_key(path: str | bytes, status: os.stat_result) -> bytes:
    # ctime shows where another file, with an older mtime, took its place: cp -p, rsync, tar
    known_by = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} ".encode()
    return hash_parts(b"file", known_by, os.fsencode(os.path.abspath(path)))
