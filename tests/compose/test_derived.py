"""Columns made of others: indicators, logarithms, cycles, and how frequent a category is."""

import numpy as np
import pandas as pd
import pytest

from skmm import TabularEncoder


def encode(frame, y=None):
    encoder = TabularEncoder().set_output(transform="pandas")
    return encoder.fit_transform(frame, y), encoder


def added(frame):
    """Return the names of what is made beside the columns and their levels."""
    return list(TabularEncoder().fit(frame).derived_)


# Missing values


def test_missing_numbers_dates_and_durations_are_indicated():
    frame = pd.DataFrame(
        {
            "age": [1.0, None, 3.0, 4.0],
            "day": pd.to_datetime(["2026-01-01", "2026-01-02", None, "2026-01-04"]),
            "time": pd.to_timedelta([None, 2, 3, 4], unit="h"),
            "kind": ["a", None, "b", "a"],
            "full": [1, 2, 3, 4],
        }
    )
    encoded, encoder = encode(frame)
    assert list(encoded.filter(like="_missing")) == ["age_missing", "day_missing", "time_missing"]
    assert encoded["age_missing"].tolist() == [0, 1, 0, 0]
    assert encoded["day_missing"].tolist() == [0, 0, 1, 0]
    new = encoder.transform(frame.assign(age=None, full=None))
    assert new["age_missing"].tolist() == [1, 1, 1, 1]


def test_columns_that_are_missing_together_have_one_indicator():
    a = np.where(np.arange(8) % 3, 1.0, np.nan)
    frame = pd.DataFrame({"a": a, "b": 2 * a, "c": np.where(a > 0, np.nan, 5.0), "full": 1})
    assert added(frame) == ["a_missing", "c_missing"]


def test_nothing_is_indicated_where_it_would_be_constant():
    assert added(pd.DataFrame({"a": [1.0, None, 3.0]})) == []  # such rows are missing, all of them
    assert added(pd.DataFrame({"a": [np.nan] * 3, "b": [1, 2, 3]})) == []


# Zeros and tails


def make_numbers(n=400):
    rng = np.random.default_rng(0)
    normal = rng.normal(size=n)
    return pd.DataFrame(
        {
            "normal": normal,
            "uniform": rng.random(n),
            "two humps": normal + 10 * (rng.random(n) < 0.5),
            "lognormal": np.exp(1.5 * normal),
            "both tails": rng.standard_t(1, n),
            "outlier": np.where(np.arange(n) == 7, 1e6, normal),
            "mostly zero": np.where(rng.random(n) < 0.9, 0, np.exp(normal)),
            "few zeros": np.where(rng.random(n) < 0.1, 0, 100 + normal),
            "rare flag": rng.random(n) < 0.01,
            "rating": rng.choice([0, 0, 1, 100], n),
        }
    )


def test_tails_are_squashed_and_zeros_indicated_where_they_are():
    names = added(make_numbers())
    assert [name for name in names if name.endswith("_log")] == [
        "lognormal_log",
        "both tails_log",
        "outlier_log",
        "mostly zero_log",
        "few zeros_log",
    ]
    assert [name for name in names if name.endswith("_zero")] == [
        "mostly zero_zero",
        "few zeros_zero",
    ]


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("name", ["normal", "lognormal", "mostly zero"])
def test_tails_do_not_depend_on_the_unit(name, factor):
    frame = make_numbers()[[name]]
    expected, scaled = encode(frame)[0], encode(frame * factor)[0]
    np.testing.assert_allclose(scaled, expected, atol=1e-5)


def test_squashed_numbers_keep_their_order_and_have_no_outliers():
    frame = make_numbers()
    encoded, encoder = encode(frame)
    for name in ("lognormal", "both tails", "mostly zero"):
        before, squashed = frame[name], encoded[f"{name}_log"]
        assert (squashed.rank() == before.rank()).all()
        assert squashed.abs().max() < encoded[name].abs().max()
        np.testing.assert_allclose([squashed.mean(), squashed.std(ddof=0)], [0, 1], atol=1e-5)
    zeros = frame["mostly zero"] == 0
    np.testing.assert_array_equal(encoded["mostly zero_zero"], zeros)
    gap = encoder.transform(frame[:1].assign(**{"mostly zero": np.nan}))
    assert gap["mostly zero_zero"].item() == 0
    median = encoder.transform(frame[:1].assign(lognormal=frame["lognormal"].median()))
    missing = encoder.transform(frame[:1].assign(lognormal=np.nan))
    np.testing.assert_allclose(missing["lognormal_log"], median["lognormal_log"], atol=1e-5)


def test_tails_are_those_of_the_rows_of_fit():
    frame = make_numbers()[["normal"]]
    encoder = TabularEncoder().fit(frame)
    assert encoder.transform(frame * 1e9).shape == frame.shape


# Dates


def test_dates_have_their_cycles():
    days = pd.Series(pd.date_range("2023-01-01", "2024-12-31 23:00", freq="7h"))
    encoded, _ = encode(days.to_frame("day"))
    weekdays = [f"day_weekday_{name}" for name in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")]
    assert list(encoded) == [
        "day", "day_year_sin", "day_year_cos", "day_day_sin", "day_day_cos", *weekdays
    ]  # fmt: skip
    name = days.dt.day_name().str[:3]
    for weekday in weekdays:
        np.testing.assert_array_equal(encoded[weekday], name == weekday[-3:])
    hours = days.dt.hour * 2 * np.pi / 24
    np.testing.assert_allclose(encoded["day_day_sin"], np.sin(hours), atol=1e-5)
    np.testing.assert_allclose(encoded["day_day_cos"], np.cos(hours), atol=1e-5)
    year = np.arctan2(encoded["day_year_sin"], encoded["day_year_cos"]) / (2 * np.pi) % 1
    of_year = (days.dt.day_of_year - 1 + days.dt.hour / 24) / 365.25
    difference = (year - of_year + 0.5) % 1 - 0.5
    assert difference.abs().max() < 1.1 / 365  # a day, for leap years


@pytest.mark.parametrize(
    ("first", "freq", "cycles"),
    [
        ("2023-01-01", "D", ["year", "weekday"]),  # all at midnight
        ("2023-01-01 12:00", "D", ["year", "weekday"]),  # all at noon
        ("2023-01-01", "h", ["day", "weekday"]),  # less than a year
        ("2023-01-01", "1min", []),  # less than a day
        ("2023-01-02", "7D", ["year"]),  # Mondays
        ("1623-01-01", "YS", ["weekday"]),  # first days of January
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_cycles_that_say_nothing_are_left_out(first, freq, cycles, as_text):
    days = pd.Series(pd.date_range(first, periods=400, freq=freq, unit="s"))
    if as_text:
        if first < "1677" and pd.__version__.startswith("2"):
            pytest.skip("pandas 2 reads no dates before 1677")
        days = days.dt.strftime("%Y-%m-%d %H:%M:%S")
    found = {name.split("_")[1] for name in added(pd.DataFrame({"day": days}))}
    assert found == set(cycles)


def test_missing_dates_are_in_the_middle_of_a_cycle():
    days = pd.Series(pd.date_range("2023-01-01", periods=800, freq="25h"))
    days[3] = None
    encoded, _ = encode(pd.DataFrame({"day": days, "n": range(800)}))
    assert encoded["day_missing"].sum() == encoded.loc[3, "day_missing"] == 1
    assert (encoded.loc[3].filter(regex="_sin|_cos|weekday") == 0).all()


def test_local_times_and_few_dates():
    local = pd.date_range("2023-01-01", periods=400, freq="D", tz="Asia/Tokyo")
    names = added(pd.DataFrame({"day": local}))
    assert not [name for name in names if "day_day" in name]
    assert added(pd.DataFrame({"day": pd.date_range("2026-01-01", periods=5, freq="D")})) == []
    assert added(pd.DataFrame({"day": pd.date_range("2026-01-01", periods=90, freq="D")})) == []


# Frequencies of categories


def make_categories(n_levels=80):
    return pd.DataFrame({"kind": [f"k{i}" for i in range(n_levels) for _ in range(i % 7 + 1)]})


def test_how_frequent_a_category_is():
    frame = make_categories()
    frame.loc[len(frame)] = None
    frame["n"] = range(len(frame))
    encoded, encoder = encode(frame)
    counts = np.log1p(frame["kind"].map(frame["kind"].value_counts()).fillna(1))
    expected = (counts - counts.mean()) / counts.std(ddof=0)
    np.testing.assert_allclose(encoded["kind_count"], expected, atol=1e-4)
    new = encoder.transform(pd.DataFrame({"kind": ["new", "k6"], "n": 1}))["kind_count"]
    np.testing.assert_allclose(new, (np.log1p([0, 7]) - counts.mean()) / counts.std(ddof=0), 1e-4)


def test_frequencies_that_say_nothing_are_left_out():
    assert added(make_categories(50)) == []  # all are one-hot encoded
    assert added(pd.DataFrame({"id": [f"k{i}" for i in range(80)]})) == []


# Names


def test_names_of_what_is_added_are_told_apart():
    frame = pd.DataFrame({"a": [1.0, None, 3.0], "a_missing": [5, 6, 8], "a_missing_": [1, 1, 2]})
    encoded, _ = encode(frame)
    assert list(encoded) == ["a", "a_missing", "a_missing_", "a_missing__"]
    assert encoded["a_missing__"].tolist() == [0, 1, 0]
