"""TabularEncoder: what counts as a number, and values that no number can stand for."""

import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from sklearn import config_context

from skmm import ModalityTransformer
from skmm.compose._derived import derive
from skmm.compose._tabular import MAX_CATEGORIES, TabularEncoder

DAYS = [datetime.date(2026, 1, day) for day in (1, 2, 4)]
NUMBERS = {
    "objects": pd.Series([1, 2.0, 4], dtype=object),
    "decimals": pd.Series([Decimal(1), Decimal(2), Decimal(4)]),
    "arrow": pd.Series([1, 2, 4], dtype="int64[pyarrow]"),
    "sparse": pd.Series(pd.arrays.SparseArray([1, 2, 4])),
    "dates": pd.Series(DAYS, dtype=object),
    "written dates": pd.Series(["2026-01-01", "2026-01-02", "2026-01-04"]),
    "written times": pd.Series(["2026-01-01 00:00", "2026-01-01T12:00Z", "2026-01-02T12:00"]),
    "datetimes": pd.Series(pd.to_datetime(DAYS)),
    "arrow timestamps": pd.Series(pd.to_datetime(DAYS)).astype("timestamp[ns][pyarrow]"),
    "local times": pd.Series(pd.to_datetime(DAYS).tz_localize("Asia/Tokyo")),
    "durations": pd.Series(pd.to_timedelta([1, 2, 4], unit="h")),
    "durations as objects": pd.Series([datetime.timedelta(i) for i in (1, 2, 4)], dtype=object),
    "times of the day": pd.Series([datetime.time(i) for i in (1, 2, 4)]),
    "arrow times": pd.Series(
        [datetime.time(i) for i in (1, 2, 4)], dtype=pd.ArrowDtype(pa.time32("s"))
    ),
    "days as periods": pd.Series(pd.PeriodIndex(DAYS, freq="D")),
    "periods as objects": pd.Series(pd.PeriodIndex(DAYS, freq="D")).astype(object),
}
CELLS = [name for name in NUMBERS if name != "sparse"]


@pytest.mark.parametrize("kind", NUMBERS)
def test_every_kind_of_number_is_scaled(kind):
    encoded = TabularEncoder().fit_transform(NUMBERS[kind].to_frame("column"))
    expected = (np.array([1, 2, 4]) - 7 / 3) / np.std([1, 2, 4])
    np.testing.assert_allclose(encoded[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", CELLS)
def test_every_kind_of_number_is_inferred_and_may_be_missing(kind):
    frame = pd.concat([NUMBERS[kind].to_frame("column")] * 5, ignore_index=True)
    frame.loc[3] = None
    encoded = ModalityTransformer().fit_transform(frame.assign(other=0.5))
    np.testing.assert_allclose(encoded["tabular__column"][3], np.median(encoded.iloc[3:, 0]))
    encoded = ModalityTransformer().fit_transform(frame)
    assert encoded.isna().all(axis=1).tolist() == [row == 3 for row in range(15)]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("values", [[True, False, True], [1, 0, 1], DAYS[:2] + DAYS[:1]])
def test_a_missing_object_is_imputed_as_a_number_is(values, missing):
    frame = pd.DataFrame({"a": pd.Series([*values, missing], dtype=object), "b": range(4)})
    encoder = TabularEncoder().fit(frame)
    assert encoder.get_feature_names_out().tolist() == ["a", "b", "a_missing"]
    encoded = encoder.transform(frame)
    assert np.isfinite(encoded).all()
    assert encoded[3, 0] == encoded[0, 0]  # the median


def test_a_column_without_a_value_at_transform():
    encoder = TabularEncoder().fit(pd.DataFrame({"a": [1.0, 2, 6], "b": ["x", "y", "x"]}))
    encoded = encoder.transform(pd.DataFrame({"a": [None, None], "b": ["x", None]}))
    assert encoded[0, 0] == pytest.approx((2 - 3) / np.std([1, 2, 6]))
    assert np.isnan(encoded[1]).all()


@pytest.mark.parametrize("largest", [1e200, -1e308])
def test_value_too_large_to_scale_is_named(largest):
    frame = pd.DataFrame({"price": [1.0, largest, 3.0]})
    with pytest.raises(ValueError, match=r"'price'.*1e\+150.*row 1"):
        TabularEncoder().fit(frame)
    frame.loc[1, "price"] = largest / abs(largest) * 1e150
    assert np.isfinite(TabularEncoder().fit_transform(frame)).all()


@pytest.mark.parametrize("index", [None, [10, 20, 30]])
def test_infinite_value_is_named(index):
    frame = pd.DataFrame({"ok": [1.0, 2, 3], "odd": [1.0, -np.inf, np.inf]}, index=index)
    label = "" if index is None else r" \(index 20\)"
    with pytest.raises(ValueError, match=rf"'odd'.*row 1{label}"):
        TabularEncoder().fit(frame)
    encoder = TabularEncoder().fit(frame[["ok", "ok"]].set_axis(["ok", "odd"], axis=1))
    with pytest.raises(ValueError, match=rf"'odd'.*row 1{label}"):
        encoder.transform(frame)


def test_words_where_numbers_were():
    encoder = TabularEncoder().fit(pd.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(ValueError, match=r"'a'.*'cheap'"):
        encoder.transform(pd.DataFrame({"a": ["3.5", "cheap"]}))


def test_rare_and_new_categories_share_a_column():
    words = [f"w{i}" for i in range(MAX_CATEGORIES - 1) for _ in range(2)] + ["rare", "rarer"]
    encoder = TabularEncoder().fit(pd.DataFrame({"word": words}))
    frame = pd.DataFrame({"word": ["rare", "rarer", "?", "w3"]})
    rare, rarer, new, common = encoder.transform(frame)[:, 1:]  # after the frequency
    assert len(rare) == MAX_CATEGORIES
    np.testing.assert_array_equal(rare, rarer)
    np.testing.assert_array_equal(rare, new)
    assert rare.sum() == common.sum() == 1
    assert not np.array_equal(rare, common)


def test_names_that_a_number_and_a_category_share_are_told_apart():
    frame = pd.DataFrame({"a": ["x", "y", "x"], "a_x": [1, 2, 4], "a_x_": ["", "", "z"]})
    encoder = TabularEncoder().fit(frame)
    names = encoder.get_feature_names_out()
    assert names.tolist() == ["a_x", "a_x_", "a_y", "a_x__", "a_x__z"]
    encoded = pd.DataFrame(encoder.transform(frame), columns=names)
    assert encoded["a_x_"].tolist() == [1, 0, 1]


def test_words_where_dates_were():
    encoder = TabularEncoder().fit(pd.DataFrame({"day": ["2026-01-01", "2026-01-03"]}))
    with pytest.raises(ValueError, match=r"'day'.*'soon'"):
        encoder.transform(pd.DataFrame({"day": ["2026-01-02", "soon"]}))
    encoded = encoder.transform(pd.DataFrame({"day": ["2026-01-02", None]}))
    assert encoded[0, 0] == 0
    assert np.isnan(encoded[1, 0])


ONE_OF_EACH = {
    "numbers": pd.Series([1.0, 2.0, 4.0]),
    "dates": pd.Series(DAYS, dtype=object),
    "durations": pd.Series(pd.to_timedelta([1, 2, 4], unit="h")),
}


@pytest.mark.parametrize("then", ONE_OF_EACH)
@pytest.mark.parametrize("now", ONE_OF_EACH)
def test_numbers_dates_and_durations_are_not_taken_for_each_other(then, now):
    encoder = TabularEncoder().fit(ONE_OF_EACH[then].to_frame("column"))
    if then == now:
        assert encoder.transform(ONE_OF_EACH[now].to_frame("column")).shape == (3, 1)
    else:
        with pytest.raises(ValueError, match=f"'column'.*{then}.*{now}"):
            encoder.transform(ONE_OF_EACH[now].to_frame("column"))


@pytest.mark.parametrize("dtype", [bool, "boolean", "bool[pyarrow]", object])
def test_every_kind_of_boolean_is_a_number(dtype):
    flags = pd.DataFrame({"flag": pd.Series([True, False, False, True], dtype=dtype)})
    encoder = TabularEncoder().fit(flags)
    np.testing.assert_array_equal(encoder.transform(flags)[:, 0], [1, -1, -1, 1])
    assert encoder.get_feature_names_out().tolist() == ["flag"]


def test_columns_whose_names_and_categories_join_to_the_same_words():
    frame = pd.DataFrame({"a": ["b_c", "x"], "a_b": ["y", "c"]})
    encoder = TabularEncoder().fit(frame)
    encoded = pd.DataFrame(encoder.transform(frame), columns=encoder.get_feature_names_out())
    assert encoded.to_dict("list") == {
        "a_b_c": [1, 0],
        "a_x": [0, 1],
        "a_b_c_": [0, 1],
        "a_b_y": [1, 0],
    }


def test_numbers_with_few_levels_are_categories_too():
    years = np.repeat([2012.0, 2013.0, 2015.0], [10, 10, 12])
    years[-2:] = np.nan
    frame = pd.DataFrame({"year": years, "flag": np.arange(32) % 2, "price": np.arange(32.0)})
    encoder = TabularEncoder().fit(frame)
    names = encoder.get_feature_names_out().tolist()
    assert names[:3] == ["year", "flag", "price"]
    assert names[3:6] == ["year_2012.0", "year_2013.0", "year_2015.0"]
    encoded = encoder.transform(frame)
    assert encoded.shape[1] == len(names)
    np.testing.assert_array_equal(encoded[[0, 10, 20], 3:6], np.eye(3))
    np.testing.assert_array_equal(encoded[-1, 3:6], 0)  # missing
    new = encoder.transform(pd.DataFrame({"year": [1999.0], "flag": [1], "price": [2.0]}))
    np.testing.assert_array_equal(new[0, 3:6], 0)


def test_numbers_in_few_rows_are_numbers_alone():
    encoder = TabularEncoder().fit(pd.DataFrame({"rating": [1, 2, 3, 4, 5] * 2}))
    assert encoder.get_feature_names_out().tolist() == ["rating"]


def make_mixed_columns():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "int": rng.integers(0, 100, 60),
            "kind": rng.choice(["x", "y"], 60),
            "float32": rng.normal(size=60).astype(np.float32),
            "day": pd.date_range("2026-01-01", periods=60),
            "flag": rng.random(60) < 0.5,
            "gaps": np.where(rng.random(60) < 0.3, np.nan, rng.normal(size=60)),
            "level": np.repeat([1.0, 2.0, 4.0], 20),
            "object": pd.Series([1, 2.5, None] * 20, dtype=object),
            "nothing": np.nan,
        }
    )


@pytest.mark.parametrize("columns", [slice(None), ["int", "float32", "flag", "gaps", "nothing"]])
@pytest.mark.parametrize("rows", [slice(None), slice(3, 4)])
def test_features_are_those_of_the_fitted_column_transformer(columns, rows):
    frame = make_mixed_columns().loc[:, columns]
    encoder = TabularEncoder().fit(frame)
    before = frame.copy()
    with config_context(transform_output="pandas"):
        encoded = np.asarray(encoder.transform(frame[rows]))
    expected = encoder.columns_.transform(derive(encoder._prepare(frame), encoder.derived_))[rows]
    np.testing.assert_array_equal(encoded, np.asarray(expected, dtype=np.float32))
    assert encoded.shape[1] == len(encoder.get_feature_names_out())
    pd.testing.assert_frame_equal(frame, before)


def test_the_first_wrong_column_is_named_beside_plain_numbers():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": pd.Series([1, 2], dtype=object), "c": [1.0, 2.0]})
    encoder = TabularEncoder().fit(frame)
    wrong = frame.assign(b=pd.Series(["x", 1], dtype=object), c=np.inf)
    with pytest.raises(ValueError, match="'b'"):
        encoder.transform(wrong)
    with pytest.raises(ValueError, match=r"'c'.*row 0\b"):
        encoder.transform(wrong.assign(b=1))
    with pytest.raises(ValueError, match=r"'a'.*row 1\b"):
        encoder.transform(wrong.assign(a=[1.0, -np.inf]))


EQUALS = {
    "integers": [1, 2, 3],
    "floats": [1.0, 2.0, 3.0],
    "decimals": [Decimal(1), Decimal("2.0"), Decimal(3)],
    "NumPy's": [np.int8(1), np.float32(2), np.int64(3)],
    "text": ["1", "2", "3"],
    "text of floats": ["1.0", "2.0", "3.0"],
}


@pytest.mark.parametrize("then", EQUALS)
@pytest.mark.parametrize("now", EQUALS)
def test_categories_that_are_equal_are_one(then, now):
    fitted = pd.DataFrame({"store": pd.Categorical(EQUALS[then] * 4)})
    encoder = TabularEncoder().set_output(transform="pandas").fit(fitted)
    new = pd.Series([*EQUALS[now][:2], None], dtype=object).astype("category")
    encoded = encoder.transform(pd.DataFrame({"store": new}))
    assert encoded.columns.tolist() == ["store_1", "store_2", "store_3"]
    assert encoded.iloc[:2].to_numpy().tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ([True, False], [1, 0]),
        ([True, False], ["True", "False"]),
        (["True", "False"], [True, False]),
        (["True", "False"], [1.0, "False"]),
        ([0.5, 2], [Decimal("0.50"), Decimal(2)]),
        (pd.IntervalIndex.from_breaks([0, 1, 2]), pd.IntervalIndex.from_breaks([0.0, 1.0, 2.0])),
        ([(1, "a"), (2, "b")], [(1.0, "a"), (2.0, "b")]),
        ([pd.Timestamp(2026, 1, 1), "x"], [datetime.datetime(2026, 1, 1), "x"]),
        ([pd.Timestamp(2026, 1, 1), "x"], [datetime.date(2026, 1, 1), "x"]),
        ([pd.Timestamp(2026, 1, 1), "x"], [np.datetime64("2026-01-01"), "x"]),
        (
            [pd.Timestamp("2026-01-01 09:00", tz="Asia/Tokyo"), "x"],
            [pd.Timestamp("2026-01-01 00:00", tz="UTC"), "x"],
        ),
        ([0.5, "x"], [Fraction(1, 2), "x"]),
        ([1e300, float("inf")], [1e300, np.inf]),
        ([2**60, 2**60 + 1], [Decimal(2**60), Fraction(2**60 + 1)]),
    ],
)
def test_equal_categories_of_other_types(then, now):
    columns = [pd.Series([*values] * 3, dtype=object).astype("category") for values in (then, now)]
    encoder = TabularEncoder().fit(columns[0].to_frame("c"))
    expected = encoder.transform(columns[0].to_frame("c"))
    assert expected.shape == (6, 2)
    np.testing.assert_array_equal(encoder.transform(columns[1].to_frame("c")), expected)


def test_large_integers_that_differ_are_two_categories():
    stores = pd.DataFrame({"store": pd.Categorical([2**60, 2**60 + 1] * 3)})
    assert TabularEncoder().fit_transform(stores)[:2].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("then", "now", "named"),
    [
        (["01", "02"], [1, 2], r"1\)? in row 0.*'01'.*were texts, and now numbers"),
        (
            pd.to_datetime(["2026-01-01", "2026-01-02"]),
            ["2026-01-01", "2026-01-02"],
            "were dates, and now texts",
        ),
        (["a", "b"], [None, b"a"], r"b'a' in row 1.*were texts, and now bytes"),
    ],
)
def test_categories_that_are_written_in_another_type_are_warned_of(then, now, named):
    encoder = TabularEncoder().fit(pd.DataFrame({"c": pd.Categorical([*then] * 4)}))
    with pytest.warns(UserWarning, match=f"Column 'c' holds no category that fit saw.*{named}"):
        encoder.transform(pd.DataFrame({"c": pd.Categorical(now)}))


def test_many_rows_without_a_known_category_are_warned_of():
    encoder = TabularEncoder().fit(pd.DataFrame({"c": ["a", "b"] * 4, "d": ["a", "b"] * 4}))
    new = pd.DataFrame({"c": ["A", None] * 20, "d": ["b", None] * 20})
    with pytest.warns(UserWarning, match="'c' holds no category that fit saw.*as in fit"):
        encoder.transform(new)
    encoder.transform(new[:38])  # of 19 rows, of the same type, all may be unknown
    encoder.transform(new[:1].assign(c="B"))


@pytest.mark.parametrize("cell", ["2023-02-30", "2023-04-31", "2023-01-01 25:00"])
@pytest.mark.parametrize("dtype", ["object", "string", pd.ArrowDtype(pa.string())])
def test_a_date_that_is_none_is_named_with_its_row(cell, dtype):
    days = [f"2023-01-{1 + i % 28:02d}" for i in range(60)]
    days[41] = cell
    frame = pd.DataFrame({"day": pd.Series(days, dtype=dtype), "n": range(60)})
    with pytest.raises(ValueError, match=rf"'day' .*'{cell}' in row 41\b"):
        TabularEncoder().fit(frame)
    encoder, rest = (
        TabularEncoder().fit(frame[:40]),
        frame[40:].set_axis(list("abcdefghijklmnopqrst")),
    )
    with pytest.raises(ValueError, match=rf"'day' .*'{cell}' in row 1 \(index 'b'\)"):
        encoder.transform(rest)


def test_a_boolean_and_its_name_are_one_category():
    frame = pd.DataFrame({"c": pd.Series(["True", True, "False", False, "x"] * 3, dtype=object)})
    encoder = TabularEncoder().set_output(transform="pandas")
    encoded = encoder.fit_transform(frame)[:5]
    assert encoded["c_1"].tolist() == [1, 1, 0, 0, 0]
    assert encoded["c_0"].tolist() == [0, 0, 1, 1, 0]


@pytest.mark.parametrize("text", ["1.10", "01.0", "1.00", "v1.0", "true"])
def test_other_texts_are_categories_of_their_own(text):
    values = ["1", "1.1", "0", text] * 3
    assert TabularEncoder().fit_transform(pd.DataFrame({"c": pd.Categorical(values)})).shape[1] == 4


@pytest.mark.parametrize(
    ("cell", "match"),
    [
        (np.array([1.0, 2.0]), 'vectors of 2 numbers.*row 1.*"embedding"'),
        ([0.5, 2], 'vectors of 2 numbers.*row 1.*"embedding"'),
        (np.zeros((4, 4, 3), dtype=np.uint8), 'row 1.*"image"'),
        (Image.new("L", (2, 2)), 'PIL.*row 1.*"image"'),
        ((np.zeros(9), 8000), 'row 1.*"audio"'),
        ({"a": 1}, "dict objects.*row 1.*columns"),
        (["red", "blue"], "list objects.*row 1.*columns"),
        ({"red"}, "set objects.*row 1.*columns"),
    ],
)
def test_what_no_other_row_can_equal_is_no_category(cell, match):
    frame = pd.DataFrame({"v": pd.Series([None, *[cell] * 9], dtype=object), "n": range(10)})
    with pytest.raises(ValueError, match=rf"'v' .*{match}"):
        TabularEncoder().fit(frame)
    with pytest.raises(ValueError, match=rf"'v' .*{match}"):
        ModalityTransformer(schema={"v": "tabular", "n": "tabular"}).fit(frame)


def test_a_row_of_numbers_that_cannot_be_read_is_a_missing_modality():
    X = pd.DataFrame({"price": [f"${i}.50" for i in range(40)]})
    X.loc[37:, "price"] = [None, "n/a", ""]
    encoder = TabularEncoder().fit(X)
    with pytest.warns(UserWarning, match="'price'.*'ask'"):
        encoded = encoder.transform(pd.DataFrame({"price": ["$1.50", "ask", "N/A", None]}))
    assert np.isnan(encoded).all(axis=1).tolist() == [False, True, True, True]
    assert np.isnan(encoder.transform(X)).any(axis=1).sum() == 3
