"""The diagram of an estimator in a notebook, and its text in a terminal."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import MLP, AdamW, FusionClassifier, LateFusionClassifier, ModalityTransformer
from skmm.alignment import CrossModalAligner
from skmm.fusion import Late
from skmm.text import TextDescriptor

X = pd.DataFrame({"says": ["meow", "woof", "purr", "bark"] * 6, "age": np.arange(24.0), "legs": 4})
Y = np.array(["cat", "dog"] * 12)
SETTINGS = {"modality_model": MLP(4), "solver": AdamW(max_iter=2), "random_state": 0}
LATE = LateFusionClassifier(
    [
        ("text", make_pipeline(TextDescriptor(n_components=2), LogisticRegression()), "says"),
        ("tabular", LogisticRegression(), ["age", "legs"]),
    ],
    modality_weights={"text": 3, "tabular": 1},
)


def shown(estimator):
    """Return the visible words: without styles and scripts, and without what a click opens."""
    html = re.sub(r"<(style|script).*?</\1>", " ", estimator._repr_html_(), flags=re.DOTALL)
    html = re.sub(r'<div class="sk-text-repr-fallback">.*?</b></div>', " ", html, flags=re.DOTALL)
    return re.sub(r"<[^>]*>|\s+", " ", html)


@pytest.fixture(scope="module")
def pipeline():
    encoders = [
        ("text", TextDescriptor(n_components=2), "says"),
        ("tabular", StandardScaler(), ["age", "legs"]),
    ]
    weights = {"text": 0.75, "tabular": 0.25}
    fusion = FusionClassifier(modality_weights=weights, **SETTINGS)
    return make_pipeline(ModalityTransformer(encoders), fusion).fit(X, Y)


def test_modalities_are_shown_by_name_with_columns_and_weights(pipeline):
    text = shown(pipeline)
    for words in ("text: says", "tabular: age, legs"):
        assert words in text
    assert text.count("2 columns, weight 0.75") >= 1
    assert text.count("2 columns, weight 0.25") >= 1
    assert "TextDescriptor" in text


def test_auto_shows_what_it_found():
    assert "tabular" not in shown(ModalityTransformer())
    assert "tabular: says, age, legs" in shown(ModalityTransformer().fit(X))


def test_late_fusion_shows_its_classifiers():
    before = shown(LATE)
    assert "text: says" in before
    assert "(weight" not in before
    after = shown(LATE.fit(X, Y))
    assert "text: says (weight 0.75)" in after
    assert "tabular: age, legs (weight 0.25)" in after


def test_aligner_shows_modalities_with_columns(pipeline):
    aligner = CrossModalAligner("cca")
    assert "columns" not in shown(aligner).partition("Parameters")[0]
    tree = aligner.fit(pipeline[0].transform(X))._repr_html_()
    assert re.findall(r"<label[^>]*><div><div>([^<]*)", tree)[1:] == [
        "text",
        "2 columns",
        "tabular",
        "2 columns",
    ]


def test_what_has_no_weights_or_is_not_fitted(pipeline):
    Z = pipeline[0].transform(X)
    assert "2 columns" in shown(FusionClassifier(fusion="attention", **SETTINGS).fit(Z, Y))
    assert "columns" not in shown(FusionClassifier()).partition("Parameters")[0]
    per_class = FusionClassifier(Late(per_class=True), **SETTINGS).fit(Z, Y)
    mean = per_class.modality_weights_["text"].mean()
    assert f"2 columns, weight {mean:.2f}" in shown(per_class)


def test_settings_objects_are_shown_among_the_parameters(pipeline):
    model = FusionClassifier(Late(per_class=True), **SETTINGS)
    for estimator in (model, model.fit(pipeline[0].transform(X), Y)):
        text = shown(estimator)
        for words in ("Late(per_class=True)", "MLP(hidden_layer_sizes=4)", "AdamW(max_iter=2)"):
            assert words in text


def test_representations_are_short(pipeline):
    assert repr(ModalityTransformer().fit(X)) == "ModalityTransformer()"
    fitted = FusionClassifier(solver=AdamW(max_iter=2)).fit(pipeline[0].transform(X), Y)
    assert repr(fitted) == "FusionClassifier(solver=AdamW(max_iter=2))"
    given = FusionClassifier(Late(), modality_model=MLP())
    assert repr(given) == "FusionClassifier(fusion=Late(), modality_model=MLP())"
    assert len(re.sub(r"\s", "", repr(pipeline))) < 700


@pytest.mark.parametrize(
    ("columns", "heading"),
    [
        ("says", "m: says"),
        (3, "m: 3"),
        (np.int64(3), "m: 3"),
        (["a", "b", "c", "d", "e"], "m: a, b, c and 2 more"),
        (slice(0, 5), "m"),
        ([True, False], "m"),
        (np.array([True]), "m"),
        (len, "m"),
        ([], "m: "),
    ],
)
def test_headings(columns, heading):
    model = LateFusionClassifier([("m", LogisticRegression(), columns)])
    labels = re.findall(r"<label[^>]*>(.*?)</label>", model._repr_html_())
    assert heading in [re.sub("<[^>]*>", "", label) for label in labels]
