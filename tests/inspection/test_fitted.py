import re

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
from skmm.inspection import ModalityAblationDisplay, ModalityWeightsDisplay

X = pd.DataFrame(
    np.random.default_rng(0).normal(size=(30, 3)), columns=["text__0", "text__1", "image__0"]
)
Y = (X["text__0"] > 0).to_numpy()
MODEL = LogisticRegression().fit(X, Y)


def fitted_search(model, **settings):
    return GridSearchCV(model, {}, cv=2, **settings).fit(X, Y)


def late_fusion(first, second):
    return LateFusionClassifier(
        [("b", LogisticRegression(), [first]), ("a", LogisticRegression(), [second])],
        modality_weights="uniform",
    )


def ablate(estimator, rows=X, **options):
    """Return the score of each subset of modalities."""
    display = ModalityAblationDisplay.from_estimator(estimator, rows, Y, **options)
    return dict(zip(display.subsets, display.scores, strict=True))


def test_modalities_of_a_model_are_columns_of_its_step():
    model = make_pipeline(StandardScaler(), SelectKBest(k=2), late_fusion(1, 0))
    search = fitted_search(model)
    step, rows = search.best_estimator_[-1], search.best_estimator_[:-1].transform(X)
    scores = ablate(search)
    assert [*scores] == [(), ("b",), ("a",), ("b", "a")]
    for names, removed in [(("b",), 0), (("a",), 1)]:
        missing = rows.copy()
        missing[:, removed] = np.nan
        assert scores[names] == step.score(missing, Y)


def test_arrays_have_the_columns_of_fit():
    late = late_fusion("text__1", "text__0").fit(X, Y)
    assert ablate(late, X.to_numpy()) == ablate(late)
    assert ablate(late)["b",] == late.score(X.assign(text__0=np.nan), Y)


def test_modalities_by_names_of_columns_and_by_a_dict():
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    assert set(ablate(model)) == {(), ("text",), ("image",), ("text", "image")}
    scores = ablate(model, modalities={"first": ["text__0"], "rest": slice(1, 3)})
    assert set(scores) == {(), ("first",), ("rest",), ("first", "rest")}
    means = X.assign(text__1=X["text__1"].mean(), image__0=X["image__0"].mean())
    assert scores["first",] == model.score(means, Y)


def test_last_step_is_found_through_searches_and_pipelines():
    late = make_pipeline(StandardScaler(), late_fusion(0, 1))
    nested = make_pipeline(StandardScaler(), fitted_search(late))
    assert ModalityWeightsDisplay.from_estimator(nested).modalities == ["b", "a"]


def test_scores_of_searches():
    several = {"scoring": ["accuracy", "roc_auc"]}
    search = fitted_search(LogisticRegression(), **several, refit="roc_auc")
    display = ModalityAblationDisplay.from_estimator(search, X, Y)
    assert display.score_name == "roc auc"
    assert display.scores[-1] == search.score(X, Y)
    by_function = fitted_search(LogisticRegression(), **several, refit=lambda results: 0)
    with pytest.raises(ValueError, match="scoring"):
        ablate(by_function)
    scores = ablate(by_function, scoring="accuracy")
    assert scores["text", "image"] == np.mean(by_function.predict(X) == Y)


def test_names_of_scores():
    def my_score(y, predicted):
        return 1.0

    def my_scorer(estimator, X, y):
        return 1.0

    for scoring, name in [
        (None, "accuracy"),
        (my_scorer, "my scorer"),
        (make_scorer(my_score), "score"),
    ]:
        display = ModalityAblationDisplay.from_estimator(MODEL, X, Y, scoring=scoring)
        assert display.score_name == name


@pytest.mark.parametrize("scoring", [["accuracy"], {"a": "accuracy"}, 3])
def test_scoring_is_one_score(scoring):
    with pytest.raises(TypeError, match=rf"scoring .* got {re.escape(repr(scoring))}"):
        ablate(MODEL, scoring=scoring)
