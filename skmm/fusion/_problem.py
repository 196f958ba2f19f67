"""What is to be learned: X and y as arrays, and the tasks that y consists of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._data.columns import ModalityColumns, find_present
from .._torch.tasks import Task


class FusionProblem(NamedTuple):
    """Rows of X and y as validated, before any is selected or scaled; they live for one fit.

    Modalities are in the network's order.
    """

    X: np.ndarray  # (n, n_columns), NaN where a modality is missing
    target: np.ndarray  # (n, t) class numbers, -1 where not known; or values, NaN where not known
    weight: np.ndarray  # (n,)
    present: np.ndarray  # (n, m) which modalities each row has
    columns: ModalityColumns
    tasks: Sequence[Task]
    target_names: Sequence
    prior_outputs: np.ndarray  # (k,) what is predicted for a row without any modality
    groups: np.ndarray | None = None  # (n,) group labels: held-out rows are whole groups

    @property
    def is_numeric(self) -> bool:
        """Whether y holds numbers, which are scaled before they are learned."""
        return self.tasks[0].is_numeric

    @property
    def network_columns(self) -> np.ndarray:
        """The positions of all modalities' columns, in the network's order."""
        return np.concatenate(list(self.columns.network_groups.values()))


def make_problem(
    X: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    columns: ModalityColumns,
    tasks: Sequence[Task],
    target_names: Sequence,
    prior_outputs: np.ndarray,
    groups: np.ndarray | None = None,
) -> FusionProblem:
    """Find out which modalities each row has.

    Raises
    ------
    ValueError
        If a modality is NaN in some of its columns only.
    """
    present = columns.to_network(find_present(X, columns.groups, columns.labels), axis=1)
    return FusionProblem(
        X, target, weight, present, columns, tasks, target_names, prior_outputs, groups
    )
