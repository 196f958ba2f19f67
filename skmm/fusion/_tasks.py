"""What a network learns: one task or several, as both numpy's and torch's side know it."""

from __future__ import annotations

from typing import NamedTuple


class Task(NamedTuple):
    """Some of the network's outputs, the columns of the target that they speak of, and the loss.

    ``kind`` is "multiclass" (an output for each class, one column of class numbers, -1 where not
    known), or "multilabel", "squared_error", "absolute_error" or "huber" (an output for each
    column, NaN where not known).
    """

    kind: str
    outputs: slice
    columns: slice
    weight: float  # of each of its columns in L; those of all columns add up to 1

    @property
    def n_outputs(self) -> int:
        return self.outputs.stop - self.outputs.start
