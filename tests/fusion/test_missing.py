"""By theme: rows that lack modalities, in training and in prediction."""

import itertools

import numpy as np
import pandas as pd
import pytest
from nested_settings import EXACT_FUSIONS, FUSIONS

from skmm import MLP, FusionClassifier
from skmm.datasets import make_multimodal_classification


def without(X, *names):
    """Make a copy of X in which these modalities are missing from all rows."""
    X = X.copy()
    X.loc[:, X.columns.str.partition("__").get_level_values(0).isin(names)] = np.nan
    return X


@pytest.mark.parametrize("fusion", FUSIONS)
def test_row_without_modalities_gets_the_prior(data, small, fusion):
    X, y = data
    weight = np.where(y == 1, 3.0, 1.0)
    model = small(fusion=fusion).fit(X, y, sample_weight=weight)
    X = X.iloc[:4].copy()
    complete = model.predict_proba(X)
    X.iloc[[2, 3]] = np.nan
    with pytest.warns(UserWarning, match=r"2 of 4 rows.*row 2") as record:
        proba = model.predict_proba(X)
    assert record[0].filename == __file__
    prior = np.bincount(y, weights=weight) / weight.sum()
    np.testing.assert_allclose(proba[2:], [prior, prior])
    np.testing.assert_allclose(proba[:2], complete[:2], atol=1e-6)
    with pytest.warns(UserWarning, match=r"2 of 4 .*row 2\b"):
        np.testing.assert_array_equal(model.predict(X)[2:], 1)
    assert np.isnan(model.modality_proba(X)[2:]).all()
    np.testing.assert_array_equal(model.transform(X)[2:], 0)
    if fusion in EXACT_FUSIONS:
        np.testing.assert_array_equal(model.contributions(X)[2:], 0)


def test_training_row_without_modalities_is_left_out(data, small):
    X, y = data
    nothing = X.iloc[:3] * np.nan
    with pytest.warns(UserWarning, match=r"3 of 153.*row 150") as record:
        model = small().fit(pd.concat([X, nothing]), np.r_[y, y[:3]])
    assert record[0].filename == __file__
    np.testing.assert_array_equal(model.predict_proba(X), small().fit(X, y).predict_proba(X))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("fusion", FUSIONS)
def test_rows_may_lack_modalities_in_training_and_prediction(data, small, fusion):
    X, y = data
    X = X.copy()
    X.iloc[::3, :5] = np.nan
    X.iloc[1::3, 5:] = np.nan
    model = small(fusion=fusion, max_iter=20, learning_rate_init=0.02).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.score(X, y) > 0.5


def test_modality_missing_everywhere(data, small):
    X, y = data
    with pytest.raises(ValueError, match="'image'"):
        small().fit(without(X, "image"), y)
    model = small().fit(X, y)
    proba = model.predict_proba(without(X, "image"))  # at prediction it may
    np.testing.assert_allclose(proba, model.modality_proba(X)[:, 0], atol=1e-6)


@pytest.mark.parametrize("method", ["fit", "predict", "transform", "modality_proba"])
def test_partly_missing_modality(data, small, method):
    X, y = data
    model = small().fit(X, y)
    X = X.copy()
    X.iloc[7, 6] = np.nan
    match = "Row 7 .*1 of the 4.*'image'.*'image__1'"
    with pytest.raises(ValueError, match=match):
        getattr(model, method)(*((X, y) if method == "fit" else (X,)))


def test_partly_missing_modality_of_an_array(data, small):
    X, y = data
    X = X.to_numpy().copy()
    X[7, 6] = np.nan
    with pytest.raises(ValueError, match=r"Row 7 .*'image'.*column 6"):
        small(modalities={"text": 5, "image": 4}).fit(X, y)


def test_modality_dropout_prepares_for_missing_ones():
    X, y = make_multimodal_classification(
        600, informativeness=(0.9, 0.5), modality_names=("good", "poor"), random_state=0
    )
    X_test = without(X[400:], "good")
    parameters = {"fusion": "concat", "modality_model": MLP((32,))}
    losses = []
    for rate in (0.0, 0.5):
        model = FusionClassifier(modality_dropout=rate, random_state=0, **parameters)
        log_proba = model.fit(X[:400], y[:400]).predict_log_proba(X_test)
        losses.append(-log_proba[np.arange(len(X_test)), y[400:]].mean())
    assert losses[1] < losses[0]


@pytest.mark.parametrize(
    ("fusion", "n_present"),
    [*itertools.product(["late", "weighted", "concat"], [1, 2, 5]), ("gated", 2)],
)
def test_a_modality_that_few_rows_have(data, small, fusion, n_present):
    X, y = data
    rare = X.copy()
    rare.loc[n_present:, X.columns.str.startswith("image")] = np.nan
    model = small(fusion=fusion, max_iter=40).fit(rare, y)
    # nothing proves that it counts: as a modality of noise, it has next to no weight
    assert model.modality_weights_["image"] < 0.1
    logits = np.log(model.predict_proba(X))
    assert np.abs(logits - np.log(model.predict_proba(rare))).max() < 2
    assert model.score(X, y) > model.score(rare, y) - 0.1


@pytest.mark.parametrize("fusion", ["late", "weighted", "concat"])
def test_rows_with_fewer_modalities_are_not_predicted_more_boldly(fusion):
    names = ("a", "b", "c")
    X, y = make_multimodal_classification(
        900,
        n_features=(20, 20, 20),
        n_classes=4,
        informativeness=(0.7, 0.7, 0.5),
        modality_names=names,
        random_state=0,
    )
    model = FusionClassifier(fusion, random_state=0).fit(X[:600], y[:600])
    sure = {
        kept: model.predict_proba(without(X[600:], *{*names} - {*kept})).max(axis=1).mean()
        for n in (1, 2, 3)
        for kept in itertools.combinations(names, n)
    }
    for kept, each in sure.items():
        for name in set(kept) if len(kept) > 1 else ():
            assert sure[tuple(other for other in kept if other != name)] <= each


def test_absence_of_what_has_no_weight_costs_nothing(data, small):
    X, y = data
    model = small(modality_weights={"text": 1, "image": 0}).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(without(X, "image")), model.predict_proba(X))
