"""Tables as users pass them: of Arrow and polars, and what is none."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from skmm import (
    MLP,
    AdamW,
    FusionClassifier,
    FusionRegressor,
    LateFusionClassifier,
    ModalityTransformer,
    TabularEncoder,
    infer_modalities,
)
from skmm.alignment import CrossModalAligner

NUMBERS = pd.DataFrame(
    np.random.default_rng(0).normal(size=(20, 4)), columns=["a__0", "a__1", "b__0", "b__1"]
)
RAW = pd.DataFrame({"price": np.arange(20.0), "title": ["red cat", "blue dog"] * 10})
Y = np.arange(20) % 2
QUICK = {"modality_model": MLP(2), "solver": AdamW(max_iter=1), "interaction": None}


@pytest.fixture(scope="module")
def methods():
    """What users call, fitted, by the frame that it takes."""
    classifier = FusionClassifier(**QUICK).fit(NUMBERS, Y)
    aligner = CrossModalAligner("cca").fit(NUMBERS)
    late = LateFusionClassifier([("price", LogisticRegression(), ["price"])]).fit(RAW, Y)
    return [
        (ModalityTransformer().fit(RAW).transform, RAW),
        (ModalityTransformer().fit, RAW),
        (infer_modalities, RAW),
        (TabularEncoder().fit(RAW[["price"]]).transform, RAW[["price"]]),
        (late.predict, RAW),
        (classifier.predict, NUMBERS),
        (classifier.predict_proba, NUMBERS),
        (FusionRegressor(**QUICK).fit(NUMBERS, Y + 0.5).predict, NUMBERS),
        (aligner.transform, NUMBERS),
        (aligner.kneighbors, NUMBERS),
        (aligner.score, NUMBERS),
    ]


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        (lambda X: X.iloc[0].to_dict(), "dict"),
        (lambda X: [X.iloc[0].to_dict()], "list of dict"),
        (lambda X: tuple(X.to_dict("records")), "tuple of dict"),
        (lambda X: np.array(X.to_dict("records"), dtype=object), "ndarray of dict"),
        (lambda X: X.iloc[0], "Series"),
        (lambda X: X.to_dict("list"), "dict"),
    ],
)
def test_rows_of_names_and_values_are_explained(methods, records, kind):
    for call, X in methods:
        with pytest.raises(ValueError, match=rf"{kind} with '{X.columns[0]}'.*DataFrame\(\[row\]"):
            call(records(X))


def test_what_the_error_says_helps(methods):
    for call, X in methods[:1] + methods[4:10]:
        row = X.iloc[0].to_dict()
        np.testing.assert_array_equal(call(pd.DataFrame([row])), call(X.iloc[[0]]))


def test_rows_without_names_are_explained(methods):
    transform, X = methods[0]
    for rows in (X[:2].to_numpy(), X[:2].to_numpy().tolist()):
        with pytest.raises(ValueError, match=r"\['price', 'title'\]"):
            transform(rows)


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
