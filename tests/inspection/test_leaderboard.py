import warnings
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline

from skmm import LBFGS, MLP, AdamW, FusionClassifier, FusionRegressor
from skmm.datasets import make_multimodal_classification
from skmm.fusion import Attention, Bilinear
from skmm.inspection import leaderboard

SOLVER = LBFGS(tol=0.01)
FAST = {"fusion": "additive", "modality_model": "linear", "solver": SOLVER, "random_state": 0}
NUMBERS = FusionRegressor(**FAST)
NO_OTHERS = {"linear": "drop", "boosting": "drop"}


@pytest.fixture(scope="module")
def data():
    return make_multimodal_classification(
        160,
        n_features=(3, 2),
        informativeness=(0.9, 0.0),
        modality_names=("text", "noise"),
        random_state=0,
    )


@pytest.fixture
def fast():
    return FusionClassifier(**FAST)


@pytest.fixture(scope="module")
def board(data):
    return leaderboard(FusionClassifier(**FAST), *data, cv=4)


class RecordingClassifier(ClassifierMixin, BaseEstimator):
    """Predict the first class, and record the rows of each call in a list of the class."""

    fitted: ClassVar[list] = []
    predicted: ClassVar[list] = []

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.fitted.append(X.copy())
        return self

    def predict(self, X):
        self.predicted.append(X.copy())
        return np.repeat(self.classes_[:1], len(X))


class CountingEncoder(TransformerMixin, BaseEstimator):
    """Double the numbers, named as two modalities, and record the rows of each call."""

    fitted: ClassVar[list] = []
    transformed: ClassVar[list] = []

    def fit(self, X, y=None):
        self.fitted.append(len(X))
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        self.transformed.append(len(X))
        return (2 * X).rename(columns={"kg": "weight__kg", "m": "size__m"})


def test_rows_and_columns_of_the_board(board):
    names = ["model", "text alone", "noise alone", "linear", "boosting", "prior"]
    assert sorted(board.index) == sorted(names)
    assert board.index.name == "model"
    assert board.columns.tolist() == ["score", "difference", "standard_error", "fit_time"]
    assert board["score"].is_monotonic_decreasing
    assert (board["fit_time"] > 0).all()
    assert board.loc["model", ["difference", "standard_error"]].tolist() == [0, 0]


def test_noise_ranks_near_the_prior(board):
    score = board["score"]
    assert abs(score["noise alone"] - score["prior"]) < 0.12
    assert score["text alone"] > score["prior"] + 0.2


def test_scores_are_those_of_cross_val_score(data, board, fast):
    X, y = data
    cv = StratifiedKFold(4)
    text = X[[c for c in X if c.startswith("text")]]
    fused, alone = cross_val_score(fast, X, y, cv=cv), cross_val_score(fast, text, y, cv=cv)
    assert board.loc["model", "score"] == pytest.approx(fused.mean())
    assert board.loc["text alone", "score"] == pytest.approx(alone.mean())
    difference = alone - fused  # Nadeau and Bengio: (1 / K + n_test / n_train) s^2, K = 4
    expected = np.sqrt((1 / 4 + 1 / 3) * difference.var(ddof=1))
    assert board.loc["text alone", "difference"] == pytest.approx(difference.mean())
    assert board.loc["text alone", "standard_error"] == pytest.approx(expected)


def test_linear_is_as_good_as_the_best_c(data, board):
    best = max(
        cross_val_score(LogisticRegression(C=c), *data, cv=StratifiedKFold(4)).mean()
        for c in (0.01, 0.1, 1)
    )
    assert board.loc["linear", "score"] > best - 0.03


def test_all_models_have_the_same_folds_and_features(data, fast):
    X, y = data
    RecordingClassifier.fitted, RecordingClassifier.predicted = [], []
    cv = KFold(3, shuffle=True, random_state=np.random.RandomState(0))  # differs with each call
    models = {"a": RecordingClassifier(), "b": RecordingClassifier(), **NO_OTHERS}
    board = leaderboard(fast, X, y, cv=cv, models=models)
    assert {*board.index} == {"model", "text alone", "noise alone", "prior", "a", "b"}
    for rows in (RecordingClassifier.fitted, RecordingClassifier.predicted):
        assert len(rows) == 6
        for a, b in zip(rows[::2], rows[1::2], strict=True):
            pd.testing.assert_frame_equal(a, b)
    held_out = pd.concat(RecordingClassifier.predicted[::2])
    pd.testing.assert_frame_equal(held_out.sort_index(), X)


def test_boosting_ranks_first_where_columns_are_multiplied():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(400, 2)), columns=["a__0", "b__0"])
    y = (X["a__0"] * X["b__0"]).to_numpy()
    board = leaderboard(NUMBERS, X, y, cv=KFold(2, shuffle=True, random_state=0))
    assert board.index[0] == "boosting"
    assert board.loc["boosting", "score"] > 0.6
    assert board.loc[["linear", "model", "prior"], "score"].max() < 0.1
    gain = board.loc["boosting"]
    assert gain["difference"] > 2 * gain["standard_error"] > 0


def test_the_model_is_left_as_it_is(data, tmp_path):
    X, y = data
    model = FusionClassifier(**{**FAST, "random_state": np.random.RandomState(3)}).fit(X, y)
    model.set_params(checkpoint=tmp_path / "c", warm_start=True)
    parameters, proba = str(model.get_params()), model.predict_proba(X)
    state = model.random_state.get_state()[1].copy()
    before = X.copy()
    fitted = leaderboard(model, X, y, cv=2, models=NO_OTHERS)["score"]
    np.testing.assert_array_equal(model.predict_proba(X), proba)
    assert str(model.get_params()) == parameters
    np.testing.assert_array_equal(model.random_state.get_state()[1], state)
    pd.testing.assert_frame_equal(X, before)
    unfitted = leaderboard(clone(model), X, y, cv=2, models=NO_OTHERS)["score"]
    pd.testing.assert_series_equal(unfitted, fitted)


def test_raw_columns_are_encoded_once_in_each_fold():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["kg", "m"])
    y = X["kg"] + 0.1 * rng.normal(size=60) > 0
    model = make_pipeline(CountingEncoder(), FusionClassifier(**FAST))
    CountingEncoder.fitted, CountingEncoder.transformed = [], []
    board = leaderboard(model, X, y, cv=3, models=NO_OTHERS)
    assert {"weight alone", "size alone"} < {*board.index}
    assert CountingEncoder.fitted == [40, 40, 40]
    assert CountingEncoder.transformed == [40, 20] * 3
    direct = FusionClassifier(**FAST, modalities={"weight": ["kg"], "size": ["m"]})
    direct = leaderboard(direct, 2 * X, y, cv=3, models=NO_OTHERS)
    pd.testing.assert_frame_equal(board.drop(columns="fit_time"), direct.drop(columns="fit_time"))
    nested = make_pipeline(make_pipeline(CountingEncoder(), "passthrough"), model[-1])
    score = leaderboard(nested, X, y, cv=3, models=NO_OTHERS)["score"]
    pd.testing.assert_series_equal(score, board.loc[score.index, "score"])


def test_rows_that_lack_a_modality_count_with_the_prior():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a__0", "b__0"])
    y = 3 * X["a__0"].to_numpy()
    lacks = np.arange(200) % 4 == 0
    X.loc[lacks, "a__0"] = np.nan
    y[lacks] += 100  # so that the mean of all rows is not that of the rows that have "a"
    splits = list(KFold(2).split(X))
    board = leaderboard(
        NUMBERS, X, y, cv=splits, scoring="neg_mean_absolute_error", models=NO_OTHERS
    )
    expected = []
    for train, test in splits:
        alone = clone(NUMBERS).set_params(modalities={"a": 1})
        train_a, test_a = train[~lacks[train]], test[~lacks[test]]
        predicted = np.full(200, y[train].mean())
        predicted[test_a] = alone.fit(X[["a__0"]].iloc[train_a], y[train_a]).predict(
            X[["a__0"]].iloc[test_a]
        )
        expected.append(-np.abs(predicted[test] - y[test]).mean())
    assert board.loc["a alone", "score"] == pytest.approx(np.mean(expected), rel=1e-4)


@pytest.mark.filterwarnings("error")
def test_missing_rows_of_classes(data, fast):
    X, y = data
    X = X.copy()
    lacks = np.arange(len(X)) % 2 == 0
    X.loc[lacks, [c for c in X if c.startswith("text")]] = np.nan
    splits = list(StratifiedKFold(2).split(X, y))
    board = leaderboard(fast, X, y, cv=splits, scoring="neg_log_loss")
    expected = []
    for train, test in splits:
        text = X.filter(like="text")
        proba = np.tile(np.bincount(y[train]) / len(train), (len(X), 1))
        has = test[~lacks[test]]
        fitted = clone(fast).fit(text.iloc[train[~lacks[train]]], y[train[~lacks[train]]])
        proba[has] = fitted.predict_proba(text.iloc[has])
        expected.append(-log_loss(y[test], proba[test]))
    assert board.loc["text alone", "score"] == pytest.approx(np.mean(expected), rel=0.02)
    assert board.loc["linear", "score"] > board.loc["prior", "score"]


def test_groups_stay_whole():
    rng = np.random.default_rng(0)  # a number that says the group, and nothing of new groups
    groups = np.arange(160) // 8
    X = pd.DataFrame({"a__0": groups + 0.0, "b__0": rng.normal(size=160)})
    y = rng.permutation(20)[groups].astype(float)
    models = {"linear": "drop"}
    parted = leaderboard(NUMBERS, X, y, cv=KFold(3, shuffle=True, random_state=0), models=models)
    whole = leaderboard(NUMBERS, X, y, cv=3, groups=groups)
    assert parted.loc["boosting", "score"] > 0.25
    assert whole.loc["boosting", "score"] < 0.1
    splits = GroupKFold(3).split(X, y, groups)
    expected = [
        clone(NUMBERS).fit(X.iloc[a], y[a], groups=groups[a]).score(X.iloc[b], y[b])
        for a, b in splits
    ]
    assert whole.loc["model", "score"] == pytest.approx(np.mean(expected))
    classes = leaderboard(FusionClassifier(**FAST), X, y > 9, cv=3, groups=groups, models=NO_OTHERS)
    splits = list(StratifiedGroupKFold(3).split(X, y > 9, groups))
    assert classes.loc["prior", "score"] == pytest.approx(
        np.mean([np.mean((y[b] > 9) == (np.mean(y[a] > 9) > 0.5)) for a, b in splits])
    )


def test_scoring_of_a_fitted_search(data, fast):
    X, y = data
    grid = {"solver__weight_decay": [0.5, 50.0]}
    search = GridSearchCV(fast, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    board = leaderboard(search, X, y, cv=2, models=NO_OTHERS)
    best = clone(fast).set_params(**search.best_params_)
    expected = cross_val_score(best, X, y, cv=2, scoring="neg_log_loss").mean()
    assert board.loc["model", "score"] == pytest.approx(expected)
    with pytest.raises(ValueError, match="GridSearchCV"):
        leaderboard(clone(search), X, y)


@pytest.mark.parametrize(
    "settings",
    [
        {"fusion": Attention()},
        {"fusion": Bilinear()},
        {
            "modality_model": MLP(4, sharing="representation"),
            "fusion": "weighted",
            "modality_loss_weight": {"text": 1.0, "noise": 0.0},
        },
        {"modality_weights": {"text": 0.9, "noise": 0.1}, "modality_dropout": 0.1},
        {
            "alignment": "mse",
            "alignment_weight": {("text", "noise"): 1.0},
            "modality_model": {"text": MLP(4), "noise": MLP(4)},
            "interaction": None,
        },
    ],
    ids=["attention", "bilinear", "shared head", "fixed weights", "alignment"],
)
def test_parameters_of_several_modalities_do_not_hinder_one(data, settings):
    model = FusionClassifier(
        **{"modality_model": MLP(4), "solver": AdamW(max_iter=2), "random_state": 0, **settings}
    )
    board = leaderboard(model, *data, cv=2, models=NO_OTHERS)
    assert {"text alone", "noise alone"} < {*board.index}


def test_labels_and_several_targets(data):
    X, y = data
    labels = np.stack([y, X["text__0"] > 0], axis=1).astype(int)
    board = leaderboard(FusionClassifier(**FAST), X, labels, cv=2)
    assert len(board) == 6
    assert board.loc["linear", "score"] > board.loc["prior", "score"] + 0.1
    three = np.column_stack([labels, 1 - y])
    board = leaderboard(
        FusionClassifier(**FAST), X, three, cv=2, scoring="roc_auc", models=NO_OTHERS
    )
    assert board.loc["model", "score"] > board.loc["prior", "score"] == 0.5
    kinds = pd.DataFrame({"c": np.array(["x", "y"])[y], "n": np.array(["lo", "hi"])[labels[:, 1]]})
    board = leaderboard(FusionClassifier(**FAST), X, kinds, cv=2)
    assert board.loc["boosting", "score"] > board.loc["prior", "score"]
    numbers = np.stack([X["text__0"], X["text__1"] * 2], axis=1)
    board = leaderboard(NUMBERS, X, numbers, cv=2)
    assert board.loc["linear", "score"] > 0.99
    unknown = np.where(np.arange(len(X))[:, None] < 2, np.nan, numbers)
    with pytest.raises(ValueError, match=r"\by\b.*row 0\b"):
        leaderboard(NUMBERS, X, unknown)
    labels[3, 0] = -1
    with pytest.raises(ValueError, match=r"\by\b.*row 3\b"):
        leaderboard(FusionClassifier(**FAST), X, labels)


def test_arrays_and_one_modality(data):
    X, y = data
    model = FusionClassifier(**FAST, modalities={"text": 3, "noise": 2})
    by_array = leaderboard(model, X.to_numpy(), y, cv=2)["score"]
    named_model = FusionClassifier(**FAST)
    named = leaderboard(named_model, X, y, cv=2)["score"]
    np.testing.assert_allclose(by_array, named[by_array.index])
    one = leaderboard(named_model, X.filter(like="text"), y, cv=2, models=NO_OTHERS)
    assert {*one.index} == {"model", "prior"}


def test_several_jobs_give_the_same(data, fast):
    X, y = data
    filters = list(warnings.filters)
    one = leaderboard(fast, X, y, cv=2, models={"boosting": "drop"})
    with joblib.parallel_config("threading"):  # processes take ten seconds to start
        two = leaderboard(fast, X, y, cv=2, models={"boosting": "drop"}, n_jobs=2)
    assert warnings.filters == filters
    pd.testing.assert_frame_equal(one.drop(columns="fit_time"), two.drop(columns="fit_time"))


class CountedFusion(FusionClassifier):
    n_fits = 0

    def fit(self, X, y, sample_weight=None, groups=None):
        CountedFusion.n_fits += 1
        return super().fit(X, y, sample_weight, groups)


def test_interrupt_ends_the_board(data, monkeypatch):
    """A user presses Ctrl-C while a fusion is fitted, which ends early and warns."""
    step, calls = torch.optim.AdamW.step, []

    def press(*arguments, **options):
        calls.append(1)
        if len(calls) == 4:  # there are 2 batches in an epoch
            raise KeyboardInterrupt
        return step(*arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", press)
    solver = AdamW(batch_size=40, max_iter=5)
    with pytest.raises(KeyboardInterrupt):
        leaderboard(CountedFusion(**{**FAST, "solver": solver}), *data, cv=2)
    assert CountedFusion.n_fits == 1


def test_progress_bar(data, fast, capsys):
    leaderboard(fast, *data, cv=2, models=NO_OTHERS, verbose=True)
    assert "8/8" in capsys.readouterr().err
    leaderboard(fast, *data, cv=2, models=NO_OTHERS)
    assert capsys.readouterr().err == ""


def test_folds_that_cannot_be_used(data, fast):
    X, y = data
    with pytest.raises(ValueError, match=r"cv=5.* 3 rows"):
        leaderboard(fast, X[:3], y[:3])
    with pytest.raises(ValueError, match=r"^cv .*\b2\b.*\b1\."):
        leaderboard(fast, X, y, cv=[(np.arange(80), np.arange(80, 160))])
    order = np.argsort(y, kind="stable")
    half = [(np.arange(60), np.arange(60, 160)), (np.arange(60, 160), np.arange(60))]
    with pytest.raises(ValueError, match=r"Fold 0 .*\b0\b"):
        leaderboard(fast, X.iloc[order], y[order], cv=half)
    splits = [(np.arange(60), np.arange(60, 160)), (np.arange(160), np.flatnonzero(y == 0))]
    with pytest.raises(ValueError, match=r"'model'.* fold 1.*scoring"):
        leaderboard(fast, X, y, cv=splits, scoring="neg_log_loss")
    with pytest.raises(ValueError, match="groups"):
        leaderboard(fast, X, y, cv=LeaveOneGroupOut(), groups=np.arange(160) % 2)


def test_modality_that_a_fold_lacks(data, fast):
    X, y = data
    X = X.copy()
    X.loc[:79, [c for c in X if c.startswith("noise")]] = np.nan
    with pytest.raises(ValueError, match=r"'model'.* fold 1.*'noise'"):
        leaderboard(fast, X, y, cv=KFold(2), models=NO_OTHERS)


def test_bad_names_and_models(data, fast):
    X, y = data
    with pytest.raises(TypeError, match="LogisticRegression"):
        leaderboard(LogisticRegression(), X, y)
    for name in ("model", "prior", "text alone"):
        with pytest.raises(ValueError, match=f"models.*'{name}'"):
            leaderboard(fast, X, y, models={name: LogisticRegression()})
    with pytest.raises(ValueError, match="'svm'"):
        leaderboard(fast, X, y, models={"svm": "drop"})
    lacking = X.copy()
    lacking.loc[5, [c for c in X if c.startswith("noise")]] = np.nan
    with pytest.raises(ValueError, match=r"(?s)'lr'.* fold 0.*NaN"):
        leaderboard(fast, lacking, y, cv=2, models={"lr": LogisticRegression(), **NO_OTHERS})
    with pytest.raises(ValueError, match=r"modalities.*\bX\b"):
        leaderboard(fast.set_params(modalities={"text": 4}), X, y)
    with pytest.raises(ValueError, match=r"160, 159"):
        leaderboard(fast, X, y[:-1])
    with pytest.raises(ValueError, match="n_jobs"):
        leaderboard(fast, X, y, n_jobs="all")
