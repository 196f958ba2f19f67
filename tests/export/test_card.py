"""model_card: its figures are those of the model, its header is one that the Hub reads."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from minilm import MINILM
from nested_settings import nest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skmm
from skmm import (
    FusionClassifier,
    FusionRegressor,
    LateFusionClassifier,
    ModalityTransformer,
    TabularEncoder,
    model_card,
)
from skmm.export._measures import measure_reliability
from skmm.text import TextEncoder


def read_tables(card):
    """Return the tables of a card as lists of dicts of strings, by the names of their columns."""
    tables = {}
    for lines in re.findall(r"(?:^\|.*\n?)+", str(card), re.MULTILINE):
        header, _, *rows = [
            [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in lines.strip().splitlines()
        ]
        tables.setdefault(tuple(header), []).extend(
            dict(zip(header, row, strict=True)) for row in rows
        )
    return tables


@pytest.fixture(scope="module")
def classifier(data):
    X, y = data
    model = nest(FusionClassifier, hidden_layer_sizes=(4,), max_iter=5, random_state=0)
    return model.fit(X[:100], y[:100])


def test_scores_are_those_of_the_rows_given(data, classifier):
    X, y = data[0][100:], data[1][100:]
    tables = read_tables(model_card(classifier, X, y))
    by_modality = {
        row["modalities"]: float(row["accuracy"]) for row in tables["modalities", "accuracy"]
    }
    without = X.copy()
    without[[c for c in X if c.startswith("text")]] = np.nan
    assert by_modality["all"] == pytest.approx(classifier.score(X, y), abs=1e-4)
    assert by_modality["without text"] == pytest.approx(classifier.score(without, y), abs=1e-4)
    assert by_modality["image alone"] == by_modality["without text"]
    (target,) = tables["target", "rows", "accuracy", "log-loss", "expected calibration error"]
    proba = classifier.predict_proba(X)
    assert float(target["log-loss"]) == pytest.approx(log_loss(y, proba), abs=1e-3)
    assert target["rows"] == "50"
    bins = tables["from", "to", "rows", "probability", "accuracy"]
    gaps = [int(b["rows"]) * abs(float(b["probability"]) - float(b["accuracy"])) for b in bins]
    expected = float(target["expected calibration error"])
    assert sum(gaps) / 50 == pytest.approx(expected, abs=1e-3)


def test_calibration_error_of_known_rows():
    proba = np.array([[0.95, 0.05]] * 4 + [[0.45, 0.55]] * 2)
    y = np.array(["a", "a", "a", "b", "b", "a"])
    found = measure_reliability("y", proba, np.array(["a", "b"]), y)
    assert found.calibration_error == pytest.approx((4 * 0.2 + 2 * 0.05) / 6)
    assert found.accuracy == accuracy_score(y, ["a"] * 4 + ["b"] * 2)
    assert found.bins["rows"].tolist() == [2, 4]
    unknown = measure_reliability("y", proba, np.array(["a", "b"]), np.array([*y[:5], None]))
    assert unknown.n_rows == 5
    with pytest.raises(ValueError, match="'y'"):
        measure_reliability("y", proba, np.array(["c", "d"]), y)


def test_modalities_and_weights(data, classifier):
    rows = read_tables(model_card(classifier, *data))["modality", "columns", "features", "weight"]
    assert [row["modality"] for row in rows] == ["text", "image"]
    assert [row["features"] for row in rows] == ["5", "4"]
    weights = [float(row["weight"]) for row in rows]
    assert weights == pytest.approx([*classifier.modality_weights_.values()], abs=1e-3)
    attention = nest(FusionClassifier, fusion="attention", hidden_layer_sizes=(4,), max_iter=2)
    tables = read_tables(model_card(attention.fit(*data), *data))
    rows = tables["modality", "columns", "features", "weight"]
    assert [row["weight"] for row in rows] == ["none", "none"]


def test_numbers(data):
    X = data[0]
    y = pd.DataFrame({"price": X["text__0"] * 100, "size": X["image__1"]})
    y.loc[3, "size"] = np.nan
    model = nest(FusionRegressor, hidden_layer_sizes=(4,), max_iter=5, random_state=0).fit(X, y)
    card = model_card(model, X, y)
    tables = read_tables(card)
    price, size = tables["target", "rows", "mean absolute error", "root mean square error"]
    error = mean_absolute_error(y["price"], model.predict(X)[:, 0])
    assert float(price["mean absolute error"]) == pytest.approx(error, rel=1e-3)
    assert (price["target"], size["target"], size["rows"]) == ("price", "size", "149")
    assert "## Calibration" not in str(card)


@pytest.mark.parametrize("kind", ["labels", "targets"])
def test_labels_and_several_targets(kind, data):
    X, y = data
    signs = pd.DataFrame({"a": X["text__0"] > 0, "b": X["image__0"] > 0}).astype(int)
    if kind == "targets":
        signs["b"] = y + 5
    model = nest(FusionClassifier, hidden_layer_sizes=(4,), max_iter=2, random_state=0)
    model.fit(X, signs)
    header = "target", "rows", "accuracy", "log-loss", "expected calibration error"
    rows = read_tables(model_card(model, X, signs))[header]
    assert [row["target"] for row in rows] == ["a", "b"]
    predicted = model.predict(X)
    for i, row in enumerate(rows):
        expected = accuracy_score(signs.iloc[:, i], predicted[:, i].astype(int))
        assert float(row["accuracy"]) == pytest.approx(expected, abs=1e-4)


def test_search_and_late_fusion(data):
    X, y = data
    estimators = [
        (n, LogisticRegression(), [c for c in X if c.startswith(n)]) for n in ("text", "image")
    ]
    late = LateFusionClassifier(estimators)
    search = GridSearchCV(late, {"modality_weights": [None, "uniform"]}, cv=2).fit(X, y)
    tables = read_tables(model_card(search, X, y))
    assert len(tables["modality", "columns", "features", "weight"]) == 2


def test_other_models_are_named(data):
    with pytest.raises(TypeError, match="LogisticRegression"):
        model_card(LogisticRegression().fit(*data), *data)


def test_header_words_and_versions(data, classifier):
    card = model_card(
        classifier, *data, name="Emoji", description="For *tests*.", license="bsd-3-clause"
    )
    assert card.data.to_dict() == {
        "library_name": "skmm",
        "license": "bsd-3-clause",
        "model_name": "Emoji",
        "tags": ["skmm", "multimodal"],
    }
    assert "# Emoji\n\nFor *tests*.\n" in card.text
    versions = read_tables(card)["package", "version"]
    assert {"package": "skmm", "version": skmm.__version__} in versions


def test_licences_of_encoders(tmp_path):
    """A licence is what the card of the model says; of a model without one it is not known."""
    X = pd.DataFrame({"says": ["red cat", "blue dog", "red dog", "a hat"] * 5, "n": range(20)})
    y = np.arange(20) % 2
    found = {}
    for card in ("license: apache-2.0", "tags: [texts]"):
        folder = tmp_path / card.partition(":")[0]
        folder.mkdir()
        for file in Path(MINILM).iterdir():
            if file.name != "README.md":
                (folder / file.name).symlink_to(file)
        (folder / "README.md").write_text(f"---\n{card}\n---\n# A model\n")
        encoders = [
            ("text", TextEncoder(folder, cache=None), "says"),
            ("table", TabularEncoder(), ["n"]),
        ]
        fusion = nest(FusionClassifier, hidden_layer_sizes=(2,), max_iter=1, random_state=0)
        fitted = make_pipeline(ModalityTransformer(encoders), fusion).fit(X, y)
        header = "modality", "encoder", "pretrained model", "licence"
        rows = read_tables(model_card(fitted, X, y))[header]
        assert [row["encoder"] for row in rows] == ["TextEncoder", "TabularEncoder"]
        assert rows[0]["pretrained model"] == str(folder)
        found[folder.name] = rows[0]["licence"]
    assert found == {"license": "apache-2.0", "tags": "not known: see its source"}
