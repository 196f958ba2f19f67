import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures
from sklearn.tree import DecisionTreeRegressor

from skmm import (
    MLP,
    AdamW,
    FusionClassifier,
    FusionRegressor,
    LateFusionClassifier,
    ModalityTransformer,
)
from skmm.encoding import EmbeddingCache, TorchEncoder
from skmm.image import ImageDescriptor
from skmm.inspection import contributions_within
from skmm.text import TextDescriptor

SETTINGS = {"interaction": None, "solver": AdamW(max_iter=2), "random_state": 0}
WORDS = ["good", "bad", "fine", "red", "blue"]


def make_products(n=60):
    rng = np.random.default_rng(0)
    brand = rng.choice(["Acme", "Bolt", "Cog"], n)
    says = [" ".join(rng.choice(WORDS, 4)) for _ in range(n)]
    X = pd.DataFrame({"price": rng.normal(20, 5, n), "brand": brand, "says": says})
    signs = X["says"].str.count("good") - X["says"].str.count("bad")
    return X, X["price"] / 5 + 3 * (X["brand"] == "Bolt") + signs


def count_words(text):
    return torch.tensor([float(text.split().count(word)) for word in WORDS])


def encode(text):
    return ModalityTransformer(
        [
            (
                "table",
                ColumnTransformer(
                    [("number", "passthrough", ["price"]), ("brand", OneHotEncoder(), ["brand"])]
                ),
                ["price", "brand"],
            ),
            ("text", text, "says"),
        ]
    )


@pytest.fixture(scope="module")
def linear():
    X, y = make_products()
    model = FusionRegressor(modality_model=Ridge(), **SETTINGS)
    return make_pipeline(encode(CountVectorizer()), model).fit(X, y), X


def assert_sums(model, X, modality, result):
    """Check that units and base add up to the modality's contribution, row by row."""
    contributions = model[-1].contributions(model[:-1].transform(X))
    if isinstance(contributions, list):
        contributions = np.concatenate(contributions, axis=2)
    expected = contributions[:, list(model[-1].modalities_).index(modality)].reshape(len(X), -1)
    sums = result.base.to_numpy().copy()
    for row, (_, values) in zip(
        X.index.get_indexer(result.contributions.index.get_level_values(0)),
        result.contributions.iterrows(),
        strict=True,
    ):
        sums[row] += values
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-6)


def test_columns_of_a_linear_model_get_coefficient_times_difference(linear):
    model, X = linear
    rows, background = X.iloc[[3, 0, 7, 5]], X[10:25]
    result = contributions_within(model, rows, "table", background=background)
    slope = model.predict(rows.assign(price=1.0)) - model.predict(rows.assign(price=0.0))
    assert slope[0] > 0.05
    values = result.contributions["prediction"]
    expected = slope * (rows["price"] - background["price"].mean())
    np.testing.assert_allclose(values.xs("price", level="column"), expected, rtol=1e-4, atol=1e-6)
    of_brand = {b: model.predict(rows[:1].assign(brand=b))[0] for b in ("Acme", "Bolt", "Cog")}
    expected = rows["brand"].map(of_brand) - background["brand"].map(of_brand).mean()
    np.testing.assert_allclose(values.xs("brand", level="column"), expected, rtol=1e-4)
    assert result.method == "additive"
    assert (result.standard_error == 0).all(axis=None)
    assert result.contributions.index.names == ["row", "column"]
    assert result.base.index.equals(rows.index)
    assert_sums(model, rows, "table", result)


def test_words_of_a_linear_model_get_what_they_count(linear):
    model, X = linear
    rows = X[:3].assign(says=["good bad", "bad,  GOOD good", "unheard"])
    result = contributions_within(model, rows, "text")
    effect = {
        word: (model.predict(rows.assign(says=word)) - model.predict(rows.assign(says="")))[0]
        for word in ("good", "bad")
    }
    assert effect["bad"] < -0.1 < 0.1 < effect["good"]
    units = result.contributions.index.to_list()
    assert units == [
        (0, "good"),
        (0, "bad"),
        (1, "bad,"),
        (1, "GOOD"),
        (1, "good"),
        (2, "unheard"),
    ]
    good, bad = effect["good"], effect["bad"]
    values = result.contributions["prediction"]
    np.testing.assert_allclose(values, [good, bad, bad, good, good, 0], atol=1e-5)
    assert result.method == "additive"
    assert_sums(model, rows, "text", result)


def fit_tree(columns, y):
    """Fit a tree to columns, beside a modality that says nothing."""
    X = columns.assign(other=np.arange(len(y)) % 7)
    encoder = ModalityTransformer(
        [("table", "passthrough", list(columns)), ("other", "passthrough", ["other"])]
    )
    models = {"table": DecisionTreeRegressor(), "other": Ridge()}
    return make_pipeline(encoder, FusionRegressor(modality_model=models, **SETTINGS)).fit(X, y), X


def test_columns_that_only_count_together_share_equally():
    columns = pd.DataFrame({"a": [0, 0, 1, 1] * 15, "b": [0, 1, 0, 1] * 15})
    model, X = fit_tree(columns, (columns["a"] != columns["b"]).astype(float))
    result = contributions_within(model, X[:4], "table")
    rows = X[:4].assign(other=0)
    halves = (model.predict(rows) - model.predict(rows).mean()) / 2
    assert np.abs(halves).min() > 0.05
    np.testing.assert_allclose(
        result.contributions["prediction"], halves.repeat(2), rtol=1e-4, atol=1e-6
    )
    assert result.method == "exact"
    assert_sums(model, X[:4], "table", result)


def test_a_majority_is_shared_though_order_and_reverse_agree_on_it():
    columns = pd.DataFrame(np.array(list(np.ndindex(2, 2, 2)) * 10), columns=["a", "b", "c"])
    model, X = fit_tree(columns, (columns.sum(axis=1) > 1).astype(float))
    none, all_three = X[:1].assign(other=0), X[7:8].assign(other=0)
    result = contributions_within(model, all_three, "table", background=none)
    third = (model.predict(all_three) - model.predict(none))[0] / 3
    assert third > 0.1
    np.testing.assert_allclose(result.contributions["prediction"], [third] * 3, rtol=1e-4)
    assert result.method == "exact"


def make_many_columns(function):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.choice([-1.0, 0.0, 1.0], (300, 9)), columns=list("abcdefghi"))
    X["other"] = rng.normal(size=300)
    encoder = ModalityTransformer(
        [("table", "passthrough", list("abcdefghi")), ("other", "passthrough", ["other"])]
    )
    polynomial = make_pipeline(PolynomialFeatures(3, interaction_only=True), LinearRegression())
    models = {"table": polynomial, "other": Ridge()}
    model = FusionRegressor(modality_model=models, **SETTINGS)
    return make_pipeline(encoder, model).fit(X, function(X)), X


def test_many_columns_are_estimated_with_standard_errors():
    model, X = make_many_columns(lambda X: X["a"] * X["b"] + 2 * X["c"] * X["d"] * X["e"])
    origin = pd.DataFrame(0.0, index=[0], columns=X.columns)
    row = origin.assign(a=1.0, b=1.0, c=1.0, d=1.0, e=-1.0, f=1.0)
    result = contributions_within(
        model, row, "table", background=origin, n_permutations=40, random_state=0
    )
    zero = model.predict(origin)[0]
    of_pair = model.predict(origin.assign(a=1.0, b=1.0))[0] - zero
    of_three = model.predict(row.assign(a=0.0))[0] - zero
    assert of_pair > 0.1 > -0.1 > of_three
    values = result.contributions["prediction"].to_numpy()
    errors = result.standard_error["prediction"].to_numpy()
    expected = np.array([of_pair / 2] * 2 + [of_three / 3] * 3 + [0.0] * 4)
    assert result.method == "permutations"
    np.testing.assert_allclose(values[[0, 1, 5, 6, 7, 8]], expected[[0, 1, 5, 6, 7, 8]], atol=1e-4)
    assert (np.abs(values - expected)[2:5] < 4 * errors[2:5]).all()
    assert (errors[2:5] > 0.001 * abs(of_three)).all()
    assert (errors[2:5] < 0.2 * abs(of_three)).all()
    assert_sums(model, row, "table", result)
    again = contributions_within(
        model, row, "table", background=origin, n_permutations=40, random_state=0
    )
    pd.testing.assert_frame_equal(again.contributions, result.contributions)


def test_many_columns_of_an_additive_model_need_no_estimate():
    model, X = make_many_columns(lambda X: X["a"] - 2 * X["b"])
    rows, background = X[:5], X[5:30]
    result = contributions_within(model, rows, "table", background=background)
    slope = model.predict(rows.assign(b=1.0)) - model.predict(rows.assign(b=0.0))
    expected = slope * (rows["b"] - background["b"].mean())
    values = result.contributions["prediction"]
    np.testing.assert_allclose(values.xs("b", level="column"), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(values.xs("i", level="column"), 0, atol=1e-4)
    assert result.method == "additive"


@pytest.mark.parametrize("fusion", ["late", "gated"])
def test_classes_with_missing_cells_and_texts(fusion):
    X, y = make_products()
    X.loc[::5, "price"] = np.nan
    X.loc[2::8, ["price", "brand"]] = np.nan
    X.loc[::4, "says"] = None
    X.index = [f"item {i}" for i in range(len(X))]
    classes = np.array(["low", "mid", "top"])[pd.qcut(y, 3, labels=False)]
    encoder = ModalityTransformer(schema={"price": "tabular", "brand": "tabular", "says": "text"})
    model = FusionClassifier(fusion, modality_model=MLP(4), **SETTINGS)
    model = make_pipeline(encoder, model).fit(X, classes)
    rows = X[:8]
    table = contributions_within(model, rows, "tabular", random_state=0)
    assert table.contributions.columns.to_list() == ["low", "mid", "top"]
    assert table.contributions.shape == (16, 3)
    assert table.contributions.loc["item 1", :].index.to_list() == ["price", "brand"]
    assert_sums(model, rows, "tabular", table)
    text = contributions_within(model, rows, "text")
    assert text.contributions.shape == (6 * 4, 3)
    assert "item 4" not in text.contributions.index.get_level_values(0)
    assert (text.base.loc[["item 0", "item 4"]] == 0).all(axis=None)
    assert text.method == "exact"
    assert_sums(model, rows, "text", text)
    alone = contributions_within(model, rows[4:5], "text")
    assert alone.contributions.shape == (0, 3)
    assert_sums(model, rows[4:5], "text", alone)


def test_signs_of_words_by_the_descriptor():
    X, _ = make_products(100)
    X["says"] = np.where(np.arange(100) % 2, "a good thing", "a bad thing")
    y = np.where(np.arange(100) % 2, "up", "down")
    model = FusionClassifier(modality_model=LogisticRegression(), **SETTINGS)
    model = make_pipeline(encode(TextDescriptor()), model).fit(X, y)
    rows = X[:1].assign(says="good bad 好坏 好")
    values = contributions_within(model, rows, "text").contributions
    assert values.index.get_level_values("word").to_list() == ["good", "bad", "好", "坏", "好"]
    to_up = values["up"] - values["down"]
    assert to_up.iloc[0] > 0.1 > -0.1 > to_up.iloc[1]
    np.testing.assert_allclose(to_up.iloc[2:], 0, atol=0.01)


def test_long_texts_are_sampled_and_add_up():
    X, y = make_products()
    model = FusionRegressor(modality_model=Ridge(), **SETTINGS)
    model = make_pipeline(encode(TextDescriptor()), model).fit(X, y)
    rows = X[:2].assign(says=["good bad " * 8, "good"])
    result = contributions_within(model, rows, "text", n_permutations=3, random_state=0)
    assert result.method == "permutations"
    assert (result.standard_error.loc[0] > 0).any(axis=None)
    assert (result.standard_error.loc[1] == 0).all(axis=None)
    assert_sums(model, rows, "text", result)


def test_several_targets_of_numbers_and_of_classes():
    X, y = make_products()
    numbers = np.column_stack([y, -y])
    model = FusionRegressor(modality_model=MLP(4), **SETTINGS)
    model = make_pipeline(encode(CountVectorizer()), model).fit(X, numbers)
    result = contributions_within(model, X[:4], "table", random_state=0)
    assert result.contributions.columns.to_list() == ["target 0", "target 1"]
    assert_sums(model, X[:4], "table", result)
    classes = np.column_stack([np.where(y > y.mean(), "dear", "cheap"), X["brand"]])
    model = FusionClassifier(modality_model=MLP(4), **SETTINGS)
    model = make_pipeline(encode(CountVectorizer()), model).fit(X, classes)
    result = contributions_within(model, X[:4], "table", random_state=0)
    assert result.contributions.columns.to_list() == [
        (0, "cheap"),
        (0, "dear"),
        (1, "Acme"),
        (1, "Bolt"),
        (1, "Cog"),
    ]
    assert_sums(model, X[:4], "table", result)
    labels = np.column_stack([y > y.mean(), X["brand"] == "Bolt"]).astype(int)
    model = make_pipeline(
        encode(CountVectorizer()), FusionClassifier(modality_model=MLP(4), **SETTINGS)
    ).fit(X, labels)
    result = contributions_within(model, X[:4], "text", random_state=0)
    assert result.contributions.columns.to_list() == ["label 0", "label 1"]
    assert_sums(model, X[:4], "text", result)


def test_models_that_read_columns_themselves():
    X, y = make_products()
    classes = np.where(y > y.mean(), "dear", "cheap")
    texts = make_pipeline(
        FunctionTransformer(lambda X: X["says"].fillna("")), CountVectorizer(), LogisticRegression()
    )
    late = LateFusionClassifier(
        [("price", LogisticRegression(), ["price"]), ("text", texts, ["says"])]
    ).fit(X, classes)
    X["says"] += " and more than a few words, so that nobody takes it for a category"
    rows = X[:2]
    result = contributions_within(late, rows, "price", background=X)
    shares = late.contributions(rows)[:, 0] - late.contributions(X)[:, 0].mean(axis=0)
    np.testing.assert_allclose(result.contributions, shares, atol=1e-6)
    words = contributions_within(late, rows, "text", random_state=0)
    assert words.contributions.loc[0].shape == (18, 2)
    values = pd.DataFrame({"a__0": X["price"], "a__1": X["price"] ** 2, "b__0": y})
    model = FusionRegressor(modality_model=Ridge(), **SETTINGS).fit(values, y)
    result = contributions_within(model, values[:3], "a")
    assert result.contributions.loc[0].index.to_list() == ["a__0", "a__1"]
    array = values.to_numpy()
    model = FusionRegressor(modalities={"a": 2, "b": 1}, modality_model=Ridge(), **SETTINGS)
    of_array = contributions_within(model.fit(array, y), array[:3], "a")
    assert of_array.contributions.loc[0].index.to_list() == [0, 1]
    np.testing.assert_allclose(of_array.contributions, result.contributions, atol=1e-5)


def test_a_background_of_another_type_stays_what_it_is():
    X, y = make_products()
    X["brand"] = np.arange(60) % 3
    X["price"] = X["price"].round()
    model = FusionRegressor(modality_model=Ridge(), **SETTINGS)
    model = make_pipeline(ModalityTransformer(overrides={"says": "text"}), model).fit(X, y)
    background = X[:9].astype({"price": int})
    result = contributions_within(model, X[9:12], "tabular", background=background)
    same = contributions_within(model, X[9:12], "tabular", background=X[:9])
    np.testing.assert_allclose(result.contributions, same.contributions, atol=1e-6)


def test_texts_without_words_are_not_cached():
    X, y = make_products()
    cache = EmbeddingCache()
    encoder = TorchEncoder(
        torch.nn.Identity(), preprocess=count_words, modality="text", cache=cache
    )
    model = FusionRegressor(modality_model=Ridge(), **SETTINGS)
    model = make_pipeline(encode(encoder), model).fit(X, y)
    n_texts = len(cache)
    assert n_texts > 0
    result = contributions_within(model, X[:3], "text")
    assert len(cache) == n_texts
    effect = model.predict(X.assign(says="good")) - model.predict(X.assign(says=""))
    good = result.contributions.xs("good", level="word")["prediction"]
    np.testing.assert_allclose(good, effect[0], rtol=1e-4)
    assert result.method == "additive"
    assert_sums(model, X[:3], "text", result)


def test_rows_are_named_as_in_the_frame(linear):
    model, X = linear
    rows = X[:4].set_index(pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["shop", None]))
    result = contributions_within(model, rows, "table", background=X)
    assert result.contributions.index.names == ["shop", None, "column"]
    assert result.contributions.loc[("b", 1)].index.to_list() == ["price", "brand"]
    assert result.base.index.equals(rows.index)
    twice = contributions_within(model, X[:2].set_axis([0, 0]), "table", background=X)
    np.testing.assert_array_equal(twice.contributions[:2], result.contributions[:2])


def test_images_are_not_split():
    X, y = make_products(20)
    rng = np.random.default_rng(0)
    X["photo"] = [rng.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in range(20)]
    encoder = ModalityTransformer(
        [("photo", ImageDescriptor(), "photo"), ("table", "passthrough", ["price"])]
    )
    model = make_pipeline(encoder, FusionRegressor(modality_model=Ridge(), **SETTINGS)).fit(X, y)
    with pytest.raises(ValueError, match=r"'photo'.*\['table'\]"):
        contributions_within(model, X, "photo")


def test_bad_input_is_named(linear):
    model, X = linear
    with pytest.raises(ValueError, match=r"'brand'.*\['table', 'text'\]"):
        contributions_within(model, X, "brand")
    with pytest.raises(ValueError, match="background is needed"):
        contributions_within(model, X[:1], "table")
    with pytest.raises(ValueError, match=r"background lacks columns \['brand'\]"):
        contributions_within(model, X, "table", background=X[["price"]])
    with pytest.raises(ValueError, match="background acts on columns"):
        contributions_within(model, X, "text", background=X)
    with pytest.raises(ValueError, match="at least one row"):
        contributions_within(model, X[:0], "table")
    with pytest.raises(ValueError, match="at least one row"):
        contributions_within(model, X, "table", background=X[:0])
    with pytest.raises(ValueError, match="price"):
        contributions_within(model, X.drop(columns="price"), "table")
    with pytest.raises(ValueError, match="n_permutations"):
        contributions_within(model, X, "table", n_permutations=1)
    with pytest.raises(TypeError, match="LogisticRegression"):
        contributions_within(LogisticRegression().fit([[0], [1]], [0, 1]), X, "table")
    mixing = make_pipeline(
        encode(CountVectorizer()), FusionRegressor("concat", modality_model=MLP(4), **SETTINGS)
    )
    with pytest.raises(ValueError, match="concat"):
        contributions_within(mixing.fit(X, X["price"]), X, "table")
