"""The fusion rules as objects: what goes with them, and what the gate learns."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import MLP, AdamW, FusionClassifier, FusionRegressor
from skmm.fusion import Additive, Attention, Bilinear, Concat, FusionRule, Gated, Late, Weighted

RULES = {
    "late": Late,
    "weighted": Weighted,
    "concat": Concat,
    "additive": Additive,
    "gated": Gated,
    "attention": Attention,
    "bilinear": Bilinear,
}


@pytest.mark.parametrize("name", RULES)
def test_a_name_is_the_rule_with_its_defaults(data, small, name):
    X, _ = data
    by_name = small(fusion=name, max_iter=2).fit(*data)
    by_object = small(fusion=RULES[name](), max_iter=2).fit(*data)
    np.testing.assert_array_equal(by_object.predict_proba(X), by_name.predict_proba(X))
    for method in ("contributions", "row_weights"):
        assert hasattr(by_object, method) == hasattr(by_name, method)
        assert hasattr(small(fusion=RULES[name]()), method) == hasattr(by_name, method)


class Heavier(Weighted):
    """A rule that no table knows, under the name of one that it does."""


@pytest.mark.parametrize("rule", [Heavier(), FusionRule()])
def test_a_rule_that_the_table_does_not_have_is_an_error(data, small, rule):
    with pytest.raises(ValueError, match=f"fusion.*{type(rule).__name__}"):
        small(fusion=rule).fit(*data)


@pytest.mark.parametrize("rule", RULES.values())
def test_rules_are_settings_that_can_be_cloned_and_searched(rule):
    parameters = dict.fromkeys(rule().get_params(), 2)  # of per_class, n_heads and rank
    copied = clone(rule(**parameters))
    assert copied.get_params() == parameters
    model = FusionClassifier(rule())
    model.set_params(**{f"fusion__{name}": value for name, value in parameters.items()})
    assert model.fusion.get_params() == parameters


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        (Late(per_class=2), "per_class.*Late.*2"),
        (Attention(n_heads=0), "n_heads.*Attention.*0"),
        (Bilinear(rank=1.5), r"rank.*Bilinear.*1\.5"),
        ("fused", "fusion.*'fused'"),
        (Late, "fusion.*Late"),
    ],
    ids=str,
)
def test_bad_rules(data, small, rule, match):
    with pytest.raises(ValueError, match=match):
        small(fusion=rule).fit(*data)


def test_attention_has_as_many_heads_as_divide_its_width(data, small):
    X, _ = data
    proba = {
        n: small(fusion=Attention(n_heads=n), max_iter=2).fit(*data).predict_proba(X)
        for n in (2, 6, 8)
    }  # of 8 units: 2, 2 and 8 heads
    np.testing.assert_array_equal(proba[2], proba[6])
    assert (proba[2] != proba[8]).any()


def test_rank_is_the_number_of_products(data, small):
    for rank in (1, 5):
        model = small(fusion=Bilinear(rank=rank), max_iter=1).fit(*data)
        assert max(p.numel() for p in model.network_.fuse.parameters()) == 2 * 8 * 8 * rank


def test_regressors_take_the_same_rules(data):
    X, y = data
    settings = {
        "modality_model": MLP((4,)),
        "interaction": None,
        "solver": AdamW(max_iter=2),
        "random_state": 0,
    }
    for name, rule in RULES.items():
        expected = FusionRegressor(name, **settings).fit(X, y).predict(X)
        np.testing.assert_array_equal(
            FusionRegressor(rule(), **settings).fit(X, y).predict(X), expected
        )


@pytest.mark.parametrize("name", RULES)
def test_heavy_tails_and_outliers_cost_no_rule_its_accuracy(small, name):
    rng = np.random.default_rng(0)
    n = 400
    signal, noise = rng.normal(size=(n, 8)), rng.standard_cauchy(size=(n, 8))
    columns = [f"{modality}__{i}" for modality in "abcd" for i in range(4)]
    X = pd.DataFrame(np.stack([signal, noise], axis=2).reshape(n, 16), columns=columns)
    y = (signal.sum(axis=1) + 0.5 * rng.normal(size=n) > 0).astype(int)
    X.iloc[300::10, 1] = 1e6  # in new rows alone
    model = small(fusion=name, max_iter=20, learning_rate_init=0.02, hidden_layer_sizes=(16,))
    model.fit(X[:300], y[:300])
    proba = model.predict_proba(X[300:])
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:300], y[:300])
    clipped = X[300:].clip(X[:300].min(), X[:300].max(), axis=1)
    assert model.score(X[300:], y[300:]) > linear.score(clipped, y[300:]) - 0.2
    np.testing.assert_allclose(model.predict_proba(X[300:301]), proba[:1], rtol=1e-10)


@pytest.mark.parametrize("name", RULES)
def test_no_rule_diverges_on_heavy_tails(name):
    rng = np.random.default_rng(0)
    signal, noise = rng.normal(size=(300, 4)), rng.standard_cauchy(size=(300, 4))
    X = pd.DataFrame(
        np.hstack([np.exp(2 * signal), noise, signal]),
        columns=[f"{modality}__{i}" for modality in "abc" for i in range(4)],
    )
    target = signal.sum(axis=1) + 0.3 * rng.normal(size=300)
    y = np.stack([target, np.exp(target / 2)], axis=1)
    solver = AdamW(max_iter=20, learning_rate_init=0.02)
    model = FusionRegressor(
        name, modality_model=MLP((16,)), solver=solver, interaction=None, random_state=0
    ).fit(X[:200], y[:200])
    scores = r2_score(y[200:], model.predict(X[200:]), multioutput="raw_values")
    assert (scores > 0.1).all()


def test_gate_follows_what_the_row_says():
    """A third modality says which of two tells the class of the row; the other misleads."""
    rng = np.random.default_rng(0)
    n = 1200
    y, image_tells = rng.integers(0, 2, n), rng.integers(0, 2, n).astype(bool)
    signal, misleading = 2.0 * y - 1, 2.0 * rng.integers(0, 2, n) - 1
    X = pd.DataFrame(
        {
            "image__0": np.where(image_tells, signal, misleading) + 0.3 * rng.normal(size=n),
            "text__0": np.where(image_tells, misleading, signal) + 0.3 * rng.normal(size=n),
            "which__0": 2.0 * image_tells - 1,
        }
    )
    parameters = {
        "modality_model": MLP((32,), dropout=0.1),
        "solver": AdamW(max_iter=30),
        "random_state": 0,
    }
    gated = FusionClassifier("gated", **parameters).fit(X[:800], y[:800])
    weights = gated.row_weights(X[800:])
    np.testing.assert_allclose(weights.sum(1), 1)
    where = image_tells[800:]
    assert (weights[where, 0] > weights[where, 1]).mean() > 0.9
    assert (weights[~where, 0] < weights[~where, 1]).mean() > 0.9
    weighted = FusionClassifier("weighted", **parameters).fit(X[:800], y[:800])
    assert gated.score(X[800:], y[800:]) > weighted.score(X[800:], y[800:]) + 0.05
    # one number a modality: the mean over the training rows
    means = gated.row_weights(X[:800]).mean(0)
    assert list(gated.modality_weights_.values()) == pytest.approx(means, abs=1e-6)
    alone = gated.row_weights(X[800:].assign(text__0=np.nan, which__0=np.nan))
    np.testing.assert_array_equal(alone, [[1, 0, 0]] * 400)
