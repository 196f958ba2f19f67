"""What FusionClassifier promises about its attributes, its input and weights of rows."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from nested_settings import FUSIONS, SCORE_FUSIONS
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skmm import FusionClassifier
from skmm.fusion import Attention, Bilinear, Late


def assert_same(a, b, X):
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    assert getattr(a, "modality_weights_", None) == getattr(b, "modality_weights_", None)


# The estimator


def test_fitted_attributes(data, small):
    X, y = data
    model = small().fit(X, y)
    assert model.modalities_ == {"text": list(X.columns[:5]), "image": list(X.columns[5:])}
    assert list(model.modality_weights_) == ["text", "image"]
    assert sum(model.modality_weights_.values()) == pytest.approx(1)
    assert isinstance(model.network_, torch.nn.Module)
    assert not model.network_.training
    assert model.n_features_in_ == 9
    assert model.feature_names_in_.tolist() == list(X.columns)
    np.testing.assert_allclose(model.class_prior_, np.bincount(y) / len(y))


def test_predictions_agree_with_each_other(data, small):
    X, y = data
    model = small().fit(X, y)
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(1), 1)
    np.testing.assert_allclose(np.log(proba), model.predict_log_proba(X))
    np.testing.assert_array_equal(model.classes_[proba.argmax(1)], model.predict(X))
    assert model.score(X, y) == (model.predict(X) == y).mean()


def test_nothing_is_written_to_parameters_or_data(data, small):
    X, y = data
    weights = {"text": 2, "image": 6}
    model = small(modality_weights=weights)
    before, before_X = repr(model.get_params()), X.copy()
    model.fit(X, y).predict(X)
    assert repr(model.get_params()) == before
    assert weights == {"text": 2, "image": 6}
    assert model.modality_weights_ == {"text": 0.25, "image": 0.75}
    pd.testing.assert_frame_equal(X, before_X)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_pickle_is_small_and_predicts_the_same(data, small, fusion):
    X, y = data
    model = small(fusion=fusion).fit(X, y)
    stored = pickle.dumps(model)
    assert len(stored) < 50_000
    assert_same(pickle.loads(stored), model, X)


def test_clone_is_unfitted_and_fits_the_same(data, small):
    model = small().fit(*data)
    copy = clone(model)
    with pytest.raises(NotFittedError):
        copy.modality_proba(data[0])
    assert_same(copy.fit(*data), model, data[0])


def test_a_fit_that_fails_leaves_the_model_as_it_was(data, small):
    X, y = data
    model = small().fit(X, y)
    before = model.predict(X)
    others = np.array(list("abcd") * len(y))[: len(y)]
    with pytest.raises(ValueError, match="'image'"):
        model.fit(X.assign(**dict.fromkeys(X.columns, np.nan)), others)
    np.testing.assert_array_equal(model.predict(X), before)
    assert model.classes_.tolist() == np.unique(y).tolist()
    with pytest.raises(ValueError, match="classes"):
        model.partial_fit(X, y, classes=list("abcd"))
    np.testing.assert_array_equal(model.predict(X), before)


def test_refitting_forgets(data, small):
    X, y = data
    model = small(early_stopping=True).fit(X, y)
    assert "validation_loss" in model.history_
    model.set_params(solver__early_stopping=False).fit(
        X[X.columns[:5]], np.array(["n", "p", "p"])[y]
    )
    assert_same(
        model, small().fit(X[X.columns[:5]], np.array(["n", "p", "p"])[y]), X[X.columns[:5]]
    )
    assert "validation_loss" not in model.history_


@pytest.mark.parametrize("fusion", FUSIONS)
def test_set_output_and_feature_names(data, small, fusion):
    X, y = data
    X = X.set_axis(np.arange(len(X)) + 7)
    model = small(fusion=fusion).set_output(transform="pandas").fit(X, y)
    fused = model.transform(X)
    names = [f"fusionclassifier{i}" for i in range(3 if fusion in SCORE_FUSIONS else 8)]
    assert list(fused) == model.get_feature_names_out().tolist() == names
    pd.testing.assert_index_equal(fused.index, X.index)
    plain = small(fusion=fusion).fit_transform(X, y)
    assert plain.dtype == np.float32
    np.testing.assert_array_equal(plain, fused)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_what_the_cpu_gives(data, small):
    X, y = data
    on_gpu = small(device="cuda", dropout=0.0).fit(X, y)
    on_cpu = small(device="cpu", dropout=0.0).fit(X, y)
    np.testing.assert_allclose(on_gpu.predict_proba(X), on_cpu.predict_proba(X), atol=1e-3)
    loaded = pickle.loads(pickle.dumps(on_gpu))
    assert next(loaded.network_.parameters()).device.type == "cpu"


# Weights of rows and classes


@pytest.mark.parametrize("fusion", FUSIONS)
def test_weight_of_two_is_a_copy_and_of_zero_a_removal(data, small, fusion):
    X, y = data
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    weighted = small(fusion=fusion).fit(X, y, sample_weight=weight)
    rows = np.repeat(np.arange(len(y)), weight)
    copied = small(fusion=fusion).fit(X.iloc[rows], y[rows])
    assert_same(weighted, copied, X)
    np.testing.assert_array_equal(weighted.class_prior_, copied.class_prior_)
    unweighted = small(fusion=fusion).fit(X, y)
    assert (weighted.predict_proba(X) != unweighted.predict_proba(X)).any()


def test_a_common_factor_of_the_weights_changes_nothing(data, small):
    X, y = data
    ones = small().fit(X, y)
    assert_same(small().fit(X, y, sample_weight=np.full(len(y), 4.0)), ones, X)


def test_order_of_rows_does_not_matter(data, small):
    X, y = data
    order = np.random.default_rng(0).permutation(len(y))
    for parameters in ({}, {"early_stopping": True}):
        shuffled = small(**parameters).fit(X.iloc[order], y[order])
        assert_same(shuffled, small(**parameters).fit(X, y), X)


def test_class_weight(data, small):
    X, y = data
    rows = np.flatnonzero((y != 2) | (np.arange(len(y)) % 5 == 0))  # few of class 2
    X, y = X.iloc[rows], y[rows]
    balanced = small(class_weight="balanced").fit(X, y)
    given = dict(enumerate(len(y) / (3 * np.bincount(y))))
    assert_same(balanced, small(class_weight=given).fit(X, y), X)
    by_rows = np.array(list(given.values()))[y]
    assert_same(balanced, small().fit(X, y, sample_weight=by_rows), X)
    plain = small().fit(X, y)
    assert balanced.predict_proba(X)[:, 2].mean() > plain.predict_proba(X)[:, 2].mean()


def test_sample_weight_is_routed(data, small):
    X, y = data
    weight = np.where(y == 1, 0.1, 1.0)
    grouped = {"text": 5, "image": 4}  # MinMaxScaler gives arrays
    with config_context(enable_metadata_routing=True):
        fusion = small(modalities=grouped).set_fit_request(sample_weight=True)
        fusion.set_score_request(sample_weight=True)
        model = make_pipeline(MinMaxScaler(), fusion).fit(X, y, sample_weight=weight)
        result = cross_validate(
            model, X, y, cv=3, params={"sample_weight": weight}, return_estimator=True
        )
    scaled = MinMaxScaler().fit_transform(X)
    direct = small(modalities=grouped).fit(scaled, y, sample_weight=weight)
    np.testing.assert_array_equal(model.predict_proba(X), direct.predict_proba(scaled))
    for fitted in result["estimator"]:
        assert fitted[-1].class_prior_[1] == pytest.approx(0.1 / 2.1, abs=0.01)


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.zeros(150), "sample_weight|Sample weights"),
        (np.r_[-1.0, np.ones(149)], "sample_weight .*row 0"),
        (np.r_[np.nan, np.ones(149)], "sample_weight .*NaN"),
        (np.ones(149), "sample_weight"),
        ((np.arange(150) < 1).astype(float), r"\by\b.*sample_weight"),
    ],
)
def test_bad_sample_weight(data, small, weight, match):
    with pytest.raises(ValueError, match=match):
        small().fit(*data, sample_weight=weight)


# Labels and containers


@pytest.mark.parametrize(
    "labels", [["x", "y", "z"], [5, 9, -3], [True, False], [1.0, 2.0, 7.0], ["no", "yes"]]
)
def test_labels(data, small, labels):
    X, y = data
    y = np.array(labels)[y % len(labels)]
    model = small(max_iter=30).fit(X, y)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    assert set(model.predict(X)) == set(labels)
    assert model.score(X, y) > 0.5
    assert model.predict_proba(X).shape == (len(X), len(labels))


def test_labels_in_a_series_or_list(data, small):
    X, y = data
    names = pd.Series(y, index=X.index[::-1]).map({0: "a", 1: "b", 2: "c"})
    model = small().fit(X, names)  # rows go by position, not by index
    assert_same(model, small().fit(X, names.tolist()), X)


def test_float32_and_float64_agree(data, small):
    X, y = data
    single, double = small().fit(X.astype("f4"), y), small().fit(X.astype("f8"), y)
    np.testing.assert_allclose(single.predict_proba(X), double.predict_proba(X), atol=1e-5)


def test_frames_and_arrays_agree(data, small):
    X, y = data
    model = small().fit(X, y)
    array = small(modalities={"text": 5, "image": 4}).fit(X.to_numpy(), y)
    assert array.modalities_ == {"text": [0, 1, 2, 3, 4], "image": [5, 6, 7, 8]}
    np.testing.assert_array_equal(array.predict_proba(X.to_numpy()), model.predict_proba(X))
    frame = pl.DataFrame({name: X[name].to_numpy() for name in X})
    polars = small().fit(frame, y)
    assert polars.modalities_ == model.modalities_
    np.testing.assert_array_equal(polars.predict_proba(frame), model.predict_proba(X))
    nullable = X.convert_dtypes()
    nullable.iloc[3, 5:] = pd.NA
    missing = X.copy()
    missing.iloc[3, 5:] = np.nan
    assert_same(small().fit(nullable, y), small().fit(missing, y), X)


def test_modalities_from_names_positions_and_slices(data, small):
    X, y = data
    by_prefix = small(modalities="prefix").fit(X, y)
    texts, images = list(X.columns[:5]), list(X.columns[5:])
    by_slice = small(modalities={"text": slice(0, 5), "image": slice(5, None)}).fit(X, y)
    by_name = small(modalities={"text": texts, "image": images}).fit(X, y)
    by_position = small(modalities={"text": range(5), "image": [5, 6, 7, -1]}).fit(X, y)
    for other in (by_slice, by_name, by_position):
        assert other.modalities_ == by_prefix.modalities_ == {"text": texts, "image": images}
        assert_same(other, by_prefix, X)


def test_columns_of_no_modality_are_left_out(data, small):
    X, y = data
    model = small(modalities={"text": list(X.columns[:2])}).fit(X, y)
    changed = X.assign(image__0=7.0, image__1=np.nan)
    np.testing.assert_array_equal(model.predict_proba(changed), model.predict_proba(X))


def test_names_without_prefix_are_one_modality(data, small):
    X, y = data
    model = small().fit(X.rename(columns=lambda name: name.replace("__", "-")), y)
    assert list(model.modalities_) == ["all"]
    assert model.modality_weights_ == {"all": 1.0}


# Odd data


def test_large_offsets_are_not_lost(small):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    X = np.hstack([1.7e9 + x, rng.normal(size=(300, 2))])  # seconds since 1970
    model = small(modalities={"time": 1, "noise": 2}, max_iter=40).fit(X, (x[:, 0] > 0).astype(int))
    assert model.score(X, x[:, 0] > 0) > 0.9


def test_constant_columns_and_narrow_modalities(small):
    rng = np.random.default_rng(0)
    X = np.c_[np.ones(50), rng.normal(size=50), np.full(50, 3.0)]
    y = (X[:, 1] > 0).astype(int)
    model = small(modalities={"constant": [0, 2], "narrow": [1]}, max_iter=30).fit(X, y)
    assert model.score(X, y) > 0.9
    X[:, 0] = 1e6  # what was constant in training stays without effect
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("fusion", FUSIONS)
def test_two_rows(small, fusion):
    X, y = np.array([[0.0, 1.0], [1.0, 0.0]]), ["n", "p"]
    model = small(fusion=fusion, modalities={"a": 1, "b": 1}, max_iter=100).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.predict(X).tolist() == y


def test_values_that_float32_cannot_hold(data, small):
    X, y = data
    model = small().fit(X, y)
    assert np.isfinite(model.predict_proba(X.astype(float).assign(text__0=1e300))).all()


def test_linear_late_fusion(data, small):
    linear = small(hidden_layer_sizes=(), max_iter=40).fit(*data)
    assert linear.score(*data) > 0.6
    assert_same(small(modality_model="linear", max_iter=40).fit(*data), linear, data[0])


@pytest.mark.parametrize(
    ("fusion", "other"),
    [("late", Late()), ("attention", Attention(n_heads=4)), ("bilinear", Bilinear(rank=4))],
)
def test_a_rule_is_a_name_or_an_object(data, small, fusion, other):
    X, y = data
    assert_same(small(fusion=other).fit(X, y), small(fusion=fusion).fit(X, y), X)


@pytest.mark.parametrize("other", [Attention(n_heads=1), Bilinear(rank=1), Late(per_class=True)])
def test_parameters_of_a_rule_count(data, small, other):
    X, y = data
    default = small(fusion=type(other)()).fit(X, y)
    assert (small(fusion=other).fit(X, y).predict_proba(X) != default.predict_proba(X)).any()


def test_the_defaults_are_a_few_parameters():
    assert len(FusionClassifier().get_params(deep=False)) <= 18


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu", "gelu"])
def test_activations(data, small, activation):
    model = small(activation=activation, max_iter=30, learning_rate_init=0.02, dropout=0.1)
    assert model.fit(*data).score(*data) > 0.65


def test_columns_that_hardly_vary_in_training_do_not_drown_the_others(data, small):
    X, y = data
    rng = np.random.default_rng(0)
    tiny = pd.DataFrame(
        rng.normal(scale=1e-9, size=(len(X), 20)), columns=[f"tiny__{i}" for i in range(20)]
    )
    model = small(max_iter=40).fit(X.join(tiny), y)
    plain = small(max_iter=40).fit(X, y)
    large = pd.DataFrame(rng.normal(size=tiny.shape), columns=tiny.columns)
    assert model.score(X.join(large), y) > plain.score(X, y) - 0.1
