"""f_inter: a model of what only several modalities say together."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from skmm import MLP, AdamW, FusionClassifier, FusionRegressor
from skmm._torch.checkpoint import Checkpoint
from skmm.inspection import ContributionsDisplay, ModalityWeightsDisplay

pytestmark = pytest.mark.xdist_group("interaction")  # of which one process fits `fitted`, once

N_TRAIN = 300
QUICK = {"modality_model": MLP((8,)), "solver": AdamW(0.02, max_iter=15, batch_size=50)}


@pytest.fixture(scope="module", name="X")
def rows():
    values = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    return pd.DataFrame(values, columns=[f"{m}__{i}" for m in "ab" for i in range(4)])


@pytest.fixture(scope="module")
def product(X):
    """What neither modality tells alone."""
    return (X["a__0"] * X["b__0"]).to_numpy(dtype=float)


@pytest.fixture(scope="module")
def fitted(X, product):
    parameters = {**QUICK, "interaction": "auto", "random_state": 0}
    regressor = FusionRegressor(**parameters).fit(X[:N_TRAIN], product[:N_TRAIN])
    classifier = FusionClassifier(**parameters).fit(X[:N_TRAIN], product[:N_TRAIN] > 0)
    return {"numbers": regressor, "classes": classifier}


def test_a_product_is_learned(X, product, fitted):
    test = slice(N_TRAIN, None)
    alone = FusionRegressor(**QUICK, interaction=None, random_state=0)
    alone.fit(X[:N_TRAIN], product[:N_TRAIN])
    assert alone.score(X[test], product[test]) < 0.1
    assert fitted["numbers"].score(X[test], product[test]) > 0.5
    assert fitted["numbers"].modality_weights_["interaction"] > 0.5
    assert fitted["classes"].score(X[test], product[test] > 0) > 0.75
    assert fitted["classes"].modality_weights_["interaction"] > 0.5


@pytest.mark.slow
def test_where_a_sum_says_all_the_interaction_counts_for_little_and_nothing_is_lost(X):
    shares, gains = [], []
    for seed in range(2):
        noise = np.random.default_rng(seed).normal(size=len(X))
        numbers = (X["a__0"] - X["b__0"] + 0.5 * noise).to_numpy(dtype=float)
        for model, y in ((FusionRegressor, numbers), (FusionClassifier, numbers > 0)):
            model = model(**QUICK, random_state=seed).fit(X[:N_TRAIN], y[:N_TRAIN])
            alone = clone(model).set_params(interaction=None).fit(X[:N_TRAIN], y[:N_TRAIN])
            shares.append(model.modality_weights_["interaction"])
            test = X[N_TRAIN:], y[N_TRAIN:]
            gains.append(model.score(*test) - alone.score(*test))
    assert np.mean(shares) <= 0.1
    assert np.mean(gains) > -0.01


def test_the_parts_of_a_mixture_are_those_of_the_function(X, product):
    """y = a_0 + b_0 + 2 a_1 b_1: an effect of each, and of both together."""
    y = (X["a__0"] + X["b__0"] + 2 * X["a__1"] * X["b__1"]).to_numpy(dtype=float)
    polynomial = make_pipeline(SimpleImputer(), PolynomialFeatures(2), LinearRegression())
    model = FusionRegressor(**QUICK, interaction=polynomial, random_state=0)
    model.fit(X[:N_TRAIN], y[:N_TRAIN])
    assert model.score(X, y) > 0.99
    parts = model.contributions(X).transpose()
    together = 2 * X["a__1"] * X["b__1"]
    for part, effect in zip(parts, [X["a__0"], X["b__0"], together], strict=True):
        assert np.corrcoef(part, effect)[0, 1] > 0.7
    assert 0.4 < model.modality_weights_["interaction"] < 0.65  # of spreads 1, 1 and 2


def test_thresholds_of_one_modality_are_no_interaction():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    y = 1.0 * (X[:, 0] > 0.3) + 2.0 * (np.abs(X[:, 1]) > 1) + 0.1 * rng.normal(size=600)
    model = FusionRegressor(modalities={"one": 2, "noise": 1}, **QUICK, random_state=0)
    model.fit(X[:400], y[:400])
    alone = clone(model).set_params(interaction=None).fit(X[:400], y[:400])
    assert model.score(X[400:], y[400:]) > max(0.9, alone.score(X[400:], y[400:]) + 0.1)
    weights = model.modality_weights_
    assert weights["one"] > 0.85
    assert weights["interaction"] < 0.05


def test_one_modality_has_no_interaction(X, product):
    model = FusionRegressor(modalities={"table": 8}, **QUICK, random_state=0)
    model.fit(X[:N_TRAIN].to_numpy(), product[:N_TRAIN])
    assert model.modality_weights_ == {"table": 1, "interaction": 0}
    assert (model.contributions(X.to_numpy())[:, 1] == 0).all()


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_contributions_are_exact_with_one_more_part(X, fitted, kind):
    model = fitted[kind]
    contributions = model.contributions(X)
    assert contributions.shape[1] == 3
    total = contributions.sum(1)
    if kind == "numbers":
        np.testing.assert_allclose(total + model.intercept_, model.predict(X))
    else:
        log_odds = np.diff(total, axis=1)[:, 0]
        proba = model.predict_proba(X)
        np.testing.assert_allclose(log_odds, np.log(proba[:, 1] / proba[:, 0]), rtol=1e-6)
    assert sum(model.modality_weights_.values()) == pytest.approx(1)
    assert list(model.modality_weights_) == ["a", "b", "interaction"]
    assert list(model.modalities_) == ["a", "b"]


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_pickle_predicts_the_same_and_refitting_repeats(X, product, fitted, kind):
    model = fitted[kind]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    y = product[:N_TRAIN] if kind == "numbers" else product[:N_TRAIN] > 0
    again = clone(model).fit(X[:N_TRAIN], y)
    np.testing.assert_array_equal(again.contributions(X), model.contributions(X))


def test_rows_that_lack_a_modality(X, product, fitted):
    missing = X.copy()
    missing.loc[:99, [c for c in X if c.startswith("b")]] = np.nan
    model = clone(fitted["numbers"]).fit(missing[:N_TRAIN], product[:N_TRAIN])
    assert model.score(X[N_TRAIN:], product[N_TRAIN:]) > 0.3
    assert np.isfinite(model.predict(missing)).all()
    empty = X[:3].copy()
    empty.iloc[1] = np.nan
    with pytest.warns(UserWarning, match="row 1"):
        assert model.predict(empty)[1] == model.intercept_
    assert (model.contributions(empty)[1] == 0).all()


def test_weights_of_rows_count_as_copies(X, product):
    weight = np.where(np.arange(N_TRAIN) % 3, 1.0, 2.0)
    copies = np.repeat(np.arange(N_TRAIN), weight.astype(int))
    model = FusionRegressor(**QUICK, interaction="auto", random_state=0)
    by_weight = clone(model).fit(X[:N_TRAIN], product[:N_TRAIN], sample_weight=weight)
    by_copies = clone(model).fit(X.iloc[copies], product[copies])
    np.testing.assert_allclose(by_copies.predict(X), by_weight.predict(X), rtol=1e-5, atol=1e-6)


def test_several_targets_and_labels(X, product):
    several = np.column_stack([product, X["a__1"]])
    model = FusionRegressor(**QUICK, interaction="auto", random_state=0)
    model.fit(X[:N_TRAIN], several[:N_TRAIN])
    assert model.contributions(X).shape == (600, 3, 2)
    assert model.score(X[N_TRAIN:], several[N_TRAIN:]) > 0.5
    labels = (several > 0).astype(int)
    model = FusionClassifier(**QUICK, interaction="auto", random_state=0)
    model.fit(X[:N_TRAIN], labels[:N_TRAIN])
    assert (model.predict(X[N_TRAIN:])[:, 0] == labels[N_TRAIN:, 0]).mean() > 0.7


@pytest.mark.parametrize("fusion", ["concat", "weighted"])
def test_other_rules_take_an_estimator(X, product, fusion):
    model = FusionRegressor(fusion, **QUICK, interaction="auto", random_state=0)
    model.fit(X[:N_TRAIN], product[:N_TRAIN])
    assert "interaction" not in model.modality_weights_
    model.set_params(interaction=make_pipeline(PolynomialFeatures(2), LinearRegression()))
    model.fit(X[:N_TRAIN], product[:N_TRAIN])
    assert model.score(X[N_TRAIN:], product[N_TRAIN:]) > 0.9
    assert model.modality_weights_["interaction"] > 0
    if fusion != "concat":
        total = model.contributions(X).sum(1) + model.intercept_
        np.testing.assert_allclose(total, model.predict(X))


def test_fixed_weights_are_not_mixed_with_others(X, product):
    for weights in ("uniform", {"a": 0.7, "b": 0.3}):
        model = FusionRegressor(**QUICK, modality_weights=weights, random_state=0)
        model.fit(X[:N_TRAIN], product[:N_TRAIN])
        assert list(model.modality_weights_) == ["a", "b"]


def test_a_classifier_of_the_user(X, product):
    model = FusionClassifier(**QUICK, interaction=HistGradientBoostingClassifier(), random_state=0)
    model.fit(X[:N_TRAIN], product[:N_TRAIN] > 0)
    assert model.modality_weights_["interaction"] > 0.3
    assert model.score(X[N_TRAIN:], product[N_TRAIN:] > 0) > 0.75


def test_a_model_that_knows_nothing_counts_for_nothing(X):
    y = X["a__0"].to_numpy(dtype=float)
    model = FusionRegressor(**QUICK, interaction=DummyRegressor(), random_state=0)
    model.fit(X[:N_TRAIN], y[:N_TRAIN])
    assert model.modality_weights_["interaction"] == 0
    alone = clone(model).set_params(interaction=None).fit(X[:N_TRAIN], y[:N_TRAIN])
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))


def test_what_does_not_go_with_it(X, product):
    y = product > 0
    for parameters, match in [
        ({"interaction": LinearRegression()}, "interaction.*classifier.*LinearRegression"),
        ({"modalities": {"interaction": 4, "b": 4}}, "'interaction'"),
    ]:
        with pytest.raises(ValueError, match=match):
            FusionClassifier(**QUICK, **parameters).fit(X, y)
    with pytest.raises(ValueError, match=r"interaction.*regressor.*LogisticRegression"):
        FusionRegressor(**QUICK, interaction=LogisticRegression()).fit(X, product)


@pytest.mark.parametrize("n_epochs", [10, 30], ids=["cross-fitting", "final"])
def test_a_killed_fit_ends_with_the_same_mixture(
    X, product, fitted, tmp_path, monkeypatch, n_epochs
):
    model = clone(fitted["numbers"])
    saves, save = [], Checkpoint.save

    def save_and_stop(self, *args):
        if len(saves) == n_epochs:
            raise RuntimeError("killed")
        saves.append(1)
        save(self, *args)

    model.set_params(checkpoint=tmp_path / "state")
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_stop)
        with pytest.raises(RuntimeError, match="killed"):
            model.fit(X[:N_TRAIN], product[:N_TRAIN])
    again = clone(model).fit(X[:N_TRAIN], product[:N_TRAIN])
    assert again.modality_weights_["interaction"] > 0.3
    np.testing.assert_array_equal(again.predict(X), fitted["numbers"].predict(X))


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_weights_are_saved_with_the_models_that_are_mixed_in(X, fitted, tmp_path, kind):
    model = fitted[kind]
    assert model.modality_weights_["interaction"] > 0
    model.save_weights(tmp_path / "w")
    loaded = clone(model).load_weights(tmp_path / "w")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(loaded.contributions(X[:20]), model.contributions(X[:20]))
    assert loaded.modality_weights_ == model.modality_weights_


def test_a_stream_goes_on_with_it(X, product, fitted):
    model = pickle.loads(pickle.dumps(fitted["classes"]))
    model.partial_fit(X[N_TRAIN:450], product[N_TRAIN:450] > 0)
    assert model.score(X[450:], product[450:] > 0) > 0.7
    assert model.contributions(X[:5]).shape == (5, 3, 2)


def test_few_rows(X):
    for n_rows in (1, 2, 5):
        model = FusionRegressor(**QUICK, interaction="auto", random_state=0)
        model.fit(X[:n_rows], np.arange(n_rows, dtype=float))
        assert np.isfinite(model.predict(X)).all()
        assert model.contributions(X).shape == (600, 3)


def test_warm_start_keeps_it(X, product, fitted):
    model = pickle.loads(pickle.dumps(fitted["numbers"])).set_params(warm_start=True)
    share = model.modality_weights_["interaction"]
    model.fit(X[:N_TRAIN], product[:N_TRAIN])
    assert model.modality_weights_["interaction"] == share
    assert model.score(X[N_TRAIN:], product[N_TRAIN:]) > 0.5


def test_displays_show_the_interaction(X, fitted):
    weights = ModalityWeightsDisplay.from_estimator(fitted["classes"])
    labels = weights.ax_.get_yticklabels() + weights.ax_.get_xticklabels()
    assert any("interaction" in label.get_text() for label in labels)
    for rows in (X[:1], X[:50]):
        display = ContributionsDisplay.from_estimator(fitted["classes"], rows)
        assert display.modalities == ["a", "b", "interaction"]
        assert len(display.bars_) == 3 + (len(rows) == 1)


def test_the_order_of_rows_does_not_matter(X, product, fitted):
    order = np.random.default_rng(0).permutation(N_TRAIN)
    model = fitted["numbers"]
    other = clone(model).fit(X.iloc[order], product[order])
    np.testing.assert_allclose(other.predict(X), model.predict(X), rtol=1e-6, atol=1e-8)


def test_a_warm_start_in_other_units_keeps_what_was_mixed_in(X, product, fitted):
    model = pickle.loads(pickle.dumps(fitted["numbers"])).set_params(warm_start=True)
    model.fit(X[:N_TRAIN] * 3 + 1, product[:N_TRAIN])
    before = fitted["numbers"]._run(X).contributions()[:, -1]
    np.testing.assert_allclose(model._run(X).contributions()[:, -1], before, rtol=1e-4, atol=1e-5)


def test_large_tables_with_a_class_of_one_row():
    X = np.random.default_rng(0).normal(size=(15_100, 2)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    y[7] = 2
    solver = AdamW(max_iter=1, batch_size=2048)
    model = FusionClassifier(modalities={"a": 1, "b": 1}, solver=solver, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.9


def test_what_is_scaled_down_but_not_mixed_is_left_alone(X):
    y = np.random.default_rng(0).normal(size=len(X))
    model = FusionRegressor("weighted", **QUICK, interaction=DummyRegressor(), random_state=0)
    model.fit(X[:N_TRAIN], y[:N_TRAIN])
    total = model.contributions(X).sum(1) + model.intercept_
    np.testing.assert_allclose(total, model.predict(X))


def test_nearly_as_many_classes_as_rows_are_warned_of_once():
    X = np.random.default_rng(0).normal(size=(60, 4))
    model = FusionClassifier(modalities={"a": 4}, solver=AdamW(max_iter=1))
    with pytest.warns(UserWarning, match="number of unique classes") as caught:
        model.fit(X, np.arange(60) % 40)
    assert len(caught) == 1
