"""What a network learns: one task or several. torch is not needed for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Task(NamedTuple):
    """Outputs of the network, the columns of the target that they predict, and the loss.

    ``kind`` is "multiclass" (an output for each class, one column of class numbers, -1 where not
    known), or "multilabel", "squared_error", "absolute_error" or "huber" (an output for each
    column, NaN where not known).
    """

    kind: str
    outputs: slice
    columns: slice
    weight: float  # of each of its columns in L; those of all columns add up to 1

    @property
    def is_numeric(self) -> bool:
        """Whether its targets are numbers, not classes."""
        return self.kind not in ("multiclass", "multilabel")

    @property
    def n_outputs(self) -> int:
        """The number of its outputs."""
        return self.outputs.stop - self.outputs.start


def class_tasks(n_classes: Sequence[int], weights: Iterable[float]) -> list[Task]:
    """Make the tasks of targets with an output for each class."""
    ends = itertools.accumulate(n_classes)
    return [
        Task("multiclass", slice(end - n, end), slice(i, i + 1), float(weight))
        for i, (n, end, weight) in enumerate(zip(n_classes, ends, weights, strict=True))
    ]


def column_tasks(kind: str, weights: Iterable[float]) -> list[Task]:
    """Make the tasks of targets with one output: a single task, unless weights differ."""
    values = [float(weight) for weight in weights]
    n = len(values)
    if len(set(values)) == 1:
        return [Task(kind, slice(0, n), slice(0, n), values[0])]
    return [Task(kind, slice(i, i + 1), slice(i, i + 1), w) for i, w in enumerate(values)]
