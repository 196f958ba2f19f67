import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmm import MLP, AdamW, FusionClassifier, FusionRegressor, LateFusionClassifier
from skmm.inspection import _emap
from skmm.inspection._emap import Outputs, project
from skmm.inspection._tables import Table

N = 24
GROUPS = {"a": np.array([0, 1]), "b": np.array([2]), "c": np.array([3])}


@pytest.fixture(scope="module")
def table():
    X = np.random.default_rng(0).normal(size=(N, 4))
    return Table(pd.DataFrame(X, columns=["a__0", "a__1", "b__0", "c__0"]), GROUPS)


def projected(model, table):
    rows = np.arange(len(table))
    outputs = Outputs(model, table.assemble(rows[:1], {}))
    return outputs.compute(table.X), project(outputs, table, rows)


@pytest.mark.parametrize("batch", [20_000, 50])
@pytest.mark.parametrize(
    "groups", [{"a": np.arange(4)}, {"a": np.array([0, 1]), "b": np.array([2, 3])}, GROUPS]
)
def test_projection_is_the_double_sum_of_the_paper(table, groups, batch, monkeypatch):
    monkeypatch.setattr(_emap, "BATCH_ROWS", batch)
    model = DecisionTreeRegressor(random_state=0).fit(table.X, table.X.prod(axis=1))
    values, projection = projected(model, Table(table.X, groups))
    if len(groups) == 1:
        np.testing.assert_array_equal(projection.values, values)
        return
    means = []
    for columns in groups.values():
        crossed = np.empty((N, N))
        for i in range(N):
            rows = table.X.copy()
            rows.iloc[:, columns] = table.X.iloc[i, columns].to_numpy()
            crossed[i] = model.predict(rows)
        means.append(crossed)
    expected = sum(crossed.mean(axis=1) for crossed in means)
    expected -= (len(groups) - 1) * np.mean([crossed.mean() for crossed in means])
    np.testing.assert_allclose(projection.values[:, 0], expected)
    np.testing.assert_allclose(projection.predict(None), expected)
    assert not np.allclose(expected, values[:, 0])


def test_columns_of_no_modality_are_one_more(table):
    model = DecisionTreeRegressor(random_state=0).fit(table.X, table.X.prod(axis=1))
    _, named = projected(model, table)
    _, unnamed = projected(model, Table(table.X, {name: GROUPS[name] for name in "ab"}))
    np.testing.assert_array_equal(named.values, unnamed.values)


SETTINGS = {
    "modality_model": MLP(4),
    "interaction": None,
    "solver": AdamW(max_iter=2),
    "random_state": 0,
}


def additive_models():
    def late(fit_names):
        return LateFusionClassifier(
            [(n, LogisticRegression(), GROUPS[n].tolist()) for n in fit_names], cv=2
        )

    codes = np.arange(N) % 3
    labels = np.stack([codes == 0, codes == 1], axis=1).astype(int)
    words = np.array(["x", "y", "z"])[codes]
    yield FusionClassifier(**SETTINGS), words
    yield FusionClassifier(**SETTINGS), codes > 0
    yield FusionClassifier(**SETTINGS), labels
    yield FusionClassifier(**SETTINGS), np.stack([codes, codes > 0], axis=1)
    yield FusionRegressor(**SETTINGS), codes.astype(float)
    yield FusionRegressor(**SETTINGS), np.stack([codes, -codes], axis=1).astype(float)
    yield LogisticRegression(), words
    yield LogisticRegression(), codes > 0
    yield LinearSVC(), words
    yield late(["a", "b"]), codes


@pytest.mark.parametrize(("model", "y"), [*additive_models()])
def test_additive_models_are_their_own_projection(table, model, y):
    model.fit(table.X, y)
    two = Table(table.X, {"a": GROUPS["a"], "b": np.array([2, 3])})
    values, projection = projected(model, two)
    np.testing.assert_allclose(projection.values, values, atol=2e-5)
    if isinstance(model, FusionRegressor):
        np.testing.assert_allclose(projection.predict(None), model.predict(table.X), atol=1e-6)
    else:
        assert projection.predict(None).tolist() == model.predict(table.X).tolist()
    if hasattr(model, "predict_proba"):
        expected, proba = model.predict_proba(table.X), projection.predict_proba(None)
        if not isinstance(proba, list):
            expected, proba = [expected], [proba]
        for of_model, of_projection in zip(expected, proba, strict=True):
            np.testing.assert_allclose(of_projection, of_model, atol=1e-5)
    if not isinstance(model, LinearSVC):
        assert projection.score(None, y) == pytest.approx(model.score(table.X, y), abs=1e-4)


def test_exclusive_or_has_no_sum():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.choice([-1.0, 1.0], size=(200, 2)), columns=["a__0", "b__0"])
    y = (X["a__0"] * X["b__0"] > 0).to_numpy()
    binary = Table(X, {"a": np.array([0]), "b": np.array([1])})
    for model in (DecisionTreeClassifier(), RandomForestClassifier(10, random_state=0)):
        _, projection = projected(model.fit(X, y), binary)
        assert model.score(X, y) == 1
        assert projection.score(None, y) < 0.6


def test_probabilities_of_targets(table):
    y = np.stack([np.arange(N) % 2, np.arange(N) % 3], axis=1)
    model = MultiOutputClassifier(LogisticRegression()).fit(table.X, y)
    _, projection = projected(model, table)
    first, second = projection.predict_proba(None)
    assert first.shape == (N, 2)
    assert second.shape == (N, 3)
    np.testing.assert_allclose(second.sum(axis=1), 1)


def test_margins_of_pairs_of_classes_are_none_of_classes(table):
    y, first = np.arange(N) % 3, table.X[:1]
    one_to_one = {"decision_function_shape": "ovo", "kernel": "linear"}
    with pytest.raises(TypeError, match=r"decision_function .*SVC"):
        Outputs(SVC(**one_to_one).fit(table.X, y), first)
    for model, target in ((SVC(kernel="linear"), y), (SVC(**one_to_one), y > 0)):
        outputs = Outputs(model.fit(table.X, target), first)
        predicted = outputs.to_predictions(outputs.compute(table.X))
        np.testing.assert_array_equal(predicted, model.predict(table.X))


def test_no_outputs():
    class Bare(DecisionTreeClassifier):
        predict_proba = property()

    X = np.zeros((4, 2))
    with pytest.raises(TypeError, match="emap_samples=0"):
        Outputs(Bare().fit(X, [0, 1, 0, 1]), X[:1])
