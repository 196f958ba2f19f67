"""LateFusionClassifier: any classifier as f_i, weights by the log-loss of unseen rows."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    PredefinedSplit,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skmm import LateFusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.model_selection import simplex_grid

NAMES = ("text", "image", "noise")


@pytest.fixture(scope="module")
def data():
    return make_multimodal_classification(
        500,
        n_features=(6, 6, 6),
        n_classes=3,
        informativeness=(0.9, 0.7, 0.0),
        modality_names=NAMES,
        random_state=0,
    )


@pytest.fixture(scope="module")
def holes():
    X, y = make_multimodal_classification(
        500,
        n_features=(6, 6, 6),
        n_classes=3,
        informativeness=(0.9, 0.7, 0.0),
        missing_rate=0.3,
        modality_names=NAMES,
        random_state=1,
    )
    there = X.notna().any(axis=1).to_numpy()
    return X[there], y[there]


def estimators(X, model=None):
    model = model or LogisticRegression()
    return [(name, model, [c for c in X if c.startswith(name)]) for name in NAMES]


def test_weights_are_the_best_for_unseen_rows(data):
    """Recomputed with scikit-learn's own cross-validation and another optimiser."""
    X, y = data
    model = LateFusionClassifier(estimators(X)).fit(X, y)
    own = np.stack(
        [
            cross_val_predict(f, X[columns], y, cv=5, method="predict_proba")[np.arange(500), y]
            for _, f, columns in model.estimators
        ],
        axis=1,
    )

    def loss(z):
        alpha = np.exp(z - np.logaddexp.reduce(z))
        return -np.log(own @ alpha).mean()

    best = minimize(
        loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12}
    )
    expected = np.exp(best.x - np.logaddexp.reduce(best.x))
    found = list(model.modality_weights_.values())
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert found[0] > found[1] > 0.2
    assert found[2] < 0.1
    assert sum(found) == pytest.approx(1)


def test_prediction_is_the_weighted_mean(data):
    X, y = data
    model = LateFusionClassifier(
        estimators(X), modality_weights={"text": 2, "image": 1, "noise": 1}
    ).fit(X, y)
    each = [
        clone(f).fit(X[columns], y).predict_proba(X[columns]) for _, f, columns in model.estimators
    ]
    expected = 0.5 * each[0] + 0.25 * each[1] + 0.25 * each[2]
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-12)
    np.testing.assert_allclose(model.contributions(X).sum(axis=1), expected, atol=1e-12)
    np.testing.assert_allclose(model.modality_proba(X), np.stack(each, axis=1))
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(expected), rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X), expected.argmax(axis=1))


def test_missing_modalities_are_renormalised(holes):
    X, y = holes
    model = LateFusionClassifier(estimators(X)).fit(X, y)
    proba = model.predict_proba(X)
    text = model.modalities_["text"]
    has = X[text].notna().all(axis=1)
    assert 0 < has.sum() < len(has)
    alone = X.copy()
    alone.loc[:, [c for c in X if c not in text]] = np.nan
    expected = LogisticRegression().fit(X.loc[has, text], y[has]).predict_proba(X.loc[has, text])
    np.testing.assert_allclose(model.predict_proba(alone[has]), expected)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert np.isnan(model.modality_proba(X)[~has, 0]).all()
    assert (model.contributions(X)[~has, 0] == 0).all()
    assert model.modality_weights_["noise"] < 0.1


def test_rows_without_any_modality(data):
    X, y = data
    model = LateFusionClassifier(estimators(X)).fit(X, y)
    with pytest.warns(UserWarning, match=r"1 of 3 rows.*row 1"):
        proba = model.predict_proba(X[:3].mask(np.arange(3)[:, None] == [1] * X.shape[1]))
    np.testing.assert_allclose(proba[1], np.bincount(y) / 500)


def test_raw_columns_of_any_kind():
    rng = np.random.default_rng(0)
    y = np.tile(["cat", "dog"], 50)
    X = pd.DataFrame(
        {"name": [f"a {label} {i}" for i, label in enumerate(y)], "size": rng.random(100)}
    )
    X.loc[3, "name"] = None
    model = LateFusionClassifier(
        [
            ("text", make_pipeline(TfidfVectorizer(), LogisticRegression()), "name"),
            ("tabular", RandomForestClassifier(n_estimators=5, random_state=0), ["size"]),
        ]
    ).fit(X, y)
    assert model.modalities_ == {"text": ["name"], "tabular": ["size"]}
    assert model.modality_weights_["text"] > 0.9
    assert model.score(X[4:], y[4:]) == 1
    assert model.named_estimators_.tabular is model.estimators_[1]


def test_grid_search_over_weights_and_models(data):
    X, y = data
    grid = simplex_grid(NAMES[:2], 0.5)
    search = GridSearchCV(
        LateFusionClassifier(estimators(X)[:2]),
        {"modality_weights": [*grid, None], "text__C": [0.1, 1.0]},
        cv=3,
        scoring="neg_log_loss",
        n_jobs=2,
    ).fit(X, y)
    scores = search.cv_results_["mean_test_score"].reshape(-1, 2).max(axis=1)
    assert scores[-1] >= scores[:-1].max() - 0.01  # learned as good as the best of the grid
    assert set(search.best_params_) == {"modality_weights", "text__C"}


def test_predefined_splits_and_groups(data):
    X, y = data
    fold = np.arange(500) % 3 - 1  # a third is in no test fold
    model = LateFusionClassifier(estimators(X), cv=PredefinedSplit(fold)).fit(X, y)
    splits = list(PredefinedSplit(fold).split())
    same = LateFusionClassifier(estimators(X), cv=splits).fit(X, y)
    assert model.modality_weights_ == same.modality_weights_
    groups = np.arange(500) // 5
    with pytest.raises(ValueError, match="groups"):
        LateFusionClassifier(estimators(X), cv=GroupKFold(4)).fit(X, y)
    by_group = LateFusionClassifier(estimators(X), cv=GroupKFold(4)).fit(X, y, groups=groups)
    splits = list(GroupKFold(4).split(X, y, groups))
    same = LateFusionClassifier(estimators(X), cv=splits).fit(X, y)
    assert by_group.modality_weights_ == same.modality_weights_


def test_metadata_is_routed(data):
    X, y = data
    weight = np.where(np.arange(500) % 2, 1.0, 3.0)
    groups = np.arange(500) // 5
    plain = LateFusionClassifier(estimators(X), cv=GroupKFold(4)).fit(
        X, y, sample_weight=weight, groups=groups
    )
    with sklearn.config_context(enable_metadata_routing=True):
        routed = LateFusionClassifier(
            estimators(X, LogisticRegression().set_fit_request(sample_weight=True)),
            cv=GroupKFold(4),
        ).fit(X, y, sample_weight=weight, groups=groups)
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            LateFusionClassifier(estimators(X)).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(routed.predict_proba(X), plain.predict_proba(X))
    with pytest.raises(TypeError, match="'colour'"):
        LateFusionClassifier(estimators(X)).fit(X, y, colour=1)


def test_weight_of_zero_leaves_a_row_out(data):
    X, y = data
    wrong = np.concatenate([y, (y + 1) % 3])
    twice, weight = pd.concat([X, X]), np.repeat([1.0, 0.0], 500)
    splits = [
        (np.r_[a, a + 500], np.r_[b, b + 500]) for a, b in [(np.arange(250), np.arange(250, 500))]
    ]
    model = LateFusionClassifier(estimators(X), cv=splits).fit(twice, wrong, sample_weight=weight)
    clean = LateFusionClassifier(estimators(X), cv=[(np.arange(250), np.arange(250, 500))]).fit(
        X, y
    )
    np.testing.assert_allclose(model.predict_proba(X), clean.predict_proba(X), atol=1e-3)


def test_classes_that_a_modality_never_sees():
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b", "c"], 40)
    X = np.column_stack([np.repeat([0.0, 1.0, 2.0], 40), rng.random(120)])
    X[y == "c", 1] = np.nan
    model = LateFusionClassifier(
        [("good", LogisticRegression(), [0]), ("other", LogisticRegression(), [1])]
    ).fit(X, y)
    opinions = model.modality_proba(X[:1])
    assert opinions[0, 1, 2] == 0
    assert (model.predict(X[y == "c"]) == "c").all()


def test_one_modality_needs_no_cross_validation(data):
    X, y = data
    model = LateFusionClassifier(estimators(X)[:1], cv=400).fit(X, y)
    assert model.modality_weights_ == {"text": 1.0}


class Told(ClassifierMixin, BaseEstimator):
    """X is the probability of class 1."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.hstack([1 - X, X])


def learn_weights(own, weight):
    """Learn the weights of modalities that give the classes of the rows these probabilities."""
    y = np.arange(len(own)) % 2
    X = np.where(y[:, None] == 1, own, 1 - own)
    estimators = [(f"m{i}", Told(), [i]) for i in range(own.shape[1])]
    model = LateFusionClassifier(estimators).fit(X, y, sample_weight=weight)
    return np.array(list(model.modality_weights_.values()))


@pytest.mark.parametrize("n_rows", [50, 5000])
def test_log_loss_is_minimal_at_the_weights(n_rows):
    rng = np.random.default_rng(n_rows)
    own = rng.beta(2, 1, (n_rows, 5)) * [1, 0.8, 0.6, 0.9, 0.2]
    weight = rng.random(n_rows)
    alpha = learn_weights(own, weight)

    def loss(a):
        return -(weight @ np.log(own @ a))

    for other in rng.dirichlet(np.ones(5), 200):
        assert loss(alpha) <= loss(0.99 * alpha + 0.01 * other) + 1e-7
        assert loss(alpha) <= loss(other)


def test_sure_and_wrong_is_not_the_end():
    own = np.array([[0.0, 0.6], [1.0, 0.6], [1.0, 0.6]])
    alpha = learn_weights(np.repeat(own, 10, axis=0), np.ones(30))
    assert 0 < alpha[1] < 1
    assert np.isfinite(alpha).all()


def test_beside_fusion_classifier_on_real_data(shared_data):
    bundle = np.load(shared_data("mosi_utterance") / "mosi.npz")
    train = bundle["split"] == "train"
    X = pd.DataFrame(np.hstack([bundle["X_text"], bundle["X_audio"]])[train])
    model = LateFusionClassifier(
        [
            ("text", LogisticRegression(C=0.01, max_iter=1000), list(range(100))),
            ("audio", LogisticRegression(C=1e-6, max_iter=1000), list(range(100, 173))),
        ],
    ).fit(X, bundle["y"][train])
    assert model.modality_weights_["text"] > 0.8


@pytest.mark.parametrize(
    ("estimators", "options", "error", "match"),
    [
        ([], {}, ValueError, "estimators"),
        (
            [("a", LogisticRegression())],
            {},
            ValueError,
            r"estimators .*\(name, estimator, columns\)",
        ),
        (
            [("a", LogisticRegression(), [0]), ("a", LogisticRegression(), [1])],
            {},
            ValueError,
            "unique",
        ),
        ([("a", LinearSVC(), [0])], {}, TypeError, "'a'.*predict_proba"),
        ([("a", LogisticRegression(), [7])], {}, ValueError, r"'a' .*\[7\].*n_features = 4\b"),
        ([("a", LogisticRegression(), [])], {}, ValueError, "'a'.*column"),
        (
            [("a", LogisticRegression(), [0])],
            {"modality_weights": {"b": 1}},
            ValueError,
            r"modality_weights .*'b'.*\['a'\]",
        ),
        (
            [("a", LogisticRegression(), [2])],
            {},
            ValueError,
            "'a' .*missing",
        ),
        ([("a", LogisticRegression(), [3])], {}, ValueError, "Modality 'a' .*class"),
    ],
)
def test_bad_input(estimators, options, error, match):
    y = np.repeat([0, 1], 10)
    X = np.column_stack([np.arange(20.0), np.ones(20), np.full(20, np.nan), np.where(y, np.nan, 1)])
    with pytest.raises(error, match=match):
        LateFusionClassifier(estimators, **options).fit(X, y)


def test_modality_in_too_few_rows_to_be_judged():
    y = np.repeat([0, 1], 10)
    rare = np.full(20, np.nan)
    rare[[0, 10]] = 1.0, 2.0  # each is in one fold, the other then trains on one class
    X = np.column_stack([np.arange(20.0), rare])
    model = [("a", LogisticRegression(), [0]), ("rare", LogisticRegression(), [1])]
    splits = [
        (np.arange(0, 20, 2), np.arange(1, 20, 2)),
        (np.arange(1, 20, 2), np.arange(0, 20, 2)),
    ]
    with pytest.raises(ValueError, match=r"'rare'.*cv"):
        LateFusionClassifier(model, cv=splits).fit(X, y)
    fixed = {"a": 0.5, "rare": 0.5}
    assert LateFusionClassifier(model, modality_weights=fixed).fit(X, y).predict(X).shape == (20,)
