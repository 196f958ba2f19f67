"""Which rows are trained on, with what weight, and how they are split."""

import warnings

import numpy as np
import pytest

from skmm._data.rows import (
    assign_folds,
    check_groups,
    distinct_rows,
    order_rows,
    sample_holdout,
    select_rows,
    weigh_rows,
)

CLASSES = np.array(["a", "b", "c"])


def weigh(codes, class_weight=None, sample_weight=None):
    codes = np.array(codes)
    sample_weight = np.ones(len(codes)) if sample_weight is None else np.array(sample_weight, "f8")
    return weigh_rows(codes, CLASSES, class_weight, sample_weight)


def test_prior_is_the_share_by_sample_weight():
    weight, prior = weigh([0, 1, 2, 2], sample_weight=[3, 1, 1, 1])
    np.testing.assert_array_equal(weight, [3, 1, 1, 1])
    np.testing.assert_allclose(prior, [1 / 2, 1 / 6, 1 / 3])


def test_class_weights_multiply_sample_weights():
    weight, prior = weigh([0, 1, 2, 2], {"a": 2, "b": 1, "c": 0.5}, [3, 1, 1, 2])
    np.testing.assert_allclose(weight, [6, 1, 0.5, 1])
    np.testing.assert_allclose(prior, [3 / 7, 1 / 7, 3 / 7])


def test_balanced_classes_have_equal_totals():
    # n / (k * count): 4 / 3, 4 / 3, 4 / 6
    weight, _ = weigh([0, 1, 2, 2], "balanced")
    np.testing.assert_allclose(weight, [4 / 3, 4 / 3, 2 / 3, 2 / 3])
    # by weight, not by rows: weights 2, 1, 1, 1 are as rows 0, 0, 1, 2, 2
    weight, _ = weigh([0, 1, 2, 2], "balanced", [2, 1, 1, 1])
    copies, _ = weigh([0, 0, 1, 2, 2], "balanced")
    np.testing.assert_allclose(weight, [copies[:2].sum(), *copies[2:]])
    # a class without weight takes no share
    weight, _ = weigh([0, 1, 2, 2], "balanced", [1, 3, 0, 0])
    np.testing.assert_allclose(weight, [2, 2, 0, 0])


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        ([0, 0, 0, 0], "sample_weight"),
        ([1, 1, -0.5, 1], r"sample_weight.*row 2\b.*-0\.5"),
        ([1, 0, 0, 0], "sample_weight.*'a'"),
    ],
)
def test_bad_sample_weights(weight, match):
    with pytest.raises(ValueError, match=match):
        weigh([0, 1, 2, 2], sample_weight=weight)


@pytest.mark.parametrize(
    "class_weight",
    [
        {"a": -1, "b": 1, "c": 1},
        {"a": np.inf, "b": 1, "c": 1},
        {"a": np.nan, "b": 1, "c": 1},
        {"a": 0, "b": 0, "c": 0},
        {"a": 0, "b": 0, "c": 1},
    ],
)
def test_bad_class_weights(class_weight):
    with pytest.raises(ValueError, match="class_weight"):
        weigh([0, 1, 2, 2], class_weight)


def test_class_weights_must_leave_two_classes_with_rows():
    with pytest.raises(ValueError, match="class_weight"):
        weigh([0, 1, 2, 2], {"a": 1, "b": 0, "c": 1}, [1, 1, 0, 0])
    weight, _ = weigh([0, 1, 2, 2], {"a": 1, "b": 0, "c": 1})
    np.testing.assert_array_equal(weight, [1, 0, 1, 1])


# Selection

NAMES = ["text", "image"]
COUNTS = np.array([True, True])


def select(X, codes, present, weight=None, counts=COUNTS):
    X, target = np.asarray(X, dtype=float), np.asarray(codes)[:, None]
    weight = np.ones(len(X)) if weight is None else np.asarray(weight, dtype=float)
    columns = np.arange(X.shape[1])
    return select_rows(X, columns, target, np.asarray(present, bool), weight, counts, NAMES)


def test_weights_of_selected_rows_have_mean_one():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = select([[0, 1], [2, 3], [4, 5], [0, 1]], [0, 1, 1, 0], np.ones((4, 2)), [1, 3, 0, 4])
    order = np.argsort(rows.index)
    np.testing.assert_array_equal(rows.index[order], [0, 1])  # 2 has no weight, 3 is a copy of 0
    np.testing.assert_array_equal(rows.target[order], [[0], [1]])
    np.testing.assert_allclose(rows.weight[order], [5 / 4, 3 / 4])
    assert rows.present.shape == (2, 2)


def test_rows_without_a_modality_that_counts_are_left_out():
    X, codes, present = [[0, 1], [2, 3], [4, 5]], [0, 1, 1], [[1, 1], [0, 0], [0, 1]]
    with pytest.warns(UserWarning, match=r"1 of 3\b.*row 1\b"):
        rows = select(X, codes, present)
    assert sorted(rows.index) == [0, 2]
    with pytest.warns(UserWarning, match=r"2 of 3\b.*row 1\b"):
        rows = select(X, codes, present, counts=np.array([True, False]))
    assert rows.index.tolist() == [0]


def test_rows_without_weight_are_not_warned_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = select([[0, 1], [2, 3], [4, 5]], [0, 1, 1], [[1, 1], [0, 0], [1, 1]], [1, 0, 1])
    assert sorted(rows.index) == [0, 2]


def test_modality_missing_from_every_row_that_counts():
    X, codes = [[0, 1], [2, 3], [4, 5]], [0, 1, 1]
    with pytest.raises(ValueError, match="'image'"):
        select(X, codes, [[1, 0], [1, 0], [1, 0]])
    with pytest.raises(ValueError, match="'text'"):
        select(X, codes, [[1, 1], [0, 1], [0, 1]], weight=[0, 1, 1])


# Copies


def distinct(X, codes, weight, columns=None):
    X = np.asarray(X)
    columns = np.arange(X.shape[1]) if columns is None else np.asarray(columns)
    return distinct_rows(X, columns, np.asarray(codes)[:, None], np.asarray(weight, dtype=float))


def test_copies_become_one_row_with_the_sum_of_their_weights():
    X = [[1.0, 2.0], [3.0, np.nan], [1.0, 2.0], [3.0, np.nan], [1.0, 2.0], [1.0, 2.0]]
    index, weight = distinct(X, [0, 1, 0, 1, 1, 0], [1, 2, 4, 8, 16, 0])
    assert dict(zip(index.tolist(), weight.tolist(), strict=True)) == {0: 5, 1: 10, 4: 16}


def test_every_target_makes_rows_distinct():
    X, columns, weight = np.ones((4, 2)), np.arange(2), np.array([1.0, 2.0, 4.0, 8.0])
    target = np.array([[0.5, np.nan], [0.5, 1.0], [0.5, np.nan], [0.5, 1.0]])
    index, weight = distinct_rows(X, columns, target, weight)
    assert dict(zip(index.tolist(), weight.tolist(), strict=True)) == {0: 5, 1: 10}


def test_only_the_columns_of_modalities_make_rows_distinct():
    index, weight = distinct([[1.0, 2.0, 3.0], [9.0, 2.0, 3.0]], [0, 0], [1, 1], columns=[2, 1])
    assert len(index) == 1
    assert weight.tolist() == [2]


def test_order_depends_neither_on_rows_nor_on_precision_nor_on_columns():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)).astype(np.float32)
    X[7] = [0.0, -0.0, 0.0, 1.0]
    codes, ones = rng.integers(0, 3, 50), np.ones(50)
    index, _ = distinct(X, codes, ones)
    order = rng.permutation(50)
    permuted, _ = distinct(X[order], codes[order], ones)
    np.testing.assert_array_equal(order[permuted], index)
    double, _ = distinct(np.abs(X.astype(float)) * np.sign(X), codes, ones)  # -0.0 becomes 0.0
    np.testing.assert_array_equal(double, index)
    turned, _ = distinct(X[:, [2, 3, 0, 1]], codes, ones, columns=[2, 3, 0, 1])
    np.testing.assert_array_equal(turned, index)


# Splits


def test_order_of_rows_goes_with_the_rows():
    x = np.random.default_rng(0).normal(size=(3000, 5)).astype(np.float32)
    order = order_rows(x)
    assert sorted(order) == list(range(3000))
    permutation = np.random.default_rng(1).permutation(3000)
    np.testing.assert_array_equal(permutation[order_rows(x[permutation])], order)


CODES = np.repeat([0, 1, 2], [60, 30, 11])


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_share_is_even_over_classes_and_random(fraction):
    held_out = sample_holdout(CODES, fraction, np.random.RandomState(0))
    assert abs(held_out.sum() - fraction * len(CODES)) <= 0.5
    for code, count in enumerate(np.bincount(CODES)):
        assert abs(held_out[code == CODES].sum() - fraction * count) <= 1
    again = sample_holdout(CODES, fraction, np.random.RandomState(0))
    np.testing.assert_array_equal(again, held_out)
    assert (sample_holdout(CODES, fraction, np.random.RandomState(1)) != held_out).any()


@pytest.mark.parametrize("n_folds", [2, 3, 5])
def test_folds_are_even_over_classes_and_random(n_folds):
    fold = assign_folds(CODES, n_folds, np.random.RandomState(0))
    sizes = np.bincount(fold)
    assert len(sizes) == n_folds
    assert np.ptp(sizes) <= 1
    for code in range(3):
        assert np.ptp(np.bincount(fold[code == CODES], minlength=n_folds)) <= 1
    assert (assign_folds(CODES, n_folds, np.random.RandomState(1)) != fold).any()


@pytest.mark.parametrize("codes", [CODES, np.arange(len(CODES))])
def test_groups_stay_whole(codes):
    groups = np.arange(len(codes)) // 4
    fold = assign_folds(codes, 3, np.random.RandomState(0), groups)
    assert set(fold) == {0, 1, 2}
    assert all(len(set(fold[groups == group])) == 1 for group in groups)
    assert set(assign_folds(codes, 3, np.random.RandomState(0), groups > 2)) == {0, 1}
    held_out = sample_holdout(codes, 0.3, np.random.RandomState(0), groups)
    assert all(len(set(held_out[groups == group])) == 1 for group in groups)
    assert 0 < held_out.sum() < len(codes) / 2


def test_groups_are_numbered():
    assert check_groups(None, 3) is None
    numbers = check_groups(["b", "a", "b"], 3)
    assert numbers.tolist() == [1, 0, 1]
