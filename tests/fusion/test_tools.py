"""By theme: FusionClassifier in what scikit-learn offers around an estimator, on features."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (makes the next import work)
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import LBFGS, MLP, AdamW, FusionClassifier, FusionRegressor
from skmm.datasets import make_multimodal_classification
from skmm.fusion import Attention, Gated, Late

TEXT_ALONE, IMAGE_ALONE = {"text": 1.0, "image": 0.0}, {"text": 0.0, "image": 1.0}


@pytest.fixture(scope="module")
def rows():
    """200 rows of three classes of which text says much and image nothing; chance is 1/3."""
    return make_multimodal_classification(
        200,
        n_features=(5, 4),
        n_classes=3,
        informativeness=(0.9, 0.0),
        modality_names=("text", "image"),
        class_sep=2.0,
        random_state=0,
    )


@pytest.fixture
def model():
    solver = AdamW(max_iter=15, batch_size=50)
    return FusionClassifier(
        modality_model=MLP((8,)), interaction=None, solver=solver, random_state=0
    )


def test_cross_val_predict(rows, model):
    X, y = rows
    proba = cross_val_predict(model, X, y, cv=3, method="predict_proba")
    assert proba.shape == (200, 3)
    assert (proba.argmax(1) == y).mean() > 0.7


def test_grid_search_over_weights_and_alignment(rows, model):
    X, y = rows
    grid = {
        "modality_weights": [IMAGE_ALONE, TEXT_ALONE],
        "alignment_weight": [{("text", "image"): 0.1}, np.array([[0, 0.5], [0, 0]])],
    }
    search = GridSearchCV(model.set_params(alignment="contrastive"), grid, cv=2).fit(X, y)
    assert search.best_params_["modality_weights"] == TEXT_ALONE
    assert search.best_estimator_.modality_weights_ == TEXT_ALONE
    scores = search.cv_results_["mean_test_score"]
    text = np.array([p["modality_weights"] == TEXT_ALONE for p in search.cv_results_["params"]])
    assert scores[text].min() > 0.65
    assert scores[~text].max() < 0.5


def test_grid_search_over_settings_objects_and_in_them(rows, model):
    X, y = rows
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), model)
    grid = [
        {
            "fusionclassifier__solver__weight_decay": [0.1, 2.0],
            "fusionclassifier__modality_model__dropout": [0.0, 0.4],
        },
        {"fusionclassifier__fusion": ["late", Gated(), Attention(n_heads=2)]},
        {"fusionclassifier__solver": [AdamW(max_iter=2)]},
        {
            "fusionclassifier__modality_model": [MLP((), dropout=0), "linear"],
            "fusionclassifier__solver": [LBFGS(max_iter=20, tol=1.0)],
        },
    ]
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 4 + 3 + 1 + 2
    assert search.best_score_ > 0.65
    assert model.solver.max_iter == 15  # the one given is left as it was
    for estimator in (model, FusionRegressor(Late(), solver=AdamW(), modality_model=MLP())):
        nested = {"fusion__per_class"} if estimator.fusion != "late" else set()
        nested |= {"solver__weight_decay", "modality_model__hidden_layer_sizes"}
        assert nested <= estimator.get_params().keys()


def test_halving_grid_search(rows, model):
    X, y = rows
    grid = {"modality_weights": [IMAGE_ALONE, TEXT_ALONE, "uniform"]}
    search = HalvingGridSearchCV(
        model,
        grid,
        cv=2,
        resource="solver__max_iter",
        max_resources=18,
        min_resources=6,
        random_state=0,
    ).fit(X, y)
    assert search.best_params_["modality_weights"] != IMAGE_ALONE
    assert search.best_estimator_.n_iter_ == 18


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated_classifier(rows, model, method):
    X, y = rows
    calibrated = CalibratedClassifierCV(model, method=method, cv=3).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(1), 1)
    assert calibrated.score(X, y) > 0.7


def test_stacking_classifier_keeps_the_names(rows, model):
    X, y = rows
    stacked = StackingClassifier(
        [("fused", model), ("plain", LogisticRegression())], cv=3, passthrough=True
    ).fit(X, y)
    assert list(stacked.named_estimators_["fused"].modalities_) == ["text", "image"]
    assert stacked.score(X, y) > 0.7


def test_bagging_classifier(rows, model):
    X, y = rows
    model.set_params(modalities={"text": 5, "image": 4})  # bagging passes bare arrays on
    bagged = BaggingClassifier(model, n_estimators=3, random_state=0).fit(X, y)
    weights = [member.modality_weights_["text"] for member in bagged.estimators_]
    assert min(weights) > 0.7
    assert len(set(weights)) == 3  # they saw different rows
    assert bagged.score(X, y) > 0.7


def test_one_vs_rest_classifier(rows, model):
    X, y = rows
    one_vs_rest = OneVsRestClassifier(model).fit(X, y)
    assert len(one_vs_rest.estimators_) == 3
    assert one_vs_rest.score(X, y) > 0.7


def test_permutation_importance(rows, model):
    X, y = rows
    result = permutation_importance(model.fit(X, y), X, y, n_repeats=2, random_state=0)
    importance = dict(zip(X, result.importances_mean, strict=True))
    best = max(importance, key=importance.get)
    assert best.startswith("text")
    assert sum(importance[c] for c in X.columns[:5]) > 3 * sum(importance[c] for c in X.columns[5:])


def test_learning_curve(rows, model):
    X, y = rows
    sizes, _, scores = learning_curve(model, X, y, cv=3, train_sizes=[0.1, 1.0])
    assert sizes.tolist() == [13, 133]
    assert scores[1].mean() > max(0.7, scores[0].mean())


def test_features_for_another_classifier(rows, model):
    X, y = rows
    model.set_params(fusion="weighted")
    pipeline = make_pipeline(model, LogisticRegression()).fit(X, y)
    assert pipeline.score(X, y) > 0.7
    assert pipeline[-1].n_features_in_ == 8
