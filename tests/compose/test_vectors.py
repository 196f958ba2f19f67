"""A column of vectors that were computed elsewhere becomes features as it is."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skmm import ModalityTransformer
from skmm.compose import VectorEncoder

VECTORS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


@pytest.mark.parametrize("make", [list, lambda v: [w.tolist() for w in v], pl.Series])
def test_vectors_are_stacked(make):
    stacked = VectorEncoder().fit_transform(make(VECTORS))
    np.testing.assert_array_equal(stacked, VECTORS)
    assert stacked.dtype == np.float32


def test_missing_vectors_are_rows_of_nan():
    cells = [VECTORS[0], None, VECTORS[2], np.nan]
    stacked = VectorEncoder().fit_transform(pd.Series(cells))
    assert np.isnan(stacked).all(axis=1).tolist() == [False, True, False, True]


def test_auto_takes_them_from_frames_of_pandas_polars_and_arrow():
    X = pd.DataFrame({"price": np.arange(6.0), "vector": list(VECTORS)})
    for frame in (X, pl.DataFrame({"price": X["price"], "vector": VECTORS.tolist()})):
        Z = ModalityTransformer().fit_transform(frame)
        np.testing.assert_array_equal(Z.filter(like="embedding__"), VECTORS)
    arrow = pl.DataFrame({"vector": VECTORS.tolist()}).to_pandas(use_pyarrow_extension_array=True)
    Z = ModalityTransformer().fit_transform(arrow.assign(price=X["price"]))
    np.testing.assert_allclose(Z.filter(like="embedding__"), VECTORS)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ([1.0, 2.0], "3 numbers.* 2"),
        ("[1, 2, 3]", "list of"),
        (np.zeros((1, 3)), "one dimension"),
        ([1.0, 2.0, np.inf], "finite"),
        ([1.0, "a", 2.0], "list of"),
        ([], "list of"),
    ],
)
def test_what_is_no_vector_is_named_with_its_row(cell, expected):
    column = pd.Series([*VECTORS[:3], cell], index=[5, 6, 7, 8], name="vector")
    with pytest.raises(ValueError, match=rf"(?s)'vector', row 3 \(index 8\): .*{expected}"):
        VectorEncoder().fit(column)
    with pytest.raises(ValueError, match=r"'vector', row 3"):
        VectorEncoder().fit(column[:3]).transform(column)


def test_nothing_but_missing_vectors():
    with pytest.raises(ValueError, match="all 2 cells"):
        VectorEncoder().fit([None, None])
    assert np.isnan(VectorEncoder().fit(VECTORS).transform([None])).all()
