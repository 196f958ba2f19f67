"""A cache in the memory of this process."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from ._stores import Store

ENTRY_BYTES = 300  # of key, place or digest, and dictionary, measured with tracemalloc
BLOCK_BYTES = 33 * 2**20  # malloc asks the system for these; only what is written takes memory


class _Vector(NamedTuple):
    length: int
    row: int  # among the rows of its length
    used: int


class _Digest(NamedTuple):
    digest: bytes
    used: int


class MemoryStore(Store):
    """Vectors and digests of files in the memory of this process."""

    def __init__(self, max_size: int):
        super().__init__(max_size)
        # Both with the least recently used first, and the number of its last use.
        self._vectors: OrderedDict[bytes, _Vector] = OrderedDict()
        self._digests: OrderedDict[bytes, _Digest] = OrderedDict()
        self._uses = count()
        self._rows: dict[int, _Rows] = {}  # by length
        self._size = 0

    def get_many(self, keys):
        found: list[np.ndarray | None] = [None] * len(keys)
        wanted: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        with self._lock:
            for i, key in enumerate(keys):
                vector = self._vectors.pop(key, None)
                if vector is not None:
                    self._vectors[key] = vector._replace(used=next(self._uses))
                    wanted[vector.length].append((i, vector.row))
            for length, places in wanted.items():
                indices, rows = zip(*places, strict=True)
                for i, values in zip(indices, self._rows[length].take(rows), strict=True):
                    found[i] = values
        return found

    def put_many(self, keys, vectors):
        with self._lock:
            for key, values in zip(keys, vectors, strict=True):
                self._drop_vector(key)
                length = len(values)
                rows = self._rows.setdefault(length, _Rows(length))
                self._vectors[key] = _Vector(length, rows.add(values), next(self._uses))
                self._size += _count_bytes(length)
            self._evict(self.max_size)
            if sparse := {length for length, rows in self._rows.items() if rows.is_sparse}:
                self._repack(sparse)

    def get_digests(self, keys):
        found: list[bytes | None] = []
        with self._lock:
            for key in keys:
                known = self._digests.pop(key, None)
                if known is not None:
                    self._digests[key] = known._replace(used=next(self._uses))
                found.append(None if known is None else known.digest)
        return found

    def put_digests(self, keys, digests):
        with self._lock:
            for key, digest in zip(keys, digests, strict=True):
                self._drop_digest(key)
                self._digests[key] = _Digest(digest, next(self._uses))
                self._size += ENTRY_BYTES
            self._evict(self.max_size)

    def __len__(self):
        return len(self._vectors)

    @property
    def size(self):
        return self._size

    def prune(self, max_size):
        with self._lock:
            self._evict(max_size)
            self._repack(set(self._rows))

    def clear(self):
        with self._lock:
            self._vectors.clear()
            self._digests.clear()
            self._rows.clear()
            self._size = 0

    def _repack(self, lengths: set[int]) -> None:
        """Bring vectors of some lengths together, and free blocks that then hold none."""
        scattered = {length: self._rows.pop(length) for length in lengths}
        for key, vector in self._vectors.items():
            if vector.length in scattered:
                rows = self._rows.setdefault(vector.length, _Rows(vector.length))
                (values,) = scattered[vector.length].take([vector.row])
                self._vectors[key] = vector._replace(row=rows.add(values))

    def _evict(self, max_size: int) -> None:
        while self._size > max_size:
            vectors, digests = _find_oldest(self._vectors), _find_oldest(self._digests)
            if vectors.used < digests.used:
                self._drop_vector(vectors.key)
            else:
                self._drop_digest(digests.key)

    def _drop_vector(self, key: bytes) -> None:
        vector = self._vectors.pop(key, None)
        if vector is not None:
            self._rows[vector.length].drop(vector.row)
            self._size -= _count_bytes(vector.length)

    def _drop_digest(self, key: bytes) -> None:
        if self._digests.pop(key, None) is not None:
            self._size -= ENTRY_BYTES


class _Rows:
    """Vectors of one length, in blocks of memory that hold nothing else.

    As single arrays they would lie among the large ones that a model makes for each batch, and keep
    malloc from using the space of these again: memory grew by a batch with each batch.
    """

    def __init__(self, length: int):
        self._length = length
        self._per_block = max(1, BLOCK_BYTES // (4 * max(1, length)))
        self._blocks: list[np.ndarray] = []
        self._free: list[int] = []

    def take(self, rows: Sequence[int]) -> np.ndarray:
        """Return copies, since other vectors may take the place of what is dropped."""
        vectors = np.empty((len(rows), self._length), dtype=np.float32)
        blocks, places = np.divmod(rows, self._per_block)
        for block in np.unique(blocks):
            in_block = blocks == block
            vectors[in_block] = self._blocks[block][places[in_block]]
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


class _Oldest(NamedTuple):
    used: float
    key: bytes


def _find_oldest(table: OrderedDict[bytes, _Vector] | OrderedDict[bytes, _Digest]) -> _Oldest:
    for key, entry in table.items():
        return _Oldest(entry.used, key)
    return _Oldest(np.inf, b"")


def _count_bytes(length: int) -> int:
    return 4 * length + ENTRY_BYTES
