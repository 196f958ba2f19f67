"""A plain Pipeline with a ColumnTransformer and functions in FunctionTransformers."""

TITLE, PACKAGE, IMPORT, SEEDED = "scikit-learn Pipeline", "scikit-learn", "sklearn", False
MISSING = "SimpleImputer"
RAW = {"text": "your function", "image": "your function", "audio": "your function"}
GRID = {"logisticregression__C": [10 ** (i / 4 - 3) for i in range(24)]}

# user's code:
from image_functions import encode_images
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sound_functions import encode_sounds
from text_functions import encode_texts


def make_model():
    columns = make_column_transformer(
        (FunctionTransformer(encode_texts), ["text"]),
        (FunctionTransformer(encode_images), ["image"]),
        (FunctionTransformer(encode_sounds), ["audio"]),
    )
    return make_pipeline(columns, StandardScaler(), LogisticRegression(max_iter=1000))


# end of user's code


def make_for_arrays(widths, seed):
    """Choose C by three folds of the training rows, and impute means where values are missing."""
    from arrays import search_c
    from sklearn.impute import SimpleImputer

    return search_c(
        make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=1000))
    )
