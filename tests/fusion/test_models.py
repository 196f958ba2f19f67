"""Estimators of scikit-learn, and different perceptrons, as the models f_i of the modalities."""

import os
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from scipy.spatial.distance import cdist
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmm import LBFGS, MLP, AdamW, FusionClassifier, FusionRegressor
from skmm.fusion import Late

TEXT, IMAGE = ["text__0", "text__1"], ["image__0", "image__1"]
QUICK = AdamW(max_iter=10, batch_size=50)
KINDS = ["classes", "labels", "targets", "number", "numbers"]
NAN = np.nan


@pytest.fixture(scope="module", name="X")
def make_rows():
    """150 rows of "text" and "image", two columns each, some of which are missing."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(150, 4)), columns=TEXT + IMAGE)
    X.loc[:9, TEXT] = NAN
    X.loc[10:19, IMAGE] = NAN
    return X


@pytest.fixture(scope="module")
def targets(X):
    """y of each kind, which both modalities tell."""
    full = X.fillna(0.0)
    text, image = 2 * full["text__0"] + full["text__1"], full["image__0"] - full["image__1"]
    codes = np.digitize(text + image, [-1, 1])
    return {
        "classes": np.array(["low", "mid", "high"])[codes],
        "labels": np.c_[text > 0, image > 0.3, text + image > 0].astype(int),
        "targets": np.c_[np.array(["a", "b", "c"])[codes], np.where(image > 0, "L", "S")],
        "number": 100 + 20 * (text + image).to_numpy(),
        "numbers": np.c_[text + image, 1000 * image],
    }


def make_fusion(kind, models=None, **parameters):
    """An estimator for y of a kind, with linear models of scikit-learn as f_i."""
    is_numeric = kind in ("number", "numbers")
    cls = FusionRegressor if is_numeric else FusionClassifier
    models = (Ridge() if is_numeric else LogisticRegression()) if models is None else models
    defaults = {"solver": QUICK, "interaction": None, "random_state": 0}
    return cls(**{**defaults, "modality_model": models, **parameters})


def outputs(model, X):
    """What the model predicts, as one array."""
    if isinstance(model, FusionRegressor):
        return model.predict(X)
    return np.hstack(model.predict_proba(X))


class KernelVote(ClassifierMixin, BaseEstimator):
    """A vote of all training rows, weighted by distance; it keeps them and learns nothing.

    In the manner of pretrained models of tables, such as TabICL and TabPFN: predicting is what
    takes long, and the more rows are predicted, the longer it takes.
    """

    n_predicted = 0

    def fit(self, X, y):
        self.X_, self.y_, self.classes_ = X, y, np.unique(y)
        return self

    def predict_proba(self, X):
        KernelVote.n_predicted += len(X)
        votes = softmax(-4 * cdist(X, self.X_, "sqeuclidean"), axis=1)
        return votes @ (self.y_[:, None] == self.classes_)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(1)]


def assert_same(a, b, X):
    np.testing.assert_array_equal(outputs(a, X), outputs(b, X))
    assert a.modality_weights_ == b.modality_weights_


# What comes out


@pytest.mark.parametrize("fusion", ["late", "additive"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns(X, targets, kind, fusion):
    y = targets[kind]
    train, test = np.arange(150) % 3 > 0, np.arange(150) % 3 == 0
    model = make_fusion(kind, fusion=fusion, solver=AdamW(max_iter=30)).fit(X[train], y[train])
    assert model.score(X[test], y[test]) > (0.6 if kind in ("number", "numbers") else 0.5)
    assert sum(model.modality_weights_.values()) == pytest.approx(1)
    assert min(model.modality_weights_.values()) > 0.1
    assert list(model.modalities_) == ["text", "image"]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_contributions_add_up(X, targets, kind, mixed):
    models = None
    if mixed:  # the estimator stands first in X, and second in the network
        models = {"text": make_fusion(kind).modality_model, "image": MLP((8,))}
    model = make_fusion(kind, models).fit(X, targets[kind])
    parts = model.contributions(X)
    if kind in ("number", "numbers"):
        total = parts.sum(1) + model.intercept_
        np.testing.assert_allclose(total, model.predict(X), rtol=1e-9)
    elif kind == "labels":
        np.testing.assert_allclose(expit(parts.sum(1)), model.predict_proba(X))
    else:
        parts = parts if kind == "targets" else [parts]
        proba = model.predict_proba(X) if kind == "targets" else [model.predict_proba(X)]
        for part, expected in zip(parts, proba, strict=True):
            np.testing.assert_allclose(softmax(part.sum(1), axis=1), expected)
    for part in parts if isinstance(parts, list) else [parts]:
        assert (part[:10, 0] == 0).all()  # where text is missing
        assert (part[10:20, 1] == 0).all()
        assert (part[20:] != 0).any(axis=(0, *range(2, part.ndim))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_from_one_modality_is_that_of_a_row_that_has_no_other(X, targets, kind):
    model = make_fusion(kind).fit(X, targets[kind])
    alone = X.assign(image__0=NAN, image__1=NAN)[10:]
    if kind in ("number", "numbers"):
        each = model.modality_predict(X)[10:]
        np.testing.assert_allclose(each[:, 0], model.predict(alone), rtol=1e-9)
        assert np.isnan(each[:10, 1]).all()
        assert np.isfinite(each[10:]).all()
        return
    each, expected = model.modality_proba(X), model.predict_proba(alone)
    if kind != "targets":
        each, expected = [each], [expected]
    for proba, single in zip(each, expected, strict=True):
        np.testing.assert_allclose(proba[10:, 0], single, rtol=1e-6)
        assert np.isnan(proba[10:20, 1]).all()
        assert np.isfinite(proba[20:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_pickle_and_clone(X, targets, kind):
    model = make_fusion(kind).fit(X, targets[kind])
    assert_same(pickle.loads(pickle.dumps(model)), model, X)
    assert_same(clone(model).fit(X, targets[kind]), model, X)


def test_one_modality_ranks_rows_as_its_estimator_does(X, targets):
    """The scores are scaled and shifted, and no more."""
    X, y = X[20:][TEXT], targets["labels"][20:, 0]
    f = LogisticRegression(C=0.1)
    model = make_fusion("classes", f).fit(X, y)
    assert model.modality_weights_ == {"text": 1.0}
    odds = f.fit(X.to_numpy(), y).decision_function(X.to_numpy())
    logits = np.diff(model.contributions(X).sum(1))[:, 0]
    scale, shift = np.polyfit(odds, logits, 1)
    assert scale > 0
    np.testing.assert_allclose(logits, scale * odds + shift, atol=1e-4)


def test_a_number_is_a_line_in_that_of_its_estimator(X, targets):
    X, y = X[20:][TEXT], targets["number"][20:]
    model = make_fusion("number", DecisionTreeRegressor(max_depth=2, random_state=0)).fit(X, y)
    expected = DecisionTreeRegressor(max_depth=2, random_state=0).fit(X, y).predict(X)
    scale, shift = np.polyfit(expected, model.predict(X), 1)
    assert scale > 0
    np.testing.assert_allclose(model.predict(X), scale * expected + shift, rtol=1e-5)


def test_a_model_that_keeps_its_rows_and_predicts_slowly_scores_each_row_once(X, targets):
    X, y = X[20:], targets["classes"][20:]  # rows that have both
    KernelVote.n_predicted = 0
    models = {"text": KernelVote(), "image": "mlp"}
    model = make_fusion("classes", models, interaction="auto").fit(X[:100], y[:100])
    assert KernelVote.n_predicted == 100  # out of fold
    assert model.score(X[100:], y[100:]) > 0.6
    assert KernelVote.n_predicted == 130
    logits = model.contributions(X).sum(1)
    np.testing.assert_allclose(softmax(logits, axis=1), model.predict_proba(X), atol=1e-6)
    KernelVote.n_predicted = 0
    assert_same(model, pickle.loads(pickle.dumps(model)), X)
    assert KernelVote.n_predicted == 2 * len(X)
    assert not hasattr(model, "partial_fit")


def test_a_tree_learns_what_a_perceptron_of_few_units_cannot():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(size=(400, 4)), columns=TEXT + IMAGE)
    y = (np.floor(8 * X["text__0"]) % 2).astype(int)  # stripes
    models = {"text": DecisionTreeClassifier(random_state=0), "image": "mlp"}
    tree, plain = (make_fusion("classes", m).fit(X[:300], y[:300]) for m in (models, MLP((4,))))
    assert tree.score(X[300:], y[300:]) > 0.9
    assert plain.score(X[300:], y[300:]) < 0.75
    assert tree.modality_weights_["text"] > 0.8


def test_an_estimator_reads_columns_as_they_are(X, targets):
    seen = []

    class Recorder(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            seen.append(X)
            return super().fit(X, y, sample_weight=sample_weight)

    X = X.assign(image__1=1e6 * X["image__1"])
    make_fusion("classes", {"text": "linear", "image": Recorder()}).fit(X, targets["classes"])
    assert len(seen) == 4  # three folds, and all rows
    present = X[IMAGE].dropna().to_numpy()
    assert len(seen[-1]) == len(present)
    assert sum(len(fold) for fold in seen[:3]) == 2 * len(present)
    for rows in seen:
        assert {*map(tuple, rows)} <= {*map(tuple, present)}


# Out of fold


@pytest.mark.parametrize("other", [MLP((8,)), RandomForestClassifier(30)])
def test_a_forest_on_noise_gets_no_weight(other):
    """It memorises its rows: in sample it would be right of all of them, and get all weight."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(240, 12)), columns=[f"noise__{i}" for i in range(12)])
    y = rng.integers(2, size=240)
    X = X.assign(text__0=y + rng.normal(size=240), text__1=y + rng.normal(size=240))
    forest = RandomForestClassifier(30)
    model = make_fusion("classes", {"noise": forest, "text": other}).fit(X, y)
    assert model.modality_weights_["noise"] < 0.1
    noise = X.filter(like="noise").to_numpy()
    assert clone(forest).fit(noise, y).score(noise, y) > 0.99


def test_a_tree_on_noise_gets_no_weight_for_numbers():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(240, 12)), columns=[f"noise__{i}" for i in range(12)])
    X["text__0"] = rng.normal(size=240)
    y = X["text__0"] + 0.5 * rng.normal(size=240)
    models = {"noise": DecisionTreeRegressor(), "text": LinearRegression()}
    model = make_fusion("number", models).fit(X, y)
    assert model.modality_weights_["noise"] < 0.1
    assert model.score(X, y) < 0.95  # 1, if the tree were believed


def test_folds_are_of_whole_groups():
    """A modality that tells the speaker tells y of the rows of known speakers, and of no other."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    y = rng.integers(2, size=40)[groups]
    voice = rng.normal(size=(40, 2))[groups] + 0.01 * rng.normal(size=(200, 2))
    X = pd.DataFrame(np.c_[voice, y[:, None] + rng.normal(size=(200, 2))], columns=TEXT + IMAGE)
    models = {"text": KNeighborsClassifier(1), "image": LogisticRegression()}
    model = make_fusion("classes", models)
    assert model.fit(X, y).modality_weights_["text"] > 0.5
    assert model.fit(X, y, groups=groups).modality_weights_["text"] < 0.2


def test_rows_held_out_for_early_stopping_are_scored_by_who_has_not_seen_them(X, targets):
    y = np.random.default_rng(1).integers(2, size=150)  # nothing to learn
    solver = AdamW(max_iter=10, early_stopping=True, validation_fraction=0.3)
    tree = DecisionTreeClassifier(max_depth=6, random_state=0)
    model = make_fusion("classes", tree, solver=solver, fusion="additive").fit(X, y)
    assert model.history_["validation_loss"].min() > 0.6  # of memorised rows it would be near 0
    for kind in KINDS:
        model = make_fusion(kind, solver=solver).fit(X, targets[kind])
        assert np.isfinite(model.history_["validation_loss"]).all()


def test_it_repeats_and_draws_no_random_numbers_of_others(X, targets):
    y, forest = targets["classes"], RandomForestClassifier(5)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    model = make_fusion("classes", forest).fit(X, y)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert_same(make_fusion("classes", forest).fit(X, y), model, X)
    other = make_fusion("classes", forest, random_state=1).fit(X, y)
    assert (outputs(other, X) != outputs(model, X)).any()
    assert forest.random_state is None  # a clone was fitted
    assert not hasattr(forest, "estimators_")


def test_order_of_rows_and_of_modalities_does_not_matter(X, targets):
    y = targets["classes"]
    model = make_fusion("classes", GaussianNB()).fit(X, y)
    order = np.random.default_rng(0).permutation(150)
    shuffled = make_fusion("classes", GaussianNB()).fit(X.iloc[order], y[order])
    np.testing.assert_allclose(outputs(shuffled, X), outputs(model, X), rtol=1e-5)
    swapped = make_fusion("classes", GaussianNB()).fit(X[IMAGE + TEXT], y)
    np.testing.assert_allclose(outputs(swapped, X[IMAGE + TEXT]), outputs(model, X), rtol=1e-5)
    assert list(swapped.modality_weights_) == ["image", "text"]


# Weights of rows


@pytest.mark.parametrize("kind", KINDS)
def test_weight_of_two_is_a_copy_and_of_zero_a_removal(X, targets, kind):
    y = targets[kind]
    weight = np.random.default_rng(0).integers(0, 3, 150)
    rows = np.repeat(np.arange(150), weight)
    weighted = make_fusion(kind).fit(X, y, sample_weight=weight)
    assert_same(weighted, make_fusion(kind).fit(X.iloc[rows], y[rows]), X)
    assert (outputs(weighted, X) != outputs(make_fusion(kind).fit(X, y), X)).any()


def test_class_weight_reaches_the_estimators(X, targets):
    y = (targets["number"] > 140).astype(int)  # few of class 1
    solver = AdamW(max_iter=40)
    plain = make_fusion("classes", solver=solver).fit(X, y)
    balanced = make_fusion("classes", solver=solver, class_weight="balanced").fit(X, y)
    proba = [model.modality_proba(X)[20:, :, 1].mean(0) for model in (plain, balanced)]
    assert (proba[1] > proba[0] + 0.05).all()


@pytest.mark.parametrize(
    "estimator",
    [
        KNeighborsClassifier(3),
        CalibratedClassifierCV(KNeighborsClassifier(3), cv=3),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_an_estimator_that_takes_no_weights(X, targets, estimator, recwarn):
    y = targets["classes"]
    model = make_fusion("classes", {"text": estimator, "image": LogisticRegression()})
    model.fit(X, y, sample_weight=np.full(150, 0.3))
    assert not recwarn.list  # equal weights are none
    if not isinstance(estimator, CalibratedClassifierCV):
        with pytest.warns(UserWarning, match=rf"{type(estimator).__name__}\.fit.*sample_weight"):
            model.fit(X, y, sample_weight=np.arange(150) % 2 + 1.0)
    assert model.score(X, y) > 0.5


# Few rows


@pytest.mark.parametrize("fusion", ["late", "additive"])
def test_one_row_and_two(fusion):
    X = pd.DataFrame([[0.0, 1.0], [1.0, 0.0]], columns=["a__0", "b__0"])
    model = make_fusion("classes", DecisionTreeClassifier(), fusion=fusion)
    with pytest.raises(ValueError, match=r"\by\b.*'n'"):
        model.fit(X[:1], ["n"])
    assert np.isfinite(model.fit(X, ["n", "p"]).predict_proba(X)).all()
    regressor = make_fusion("number", DecisionTreeRegressor(), fusion=fusion)
    with pytest.raises(ValueError, match=r"modality_model of 'a'.*\b2\b.*n_samples = 1\b"):
        regressor.fit(X[:1], [7.0])
    assert np.isfinite(regressor.fit(X, [7.0, 9.0]).predict(X)).all()


def test_a_class_that_a_fold_does_not_have(X):
    y = np.where(np.arange(150) < 50, "a", "b").astype(object)
    y[60] = "c"  # in one row
    proba = make_fusion("classes", solver=AdamW(max_iter=40)).fit(X, y).predict_proba(X)
    assert proba.shape == (150, 3)
    assert np.isfinite(np.log(proba)).all()
    assert proba[:, 2].max() < 0.1


def test_a_modality_that_has_rows_of_one_class(X, targets):
    y = targets["labels"][:, 0]
    rare = X.copy()
    rare.loc[y == 1, IMAGE] = NAN
    for estimator in (LogisticRegression(), HistGradientBoostingClassifier(max_iter=2)):
        model = make_fusion("classes", estimator).fit(rare, y)
        assert np.isfinite(model.predict_proba(X)[10:]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_present", [1, 2])
def test_a_modality_that_few_rows_have(X, targets, kind, n_present):
    rare = X[20:].copy()
    rare.iloc[n_present:, 2:] = NAN
    model = make_fusion(kind).fit(rare, targets[kind][20:])
    assert np.isfinite(outputs(model, X[20:])).all()
    assert np.isfinite(list(model.modality_weights_.values())).all()


def test_a_modality_that_no_row_has(X, targets):
    y = targets["classes"]
    empty = X.assign(image__0=NAN, image__1=NAN)
    with pytest.raises(ValueError, match="'image'"):
        make_fusion("classes").fit(empty, y)
    model = make_fusion("classes").fit(X, y)  # at prediction it may
    alone = model.modality_proba(X)[10:, 0]
    np.testing.assert_allclose(model.predict_proba(empty[10:]), alone, rtol=1e-6)
    with pytest.warns(UserWarning, match=r"10 of 150 rows.*row 0"):
        proba = model.predict_proba(empty)
    np.testing.assert_allclose(proba[0], model.class_prior_)


def test_a_modality_in_rows_that_do_not_count(X, targets):
    """image is in rows alone that lack text, and text has all of the weight."""
    X, y = X.copy(), targets["classes"]
    X.loc[10:, IMAGE] = NAN
    fixed = {"text": 1.0, "image": 0.0}
    with pytest.warns(UserWarning, match=r"10 of 150 .*row 0"):
        model = make_fusion("classes", modality_weights=fixed).fit(X, y)
    assert np.isfinite(model.predict_proba(X[10:])).all()
    with pytest.warns(UserWarning, match=r"10 of 150 .*row 0"):
        make_fusion("number", modality_weights=fixed).fit(X, targets["number"])


def test_targets_that_are_not_known_tell_nothing(X, targets):
    labels = targets["labels"].astype(float)
    labels[60:, 1] = NAN
    model = make_fusion("labels").fit(X, labels)
    np.testing.assert_allclose(model.class_prior_[1], np.nanmean(labels[:, 1]))
    assert ((model.predict(X) == targets["labels"]).mean(0) > 0.7).all()
    numbers = targets["numbers"].copy()
    numbers[60:, 1] = NAN
    assert np.isfinite(make_fusion("numbers").fit(X, numbers).predict(X)).all()
    classes = targets["targets"].astype(object)
    classes[60:, 1] = None
    assert np.isfinite(outputs(make_fusion("targets").fit(X, classes), X)).all()


# Together with other parameters


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "parameters",
    [
        {"solver": LBFGS(max_iter=5, tol=100.0)},
        {"modality_weights": {"text": 1, "image": 3}},
        {"modality_dropout": 0.3},
        {"solver": AdamW(max_iter=3, precision="bfloat16")},
    ],
    ids=str,
)
def test_other_parameters(X, targets, kind, parameters):
    model = make_fusion(kind, **parameters).fit(X, targets[kind])
    assert np.isfinite(outputs(model, X)).all()


@pytest.mark.parametrize(
    "parameters",
    [
        {"fusion": Late(per_class=True)},
        {"solver": AdamW(max_iter=3, calibrate="temperature")},
    ],
    ids=str,
)
def test_parameters_of_classes(X, targets, parameters):
    y = targets["classes"]
    assert make_fusion("classes", **parameters).fit(X, y).score(X, y) > 0.5


def test_history_has_the_losses_of_perceptrons(X, targets):
    models = {"text": LogisticRegression(), "image": MLP((8,))}
    model = make_fusion("classes", models).fit(X, targets["classes"])
    assert list(model.history_) == ["loss", "fused", "modality__image"]
    model = make_fusion("classes").fit(X, targets["classes"])
    assert list(model.history_) == ["loss", "fused"]


def test_warm_start_fits_the_estimators_anew(X, targets):
    y = targets["classes"]
    model = make_fusion("classes", warm_start=True).fit(X, y)
    weights, before = model.modality_weights_, outputs(model, X)
    model.fit(X, y)
    assert model.modality_weights_ == weights
    assert (outputs(model, X) != before).any()
    with pytest.raises(ValueError, match="warm_start=True"):
        model.set_params(modality_model=MLP((8,))).fit(X, y)


def test_a_checkpoint_of_other_estimators_is_another_fit(X, targets, tmp_path, monkeypatch):
    y = targets["classes"]
    parameters = {"checkpoint": tmp_path / "c", "solver": AdamW(max_iter=3)}
    expected = make_fusion("classes").set_params(solver=AdamW(max_iter=3)).fit(X, y)

    replace, n_saved = os.replace, []

    def replace_and_stop(*args):
        replace(*args)
        n_saved.append(1)
        if len(n_saved) == 3:  # the first is written before training
            raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_and_stop)
        with pytest.raises(RuntimeError, match="stopped"):
            make_fusion("classes", **parameters).fit(X, y)
    with pytest.raises(ValueError, match="modality_model"):
        make_fusion("classes", GaussianNB(), **parameters).fit(X, y)
    assert_same(make_fusion("classes", **parameters).fit(X, y), expected, X)


def test_searches_and_cross_validation(X, targets):
    y = targets["classes"]
    scaler = StandardScaler().set_output(transform="pandas")
    pipeline = make_pipeline(scaler, make_fusion("classes"))
    models = [
        LogisticRegression(),
        {"text": GaussianNB(), "image": "mlp"},
        {"text": MLP((8,)), "image": make_pipeline(StandardScaler(), LogisticRegression())},
    ]
    X, y = X[20:], y[20:]
    grid = [
        {"fusionclassifier__modality_model": models},
        {"fusionclassifier__modality_model__C": [0.01, 1.0]},
    ]
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 5
    assert search.cv_results_["mean_test_score"].max() > 0.6
    scores = cross_val_score(make_fusion("classes"), X, y, cv=GroupKFold(2), groups=X.index // 5)
    assert scores.min() > 0.5


# Perceptrons of several sizes


@pytest.mark.parametrize("cls", [FusionClassifier, FusionRegressor])
def test_equal_models_are_one(data, cls):
    X, y = data
    each = [
        cls(modality_model=models, interaction=None, solver=QUICK, random_state=0).fit(X, y)
        for models in (
            "auto",
            "mlp",
            MLP(),
            {"text": MLP(), "image": MLP()},
            {"image": "mlp", "text": "auto"},
            MLP([256], input_dropout=0.2),
        )
    ]
    for model in each[1:]:
        assert_same(model, each[0], X)


@pytest.mark.parametrize("fusion", ["late", "additive"])
def test_a_perceptron_for_each_modality(data, fusion):
    X, y = data
    models = {"text": MLP((16, 8), activation="tanh", dropout=0.1), "image": MLP((4,), dropout=0)}
    model = make_fusion("classes", models, fusion=fusion).fit(X, y)
    shapes = {tuple(p.shape) for p in model.network_.parameters()}
    assert {(16, 5), (8, 16), (3, 8), (4, 4), (3, 4)} <= shapes
    assert model.score(X, y) > 0.5
    assert_same(pickle.loads(pickle.dumps(model)), model, X)
    linear = {"text": "linear", "image": MLP((4,))}
    model = clone(model).set_params(modality_model=linear).fit(X, y)
    assert (3, 5) in {tuple(p.shape) for p in model.network_.parameters()}


def test_models_of_the_same_width_fuse_representations_and_align(data):
    X, y = data
    models = {"text": MLP((16, 8)), "image": MLP((8,), activation="tanh")}
    for parameters in ({"fusion": "weighted"}, {"alignment": "cosine"}, {"fusion": "attention"}):
        model = make_fusion("classes", models, **parameters).fit(X, y)
        assert np.isfinite(model.predict_proba(X)).all()


def test_late_fusion_and_kl_go_with_any_widths(data):
    X, y = data
    models = {"text": MLP((16,)), "image": MLP((8,))}
    model = make_fusion("classes", models, alignment="kl").fit(X, y)
    assert "alignment__image__text" in model.history_


# Errors


class Undecided(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        return self


@pytest.mark.parametrize(
    ("kind", "models", "parameters", "match"),
    [
        ("number", LogisticRegression(), {}, "modality_model of .*regressor"),
        ("classes", Ridge(), {}, "modality_model of .*classifier"),
        ("labels", Ridge(), {}, "modality_model of .*classifier"),
        ("classes", LinearSVC(), {}, "modality_model of .*predict_proba"),
        ("classes", Undecided(), {}, "modality_model of .*predict_proba"),
        ("classes", StandardScaler(), {}, "modality_model of .*classifier"),
        ("classes", {"text": "mlp", "image": Ridge()}, {}, "modality_model of 'image'"),
        ("classes", {"text": "mlp", "image": LogisticRegression}, {}, "of 'image'"),
        ("classes", {"text": "mlp", "image": None}, {}, "modality_model of 'image'.*None"),
        ("classes", LogisticRegression, {}, "modality_model"),
        ("classes", {"text": GaussianNB(), "sound": "mlp"}, {}, "modality_model.*'sound'"),
        ("classes", {"text": GaussianNB()}, {}, "modality_model.*'image'"),
        *(
            ("classes", GaussianNB(), {"fusion": fusion}, f"'image'.*{fusion}")
            for fusion in ("weighted", "concat", "gated", "attention", "bilinear")
        ),
        ("classes", None, {"alignment": "cosine"}, "alignment.*'image'"),
        (
            "classes",
            {"text": MLP((8,), n_members=2), "image": GaussianNB()},
            {},
            "modality_model.*n_members=2",
        ),
        ("classes", {"text": MLP((8, 8), sharing="layers"), "image": GaussianNB()}, {}, "sharing"),
    ],
)
def test_errors_name_the_modality(X, targets, kind, models, parameters, match):
    with pytest.raises(ValueError, match=match):
        make_fusion(kind, models, **parameters).fit(X, targets[kind])


def test_what_estimators_cannot_do(X, targets):
    y = targets["classes"]
    model = make_fusion("classes")
    for fitted in (model, model.fit(X, y)):
        assert not hasattr(fitted, "partial_fit")
        with pytest.raises(AttributeError) as error:
            fitted.partial_fit(X, y, classes=np.unique(y))
        assert re.search(r"modality_model.*LogisticRegression", str(error.value.__cause__))
    assert hasattr(FusionClassifier(), "partial_fit")


class OfAnotherPackage(LogisticRegression):
    """A type that nothing trusts."""


def test_save_weights_writes_estimators_of_scikit_learn_alone(X, targets, tmp_path):
    model = make_fusion("classes", LogisticRegression()).fit(X, targets["classes"])
    model.save_weights(tmp_path / "w")
    loaded = clone(model).load_weights(tmp_path / "w")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    other = make_fusion("classes", OfAnotherPackage()).fit(X, targets["classes"])
    with pytest.raises(TypeError, match=r"OfAnotherPackage.*[Pp]ickle"):
        other.save_weights(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_an_error_of_an_estimator_is_raised_as_it_is(X, targets):
    with pytest.raises(ValueError, match="n_neighbors"):
        make_fusion("classes", KNeighborsClassifier(500)).fit(X, targets["classes"])


@pytest.mark.parametrize("routing", [False, True])
def test_a_pipeline_takes_the_weights_of_rows(routing):
    X = np.repeat([[-1.0], [1.0]], 40, axis=0)
    y = np.tile([0, 1], 40)
    weight = np.where((X[:, 0] > 0) == (y == 1), 1.0, 3.0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    model = FusionClassifier(modality_model=pipeline, interaction=None, random_state=0)
    with sklearn.config_context(enable_metadata_routing=routing):
        model.fit(X, y, sample_weight=weight)
    assert model.predict([[-1.0], [1.0]]).tolist() == [1, 0]
