"""What the lower layers of a model compute of items, on its way through the cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._run import Run


class ActivationRun(Run):
    """The column of another run, on its way to arrays whose shapes differ from item to item."""

    def __init__(self, run: Run, *, verbose: bool):
        self.__dict__.update(run.__dict__)  # the pool and the broken items are shared
        self._verbose = verbose
        self.found: set[int] = set()
        self._first_of = self._first_of.copy()
        self._flat: dict[int, np.ndarray] = {}

    def store(self, rows: Sequence[int], vectors: Sequence[np.ndarray]) -> None:
        """Store the flat arrays of some rows."""
        self._flat.update(zip(rows, vectors, strict=True))
        self.found.update(rows)

    def find_first(self, row: int) -> int:
        """Return the first row with the item of a row; -1 if that is missing."""
        return int(self._first_of[row])

    def is_found(self, row: int) -> bool:
        """Return whether the item of a row is neither missing nor broken."""
        return self.find_first(row) in self.found

    def get(self, row: int) -> np.ndarray:
        """Return the array of the item of a row."""
        return unflatten(self._flat[self.find_first(row)])


def flatten(array: np.ndarray) -> np.ndarray:
    """Return an array as a vector of float32 that tells its shape, as the cache keeps it."""
    return np.concatenate([[array.ndim], array.shape, array.ravel()]).astype(np.float32)


def unflatten(vector: np.ndarray) -> np.ndarray:
    """Undo `flatten`, without a copy."""
    n_axes = int(vector[0])
    shape = vector[1 : 1 + n_axes].astype(int)
    return vector[1 + n_axes :].reshape(shape)


def pack(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return flat arrays of any length as one array of objects, of which a batch can be taken."""
    packed = np.empty(len(arrays), dtype=object)
    for place, array in enumerate(arrays):  # at once, NumPy would stack those of one length
        packed[place] = flatten(array)
    return packed
