"""ContributionsWithinDisplay: it draws what contributions_within returns."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from skmm import (
    MLP,
    AdamW,
    FusionClassifier,
    FusionRegressor,
    LateFusionClassifier,
    ModalityTransformer,
    TabularEncoder,
)
from skmm.inspection import ContributionsWithinDisplay, contributions_within

mpl.use("Agg")
WORDS = ["good", "bad", "fine", "$red$", "_blue"]
QUICK = {"interaction": None, "solver": AdamW(max_iter=2), "random_state": 0}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def raw():
    rng = np.random.default_rng(0)
    brand = rng.choice(["Acme", "Bolt"], 60)
    says = [" ".join(rng.choice(WORDS, 4)) for _ in range(60)]
    says[1] = " ".join(WORDS * 5)
    return pd.DataFrame({"price": rng.normal(20, 5, 60), "brand": brand, "says": says})


def encode():
    return ModalityTransformer(
        [
            ("table", TabularEncoder(), ["price", "brand"]),
            ("text", CountVectorizer(token_pattern=r"\S+"), "says"),
        ]
    )


@pytest.fixture(scope="module")
def regressor(raw):
    y = raw["price"] / 5 + raw["says"].str.count("good")
    return make_pipeline(encode(), FusionRegressor(modality_model=Ridge(), **QUICK)).fit(raw, y)


@pytest.fixture(scope="module")
def classifier(raw):
    y = np.array(["cheap", "dear", "fair"])[raw["price"].rank().astype(int) % 3]
    model = FusionClassifier(modality_model=MLP(4), **QUICK)
    return make_pipeline(encode(), model).fit(raw, y)


def read_labels(display):
    return [label.get_text() for label in display.ax_.get_yticklabels()]


def read_widths(display):
    return [bar.get_width() for bar in display.bars_]


def test_the_bars_of_a_row_are_its_contributions_base_and_sum(regressor, raw):
    display = ContributionsWithinDisplay.from_estimator(
        regressor, raw[:1], "table", background=raw[:9]
    )
    result = contributions_within(regressor, raw[:1], "table", background=raw[:9])
    values, base = result.contributions["prediction"], result.base["prediction"].iloc[0]
    price = f"price: {raw['price'][0]:.4g}"
    assert read_labels(display) == [price, f"brand: {raw['brand'][0]}", "base", "sum"]
    np.testing.assert_allclose(read_widths(display), [*values, base, base + values.sum()])
    assert display.ax_.get_title("left") == "table"


def test_words_stand_in_the_order_of_the_text(regressor, raw):
    display = ContributionsWithinDisplay.from_estimator(regressor, raw[:1], "text")
    assert read_labels(display) == [*raw["says"][0].split(), "base", "sum"]
    display.figure_.canvas.draw()  # "$" begins no formula


def test_of_many_words_the_largest_are_shown_and_the_rest_is_added_up(classifier, raw):
    display = ContributionsWithinDisplay.from_estimator(
        classifier, raw[1:2], "text", random_state=0, n_permutations=3
    )
    labels, widths = read_labels(display), np.array(read_widths(display))
    assert len(labels) == 17
    assert labels[14:] == ["the other 11", "base", "sum"]
    values = display.contributions[display.output].to_numpy()
    shown = np.sort(np.argsort(-np.abs(values), kind="stable")[:14])
    np.testing.assert_allclose(widths[:14], values[shown])
    np.testing.assert_allclose(widths[:15].sum(), values.sum())
    np.testing.assert_allclose(widths[:16].sum(), widths[16])
    errors = display.standard_error[display.output].to_numpy()[shown]
    assert len(display.ax_.collections[0].get_segments()) == (errors > 0).sum()


def test_contributions_to_classes_are_centred_and_the_predicted_one_is_drawn(classifier, raw):
    display = ContributionsWithinDisplay.from_estimator(
        classifier, raw[:1], "table", background=raw[:9], random_state=0
    )
    assert display.output == classifier.predict(raw[:1])[0]
    assert display.ax_.get_title("left") == f"table, {display.output}"
    assert display.ax_.get_xlabel() == "contribution to the logit"
    np.testing.assert_allclose(display.contributions.sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(display.base.sum(axis=1), 0, atol=1e-9)
    display.plot(output="fair")
    np.testing.assert_allclose(read_widths(display)[:2], display.contributions["fair"])
    with pytest.raises(ValueError, match=r"output 'free'.*'cheap', 'dear', 'fair'"):
        display.plot(output="free")


def test_many_rows_are_distributions(regressor, raw):
    display = ContributionsWithinDisplay.from_estimator(regressor, raw, "text")
    labels = read_labels(display)
    assert {*labels} == {*WORDS}
    row = labels.index("good")
    of_good = display.contributions.xs("good", level="word")["prediction"]
    left, right = np.percentile(of_good, [25, 75])
    assert display.bars_[row].get_x() == pytest.approx(left)
    assert display.bars_[row].get_width() == pytest.approx(right - left)


@pytest.mark.parametrize("several", [True, False])
def test_several_targets_and_labels(raw, several):
    y = np.column_stack([raw["price"] > 20, raw["brand"] == "Acme"]).astype(int)
    y = y + 1 if several else y  # else labels
    y[:3, 0] = 3 if several else y[:3, 0]
    model = make_pipeline(encode(), FusionClassifier(modality_model=MLP(4), **QUICK)).fit(raw, y)
    display = ContributionsWithinDisplay.from_estimator(
        model, raw[:1], "table", background=raw[:9], random_state=0
    )
    if several:
        assert display.output == (0, 1)
        sums = display.contributions.T.groupby(level="target").sum()
        np.testing.assert_allclose(sums, 0, atol=1e-9)
        assert display.ax_.get_title("left") == "table, 0, 1"
    else:
        assert display.output == "label 0"
        assert display.ax_.get_xlabel() == "contribution to the log-odds"


def test_shares_of_probabilities(raw):
    parts = [
        ("table", make_pipeline(TabularEncoder(), LogisticRegression()), ["price", "brand"]),
        ("text", make_pipeline(CountVectorizer(), LogisticRegression()), "says"),
    ]
    model = LateFusionClassifier(parts).fit(raw, raw["price"] > 20)
    display = ContributionsWithinDisplay.from_estimator(model, raw[:1], "table", background=raw[:9])
    assert display.ax_.get_xlabel() == "share of the probability"


def test_a_dark_background_and_given_axes(regressor, raw):
    with plt.style.context("dark_background"):
        _, axes = plt.subplots(1, 2)
        display = ContributionsWithinDisplay.from_estimator(regressor, raw[:1], "text", ax=axes[1])
        assert display.ax_ is axes[1]
        assert mpl.colors.to_hex(display.bars_[-1].get_facecolor()) == "#bbbbbb"
