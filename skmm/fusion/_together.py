"""Processes that each have a share of a batch, and learn as one that has all of it.

Within `together` the processes of torch.distributed's group do so. Each runs the encoders f_i on
its own rows. What follows is done by all of them alike, with the rows of all: there rows have to do
with each other, in the statistics of the batch and in losses that compare them, and there is little
to compute. Outside of it a process is alone, whatever groups there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_together: ContextVar[bool] = ContextVar("together", default=False)


def is_together() -> bool:
    """Tell whether this process learns with others."""
    return _together.get()


@contextmanager
def together() -> Iterator[None]:
    """Learn with all processes of the group, each of which has to do the same."""
    token = _together.set(True)
    try:
        yield
    finally:
        _together.reset(token)


def rank() -> int:
    """Give the number of this process, from 0."""
    if not _together.get():
        return 0
    import torch.distributed as dist

    return dist.get_rank()


def collect(value: Any) -> list[Any]:
    """Give the value that each process has, in their order."""
    if not _together.get():
        return [value]
    import torch.distributed as dist

    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def total(value: Any) -> Any:
    """Sum the numbers, arrays or tensors of all processes."""
    if not _together.get():
        return value
    import torch
    import torch.distributed as dist

    if not isinstance(value, torch.Tensor):
        return sum(collect(value))
    value = value.clone()
    dist.all_reduce(value)
    return value
