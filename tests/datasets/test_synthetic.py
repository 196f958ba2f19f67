import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from skmm.datasets import make_multimodal_classification


def accuracy(X, y):
    """Accuracy of logistic regression on the second half of the rows."""
    half = len(y) // 2
    return LogisticRegression().fit(X[:half], y[:half]).score(X[half:], y[half:])


def modality(X, name):
    return X.filter(regex=f"^{name}__")


def test_frame_has_float32_columns_named_by_modality():
    X, y = make_multimodal_classification(
        50, n_features=(1, 2, 3), modality_names=("text", "image", "tabular"), random_state=0
    )
    expected = ["text__0", "image__0", "image__1", "tabular__0", "tabular__1", "tabular__2"]
    assert X.columns.tolist() == expected
    assert set(X.dtypes) == {np.dtype("float32")}
    assert y.shape == (50,)
    assert np.issubdtype(y.dtype, np.integer)


def test_modalities_have_names_of_their_own_by_default():
    X, _ = make_multimodal_classification(5, n_features=(1, 1), random_state=0)
    assert X.columns.tolist() == ["modality0__0", "modality1__0"]


def test_the_seed_decides_the_data():
    first, y_first = make_multimodal_classification(missing_rate=0.2, random_state=3)
    again, y_again = make_multimodal_classification(missing_rate=0.2, random_state=3)
    other, _ = make_multimodal_classification(missing_rate=0.2, random_state=4)
    assert_frame_equal(first, again)
    np.testing.assert_array_equal(y_first, y_again)
    assert not first.equals(other)


def test_missing_rate_leaves_the_other_values_alone():
    complete, y_complete = make_multimodal_classification(random_state=3)
    holes, y_holes = make_multimodal_classification(missing_rate=0.5, random_state=3)
    assert_frame_equal(holes, complete.where(holes.notna()))
    np.testing.assert_array_equal(y_complete, y_holes)


def test_accuracy_of_a_modality_is_what_its_informativeness_says():
    informativeness = (0.0, 0.3, 0.6, 1.0)
    X, y = make_multimodal_classification(
        20_000,
        n_features=(5, 5, 5, 5),
        informativeness=informativeness,
        class_sep=1.5,
        random_state=0,
    )
    scores = [accuracy(modality(X, f"modality{m}"), y) for m in range(4)]
    expected = norm.cdf(1.5 * np.array(informativeness))  # .5, .67, .82, .93
    np.testing.assert_allclose(scores, expected, atol=0.015)


@pytest.mark.parametrize("class_sep", [0.5, 1.0])
def test_independent_modalities_help_each_other(class_sep):
    X, y = make_multimodal_classification(
        20_000,
        n_features=(4, 4),
        informativeness=(1.0, 0.8),
        class_sep=class_sep,
        random_state=0,
    )
    assert accuracy(X, y) == pytest.approx(norm.cdf(class_sep * np.hypot(1.0, 0.8)), abs=0.015)


@pytest.mark.parametrize("informativeness", [(1.0, 1.0), (1.0, 0.5), (0.3, 0.9)])
def test_a_redundant_modality_adds_nothing(informativeness):
    X, y = make_multimodal_classification(
        20_000, n_features=(4, 4), informativeness=informativeness, redundancy=1, random_state=0
    )
    best = norm.cdf(max(informativeness))
    assert accuracy(X, y) == pytest.approx(best, abs=0.015)


def test_redundancy_leaves_each_modality_as_good_as_it_was():
    scores = []
    for redundancy in (0.0, 0.5, 1.0):
        X, y = make_multimodal_classification(
            20_000, n_features=(4, 4), redundancy=redundancy, random_state=0
        )
        assert accuracy(modality(X, "modality1"), y) == pytest.approx(norm.cdf(1), abs=0.015)
        scores.append(accuracy(X, y))
    assert scores[0] > scores[1] + 0.02 > scores[2] + 0.04


def test_noise_has_unit_variance_in_every_column():
    X, y = make_multimodal_classification(
        20_000, n_features=(3, 6), n_classes=3, redundancy=0.7, random_state=0
    )
    within = X - X.groupby(y).transform("mean")
    np.testing.assert_allclose(within.std(), 1, atol=0.03)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_classes_are_equally_far_apart(n_classes):
    X, y = make_multimodal_classification(
        n_classes * 1000,
        n_features=(8, 8),
        n_classes=n_classes,
        class_sep=100,
        informativeness=1,
        random_state=0,
    )
    centres = modality(X, "modality0").groupby(y).mean().to_numpy()
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    np.testing.assert_allclose(distances, 200 * (1 - np.eye(n_classes)), atol=0.3)


def test_missing_rows_are_whole_blocks_in_the_number_asked_for():
    X, _ = make_multimodal_classification(
        200, n_features=(3, 2, 4), missing_rate=(0.1, 0.0, 1.0), random_state=0
    )
    for m, expected in enumerate([20, 0, 200]):
        block = modality(X, f"modality{m}").isna()
        assert block.all(axis=1).sum() == block.any(axis=1).sum() == expected


def test_modalities_go_missing_independently():
    X, _ = make_multimodal_classification(10_000, missing_rate=0.5, random_state=0)
    both = X["modality0__0"].isna() & X["modality1__0"].isna()
    assert both.mean() == pytest.approx(0.25, abs=0.02)


def test_weights_set_the_share_of_each_class():
    _, y = make_multimodal_classification(100, n_classes=3, weights=(7, 2, 1), random_state=0)
    assert np.bincount(y).tolist() == [70, 20, 10]
    assert len(set(y[:20])) > 1  # in random order


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_samples": 0}, "n_samples"),
        ({"n_classes": 1}, "n_classes"),
        ({"redundancy": 1.1}, "redundancy"),
        ({"class_sep": -1}, "class_sep"),
        ({"informativeness": -0.1}, "informativeness"),
        ({"informativeness": (0.5, 1.5)}, r"informativeness .*\[0, 1\].*1\.5"),
        ({"informativeness": (0.5, np.nan)}, r"informativeness .*\[0, 1\].*nan"),
        ({"informativeness": (0.5,)}, r"informativeness .* 2 modalities.*\(1,\)"),
        ({"missing_rate": (0.1, 0.2, 0.3)}, r"missing_rate .* 2 modalities.*\(3,\)"),
        ({"n_features": ()}, r"n_features .*\(\)"),
        ({"n_features": (2, 2.5)}, r"n_features .*\b2\.5\b"),
        ({"n_features": (3, 1), "n_classes": 3}, r"n_features .*n_classes - 1 = 2, got 1\b"),
        ({"modality_names": ("text",)}, r"modality_names .*\b1 .*\b2 .*n_features"),
        ({"modality_names": ("text", "text")}, r"modality_names .*\['text', 'text'\]"),
        ({"modality_names": ("text", "im__age")}, "modality_names .*'im__age'"),
        ({"weights": (0.5, 0.3, 0.2)}, r"weights .* 2 classes.*\b3\b"),
        ({"weights": (0, 0)}, r"weights .*\b0\b"),
        ({"weights": (-1, 2)}, r"weights .*-1\b"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_multimodal_classification(**parameters)


def test_one_row_and_one_modality_are_enough():
    X, y = make_multimodal_classification(1, n_features=(1,), random_state=0)
    assert isinstance(X, pd.DataFrame)
    assert X.shape == (1, 1)
    assert y.shape == (1,)
