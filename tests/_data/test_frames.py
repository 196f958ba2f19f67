"""Tables of Arrow and polars are read as those of pandas are."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skmm import ModalityTransformer, TabularEncoder, infer_modalities

N = 90
OTHER = [i // 2 for i in range(N)]
DAYS = [datetime.date(2024, 1 + i % 12, 1 + i % 28) for i in range(N)]
COLUMNS = {
    "dates as text": [str(day) for day in DAYS],
    "dates": DAYS,
    "times": [datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=31 * i) for i in range(N)],
    "times with a zone": [
        datetime.datetime(2024, 1, 1 + i % 9, tzinfo=datetime.UTC) for i in range(N)
    ],
    "durations": [datetime.timedelta(hours=i * i) for i in range(N)],
    "integers": [i * i % 31 for i in range(N)],
    "floats": np.linspace(0, 1, N).tolist(),
    "decimals": [Decimal(i) / 4 for i in range(N)],
    "booleans": [i % 3 == 0 for i in range(N)],
    "words": ["red", "green", "blue"] * (N // 3),
    "texts": [f"some words and a {i}" for i in range(N)],
    "numbers as text": [f"{i % 40}%" for i in range(N)],
}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", COLUMNS)
def test_arrow_and_polars_hold_the_same_as_pandas(name, missing):
    cells = [None, *COLUMNS[name][1:]] if missing else COLUMNS[name]
    table = pa.table({"column": pa.array(cells), "other": pa.array(OTHER)})
    plain = pd.DataFrame({"column": pd.Series(cells), "other": OTHER})
    expected = ModalityTransformer().fit_transform(plain)
    for frame in (table.to_pandas(types_mapper=pd.ArrowDtype), pl.from_arrow(table)):
        kinds = infer_modalities(frame)["modality"], infer_modalities(plain)["modality"]
        pd.testing.assert_series_equal(*kinds)
        encoded = ModalityTransformer().fit_transform(frame)
        pd.testing.assert_frame_equal(encoded, expected)


CATEGORIES = [f"k{i % 60}" for i in range(80)]


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"c": pl.Series(CATEGORIES, dtype=pl.Categorical)}),
        pl.DataFrame({"c": pl.Series(CATEGORIES, dtype=pl.Enum(sorted({*CATEGORIES})))}),
        pl.DataFrame({"c": pl.Series([*CATEGORIES[:-1], None], dtype=pl.Categorical)}),
        pa.table({"c": pa.array([*CATEGORIES[:-1], None]).dictionary_encode()}).to_pandas(
            types_mapper=pd.ArrowDtype
        ),
    ],
)
def test_a_column_of_the_type_category_is_one_with_many_levels_too(frame):
    found = infer_modalities(frame).loc["c"]
    assert (found["modality"], found["kind"]) == ("tabular", "categories")
    assert TabularEncoder().fit(frame).kinds_ == {"c": "categories"}


def test_other_columns_and_the_index_stay():
    index = [7, 8, 9]
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": ["x", "y", None]}, index=index)
    frame["b"] = frame["b"].astype(pd.ArrowDtype(pa.string()))
    Z = ModalityTransformer(overrides={"b": "tabular"}).fit_transform(frame)
    assert Z.index.tolist() == index
    assert Z.filter(like="b_").to_numpy().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
