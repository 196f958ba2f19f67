"""Tables for the tests of `skmm.distributed`, and what they become."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.preprocessing import StandardScaler

from skmm import ModalityTransformer
from skmm.text import TextDescriptor


def make_table(n_rows=60):
    return pd.DataFrame(
        {
            "id": [f"row {i}" for i in range(n_rows)],
            "says": [f"word{i % 7} word{i % 5}" for i in range(n_rows)],
            "age": np.arange(n_rows, dtype=float),
            "label": np.arange(n_rows) % 3,
        }
    )


def fit_transformer(X, n_components=3):
    return ModalityTransformer(
        [
            ("text", TextDescriptor(n_components=n_components), "says"),
            ("tabular", StandardScaler(), ["age"]),
        ]
    ).fit(X[["says", "age"]])


def make_block(n_rows=6):
    """A table with a missing cell in each third row of most columns."""
    kinds = ["zebra", "ant", "bee"]
    days = [datetime.datetime(2020, 1, 1 + i) for i in range(n_rows)]
    values = {
        "kind": pa.array([kinds[i % 3] if i % 3 else None for i in range(n_rows)]),
        "code": pa.array([i % 2 if i % 3 else None for i in range(n_rows)]),
        "flag": [i % 2 == 0 if i % 3 else None for i in range(n_rows)],
        "large": [2**60 + i if i % 3 else None for i in range(n_rows)],
        "nothing": pa.array([None] * n_rows, pa.string()),
        "day": [days[i].date() if i % 3 else None for i in range(n_rows)],
        "zoned": pa.array(
            [days[i] if i % 3 else None for i in range(n_rows)],
            pa.timestamp("us", tz="Europe/Berlin"),
        ),
        "list": [[[1.0], [i, 2.0]] if i % 3 else None for i in range(n_rows)],
    }
    values |= {name: values[name].dictionary_encode() for name in ("kind", "code")}
    return pa.table({"id": [f"row {i}" for i in range(n_rows)], **values})


def read(path, X):
    """Read what was encoded, in the order of X, each row of which must be there once."""
    encoded = pd.read_parquet(path)
    assert sorted(encoded.index) == sorted(X["id"])
    return encoded.loc[X["id"]]
