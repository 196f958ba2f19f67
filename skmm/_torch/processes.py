"""Processes that each have a share of a batch, and learn as one that has all of it.

Within `data_parallel` the processes of torch.distributed's group do so. Each runs the encoders f_i
on its own rows. What follows is computed by all of them alike, with the rows of all: there rows
depend on each other, through the statistics of the batch and losses that compare rows, and there is
little to compute. Outside of it a process is alone, whatever groups exist. torch is imported where
it is used, for a process that learns alone may not need it yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_is_parallel: ContextVar[bool] = ContextVar("data_parallel", default=False)


def is_data_parallel() -> bool:
    """Return whether this process learns with others."""
    return _is_parallel.get()


@contextmanager
def data_parallel() -> Iterator[None]:
    """Learn with all processes of the group, each of which has to do the same."""
    token = _is_parallel.set(True)
    try:
        yield
    finally:
        _is_parallel.reset(token)


def rank() -> int:
    """Return the number of this process, from 0."""
    if not _is_parallel.get():
        return 0
    import torch.distributed as dist

    return dist.get_rank()


def gather_over_processes(value: Any) -> list[Any]:
    """Return the value of each process, in their order."""
    if not _is_parallel.get():
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def sum_over_processes(value: Any) -> Any:
    """Sum the numbers, arrays or tensors of all processes."""
    if not _is_parallel.get():
        return value
    import torch
    import torch.distributed as dist

    if not isinstance(value, torch.Tensor):
        return sum(gather_over_processes(value))
    value = value.clone()
    dist.all_reduce(value)
    return value
