import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import MLP, AdamW, FusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.inspection import modality_report


@pytest.fixture(scope="module")
def data():
    return make_multimodal_classification(
        300,
        n_features=(2, 3, 2),
        informativeness=(0.9, 0.4, 0.0),
        modality_names=("text", "image", "noise"),
        random_state=0,
    )


@pytest.fixture(scope="module")
def fitted(data):
    X, y = data
    model = FusionClassifier(modality_model=MLP(8), solver=AdamW(max_iter=10), random_state=0)
    return model.fit(X[:150], y[:150])


@pytest.fixture(scope="module")
def report(data, fitted):
    X, y = data
    return modality_report(fitted, X[150:], y[150:], emap_samples=40, random_state=0)


def test_scores_are_those_of_the_model(data, fitted, report):
    X, y = data[0][150:], data[1][150:]
    assert report.overall["all"] == fitted.score(X, y)
    alone, without = X.copy(), X.copy()
    alone[[c for c in X if not c.startswith("text")]] = np.nan
    without[[c for c in X if c.startswith("text")]] = np.nan
    assert report.modalities.loc["text", "alone"] == fitted.score(alone, y)
    assert report.modalities.loc["text", "without"] == fitted.score(without, y)
    assert report.subsets.shape == (8, 4)
    chosen = report.subsets.query("text and not image and not noise")
    assert chosen["score"].tolist() == [report.modalities.loc["text", "alone"]]
    assert report.missing == "nan"
    assert report.score_name == "accuracy"


def test_shapley_values_are_complete_and_in_order(report):
    shapley = report.modalities["shapley"]
    assert shapley.sum() == pytest.approx(report.overall["all"] - report.overall["none"])
    assert shapley.sort_values().index.tolist() == ["noise", "image", "text"]


def test_noise_is_worth_nothing_when_permuted(report):
    permutation = report.modalities["permutation"]
    assert abs(permutation["noise"]) < 0.03
    assert permutation["text"] > 0.1


def test_a_sum_over_modalities_has_no_gap(data, fitted):
    X, y = data
    model = clone(fitted).set_params(interaction=None).fit(X[:150], y[:150])
    report = modality_report(model, X[150:], y[150:], emap_samples=40, random_state=0)
    assert report.overall["emap_gap"] == 0


def test_random_state_repeats(data, fitted, report):
    X, y = data
    again = modality_report(fitted, X[150:], y[150:], emap_samples=40, random_state=0)
    pd.testing.assert_frame_equal(again.modalities, report.modalities)
    pd.testing.assert_series_equal(again.overall, report.overall)


def test_interaction_is_a_gap():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.choice([-1.0, 1.0], size=(300, 2)), columns=["a__0", "b__0"])
    y = (X["a__0"] * X["b__0"] > 0).to_numpy()
    model = RandomForestClassifier(10, random_state=0).fit(X, y)
    report = modality_report(model, X, y, emap_samples=150, random_state=0)
    assert report.overall["emap_all"] == 1
    assert 0.4 < report.overall["emap"] < 0.6
    assert modality_report(model, X, y, emap_samples=0).overall.index.tolist() == ["all", "none"]


def test_plain_pipelines_and_their_scores(data):
    X, y = data
    model = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(model, {"logisticregression__C": [1]}, cv=2, scoring="roc_auc").fit(X, y)
    report = modality_report(search, X, y, emap_samples=30, n_repeats=2, random_state=0)
    assert report.missing == "mean"
    assert report.score_name == "roc auc"
    proba = search.predict_proba(X)[:, 1]
    assert report.overall["all"] == pytest.approx(roc_auc_score(y, proba))
    assert report.overall["emap_gap"] == pytest.approx(0, abs=1e-9)
    imputing = make_pipeline(SimpleImputer(), LogisticRegression()).fit(X, y)
    assert modality_report(imputing, X, y, emap_samples=0).missing == "nan"


def test_transformers_of_a_column_transformer_are_modalities():
    X = pd.DataFrame({"says": ["meow", "woof", "purr", "bark"] * 5, "age": np.arange(20.0)})
    y = np.array(["cat", "dog"] * 10)
    encode = ColumnTransformer([("text", TfidfVectorizer(), "says"), ("n", "passthrough", ["age"])])
    model = make_pipeline(encode, LogisticRegression(max_iter=500)).fit(X, y)
    report = modality_report(model, X, y, emap_samples=10)
    assert report.modalities.index.tolist() == ["text", "n"]
    assert report.overall["all"] == 1 == report.modalities.loc["text", "alone"]
    assert report.modalities.loc["text", "without"] < 0.7


def test_regression(data):
    X, _ = data
    y = 3 * X["text__0"] + X["image__0"] * X["noise__0"]
    model = LinearRegression().fit(X, y)
    report = modality_report(model, X, y, n_repeats=3, emap_samples=50, random_state=0)
    assert report.score_name == "R²"
    assert report.modalities["shapley"].idxmax() == "text"
    assert report.overall["emap_gap"] == pytest.approx(0, abs=1e-5)


def test_bad_input(data, fitted):
    X, y = data
    with pytest.raises(ValueError, match=r"300, 299"):
        modality_report(fitted, X, y[:-1])
    with pytest.raises(ValueError, match=r"n_repeats.*\b0\b"):
        modality_report(fitted, X, y, n_repeats=0)
    with pytest.raises(ValueError, match="'t'"):
        modality_report(
            LogisticRegression().fit(X.rename(columns={"text__0": "t"}), y),
            X.rename(columns={"text__0": "t"}),
            y,
        )


def test_it_is_printed_as_tables(report):
    shown, html = repr(report), report._repr_html_()
    assert shown == str(report)
    for text in (shown, html):
        assert text.count("shapley") == 1
        assert "accuracy" in text
        assert "subsets" not in text
    (row,) = [line.split() for line in shown.splitlines() if line.startswith("image")]
    assert row == ["image", *(f"{v:.4g}" for v in report.modalities.loc["image"])]
    assert pickle.loads(pickle.dumps(report)).overall.equals(report.overall)
    assert html.count("<table") == 2
