"""Which outputs of a network predict which columns of the target."""

from skmm._torch.tasks import class_tasks, column_tasks


def test_targets_of_classes_have_an_output_for_each_class():
    first, second = class_tasks([2, 3], [0.5, 0.25])
    assert (first.outputs, first.columns, first.weight) == (slice(0, 2), slice(0, 1), 0.5)
    assert (second.outputs, second.columns, second.weight) == (slice(2, 5), slice(1, 2), 0.25)
    assert [task.n_outputs for task in (first, second)] == [2, 3]
    assert not first.is_numeric


def test_columns_of_equal_weight_are_one_task():
    (task,) = column_tasks("huber", [0.5, 0.5])
    assert task == ("huber", slice(0, 2), slice(0, 2), 0.5)
    assert task.is_numeric


def test_columns_of_different_weights_are_tasks_of_their_own():
    tasks = column_tasks("multilabel", [0.2, 0.8])
    assert [(task.outputs, task.columns, task.weight) for task in tasks] == [
        (slice(0, 1), slice(0, 1), 0.2),
        (slice(1, 2), slice(1, 2), 0.8),
    ]
    assert not tasks[0].is_numeric
