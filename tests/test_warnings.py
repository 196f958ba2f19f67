"""Warnings point at what the user wrote, whoever stands in between."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skmm import infer_modalities
from skmm.image import ImageDescriptor, ImagePreprocessor

CELLS = ["nowhere.png", *(np.full((8, 8, 3), i, dtype=np.uint8) for i in range(4))]


def test_called_by_the_user():
    prices = pd.DataFrame({"price": ["much", "less", *(f"{i}.50" for i in range(20))]})
    with pytest.warns(UserWarning, match="'price'") as seen:
        infer_modalities(prices)
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    "call",
    [
        lambda: ImageDescriptor(errors="missing", cache=None).fit(CELLS).transform(CELLS),
        lambda: ImageDescriptor(errors="missing", cache=None).fit_transform(CELLS),
        lambda: ImagePreprocessor(errors="missing").fit_transform(CELLS),
        lambda: make_pipeline(
            ImagePreprocessor(errors="missing"), ImageDescriptor(cache=None)
        ).fit_transform(CELLS),
        lambda: cross_val_score(
            make_pipeline(
                ImagePreprocessor(errors="missing"),
                ImageDescriptor(cache=None),
                KNeighborsClassifier(1),
            ),
            CELLS,
            [0, 0, 1, 1, 1],
            cv=2,
            error_score=0.0,
        ),
    ],
)
def test_called_through_scikit_learn(call):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call()
    ours = [warning for warning in seen if "are broken" in str(warning.message)]
    assert ours
    assert {warning.filename for warning in ours} == {__file__}
