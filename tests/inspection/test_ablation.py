import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmm import MLP, AdamW, FusionClassifier, LateFusionClassifier, ModalityTransformer
from skmm.datasets import make_multimodal_classification
from skmm.inspection import ModalityAblationDisplay
from skmm.text import TextDescriptor

SUBSETS = [(), ("text",), ("image",), ("text", "image")]
SETTINGS = {
    "modality_model": MLP(4),
    "interaction": None,
    "solver": AdamW(max_iter=4),
    "random_state": 0,
}


@pytest.fixture(scope="module")
def data():
    return make_multimodal_classification(
        150, n_features=(3, 4), modality_names=("text", "image"), random_state=0
    )


@pytest.fixture(scope="module")
def fitted(data):
    return FusionClassifier(**SETTINGS).fit(*data)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def without(X, *names):
    X = X.copy()
    for name in names:
        X[[c for c in X if c.startswith(name)]] = np.nan
    return X


@pytest.mark.filterwarnings("error")
def test_scores_are_those_of_rows_that_lack_modalities(data, fitted):
    X, y = data
    before = X.copy()
    display = ModalityAblationDisplay.from_estimator(fitted, X, y)
    assert display.subsets == SUBSETS
    expected = [
        max(np.mean(y == 0), np.mean(y == 1)),
        fitted.score(without(X, "image"), y),
        fitted.score(without(X, "text"), y),
        fitted.score(X, y),
    ]
    np.testing.assert_allclose(display.scores, expected)
    pd.testing.assert_frame_equal(X, before)
    assert display.score_name == "accuracy"


def test_bars_go_down(data, fitted):
    display = ModalityAblationDisplay(
        subsets=SUBSETS, scores=np.array([0.4, 0.9, 0.6, 0.8]), modalities=["text", "image"]
    ).plot()
    assert [bar.get_width() for bar in display.bars_] == [0.9, 0.8, 0.6, 0.4]
    labels = [tick.get_text() for tick in display.ax_.get_yticklabels()]
    assert labels == ["text", "text + image", "image", "(none)"]
    assert [text.get_text() for text in display.ax_.texts] == ["0.900", "0.800", "0.600", "0.400"]
    assert display.ax_.get_xlim()[0] == 0
    assert len({bar.get_hatch() for bar in display.bars_}) == 3


def test_scoring_and_scores_below_zero(data, fitted):
    X, y = data
    display = ModalityAblationDisplay.from_estimator(fitted, X, y, scoring="neg_log_loss")
    assert display.scores[-1] == pytest.approx(-log_loss(y, fitted.predict_proba(X)))
    low, high = display.ax_.get_xlim()
    assert low < display.scores.min()
    assert high == 0
    assert display.ax_.get_xlabel() == "neg log loss"


def test_raw_columns_of_a_pipeline():
    X = pd.DataFrame({"says": ["meow", "woof", "purr", "bark"] * 6, "age": np.arange(24.0)})
    y = np.array(["cat", "dog"] * 12)
    encoders = [("sound", TextDescriptor(n_components=4), "says"), ("age", "passthrough", ["age"])]
    solver = AdamW(max_iter=40, weight_decay=0)
    fusion = FusionClassifier(modality_model=MLP(16), solver=solver, random_state=0)
    model = make_pipeline(ModalityTransformer(encoders), fusion).fit(X, y)
    display = ModalityAblationDisplay.from_estimator(model, X, y)
    assert display.modalities == ["sound", "age"]
    expected = [X.assign(age=np.nan), X.assign(says=None), X]
    np.testing.assert_allclose(display.scores[1:], [model.score(rows, y) for rows in expected])
    assert display.scores[3] == 1 > display.scores[2]
    late = LateFusionClassifier(
        [
            ("sound", make_pipeline(TextDescriptor(n_components=2), LogisticRegression()), "says"),
            ("age", LogisticRegression(), ["age"]),
        ],
        modality_weights="uniform",
    ).fit(X, y)
    display = ModalityAblationDisplay.from_estimator(late, X, y)
    assert display.scores[1] == late.score(X.assign(age=np.nan), y)
    assert display.scores[2] == late.score(X.assign(says=None), y)


def test_search_is_scored_as_it_scores(data):
    X, y = data
    model = FusionClassifier(**SETTINGS)
    grid = {"solver__max_iter": [2]}
    search = GridSearchCV(model, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    display = ModalityAblationDisplay.from_estimator(search, X, y)
    assert display.scores[-1] == pytest.approx(search.score(X, y))
    assert display.score_name == "neg log loss"
    several = GridSearchCV(
        model, grid, cv=2, scoring=["accuracy", "neg_log_loss"], refit="accuracy"
    ).fit(X, y)
    display = ModalityAblationDisplay.from_estimator(several, X, y)
    assert display.scores[-1] == accuracy_score(y, several.predict(X))


def test_means_where_a_model_takes_no_nan(data):
    X, y = data
    model = LogisticRegression().fit(X, y)
    display = ModalityAblationDisplay.from_estimator(model, X, y)
    mean = X.copy()
    mean[[c for c in X if c.startswith("image")]] = X.filter(like="image").mean().to_numpy()
    assert display.scores[1] == model.score(mean, y)
    assert display.scores[0] == np.mean(y == model.predict(X.mean().to_frame().T)[0])
    with pytest.raises(ValueError, match="NaN"):
        ModalityAblationDisplay.from_estimator(model, X, y, missing="nan")


def test_regression_is_scored_by_r2(data):
    X, y = data
    y = X["text__0"].to_numpy(dtype=float) * 2
    display = ModalityAblationDisplay.from_estimator(LinearRegression().fit(X, y), X, y)
    np.testing.assert_allclose(display.scores, [0, 1, 0, 1], atol=1e-5)
    assert display.score_name == "R²"


def test_arrays_need_modalities(data):
    X, y = data
    model = LogisticRegression().fit(X.to_numpy(), y)
    with pytest.raises(ValueError, match="modalities"):
        ModalityAblationDisplay.from_estimator(model, X.to_numpy(), y)
    display = ModalityAblationDisplay.from_estimator(
        model, X.to_numpy(), y, modalities={"text": 3, "image": 4}
    )
    named = ModalityAblationDisplay.from_estimator(LogisticRegression().fit(X, y), X, y)
    np.testing.assert_array_equal(display.scores, named.scores)


def test_bad_input(data, fitted):
    X, y = data
    with pytest.raises(ValueError, match=r"missing.*zero"):
        ModalityAblationDisplay.from_estimator(fitted, X, y, missing="zero")
    with pytest.raises(ValueError, match=r"X must .*\(0, 7\)"):
        ModalityAblationDisplay.from_estimator(fitted, X[:0], y[:0])
    wide = pd.DataFrame(np.zeros((20, 11)), columns=[f"m{i}__0" for i in range(11)])
    model = LogisticRegression().fit(wide, y[:20])
    with pytest.raises(ValueError, match=r"2\^11"):
        ModalityAblationDisplay.from_estimator(model, wide, y[:20])
    shared = LateFusionClassifier(
        [("a", LogisticRegression(), ["text__0"]), ("b", LogisticRegression(), ["text__0"])]
    ).fit(X, y)
    with pytest.raises(ValueError, match="'a' and 'b'"):
        ModalityAblationDisplay.from_estimator(shared, X, y)
