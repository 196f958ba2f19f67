"""Scores of retrieval in scikit-learn's searches."""

import pickle

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmm.alignment import CrossModalAligner, mean_average_precision, recall_at_k


def test_scores_of_a_grid_search(frame):
    scoring = {
        "recall": recall_at_k(1),
        "forth": recall_at_k(1, source="text", target="image"),
        "back": recall_at_k(1, source="image", target="text"),
        "map": mean_average_precision(),
    }
    search = GridSearchCV(
        CrossModalAligner("cca"),
        {"regularization": [0.1, 1.0]},
        scoring=scoring,
        refit="recall",
        cv=3,
    ).fit(frame)
    found = {name: search.cv_results_[f"mean_test_{name}"] for name in scoring}
    np.testing.assert_allclose(found["recall"], (found["forth"] + found["back"]) / 2)
    assert found["recall"][0] > found["recall"][1]
    plain = cross_val_score(CrossModalAligner("cca", regularization=0.1), frame, cv=3)
    assert found["map"][0] == pytest.approx(plain.mean())


def test_recall_counts_those_that_are_found(frame, aligner):
    X = frame[160:]
    rows = aligner.kneighbors(X, X, source="text", target="image", n_neighbors=5)[1]
    found = np.mean((rows == np.arange(80)[:, None]).any(1))
    assert recall_at_k(5, source="text", target="image")(aligner, X) == pytest.approx(found)
    assert recall_at_k(80)(aligner, X) == 1


def test_classes_are_right_answers(frame, aligner):
    X, y = frame[160:], np.arange(80) // 40
    scorer = mean_average_precision(source="text", target="image")
    rows = aligner.kneighbors(X, X, source="text", target="image", n_neighbors=80)[1]
    right = y[rows] == y[:, None]
    precision = np.cumsum(right, 1) / np.arange(1, 81)
    expected = (precision * right).sum(1) / right.sum(1)
    assert scorer(aligner, X, y) == pytest.approx(expected.mean())
    assert scorer(aligner, X) == pytest.approx(
        (1 / (np.argmax(rows == np.arange(80)[:, None], 1) + 1)).mean()
    )


def test_classes_that_are_not_known_are_an_error(frame, aligner):
    scorer = mean_average_precision()
    words = np.where(np.arange(240) % 2, "a", "b")
    expected = scorer(aligner, frame, np.arange(240) % 2)
    assert scorer(aligner, frame, words.tolist()) == expected
    with pytest.raises(ValueError, match=r"\by\b.*\bNaN\b"):
        scorer(aligner, frame, np.where(np.arange(240) % 2, np.nan, 1.0))
    with pytest.raises(ValueError, match=r"\[240, 100\]"):
        scorer(aligner, frame, words[:100])
    with pytest.raises(ValueError, match=r"\by\b.*\(240, 2\)"):
        scorer(aligner, frame, np.zeros((240, 2)))
    assert recall_at_k(3)(aligner, frame, np.zeros((240, 2))) == recall_at_k(3)(aligner, frame)


def test_rows_that_lack_a_modality_do_not_count(frame, aligner):
    X = frame[160:].copy()
    X.iloc[:20, :6] = np.nan
    for scorer in (recall_at_k(3), mean_average_precision()):
        assert scorer(aligner, X) == pytest.approx(scorer(aligner, X[20:]))
    labels = np.repeat([0, 1], 40)
    assert mean_average_precision()(aligner, X, labels) == pytest.approx(
        mean_average_precision()(aligner, X[20:], labels[20:])
    )
    X.iloc[:, :6] = np.nan
    with pytest.raises(ValueError, match=r"\['text', 'image'\]"):
        recall_at_k(3)(aligner, X)


def test_pipelines_are_scored_by_their_last_step(frame):
    model = make_pipeline(FunctionTransformer(), CrossModalAligner("cca")).fit(frame)
    assert recall_at_k(3)(model, frame) == recall_at_k(3)(model[-1], frame)


def test_scorers_are_plain_objects(frame, aligner):
    scorer = recall_at_k(3, source="text", target="image")
    assert repr(scorer) == "recall_at_k(k=3, source='text', target='image')"
    assert pickle.loads(pickle.dumps(scorer))(aligner, frame) == scorer(aligner, frame)
    with pytest.raises(ValueError, match=r"\bk\b.* got 0\b"):
        recall_at_k(0)
    with pytest.raises(ValueError, match="'sound'"):
        recall_at_k(1, source="sound")(aligner, frame)


def test_searches_are_scored_by_their_best_estimator(frame):
    search = GridSearchCV(CrossModalAligner("cca"), {"regularization": [0.1]}, cv=2).fit(frame)
    assert recall_at_k(3)(search, frame) == recall_at_k(3)(search.best_estimator_, frame)


def test_other_estimators_and_one_modality_twice_are_an_error(frame, aligner):
    with pytest.raises(
        TypeError, match=r"recall_at_k\(k=3\) .*CrossModalAligner.* FunctionTransformer"
    ):
        recall_at_k(3)(FunctionTransformer(), frame)
    with pytest.raises(ValueError, match=r"source .*target .*'text'"):
        recall_at_k(3, source="text", target="text")(aligner, frame)
