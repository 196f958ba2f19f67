"""Batches that threads fill: a list of items, or one tensor and no copy of it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class Batch:
    """Items, each put at its place by the thread that has read it.

    Parameters
    ----------
    collate : callable, default=list
        Turns a list of items into what is encoded at once; the items are let go then.
    """

    def __init__(self, collate: Callable[[list], Any] = list):
        self._collate = collate
        self._items: dict[int, Any] = {}

    def fill(self, place: int, read: Callable[[Any], Any], cell: Any) -> None:
        """Read a cell, and put the item at a place."""
        self.put(place, read(cell))

    def put(self, place: int, item: Any) -> None:
        """Put an item at a place."""
        self._items[place] = item

    def take(self, places: list[int]) -> Any:
        """Return the items of some places, collated in this order, and forget all."""
        items, self._items = self._items, {}
        return self._collate([items.pop(place) for place in places])


class TensorBatch(Batch):
    """Items that are copied into one tensor as they come, which is used again for the next batch.

    Thus none is held twice, and none stays in the memory of a thread until the batch is full. If
    items are no tensors, or not of one shape, ``collate`` gets a list of them.
    """

    def __init__(self, size: int, collate: Callable[[list], Any] = list):
        super().__init__(collate)
        self._size = size
        self._tensor: torch.Tensor | None = None  # (size, ...)
        self._lock = Lock()

    def put(self, place, item):
        import torch

        # other classes and layouts are stacked in other ways
        is_plain = type(item) is torch.Tensor and item.layout == torch.strided
        if not is_plain or item.is_quantized or item.device.type != "cpu":
            super().put(place, item)
            return
        with self._lock:
            if self._tensor is None:
                self._tensor = torch.empty(self._size, *item.shape, dtype=item.dtype)
            tensor = self._tensor
        if tensor.shape[1:] == item.shape and tensor.dtype == item.dtype:
            tensor[place] = item.detach()
        else:
            super().put(place, item)

    def take(self, places):
        """Return a tensor (n_places, ...), valid until the next item is put."""
        tensor = self._tensor
        if tensor is not None and not self._items:
            is_whole = places == list(range(len(places)))
            return tensor[: len(places)] if is_whole else tensor[places]
        if tensor is not None:
            stacked = set(places) - self._items.keys()
            self._items |= {place: tensor[place].clone() for place in stacked}
            self._tensor = None  # those of the next batch may be of another shape
        return super().take(places)
