"""What of models of all columns may be chance; `test_interaction.py` tests the rest of it."""

import numpy as np
import pytest

from skmm._data.rows import TrainingRows
from skmm._torch.tasks import Task
from skmm.fusion._mixture import MixtureProblem, _gains


def make_problem(groups):
    n_rows = 400
    target = np.zeros((n_rows, 1))
    rows = TrainingRows(np.arange(n_rows), target, np.ones((n_rows, 1), bool), np.ones(n_rows))
    outputs = np.ones((n_rows, 1))  # each row's loss is 1/2
    folds = np.array_split(np.arange(n_rows), 2)
    task = Task("squared_error", slice(0, 1), slice(0, 1), 1.0)
    return MixtureProblem(outputs, [1], None, outputs, rows, folds, [task], 0, groups=groups)


@pytest.mark.parametrize(("n_groups", "gains"), [(None, True), (400, True), (4, False)])
def test_rows_of_a_group_are_no_independent_proof(n_groups, gains):
    group = np.arange(400) // 100
    better = np.array([0.2, -0.2, 0.9, -0.6])[group]  # of each hundred rows, all alike
    groups = None if n_groups is None else np.arange(400) * n_groups // 400
    outputs = np.sqrt(1 - better)[:, None]
    assert _gains(make_problem(groups), outputs) is gains
