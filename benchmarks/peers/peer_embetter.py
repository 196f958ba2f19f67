"""embetter: encoders as steps of a scikit-learn pipeline; texts and pictures, no sounds."""

import os

TITLE, PACKAGE, IMPORT, SEEDED = "embetter", "embetter[text,vision]", "embetter", False
MISSING = "SimpleImputer"
RAW = {"text": "SentenceEncoder", "image": "TimmEncoder", "audio": "your function"}
GRID = {"logisticregression__C": [10 ** (i / 4 - 3) for i in range(24)]}

TEXT_MODEL, IMAGE_MODEL = os.environ["PEERS_TEXT_MODEL"], os.environ["PEERS_IMAGE_MODEL"]

# user's code:
from embetter.grab import ColumnGrabber
from embetter.text import SentenceEncoder
from embetter.vision import ImageLoader, TimmEncoder
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sound_functions import encode_sounds


def make_model():
    columns = make_union(
        make_pipeline(ColumnGrabber("text"), SentenceEncoder(TEXT_MODEL)),
        make_pipeline(
            ColumnGrabber("image"), ImageLoader(), TimmEncoder(f"local-dir:{IMAGE_MODEL}")
        ),
        make_pipeline(ColumnGrabber("audio"), FunctionTransformer(encode_sounds)),
    )
    return make_pipeline(columns, StandardScaler(), LogisticRegression(max_iter=1000))


# end of user's code


def make_for_arrays(widths, seed):
    """Behind its encoders its documentation has scikit-learn's regression: C as in that row."""
    from arrays import search_c
    from sklearn.impute import SimpleImputer

    return search_c(
        make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=1000))
    )
