"""Items of which some are read ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetched(Iterator[Item], Generic[Item]):
    """The windows of a sound, or the frames of a video: the first are read at once, in a thread.

    The rest are read when they are due, so that an item of any length takes little memory. Each is
    let go once it is used.

    Parameters
    ----------
    items : iterator
        What is read.
    n_ahead : int
        How many to read at once.
    """

    def __init__(self, items: Iterator[Item], n_ahead: int):
        self._items = items
        self._ahead = deque(islice(items, n_ahead))

    def __next__(self) -> Item:
        return self._ahead.popleft() if self._ahead else next(self._items)
