"""By theme: the whole pipeline on raw columns, in what scikit-learn offers for estimators."""

import io
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (makes the next import work)
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from skmm import MLP, AdamW, FusionClassifier, ModalityTransformer
from skmm.image import ImageDescriptor
from skmm.text import TextDescriptor

N = 90
SMALL = {
    "modality_model": MLP((16,)),
    "interaction": None,
    "solver": AdamW(0.02, max_iter=30, batch_size=45),
    "random_state": 0,
}
WORDS = {
    "fruit": "apple pear plum cherry",
    "tool": "hammer saw pliers drill",
    "sky": "sun moon star",
}
COLORS = {"fruit": (200, 30, 30), "tool": (30, 200, 30), "sky": (30, 30, 200)}


@pytest.fixture(scope="module")
def raw():
    """A frame of text, pictures and numbers; text and picture each tell the class, mostly."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(list(WORDS), N // 3))
    seen_by_text, seen_by_image = (
        np.where(rng.random(N) < 0.8, y, rng.permutation(y)) for _ in "ab"
    )
    X = pd.DataFrame(
        {
            "caption": [
                f"{rng.choice(WORDS[label].split())} number {i}"
                for i, label in enumerate(seen_by_text)
            ],
            "photo": [
                Image.fromarray(
                    np.clip(rng.normal(COLORS[label], 25, (16, 16, 3)), 0, 255).astype(np.uint8)
                )
                for label in seen_by_image
            ],
            "price": rng.normal(size=N),
        }
    )
    X["photo"] = X["photo"].astype(object)
    return X, y


@pytest.fixture
def model():
    """Learns `raw` far above the chance of 1/3 in a fraction of a second."""
    return make_pipeline(ModalityTransformer(), FusionClassifier(**SMALL))


def test_learns_from_raw_columns(raw, model):
    X, y = raw
    assert cross_val_score(model, X, y, cv=3).mean() > 0.7
    fusion = model.fit(X, y)[-1]
    assert list(fusion.modalities_) == ["text", "image", "tabular"]
    assert fusion.modality_weights_["tabular"] < 0.2  # it is noise


def test_pickles_and_clones(raw, model):
    X, y = raw
    model.fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_polars_gives_what_pandas_gives(raw, model):
    X, y = raw
    frame = pl.DataFrame(
        {
            "caption": X["caption"].to_list(),
            "photo": pl.Series(X["photo"].to_list(), dtype=pl.Object),
            "price": X["price"].to_list(),
        }
    )
    model.fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(frame), model.predict_proba(X))


def test_cross_val_predict(raw, model):
    X, y = raw
    proba = cross_val_predict(model, X, y, cv=3, method="predict_proba")
    assert (np.unique(y)[proba.argmax(1)] == y).mean() > 0.7


def test_calibrated_classifier(raw, model):
    X, y = raw
    calibrated = CalibratedClassifierCV(model, cv=3).fit(X, y)
    assert calibrated.score(X, y) > 0.7


def test_stacking_classifier(raw, model):
    X, y = raw
    text = make_pipeline(
        ModalityTransformer([("text", TextDescriptor(n_components=10), "caption")]),
        LogisticRegression(),
    )
    stacked = StackingClassifier([("fused", model), ("text", text)], cv=3).fit(X, y)
    assert stacked.score(X, y) > 0.7


def test_bagging_classifier(raw, model):
    X, y = raw
    # Bagging passes its members bare object arrays
    bagged = BaggingClassifier(model, n_estimators=3, random_state=0).fit(X, y)
    assert list(bagged.estimators_[0][-1].modalities_) == ["text", "image", "tabular"]
    assert bagged.score(X, y) > 0.7


def test_one_vs_rest_classifier(raw, model):
    X, y = raw
    assert OneVsRestClassifier(model).fit(X, y).score(X, y) > 0.7


def test_permutation_importance_ranks_noise_last(raw, model):
    X, y = raw
    result = permutation_importance(model.fit(X, y), X, y, n_repeats=2, random_state=0)
    caption, photo, price = result.importances_mean
    assert price < min(caption, photo)


@pytest.mark.slow
def test_halving_grid_search(raw, model):
    X, y = raw
    grid = {"fusionclassifier__modality_loss_weight": [0.0, 0.3, 1.0]}
    search = HalvingGridSearchCV(model, grid, cv=2, min_resources=30, random_state=0).fit(X, y)
    assert search.best_score_ > 0.6


def test_learning_curve(raw, model):
    X, y = raw
    sizes, _, scores = learning_curve(model, X, y, cv=3, train_sizes=[0.4, 1.0])
    assert sizes[0] < sizes[1]
    assert scores[1].mean() > 0.7


@pytest.mark.slow
def test_grid_search_over_weights_in_two_processes(raw):
    X, y = raw
    model = make_pipeline(
        ModalityTransformer(
            [
                ("text", TextDescriptor(), "caption"),
                ("image", ImageDescriptor(image_size=32, pixels_per_cell=8), "photo"),
            ]
        ),
        FusionClassifier(**SMALL),
    )
    weights = [None, {"text": 0.9, "image": 0.1}]
    grid = {
        "fusionclassifier__modality_weights": weights,
        "modalitytransformer__text__n_components": [5, 20],
    }
    search = GridSearchCV(model, grid, cv=2, n_jobs=2).fit(X, y)
    fixed = GridSearchCV(model, {"fusionclassifier__modality_weights": weights[1:]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.7
    assert len(search.cv_results_["params"]) == 4
    assert fixed.best_estimator_[-1].modality_weights_ == pytest.approx({"text": 0.9, "image": 0.1})


def test_grid_search_over_the_models_of_the_modalities(raw):
    X, y = raw
    names = ("text", "image", "tabular")
    models = [
        MLP((8,)),
        dict.fromkeys(names, "mlp"),
        {**dict.fromkeys(names, LogisticRegression()), "tabular": RandomForestClassifier(10)},
    ]
    grid = [
        {"fusionclassifier__modality_model": models},
        {"fusionclassifier__modality_model__dropout": [0.1]},
    ]
    model = make_pipeline(ModalityTransformer(), FusionClassifier(**SMALL))
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert search.cv_results_["mean_test_score"].min() > 0.6


def test_sample_weight_is_routed(raw):
    X, y = raw
    weight = np.where(y == "sky", 0.1, 1.0)
    fusion = FusionClassifier(
        modality_model=MLP((16,)), interaction=None, solver=AdamW(max_iter=10), random_state=0
    )
    Z = ModalityTransformer().fit_transform(X)
    direct = clone(fusion).fit(Z, y, sample_weight=weight).predict_proba(Z)
    unweighted = clone(fusion).fit(Z, y).predict_proba(Z)
    with config_context(enable_metadata_routing=True):
        fusion.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        model = make_pipeline(ModalityTransformer(), fusion)
        routed = model.fit(X, y, sample_weight=weight).predict_proba(X)
        result = cross_validate(model, X, y, cv=3, params={"sample_weight": weight})
    np.testing.assert_array_equal(routed, direct)
    assert routed[:, 1].mean() < unweighted[:, 1].mean() - 0.1  # "sky" counts for less
    assert len(result["test_score"]) == 3


def test_row_with_nothing_gets_the_class_prior(raw, model):
    X, y = raw
    model.fit(X, y)
    rows = X.iloc[:2].copy()
    rows.iloc[1] = [None, None, np.nan]
    with pytest.warns(UserWarning, match=r"1 of 2 rows.*row 1"):
        proba = model.predict_proba(rows)
    np.testing.assert_allclose(proba[1], 1 / 3)


def test_missing_cells_are_missing_modalities(raw, model):
    X, y = raw
    X = X.copy()
    X.loc[::3, "photo"] = None
    X.loc[1::3, "caption"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
    there = ~np.isnan(model[-1].modality_proba(model[0].transform(X))).all(axis=2)
    np.testing.assert_array_equal(there[:, 0], X["caption"].notna())
    np.testing.assert_array_equal(there[:, 1], X["photo"].notna())


def test_broken_picture_is_named(raw, model, tmp_path):
    X, y = raw
    buffer = io.BytesIO()
    X["photo"].iloc[0].save(buffer, "JPEG")
    X = X.copy()
    X["photo"] = [buffer.getvalue()] * N
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(buffer.getvalue()[:100])
    X.loc[7, "photo"] = str(broken)
    with pytest.raises(ValueError, match=r"row 7: .*broken\.jpg"):
        model.fit(X, y)


def test_wrong_type_in_a_cell_is_named(raw):
    X, y = raw
    X = X.copy()
    X["caption"] = X["caption"].astype(object)
    X.loc[5, "caption"] = 3.5
    model = make_pipeline(
        ModalityTransformer([("text", TextDescriptor(), "caption")]), FusionClassifier()
    )
    with pytest.raises(TypeError, match=r"row 5.*float"):
        model.fit(X, y)


@pytest.mark.parametrize("n_rows", [0, 1])
def test_too_few_rows(raw, model, n_rows):
    X, y = raw
    match = r"shape=\(0, 3\)" if n_rows == 0 else r"2 classes .*\by\b"
    with pytest.raises(ValueError, match=match):
        model.fit(X.iloc[:n_rows], y[:n_rows])


def test_columns_are_found_by_name(raw, model):
    X, y = raw
    model.fit(X, y)
    shuffled = X[["price", "photo", "caption"]].assign(other=1)
    np.testing.assert_array_equal(model.predict_proba(shuffled), model.predict_proba(X))
    with pytest.raises(ValueError, match="'photo'"):
        model.predict(X.drop(columns="photo"))
