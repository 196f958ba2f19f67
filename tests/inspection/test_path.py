import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skmm import LateFusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.inspection import FusionPathDisplay
from skmm.model_selection import simplex_grid

X, y = make_multimodal_classification(
    90, n_features=(3, 3, 3), modality_names=("text", "image", "sound"), random_state=0
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def make_results(weights, means, stds=None, **parameters):
    params = [{"fusion__modality_weights": value} for value in weights]
    for name, values in parameters.items():
        params = [{**p, name: value} for p, value in zip(params, values, strict=True)]
    return {
        "params": params,
        "mean_test_score": np.array(means, dtype=float),
        "std_test_score": np.full(len(means), 0.1) if stds is None else np.array(stds),
    }


def late(*names):
    return LateFusionClassifier(
        [(name, LogisticRegression(), list(X.filter(like=name))) for name in names], cv=2
    )


def test_two_modalities_are_a_line():
    names = ["text", "image"]
    grid = {"modality_weights": [*simplex_grid(names, 0.25), None]}
    search = GridSearchCV(late(*names), grid, cv=3).fit(X, y)
    display = FusionPathDisplay.from_estimator(search)
    results = search.cv_results_
    np.testing.assert_allclose(display.weights[:, 0], [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(display.weights.sum(1), 1)
    np.testing.assert_array_equal(display.mean_scores, results["mean_test_score"][:5])
    np.testing.assert_array_equal(display.std_scores, results["std_test_score"][:5])
    np.testing.assert_array_equal(display.line_.get_ydata(), display.mean_scores)
    assert display.learned == (results["mean_test_score"][5], results["std_test_score"][5])
    best = display.mean_scores.argmax()
    assert display.best_.get_xdata() == display.weights[best, 0]
    assert display.best_.get_ydata() == display.mean_scores[best]
    assert display.ax_.get_xlabel() == "weight of text (the rest: image)"
    assert display.ax_.get_ylabel() == "accuracy"


def test_three_modalities_are_a_triangle():
    grid = simplex_grid(["a", "b", "c"], 0.5)
    means = [0.5, 0.85, 0.6, 0.7, 0.9, 0.4]
    display = FusionPathDisplay.from_cv_results(make_results(grid, means))
    places = display.points_.get_offsets()
    top = places[display.weights[:, 2] == 1][0]
    left, right = places[display.weights[:, 0] == 1][0], places[display.weights[:, 1] == 1][0]
    np.testing.assert_allclose(np.linalg.norm(np.diff([left, right, top, left], axis=0), axis=1), 1)
    np.testing.assert_array_equal(display.points_.get_array(), display.mean_scores)
    best = display.mean_scores.argmax()
    assert display.weights[best].tolist() == [0.5, 0.5, 0]
    np.testing.assert_allclose(
        [display.best_.get_xdata()[0], display.best_.get_ydata()[0]], (left + right) / 2
    )
    (rings,) = (c for c in display.ax_.collections if c is not display.points_)
    near = display.weights.tolist().index([0.0, 0.5, 0.5])  # .85 is within .1 of the best, .9
    np.testing.assert_allclose(rings.get_offsets(), places[[near]])


def test_other_parameters_are_at_their_best_and_weights_add_up():
    weights = [{"a": 2, "b": 6}, {"a": 0.25, "b": 0.75}, "uniform", {"a": 1, "b": 0}]
    results = make_results(weights, [0.6, 0.7, 0.8, np.nan], fusion__C=[1, 2, 1, 1])
    display = FusionPathDisplay.from_cv_results(results)
    np.testing.assert_allclose(display.weights, [[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_array_equal(display.mean_scores, [0.7, 0.8])
    assert display.learned is None


def test_which_score():
    results = make_results(simplex_grid(["a", "b"], 0.5), [1, 2, 3])
    results["mean_test_f1"] = results.pop("mean_test_score")[::-1]
    results["std_test_f1"] = results.pop("std_test_score")
    display = FusionPathDisplay.from_cv_results(results, scoring="f1")
    np.testing.assert_array_equal(display.mean_scores, [3, 2, 1])
    with pytest.raises(ValueError, match=r"score .*\['f1'\]"):
        FusionPathDisplay.from_cv_results(results)


def test_bad_input():
    with pytest.raises(ValueError, match="modality_weights"):
        FusionPathDisplay.from_cv_results(make_results([None, "uniform"], [1, 2]))
    with pytest.raises(ValueError, match=r"4: .*'a', 'b', 'c', 'd'"):
        FusionPathDisplay.from_cv_results(make_results(simplex_grid("abcd", 1), [1] * 4))
    with pytest.raises(ValueError, match=r"'a', 'b'.*'a', 'c'"):
        FusionPathDisplay.from_cv_results(
            make_results([{"a": 0.5, "b": 0.5}, {"a": 0.5, "c": 0.5}], [1, 2])
        )
    with pytest.raises(ValueError, match=r"modality_weights.*none"):
        FusionPathDisplay.from_cv_results(
            {"params": [{"C": 1}], "mean_test_score": [1.0], "std_test_score": [0.0]}
        )
    with pytest.raises(TypeError, match=r"search.*LateFusionClassifier"):
        FusionPathDisplay.from_estimator(late("text", "image").fit(X, y))
