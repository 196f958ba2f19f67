"""mvlearn: steps for lists of arrays, one for each view; it splits a wide array into views."""

TITLE, PACKAGE, IMPORT, SEEDED = "mvlearn", "mvlearn", "mvlearn", False
MISSING = "SimpleImputer"
RAW = {"text": "your function", "image": "your function", "audio": "your function"}
GRID = {"logisticregression__C": [10 ** (i / 4 - 3) for i in range(24)]}

# user's code:
import numpy as np
from image_functions import encode_images
from mvlearn.compose import ConcatMerger, SimpleSplitter, ViewTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sound_functions import encode_sounds
from text_functions import encode_texts


def prepare(table):
    return np.hstack(
        [
            encode_texts(table["text"]),
            encode_images(table["image"]),
            encode_sounds(table["audio"]),
        ]
    )


def make_model(widths=(384, 1280, 65)):
    return make_pipeline(
        SimpleSplitter(list(widths)),
        ViewTransformer(StandardScaler()),
        ConcatMerger(),
        LogisticRegression(max_iter=1000),
    )


# end of user's code


def make_for_arrays(widths, seed):
    """Its last step is scikit-learn's regression: C as in that row."""
    from arrays import search_c
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline

    steps = make_model(tuple(widths.values())).steps
    return search_c(Pipeline([("simpleimputer", SimpleImputer()), *steps]))
