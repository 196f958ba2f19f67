"""A few rows are one-hot encoded as scikit-learn does."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder

from skmm.compose import TabularEncoder
from skmm.compose._categories import FEW_ROWS, one_hot_of_few

FITTED = pd.DataFrame(
    {
        "words": ["x", "y", None, "z", "x", "x", "y", "x"],
        "levels": [1.0, 2.0, np.nan, 1.0, 1.0, 2.0, 3.0, 1.0],
        "frequent": ["p", "q"] * 4,
    }
)
NEW = pd.DataFrame(
    {
        "words": ["x", "z", "new", None, "y"],
        "levels": [2, 3, 4, np.nan, 1],
        "frequent": ["q", "p", "new", None, "q"],
    }
)


@pytest.mark.parametrize("dtype", [object, "str"])
@pytest.mark.parametrize("settings", [{}, {"min_frequency": 2}, {"max_categories": 2}])
@pytest.mark.parametrize("columns", [["words"], ["levels"], ["frequent", "words"]])
def test_a_few_rows_are_encoded_as_by_scikit_learn(dtype, settings, columns):
    kinds = {column: dtype for column in columns if column != "levels"}
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", sparse_output=False, **settings)
    encoder.fit(FITTED[columns].astype(kinds))
    for rows in (FITTED[columns], NEW[columns], NEW[columns][2:3]):
        expected = encoder.transform(rows.astype(kinds))
        few = one_hot_of_few(encoder, rows.astype(kinds).to_numpy())
        np.testing.assert_array_equal(few, expected)


def test_few_rows_and_many_are_encoded_alike():
    rows = pd.concat([FITTED, NEW], ignore_index=True)
    rows["number"] = np.where(rows.index % 5, rows.index / 7, np.nan)
    encoder = TabularEncoder().fit(pd.concat([rows[:8]] * 9))
    many = encoder.transform(pd.concat([rows] * FEW_ROWS))[: len(rows)]
    assert len(rows) <= FEW_ROWS
    np.testing.assert_array_equal(encoder.transform(rows), many)
    for row in range(len(rows)):
        np.testing.assert_array_equal(encoder.transform(rows[row : row + 1]), many[row : row + 1])
