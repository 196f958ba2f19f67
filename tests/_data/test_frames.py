"""Tables as users pass them: what is none."""

import numpy as np
import pandas as pd
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
