"""Which columns a modality has, where it is missing, and how its columns are scaled."""

import numpy as np
import pytest

from skmm.fusion._modalities import ColumnScaler, find_present, group_columns

NAMES = np.array(["text__0", "image__0", "text__1", "image__1", "image__a__b"], dtype=object)


def lists(groups):
    return {name: positions.tolist() for name, positions in groups.items()}


# Grouping


@pytest.mark.parametrize("modalities", [None, "prefix"])
def test_prefixes_may_stand_mixed(modalities):
    groups = group_columns(modalities, NAMES, 5)
    assert lists(groups) == {"text": [0, 2], "image": [1, 3, 4]}
    assert list(groups) == ["text", "image"]  # as they first stand in the data


def test_without_prefixes_there_is_one_modality():
    assert lists(group_columns(None, None, 3)) == {"all": [0, 1, 2]}
    plain = np.array(["price", "__x", "a_b"], dtype=object)
    assert lists(group_columns(None, plain, 3)) == {"all": [0, 1, 2]}


@pytest.mark.parametrize("modalities", [None, "prefix"])
def test_some_columns_without_prefix(modalities):
    names = np.array(["text__0", "price", "__x"], dtype=object)
    with pytest.raises(ValueError, match=r"2 have no such prefix, the first being 'price'"):
        group_columns(modalities, names, 3)


def test_prefix_insists_on_names():
    with pytest.raises(ValueError, match="X has no column names"):
        group_columns("prefix", None, 3)
    with pytest.raises(ValueError, match="1 have no such prefix"):
        group_columns("prefix", np.array(["price"], dtype=object), 1)


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        ({"a": 2, "b": 3}, {"a": [0, 1], "b": [2, 3, 4]}),
        ({"a": np.int64(4), "b": 1}, {"a": [0, 1, 2, 3], "b": [4]}),
        ({"a": slice(None, 2), "b": slice(2, None)}, {"a": [0, 1], "b": [2, 3, 4]}),
        ({"a": slice(0, 5, 2)}, {"a": [0, 2, 4]}),
        ({"a": [4, 0], "b": range(1, 3)}, {"a": [4, 0], "b": [1, 2]}),
        ({"a": [0, -1], "b": slice(-4, -2)}, {"a": [0, 4], "b": [1, 2]}),
        ({"a": ["image__1", "text__0"], "b": "image__0"}, {"a": [3, 0], "b": [1]}),
        ({"b": np.array(["text__1"]), "a": [0]}, {"b": [2], "a": [0]}),
    ],
)
def test_dict_of_columns(modalities, expected):
    groups = group_columns(modalities, NAMES, 5)
    assert lists(groups) == expected
    assert list(groups) == list(expected)


@pytest.mark.parametrize(
    ("modalities", "match"),
    [
        ({}, "at least one modality"),
        ({"a": 2, "b": 2}, "add up to the 5 columns of X; they add up to 4"),
        ({"a": 6, "b": -1}, "must be positive"),
        ({"a": 5, "b": 0}, "must be positive"),
        ({"a": [0, 1], "b": slice(1, 3)}, "a column to two modalities"),
        ({"a": [0, 0]}, "a column to two modalities"),
        ({"a": [0, -5]}, "a column to two modalities"),
        ({"a": [], "b": [1]}, r"modalities\['a'\] must give at least one"),
        ({"a": slice(5, 9)}, r"modalities\['a'\] must give at least one"),
        ({"a": [0], "b": [5]}, r"modalities\['b'\] must give .*got \[5\]"),
        ({"a": slice("text__0", "text__1")}, r"modalities\['a'\] must be a slice of positions"),
        ({1: 2, "a": 3}, r"must be strings, got \[1, 'a'\]"),
        ({"a": [-6]}, r"modalities\['a'\]"),
        ({"a": ["text__0", "nope"]}, r"names the column 'nope', but X has \['text__0'"),
    ],
)
def test_bad_dict_of_columns(modalities, match):
    with pytest.raises(ValueError, match=match):
        group_columns(modalities, NAMES, 5)


def test_names_for_an_array():
    with pytest.raises(ValueError, match="'text__0', but X has no column names"):
        group_columns({"a": ["text__0"]}, None, 3)


# What is missing


def test_a_modality_is_missing_if_all_its_columns_are():
    nan = np.nan
    X = np.array([[1, 2, 3], [nan, nan, 3], [1, 2, nan], [nan, nan, nan]])
    present = find_present(X, {"b": np.array([2]), "a": np.array([0, 1])}, "xyz")
    np.testing.assert_array_equal(present, [[1, 1], [1, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize("row", [0, 69_999])
def test_partly_missing_in_a_long_table(row):
    X = np.zeros((70_000, 4), dtype=np.float32)  # more rows than are looked at in one go
    X[0] = np.nan
    X[row] = [1, 1, np.nan, np.nan]
    match = rf"Row {row} has NaN in 2 of the 3 columns of modality 'a', the first .* column 'y'"
    with pytest.raises(ValueError, match=match):
        find_present(X, {"b": np.array([0]), "a": np.array([1, 3, 2])}, ["v", "w", "x", "y"])


# Scale


def scaler(X, groups=None, present=None, weight=None, index=None):
    X = np.asarray(X, dtype=float)
    groups = {"a": np.arange(X.shape[1])} if groups is None else groups
    index = np.arange(len(X)) if index is None else np.asarray(index)
    present = np.ones((len(index), len(groups)), dtype=bool) if present is None else present
    weight = np.ones(len(index)) if weight is None else np.asarray(weight, dtype=float)
    return ColumnScaler().fit(X, index, groups, np.asarray(present, dtype=bool), weight)


def test_scale_is_a_compromise():
    # Standard deviations 1, 4, 16, 64, 4: the median is 4, their ratios to it 1/4, 1, 4, 16, 1, the
    # roots of these 1/2, 1, 2, 4 (at most 2), 1; the scales are what is left of the deviations.
    X = np.array([[-1.0], [1.0]]) * [1, 4, 16, 64, 4] + [0, 5, 0, -7, 1]
    fitted = scaler(X)
    np.testing.assert_allclose(fitted.mean_, [0, 5, 0, -7, 1])
    np.testing.assert_allclose(fitted.scale_, [2, 4, 8, 32, 4])


def test_a_modality_has_a_scale_of_its_own():
    X = np.array([[-1.0], [1.0]]) * [2, 2, 1000, 1000]
    fitted = scaler(X, {"a": np.array([0, 1]), "b": np.array([2, 3])})
    np.testing.assert_allclose(fitted.scale_, [2, 2, 1000, 1000])


def test_scale_uses_weights_and_rows_that_are_there():
    # column 0: 0 with weight 3 and 4 with weight 1: mean 1, variance (3 * 1 + 9) / 4 = 3
    # column 1: the first row is missing, the third has no part in fitting
    X = np.array([[0, np.nan], [4, 6], [1e9, 1e9], [0, 2]])
    groups = {"a": np.array([0]), "b": np.array([1])}
    fitted = scaler(X, groups, [[1, 0], [1, 1], [1, 1]], weight=[2, 1, 1], index=[0, 1, 3])
    np.testing.assert_allclose(fitted.mean_, [1, 4])
    np.testing.assert_allclose(fitted.scale_, [3**0.5, 2])


def test_transform_takes_rows_and_columns_in_the_order_asked():
    X = np.array([[0.0, 10.0], [4.0, 30.0], [np.nan, np.nan]])
    fitted = scaler(X, index=[0, 1], groups={"a": np.array([0]), "b": np.array([1])})
    scaled = fitted.transform(X, np.array([1, 0, 2]), np.array([1, 0]))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[1, 1], [-1, -1], [0, 0]])


def test_constant_columns_have_no_effect():
    X = np.c_[np.full(5, 0.1, dtype=np.float32), np.arange(5)]
    fitted = scaler(X)
    new = np.array([[0.1, 2.0], [1e6, 2.0]])
    np.testing.assert_array_equal(fitted.transform(new, np.arange(2), np.arange(2)), 0)


def test_large_offsets_keep_their_spread():
    X = 1.7e9 + np.array([[-1.0], [0.0], [1.0]])
    scaled = scaler(X).transform(X, np.arange(3), np.arange(1))
    np.testing.assert_allclose(scaled[:, 0], [-(1.5**0.5), 0, 1.5**0.5], rtol=1e-6)


def test_scaled_values_are_finite_whatever_float64_holds():
    fitted = scaler(np.array([[-1.0], [1.0]]))
    new = np.array([[1e300], [-1e300], [3.0]])
    np.testing.assert_allclose(fitted.transform(new, np.arange(3), np.arange(1)), [[3], [-3], [3]])


def test_modality_without_rows_is_scaled_in_silence():
    with np.errstate(all="raise"):
        fitted = scaler(
            [[1.0, np.nan], [2.0, np.nan]],
            {"a": np.array([0]), "b": np.array([1])},
            [[True, False], [True, False]],
        )
        assert np.isfinite(fitted.transform(np.ones((1, 2)), np.arange(1), np.arange(2))).all()


def test_long_tables_are_scaled_as_a_whole():
    rng = np.random.default_rng(0)
    X = rng.normal(3, [1, 2, 1.5], size=(200_000, 3))  # several chunks
    fitted = scaler(X)
    np.testing.assert_allclose(fitted.mean_, X.mean(0))
    scaled = fitted.transform(X, np.arange(len(X)), np.arange(3))
    np.testing.assert_allclose(scaled, (X - X.mean(0)) / fitted.scale_, atol=1e-5)


def test_values_outside_of_the_training_range_are_moved_to_its_edge():
    X = np.array([[0.0, 1e-9], [2.0, 2e-9], [4.0, 3e-9]])
    scaler = ColumnScaler().fit(
        X, np.arange(3), {"a": np.arange(2)}, np.ones((3, 1), bool), np.ones(3)
    )
    new = np.array([[8.0, 5e-9], [9.0, 0.1], [-1e9, -0.1], [np.nan, np.nan]])
    scaled = scaler.transform(new, np.arange(4), np.arange(2))
    # as far again as the training values are apart: from -4 to 8, and from -1e-9 to 5e-9
    expected = scaler.transform(
        np.array([[8.0, 5e-9], [8.0, 5e-9], [-4.0, -1e-9]]), np.arange(3), np.arange(2)
    )
    np.testing.assert_array_equal(scaled[:3], expected)
    assert np.abs(scaled).max() < 10
    np.testing.assert_array_equal(scaled[3], 0)
    inside = scaler.transform(X, np.arange(3), np.arange(2))
    np.testing.assert_allclose(inside[:, 0] / inside[0, 0], [1, 0, -1], atol=1e-6)
