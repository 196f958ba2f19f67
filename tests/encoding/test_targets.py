import numpy as np
import pandas as pd
import pytest

from skmm.encoding._targets import read_targets


def test_classes_are_numbered_in_order():
    targets = read_targets(["b", "a", "c", "a"], 4, 20)
    assert targets.values[:, 0].tolist() == [1, 0, 2, 0]
    (task,) = targets.tasks
    assert (task.kind, task.n_outputs, task.weight) == ("multiclass", 3, 1.0)


@pytest.mark.parametrize(
    ("y", "n_outputs"),
    [
        (np.arange(100) / 10, 5),
        (np.arange(100) * 2, 5),
        (np.arange(100), 100),  # no gap: these are numbers of classes
        (np.repeat([1.0, 2.0, 3.0], 10), 3),
        (np.array([0.5] * 90 + [1.5] * 10), 2),
        (np.array([0.5] * 10 + [1.5] * 90), 2),
    ],
)
def test_numbers_are_cut_at_their_quantiles(y, n_outputs):
    targets = read_targets(y, len(y), 5)
    assert targets.tasks[0].n_outputs == n_outputs
    codes = targets.values[:, 0]
    assert [*np.unique(codes)] == [*range(n_outputs)]  # no class is empty
    order = np.argsort(y, kind="stable")
    assert (np.diff(codes[order]) >= 0).all()  # in the order of the numbers


def test_bins_hold_as_many_rows_each():
    y = np.random.default_rng(0).lognormal(size=1000)
    assert set(np.bincount(read_targets(y, 1000, 20).values[:, 0])) <= {49, 50, 51}


def test_labels_that_are_not_known():
    targets = read_targets(np.array([[1, 0], [np.nan, 1], [np.nan, np.nan]]), 3, 20)
    assert targets.tasks[0].kind == "multilabel"
    np.testing.assert_array_equal(targets.values, [[1, 0], [np.nan, 1], [np.nan, np.nan]])
    assert targets.known.tolist() == [True, True, False]


def test_several_targets_of_different_kinds():
    y = pd.DataFrame({"kind": ["a", "b", None, "a"], "price": [0.5, 1.5, 2.5, np.nan]})
    targets = read_targets(y, 4, 3)
    assert targets.values.tolist() == [[0, 0], [1, 1], [-1, 2], [0, -1]]
    assert [task.outputs for task in targets.tasks] == [slice(0, 2), slice(2, 5)]
    assert sum(task.weight for task in targets.tasks) == 1


def test_target_that_is_known_nowhere():
    y = pd.DataFrame({"kind": [None, None], "price": [0.5, 1.5]})
    with pytest.raises(ValueError, match="Target 'kind' is known in no row"):
        read_targets(y, 2, 3)


def test_one_class_in_one_of_two_targets_is_enough():
    y = pd.DataFrame({"a": ["x", "x"], "b": ["x", "y"]})
    assert read_targets(y, 2, 3).values.tolist() == [[0, 0], [0, 1]]
    with pytest.raises(ValueError, match="at least 2 classes"):
        read_targets(y[["a"]], 2, 3)
