"""Rows and classes that cannot be read: what the errors name."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import FusionRegressor, LateFusionClassifier


@pytest.fixture
def late():
    return LateFusionClassifier(
        [
            (name, make_pipeline(StandardScaler(), LogisticRegression()), slice(i, i + 3))
            for i, name in enumerate(["text", "image"])
        ],
        cv=2,
    )


@pytest.mark.parametrize("unknown", [None, np.nan, pd.NA])
def test_a_class_that_is_not_known_is_named(data, small, late, unknown):
    X, y = data
    y = pd.Series(y).map("class {}".format).astype(object)
    y[3] = unknown
    for model in (small(), late):
        with pytest.raises(ValueError, match=r"\by\b.*row 3\b"):
            model.fit(X, y)
    with pytest.raises(ValueError, match=r"\by\b.*row 3\b"):
        small().fit(X, y.astype("string").array)
    with pytest.raises(ValueError, match=r"\by\b.*row 3\b"):
        small().partial_fit(X, y, classes=["class 0", "class 1", "class 2"])


@pytest.mark.parametrize("unknown", [None, np.nan])
def test_a_group_that_is_not_known_is_named(data, small, unknown):
    groups = [i % 5 for i in range(150)]
    groups[7] = unknown
    with pytest.raises(ValueError, match=r"groups.*row 7\b"):
        small().fit(*data, groups=groups)


def test_targets_may_be_known_in_some_rows_only(data, small):
    X, y = data
    targets = np.stack([y, y], axis=1).astype(object)
    targets[0, 1] = targets[1, 0] = None
    assert [c.tolist() for c in small().fit(X, targets).classes_] == [[0, 1, 2]] * 2


def test_classes_without_an_order_are_named(data, small, late):
    X, y = data
    y = y.astype(object)
    y[4] = "four"
    for model in (small(), late):
        with pytest.raises(ValueError, match=r"row 0\b.*'four' in row 4\b"):
            model.fit(X, y)


def test_classes_are_found_as_numpy_finds_them(data, small, late):
    X, y = data
    words = np.array(["c", "a", "b"])[y]
    for model in (small(), late):
        assert model.fit(X, words).classes_.tolist() == ["a", "b", "c"]
        assert model.score(X, words) > 0.45


def test_raw_columns_need_a_step_before(data, small):
    X, y = data
    raw = X.assign(title="Meow!")
    for model in (small(), FusionRegressor()):
        name = type(model).__name__
        with pytest.raises(ValueError, match=rf"'title'.*ModalityTransformer.*{name}"):
            model.fit(raw, y)
    with pytest.raises(ValueError, match=r"'image__1'.*ModalityTransformer"):
        small().fit(X, y).predict(X.assign(image__1="Meow!"))


def test_raw_columns_for_a_model_of_encoded_ones(data, small):
    X, y = data
    raw = pd.DataFrame({"price": [1.0], "title": ["Meow!"]})
    fitted = small().fit(X, y)
    for ask in (fitted.predict, fitted.contributions):
        with pytest.raises(ValueError, match=r"'text__0'.*('price'|'title').*model\[:-1\]"):
            ask(raw)


def test_an_array_for_each_modality_is_no_table(data, small):
    X, y = data
    arrays = {name: X.filter(like=name).to_numpy() for name in ("text", "image")}
    for given in (arrays, list(arrays.values())):
        with pytest.raises(ValueError, match=rf"{type(given).__name__}.*np\.hstack"):
            small().fit(given, y)
    side_by_side = np.hstack(list(arrays.values()))
    widths = {name: each.shape[1] for name, each in arrays.items()}
    small(modalities=widths).fit(side_by_side, y)


def test_other_errors_of_reading_stay_as_they_are(data, small):
    X, y = data
    with pytest.raises(ValueError, match=r"\[150, 10\]$"):
        small().fit(X, y[:10])


def test_weights_of_rows_do_not_reach_into_a_pipeline(data, late):
    with pytest.raises(ValueError, match=r"'text'.*sample_weight"):
        late.fit(*data, sample_weight=np.ones(150))
