"""Which columns a modality has, where it is missing, and in which order modalities stand."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skmm import MLP, AdamW, FusionClassifier
from skmm._data.columns import (
    CHUNK_VALUES,
    ModalityColumns,
    as_slice,
    find_present,
    group_columns,
    row_chunks,
)
from skmm.datasets import make_multimodal_classification
from skmm.fusion import Late

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
    with pytest.raises(ValueError, match="'price'"):
        group_columns(modalities, names, 3)


def test_prefix_insists_on_names():
    with pytest.raises(ValueError, match='modalities="prefix"'):
        group_columns("prefix", None, 3)
    with pytest.raises(ValueError, match="'price'"):
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
        ({}, "modalities"),
        ({"a": 2, "b": 2}, r"modalities=.*\b5\b.*\b4\b"),
        ({"a": 6, "b": -1}, "modalities=.*-1"),
        ({"a": 5, "b": 0}, "modalities=.*0"),
        ({"a": [0, 1], "b": slice(1, 3)}, "modalities.*'image__0'"),
        ({"a": [0, 0]}, "modalities.*'text__0'"),
        ({"a": [0, -5]}, "modalities.*'text__0'"),
        ({"a": [], "b": [1]}, r"modalities\['a'\]"),
        ({"a": slice(5, 9)}, r"modalities\['a'\]"),
        ({"a": [0], "b": [5]}, r"modalities\['b'\].*\[5\]"),
        ({"a": slice("text__0", "text__1")}, r"modalities\['a'\]"),
        ({1: 2, "a": 3}, r"modalities.*\[1, 'a'\]"),
        ({"a": [-6]}, r"modalities\['a'\]"),
        ({"a": ["text__0", "nope"]}, r"modalities\['a'\].*'nope'"),
    ],
)
def test_bad_dict_of_columns(modalities, match):
    with pytest.raises(ValueError, match=match):
        group_columns(modalities, NAMES, 5)


def test_names_for_an_array():
    with pytest.raises(ValueError, match=r"modalities\['a'\].*'text__0'"):
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
    match = rf"Row {row}\b.*'a'.*'y'"
    with pytest.raises(ValueError, match=match):
        find_present(X, {"b": np.array([0]), "a": np.array([1, 3, 2])}, ["v", "w", "x", "y"])


def test_runs_of_columns_are_read_without_a_copy():
    assert as_slice(np.array([2, 3, 4])) == slice(2, 5)
    for columns in ([2, 4, 3], [2, 4], [4, 3, 2], [2, 2, 3]):
        np.testing.assert_array_equal(as_slice(np.array(columns)), columns)


@pytest.mark.parametrize("n_columns", [0, 1, 1000, 2 * CHUNK_VALUES])
def test_chunks_of_rows_are_all_rows(n_columns):
    n_rows = 1000 if n_columns > 1 else CHUNK_VALUES + 1
    rows = [(chunk.start, chunk.stop) for chunk in row_chunks(n_rows, n_columns)]
    assert rows[0][0] == 0
    assert rows[-1][1] == n_rows
    assert all(before[1] == after[0] for before, after in itertools.pairwise(rows))
    assert len(rows) > 1
    assert max(stop - start for start, stop in rows) * n_columns <= max(CHUNK_VALUES, n_columns)


# The two orders of modalities

GROUPS = {"text": np.array([0, 3]), "audio": np.array([4]), "image": np.array([2, 1])}


def test_the_networks_order_is_that_of_the_alphabet():
    columns = ModalityColumns(GROUPS, list("vwxyz"))
    assert columns.names == ["text", "audio", "image"]
    assert columns.network_names == ["audio", "image", "text"]
    assert list(columns.network_groups) == columns.network_names
    for name, positions in columns.network_groups.items():
        np.testing.assert_array_equal(positions, GROUPS[name])
    assert columns.named == {"text": ["v", "y"], "audio": ["z"], "image": ["x", "w"]}


@pytest.mark.parametrize("names", list(itertools.permutations("abcd", 3)))
def test_orders_are_crossed_and_crossed_back(names):
    columns = ModalityColumns({name: np.array([i]) for i, name in enumerate(names)}, [0, 1, 2])
    np.testing.assert_array_equal(columns.to_network(np.array(names)), sorted(names))
    np.testing.assert_array_equal(columns.to_user(np.array(sorted(names))), names)
    values = np.random.default_rng(0).normal(size=(3, 3, 3))
    for axis in range(3):
        crossed = columns.to_network(values, axis=axis)
        np.testing.assert_array_equal(columns.to_user(crossed, axis=axis), values)
        back = columns.to_user(values, axis=axis)
        np.testing.assert_array_equal(columns.to_network(back, axis=axis), values)
        for i, name in enumerate(names):
            where = sorted(names).index(name)
            np.testing.assert_array_equal(crossed.take(where, axis), values.take(i, axis))


@pytest.mark.parametrize(
    "parameters",
    [
        {"modality_weights": {"text": 0.5, "audio": 0.3, "image": 0.2}},
        {"modality_loss_weight": {"text": 1.0, "audio": 0.0, "image": 0.4}},
        {"alignment": "cosine", "alignment_weight": {("text", "audio"): 1.0}},
        {"fusion": Late(per_class=True)},
        {"fusion": "gated", "modality_dropout": 0.3},
        {"modality_model": {"text": MLP((4,)), "audio": LogisticRegression(), "image": "linear"}},
    ],
    ids=lambda parameters: "-".join(parameters),
)
def test_what_is_predicted_depends_on_names_alone(parameters):
    """Three modalities, for an order of two is its own inverse."""
    X, y = make_multimodal_classification(
        90,
        n_features=(3, 4, 2),
        n_classes=3,
        missing_rate=0.1,
        modality_names=["audio", "image", "text"],
        random_state=0,
    )
    has_some = X.notna().any(axis=1).to_numpy()
    X, y = X[has_some], y[has_some]
    model = FusionClassifier(
        modality_model=MLP((6,)),
        interaction=None,
        solver=AdamW(max_iter=3, batch_size=40),
        random_state=0,
    ).set_params(**parameters)
    alphabetical = clone(model).fit(X, y)
    proba, each = alphabetical.predict_proba(X), alphabetical.modality_proba(X)
    for names in [("text", "audio", "image"), ("image", "text", "audio")]:
        permuted = X[[column for name in names for column in X if column.startswith(name)]]
        other = clone(model).fit(permuted, y)
        assert list(other.modalities_) == list(names)
        np.testing.assert_array_equal(other.predict_proba(permuted), proba)
        order = [["audio", "image", "text"].index(name) for name in names]
        np.testing.assert_array_equal(other.modality_proba(permuted), each[:, order])
        np.testing.assert_array_equal(
            other.row_weights(permuted), alphabetical.row_weights(X)[:, order]
        )
        np.testing.assert_array_equal(
            other.contributions(permuted), alphabetical.contributions(X)[:, order]
        )
        weights = pd.DataFrame(other.modality_weights_, index=other.classes_)
        expected = pd.DataFrame(alphabetical.modality_weights_, index=other.classes_)
        pd.testing.assert_frame_equal(weights, expected[list(names)])
        assert other.history_.equals(alphabetical.history_)
