"""A few rows are one-hot encoded as scikit-learn does."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder

from skmm.compose._categories import FEW_ROWS, one_hot

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
        np.testing.assert_array_equal(one_hot(encoder, rows.astype(kinds)), expected)
    many = pd.concat([NEW[columns]] * FEW_ROWS)
    np.testing.assert_array_equal(
        one_hot(encoder, many)[: len(NEW)], one_hot(encoder, NEW[columns])
    )
