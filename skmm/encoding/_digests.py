"""What an item is, in 16 bytes: digests of its content, and what is remembered of files.

Each kind of item has its own BLAKE2 (the argument ``person``), and containers are digests of their
parts' digests, so that no two items of different kind or structure look alike.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from hashlib import blake2b, file_digest
from threading import Lock
from typing import Any

import numpy as np

from ._cache import EmbeddingCache
from ._files import expand_home

N_BYTES = 16
MTIME_GRANULARITY = 2 * 10**9  # ns; that of FAT, the coarsest in use
N_NEW = 1_000  # how many digests of files are written at a time
_ORIENTATION = 0x0112  # the EXIF tag


def digest_item(item: Any) -> bytes:
    """Digest the content of an item into 16 bytes.

    A str is a text, bytes are the content of a file. Arrays of numbers, PIL images, and tuples,
    lists and dicts of all these and of numbers are digested too.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if isinstance(item, str):
        return _hash(b"text", item.encode("utf-8", "surrogatepass"))
    if isinstance(item, bytes | bytearray):
        return _hash(b"bytes", item)
    if isinstance(item, memoryview):
        return _hash(b"bytes", item.tobytes())  # it may have gaps
    if isinstance(item, np.ndarray):
        return _digest_array(item)
    if isinstance(item, tuple):
        return _hash(b"tuple", *map(digest_item, item))
    if isinstance(item, list):
        return _hash(b"list", *map(digest_item, item))
    if isinstance(item, dict):
        pairs = sorted((digest_item(key), digest_item(value)) for key, value in item.items())
        return _hash(b"dict", *(digest for pair in pairs for digest in pair))
    if item is None or isinstance(item, bool | np.bool_):
        return _hash(b"constant", str(item).encode())
    if isinstance(item, int | np.integer):
        return _hash(b"integer", str(int(item)).encode())
    if isinstance(item, float | np.floating):
        return _hash(b"float", float(item).hex().encode())

    from PIL import Image

    if isinstance(item, Image.Image):
        return _digest_image(item)
    raise TypeError(
        "expected a str, bytes, an array of numbers, a PIL image, or a tuple, list or dict of "
        f"these, got {type(item).__name__}. For the content of a path use digest_file."
    )


def _hash(kind: bytes, *parts) -> bytes:
    digest = blake2b(digest_size=N_BYTES, person=kind)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _digest_array(array: np.ndarray) -> bytes:
    if array.dtype.kind not in "biufc" or isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"expected an array of numbers, got {type(array).__name__} of {array.dtype}."
        )
    header = f"{array.dtype.str}{array.shape}".encode()  # its bracket ends it
    return _hash(b"array", header, np.ascontiguousarray(array).reshape(-1))


def _digest_image(image) -> bytes:
    """Digest all that changes what is seen: two images may differ in their palette alone."""
    image.load()  # some of what follows is known only then
    palette = image.getpalette("RGBA")
    shown = (
        image.mode,
        image.size,
        None if palette is None else bytes(palette),
        repr(image.info.get("transparency")),
        repr(image.getexif().get(_ORIENTATION, 1)),
        image.tobytes(),
    )
    return _hash(b"image", *map(digest_item, shown))


def digest_file(path: str | os.PathLike, files: FileDigests | None = None) -> bytes:
    """Digest the content of a file, as ``digest_item`` does its bytes.

    Parameters
    ----------
    path : str or PathLike
        The file.

    files : FileDigests, default=None
        What is remembered of files; None to read the file in any case.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    return FileDigests(None).digest(path) if files is None else files.digest(path)


class FileDigests:
    """Digests of files that have not changed since a cache was told of them.

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
        """Find out, all at once, which files are known; those that are not there are not."""
        if self._cache is None:
            return self
        now = time.time_ns()
        keys: dict[str | bytes, bytes] = {}
        for path in map(expand_home, paths):
            try:
                status = os.stat(path)
            except (OSError, ValueError):  # whoever reads it says what is wrong
                continue
            if _is_settled(status, now):
                keys[path] = _file_key(path, status)
        records = self._cache.get_many(list(keys.values()))
        self._known.update(
            (path, record.tobytes())
            for path, record in zip(keys, records, strict=True)
            if record is not None
        )
        return self

    def digest(self, path: str | os.PathLike) -> bytes:
        """Digest the content of a file, from memory if it is known."""
        path = expand_home(path)
        if path in self._known:
            return self._known[path]
        if _is_pipe(path):  # opening it may wait for ever
            raise OSError(f"{path!r} is a pipe or a device, not a file")
        with open(path, "rb", buffering=0) as file:
            now, status = time.time_ns(), os.fstat(file.fileno())
            hashed = file_digest(file, lambda: blake2b(digest_size=N_BYTES, person=b"bytes"))
        if self._cache is not None and _is_settled(status, now):
            with self._lock:
                self._new[_file_key(path, status)] = hashed.digest()
                if len(self._new) >= N_NEW:
                    self._save()
        return hashed.digest()

    def _save(self) -> None:
        # As a vector of four floats, which the cache keeps bit by bit, a digest needs no place of
        # its own there.
        records = [np.frombuffer(digest, dtype=np.float32) for digest in self._new.values()]
        if records:
            self._cache._put(list(self._new), records, counted=False)
            self._new.clear()

    def __enter__(self) -> FileDigests:
        return self

    def __exit__(self, *exception) -> None:
        with self._lock:
            self._save()


def _is_pipe(path: str | bytes) -> bool:
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _is_settled(status: os.stat_result, now: int) -> bool:
    """Tell whether a later change would show in the time of modification."""
    return now - status.st_mtime_ns >= MTIME_GRANULARITY


def _file_key(path: str | bytes, status: os.stat_result) -> bytes:
    # ctime tells of what takes a file's place and brings its own mtime along: cp -p, rsync, tar
    known_by = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} ".encode()
    return _hash(b"file", known_by, os.fsencode(os.path.abspath(path)))
