"""Displays and the report, by theme: models whose f_i are estimators of scikit-learn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmm import MLP, AdamW, FusionClassifier, FusionRegressor
from skmm.datasets import make_multimodal_classification
from skmm.inspection import (
    ContributionsDisplay,
    EmbeddingDisplay,
    LossTermsDisplay,
    ModalityAblationDisplay,
    ModalityReportDisplay,
    ModalityWeightsDisplay,
    modality_report,
)

X, y = make_multimodal_classification(
    80, n_features=(3, 4), modality_names=("text", "tabular"), random_state=0
)
SOLVER = AdamW(max_iter=2)
FOREST = RandomForestClassifier(5, max_depth=3, random_state=0)


def fit_classifier(modality_model, **parameters):
    model = FusionClassifier(
        interaction=None, modality_model=modality_model, solver=SOLVER, random_state=0, **parameters
    )
    return make_pipeline(FunctionTransformer(), model).fit(X, y)


@pytest.fixture(
    scope="module",
    params=[
        {"modality_model": {"text": MLP(4), "tabular": FOREST}},
        {"modality_model": {"text": LogisticRegression(), "tabular": FOREST}},
        {"modality_model": {"text": MLP(4), "tabular": FOREST}, "fusion": "additive"},
    ],
    ids=["beside a perceptron", "alone", "additive"],
)
def fitted(request):
    return fit_classifier(**request.param)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_contributions(fitted):
    display = ContributionsDisplay.from_estimator(fitted, X[:1])
    logits = fitted[-1].contributions(X[:1])[0]
    centred = logits - logits.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(display.contributions[0], centred)
    np.testing.assert_allclose(display.predictions, fitted.predict_proba(X[:1]))
    assert ContributionsDisplay.from_estimator(fitted, X, y).members.sum() == len(X)


def test_weights(fitted):
    display = ModalityWeightsDisplay.from_estimator(fitted)
    assert display.modalities == ["text", "tabular"]
    np.testing.assert_allclose(display.weights.sum(), 1)


def test_loss_terms(fitted):
    display = LossTermsDisplay.from_estimator(fitted)
    assert list(display.lines_) == list(fitted[-1].history_)


def test_embedding(fitted):
    assert EmbeddingDisplay.from_estimator(fitted, X, y).coordinates.shape == (80, 2)


def test_ablation(fitted):
    display = ModalityAblationDisplay.from_estimator(fitted, X, y)
    for subset, score in zip(display.subsets, display.scores, strict=True):
        missing = [column for column in X if not column.startswith(subset)]
        if subset:
            assert score == fitted.score(X.assign(**dict.fromkeys(missing, np.nan)), y)


def test_report(fitted):
    report = modality_report(fitted, X, y, n_repeats=1, emap_samples=20, random_state=0)
    assert report.missing == "nan"
    assert report.overall["all"] == fitted.score(X, y)
    assert report.overall["emap_gap"] == 0  # fusion of scores is additive, whatever the f_i
    assert ModalityReportDisplay(report=report).plot().report is report


def test_regressor():
    model = FusionRegressor(
        interaction=None,
        modality_model={
            "text": MLP(4),
            "tabular": RandomForestRegressor(5, max_depth=3, random_state=0),
        },
        solver=SOLVER,
        random_state=0,
    ).fit(X, X["text__0"] + X["tabular__0"])
    display = ContributionsDisplay.from_estimator(model, X)
    np.testing.assert_allclose(display.contributions[..., 0], model.contributions(X))
    assert ModalityWeightsDisplay.from_estimator(model).weights.shape == (1, 2)
    report = modality_report(model, X, X["text__0"], n_repeats=1, emap_samples=20, random_state=0)
    assert report.overall["emap_gap"] == pytest.approx(0, abs=1e-6)
