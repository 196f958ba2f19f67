import numpy as np
import pandas as pd
import pytest
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import LateFusionClassifier
from skmm.inspection._fitted import find_scorer, last_step, name_score, take_apart

X = pd.DataFrame(
    np.random.default_rng(0).normal(size=(30, 3)), columns=["text__0", "text__1", "image__0"]
)
Y = (X["text__0"] > 0).to_numpy()


def search(model, **settings):
    return GridSearchCV(model, {}, cv=2, **settings).fit(X, Y)


def test_modalities_of_a_model_are_where_its_own_step_sees_them():
    late = LateFusionClassifier(
        [("b", LogisticRegression(), [1]), ("a", LogisticRegression(), [0])]
    )
    model = make_pipeline(StandardScaler(), SelectKBest(k=2), late).fit(X, Y)
    taken = take_apart(search(model), X)
    assert taken.model is not None
    assert {name: own.tolist() for name, own in taken.table.groups.items()} == {"b": [1], "a": [0]}
    assert taken.table.X.shape == (30, 2)


def test_arrays_have_the_columns_of_fit():
    late = LateFusionClassifier(
        [("b", LogisticRegression(), ["text__1"]), ("a", LogisticRegression(), ["text__0"])]
    ).fit(X, Y)
    groups = take_apart(late, X.to_numpy()).table.groups
    assert {name: own.tolist() for name, own in groups.items()} == {"b": [1], "a": [0]}


def test_names_and_given_columns():
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    groups = take_apart(model, X).table.groups
    assert {name: own.tolist() for name, own in groups.items()} == {"text": [0, 1], "image": [2]}
    given = take_apart(model, X, {"first": ["text__0"], "rest": slice(1, 3)})
    assert given.table.groups["rest"].tolist() == [1, 2]
    assert given.model is model


def test_last_step_is_found_through_searches_and_pipelines():
    inner = make_pipeline(StandardScaler(), LogisticRegression(C=2))
    assert last_step(make_pipeline(StandardScaler(), search(inner))).C == 2


def test_scores_of_searches():
    several = {"scoring": ["accuracy", "roc_auc"]}
    chosen = search(LogisticRegression(), **several, refit="roc_auc")
    assert name_score(chosen, None) == "roc auc"
    assert find_scorer(chosen, None)(chosen.best_estimator_, X, Y) == chosen.score(X, Y)
    custom = search(LogisticRegression(), **several, refit=lambda results: 0)
    with pytest.raises(ValueError, match="name one as scoring"):
        find_scorer(custom, None)
    assert find_scorer(custom, "accuracy")(custom, X, Y) == np.mean(custom.predict(X) == Y)


def test_names_of_scores():
    def my_score(y, predicted):
        return 1.0

    model = LogisticRegression().fit(X, Y)
    assert name_score(model, None) == "accuracy"
    assert name_score(model, my_score) == "my score"
    assert name_score(model, make_scorer(my_score)) == "score"


def test_scoring_is_one_score():
    for scoring in (["accuracy"], {"a": "accuracy"}, 3):
        with pytest.raises(TypeError, match="scoring must be the name of one score"):
            find_scorer(LogisticRegression().fit(X, Y), scoring)
