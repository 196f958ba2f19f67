"""scikit-multimodallearn: boosting over views of one array, as in its example of use."""

TITLE, PACKAGE, IMPORT = "scikit-multimodallearn", "scikit-multimodallearn", "multimodal"
SEEDED = True
MISSING = "SimpleImputer"
RAW = {"text": "your function", "image": "your function", "audio": "your function"}
GRID = {"n_estimators": list(range(5, 53, 2))}

# user's code:
from image_functions import encode_images
from multimodal.boosting.mumbo import MumboClassifier
from multimodal.datasets.data_sample import MultiModalArray
from sklearn.tree import DecisionTreeClassifier
from sound_functions import encode_sounds
from text_functions import encode_texts


def prepare(table):
    return MultiModalArray(
        {
            0: encode_texts(table["text"]),
            1: encode_images(table["image"]),
            2: encode_sounds(table["audio"]),
        }
    )


def make_model(seed=0):
    return MumboClassifier(estimator=DecisionTreeClassifier(max_depth=4), random_state=seed)


# end of user's code


class ForArrays:
    def __init__(self, widths, seed):
        from sklearn.impute import SimpleImputer

        self.imputer = SimpleImputer()
        self.widths = widths
        self.model = make_model(seed)

    def split(self, X):
        from arrays import split

        return MultiModalArray(dict(enumerate(split(X, self.widths))))

    def fit(self, X, y):
        self.model.fit(self.split(self.imputer.fit_transform(X)), y)
        return self

    def predict(self, X):
        return self.model.predict(self.split(self.imputer.transform(X)))


make_for_arrays = ForArrays
