import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmm import (
    MLP,
    AdamW,
    FusionClassifier,
    FusionRegressor,
    LateFusionClassifier,
    ModalityTransformer,
)
from skmm.datasets import make_multimodal_classification
from skmm.fusion import Attention
from skmm.image import ImageDescriptor
from skmm.inspection import ContributionsDisplay
from skmm.text import TextDescriptor

SETTINGS = {
    "modality_model": MLP(4),
    "interaction": None,
    "solver": AdamW(max_iter=2),
    "random_state": 0,
}


@pytest.fixture(scope="module")
def data():
    X, y = make_multimodal_classification(
        80, n_features=(4, 5), n_classes=5, modality_names=("text", "image"), random_state=0
    )
    return X, np.array(list("abcde"))[y]


@pytest.fixture(scope="module")
def fitted(data):
    return FusionClassifier(**SETTINGS).fit(*data)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def widths(bars):
    return [bar.get_width() for bar in bars]


def labels(ax):
    return [tick.get_text() for tick in ax.get_yticklabels()]


def test_one_row_has_the_contributions_to_its_most_probable_classes(data, fitted):
    row = data[0][3:4]
    display = ContributionsDisplay.from_estimator(fitted, row)
    expected = fitted.contributions(row)[0]
    expected = expected - expected.mean(axis=1, keepdims=True)
    proba = fitted.predict_proba(row)[0]
    best = np.argsort(-proba)[:3]
    for bars, values in zip(display.bars_, [*expected, expected.sum(axis=0)], strict=True):
        np.testing.assert_allclose(widths(bars), values[best])
    assert display.axes_.shape == (3, 2)
    names = fitted.classes_[best].tolist()
    assert labels(display.axes_[0, 1]) == names
    assert labels(display.axes_[2, 1]) == [
        f"{name}: {p:.0%}" for name, p in zip(names, proba[best], strict=True)
    ]
    assert [ax.get_title(loc="left") for ax in display.axes_[:, 0]] == ["text", "image", "sum"]
    assert display.axes_[0, 1].get_xlim() == display.axes_[2, 1].get_xlim()
    assert display.inputs["image"].index.tolist() == ["0", "1", "2", "3", "4"]
    again = display.plot(outputs=["e", "a"])
    assert labels(again.axes_[0, 1]) == ["e", "a"]
    with pytest.raises(ValueError, match="output 'z'"):
        display.plot(outputs=["z"])


def test_long_names_leave_room_for_probabilities():
    display = ContributionsDisplay(
        contributions=np.zeros((1, 1, 2)),
        predictions=np.array([[0.25, 0.75]]),
        members=np.ones((1, 2), dtype=bool),
        modalities=["text"],
        outputs=["a class with a very long name", "b"],
        unit="contribution to the logit",
    ).plot()
    assert labels(display.axes_[-1, -1]) == ["a class with a v…: 25%", "b: 75%"]


def test_many_rows_are_distributions_of_their_class(data, fitted):
    X, y = data
    display = ContributionsDisplay.from_estimator(fitted, X, y)
    np.testing.assert_array_equal(display.members, y[:, None] == fitted.classes_)
    (ax,) = display.axes_.ravel()
    assert labels(ax) == list("abcde")
    of_c = display.contributions[y == "c", 1, 2]
    low, high = np.percentile(of_c, [25, 75])
    bar = display.bars_[1][2]
    assert bar.get_x() == pytest.approx(low)
    assert bar.get_width() == pytest.approx(high - low)
    assert abs(bar.get_y() - 2) < 0.5
    predicted = ContributionsDisplay.from_estimator(fitted, X)
    assert predicted.members.sum(axis=1).tolist() == [1] * len(X)
    assert (fitted.classes_[predicted.members.argmax(axis=1)] == fitted.predict(X)).all()


def test_raw_inputs_stand_beside():
    X = pd.DataFrame(
        {
            "says": ["meow", "woof", "purr", "bark"] * 3,
            "photo": [np.full((8, 8), 20 * i, dtype=np.uint8) for i in range(12)],
            "age": np.arange(12.0),
            "legs": 4,
        }
    )
    y = np.array(["cat", "dog"] * 6)
    encoders = [
        ("text", TextDescriptor(n_components=2), "says"),
        ("image", ImageDescriptor(cache=None), "photo"),
        ("tabular", "passthrough", ["age", "legs"]),
    ]
    model = make_pipeline(ModalityTransformer(encoders), FusionClassifier(**SETTINGS))
    search = GridSearchCV(model, {"fusionclassifier__solver__max_iter": [2]}, cv=2).fit(X, y)
    display = ContributionsDisplay.from_estimator(search, X.iloc[[6]])
    assert display.inputs["text"].tolist() == ["purr"]
    text, image, tabular, _ = display.axes_[:, 0]
    assert [t.get_text() for t in text.texts] == ["purr"]
    assert (image.images[0].get_array() == 120).all()
    assert [t.get_text() for t in tabular.texts] == ["age: 6\nlegs: 4"]
    without_photo = X.iloc[[6]].assign(photo=None)
    display = ContributionsDisplay.from_estimator(search, without_photo)
    assert [t.get_text() for t in display.axes_[1, 0].texts] == ["(missing)"]
    assert widths(display.bars_[1]) == [0, 0]
    late = LateFusionClassifier(
        [
            ("text", make_pipeline(TextDescriptor(n_components=2), LogisticRegression()), "says"),
            ("tabular", LogisticRegression(), ["age", "legs"]),
        ],
        modality_weights="uniform",
    ).fit(X, y)
    display = ContributionsDisplay.from_estimator(late, X[:1])
    assert display.inputs["text"].tolist() == ["meow"]
    np.testing.assert_allclose(display.contributions, late.contributions(X[:1]))
    np.testing.assert_allclose(widths(display.bars_[-1]), late.predict_proba(X[:1])[0])
    assert display.unit == "share of the probability"


def test_numbers(data):
    X, _ = data
    y = X["text__0"].to_numpy(dtype=float)
    model = FusionRegressor(**SETTINGS).fit(X, y)
    display = ContributionsDisplay.from_estimator(model, X[:1])
    np.testing.assert_allclose(display.contributions[..., 0], model.contributions(X[:1]))
    assert labels(display.axes_[-1, -1]) == [f"prediction: {model.predict(X[:1])[0]:.4g}"]
    assert f"{model.intercept_:.4g}" in display.axes_[-1, -1].get_xlabel()
    several = FusionRegressor(**SETTINGS).fit(X, np.stack([y, -y], axis=1))
    display = ContributionsDisplay.from_estimator(several, X)
    assert display.outputs == ["target 0", "target 1"]
    assert display.members.all()


def test_labels_and_targets(data):
    X, y = data
    indicator = np.stack([y == "a", y < "c"], axis=1).astype(int)
    model = FusionClassifier(**SETTINGS).fit(X, indicator)
    display = ContributionsDisplay.from_estimator(model, X, indicator)
    np.testing.assert_array_equal(display.members, indicator == 1)
    np.testing.assert_allclose(display.contributions, model.contributions(X))
    assert display.outputs == ["label 0", "label 1"]
    named = pd.DataFrame(indicator, columns=["is a", "before c"])
    assert ContributionsDisplay.from_estimator(model, X, named).outputs == ["is a", "before c"]
    targets = FusionClassifier(**SETTINGS).fit(X, np.stack([y, np.repeat(["x", "y"], 40)], 1))
    display = ContributionsDisplay.from_estimator(targets, X, target=1)
    assert display.outputs == ["x", "y"]
    with pytest.raises(ValueError, match=r"target .* got 2\b"):
        ContributionsDisplay.from_estimator(targets, X, target=2)


@pytest.mark.parametrize("fusion", ["concat", Attention(n_heads=2)])
def test_rules_that_mix_modalities(data, fusion):
    X, y = data
    model = FusionClassifier(fusion, **SETTINGS).fit(X, y)
    with pytest.raises(ValueError, match=re.escape(f"fusion={fusion!r}")):
        ContributionsDisplay.from_estimator(model, X)


def test_models_without_modalities(data):
    X, y = data
    with pytest.raises(TypeError, match="LogisticRegression"):
        ContributionsDisplay.from_estimator(LogisticRegression().fit(X, y), X)


def test_y_of_other_classes(data, fitted):
    X, y = data
    display = ContributionsDisplay.from_estimator(fitted, X, pd.DataFrame({"class": y}))
    np.testing.assert_array_equal(display.members, y[:, None] == fitted.classes_)
    with pytest.raises(ValueError, match=r"y .*\['a', .*row 0 is 7"):
        ContributionsDisplay.from_estimator(fitted, X, np.full(80, 7))
    several = FusionClassifier(**SETTINGS).fit(X, np.stack([y == "a", y == "b"], axis=1) + 0)
    with pytest.raises(ValueError, match=r"\by\b .*\(80, 2\).*\(80,\)"):
        ContributionsDisplay.from_estimator(several, X, y)


def test_unknown_outputs(data, fitted):
    X, y = data
    display = ContributionsDisplay.from_estimator(fitted, X, y)
    for outputs in ("a", 1, []):
        with pytest.raises(ValueError, match=r"outputs .*\['a', 'b'"):
            display.plot(outputs=outputs)
    integers = FusionClassifier(**SETTINGS).fit(X, np.arange(80) % 2)
    with pytest.raises(ValueError, match=r"output 7.*\[0, 1\]"):
        ContributionsDisplay.from_estimator(integers, X, outputs=[7])


def test_array_is_read_by_the_names_of_fit(data, fitted):
    X, _ = data
    expected = ContributionsDisplay.from_estimator(fitted, X[:1])
    display = ContributionsDisplay.from_estimator(fitted, X[:1].to_numpy().tolist())
    np.testing.assert_array_equal(display.contributions, expected.contributions)
    assert display.inputs["image"].index.tolist() == expected.inputs["image"].index.tolist()
    with pytest.raises(ValueError, match=r"X .*\b3\b.*\b9\b"):
        ContributionsDisplay.from_estimator(fitted, X.to_numpy()[:1, :3])


def test_names_of_modalities_fit_into_the_figure():
    display = ContributionsDisplay(
        contributions=np.zeros((2, 6, 12)),
        predictions=np.zeros((2, 12)),
        members=np.ones((2, 12), dtype=bool),
        modalities=["a product description", "image", "audio", "video", "tabular", "clicks"],
        outputs=[f"a class of a rather long name, {i}" for i in range(12)],
    ).plot()
    figure = display.figure_
    figure.draw_without_rendering()
    legend = display.ax_.get_legend().get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1
    assert display.ax_.get_position().width > 0.5


def test_inputs_stay_below_the_name_of_their_modality():
    X, y = make_multimodal_classification(
        20, n_features=(9, 9), modality_names=("text", "image"), random_state=0
    )
    model = FusionClassifier(**SETTINGS).fit(X, y)
    display = ContributionsDisplay.from_estimator(model, X[:1])
    display.figure_.draw_without_rendering()
    for ax in display.axes_[:-1, 0]:
        (text,) = ax.texts
        assert text.get_window_extent().y1 <= ax._left_title.get_window_extent().y0 + 1
