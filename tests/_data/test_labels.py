"""Several targets that are classes or labels."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import expit, softmax

from skmm._data.labels import (
    TargetClasses,
    has_several_targets,
    read_labels,
    subset_accuracy,
    weigh_labels,
)

UNKNOWN = [["a", 1.0], ["b", 2.0], [None, np.nan], ["b", 1.0]]


def test_targets_of_several_types_become_numbers_of_classes():
    labels = read_labels(pd.DataFrame(UNKNOWN, columns=["kind", "size"]))
    assert labels.names == ["kind", "size"]
    assert not labels.is_multilabel
    assert [classes.tolist() for classes in labels.classes] == [["a", "b"], [1, 2]]
    np.testing.assert_array_equal(labels.codes, [[0, 0], [1, 1], [-1, -1], [1, 0]])


@pytest.mark.parametrize("container", [np.array, sparse.csr_array, pd.DataFrame])
def test_known_values_of_0_and_1_are_labels(container):
    labels = read_labels(container([[0, 1], [0, 0], [0, 1]]))
    assert labels.is_multilabel
    assert [classes.tolist() for classes in labels.classes] == [[0, 1], [0, 1]]  # of the first, too
    np.testing.assert_array_equal(labels.codes, [[0, 1], [0, 0], [0, 1]])


def test_unknown_labels():
    integers = read_labels(np.array([[0, -1], [1, 1]]))
    objects = read_labels(np.array([[0, None], [1, 1]], dtype=object))
    for labels in (integers, objects):
        assert labels.is_multilabel
        np.testing.assert_array_equal(labels.codes, [[0, -1], [1, 1]])


def test_numbers_are_no_classes():
    with pytest.raises(ValueError, match="'size'"):
        read_labels(pd.DataFrame({"kind": ["a", "b"], "size": [0.5, 1.5]}))


def test_one_column_is_no_several_targets():
    assert has_several_targets([[0, 1], [1, 0]])
    assert has_several_targets(sparse.csr_array([[0, 1]]))
    assert not has_several_targets([[0], [1]])
    assert not has_several_targets([[0, 1], [1]])


def test_class_weights_of_targets_multiply_and_priors_are_shares_of_the_known_rows():
    labels = read_labels(np.array([*UNKNOWN[:3], ["b", None]], dtype=object))
    with pytest.warns(UserWarning, match="row 2"):
        weight, priors = weigh_labels(labels, [{"a": 2, "b": 1}, {1: 1, 2: 3}], np.ones(4))
    assert weight.tolist() == [2, 3, 0, 1]  # of the third row nothing is known
    np.testing.assert_allclose(priors, [[1 / 3, 2 / 3], [1 / 2, 1 / 2]])
    complete = labels._replace(codes=labels.codes[:2])
    with pytest.raises(ValueError, match="class_weight"):
        weigh_labels(complete, [{"a": 2}], np.ones(2))


def test_prior_outputs_are_logits_of_the_prior():
    targets = TargetClasses("targets", [np.arange(2), np.arange(3)], [[0.2, 0.8], [0.1, 0.3, 0.6]])
    first, second = targets.split(targets.prior_outputs)
    np.testing.assert_allclose(softmax(first), [0.2, 0.8])
    np.testing.assert_allclose(softmax(second), [0.1, 0.3, 0.6])
    labels = TargetClasses("labels", np.arange(2), np.array([0.2, 0.7]))
    np.testing.assert_allclose(expit(labels.prior_outputs), [0.2, 0.7])


def test_subset_accuracy_counts_rows_by_their_known_targets():
    y = np.array([["a", "x"], ["a", None], [None, None], ["b", "x"]], dtype=object)
    predicted = np.array([["a", "x"], ["a", "y"], ["a", "y"], ["b", "y"]], dtype=object)
    assert subset_accuracy(y, predicted) == pytest.approx(2 / 3)
    assert subset_accuracy(y, predicted, [1, 1, 9, 3]) == pytest.approx(2 / 5)
    with pytest.raises(ValueError, match="3 of 2"):
        subset_accuracy(y, predicted[:3])
