"""Scores of retrieval in scikit-learn's searches."""

import pickle

import numpy as np
import pytest
import torch
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


# Several captions of one picture, with a row each


@pytest.fixture(scope="module")
def captions():
    """30 pictures with 5 captions each, in random order, and the number of the picture."""
    rng = np.random.default_rng(0)
    hidden = np.repeat(rng.normal(size=(30, 6)), 5, axis=0)
    texts = hidden + rng.normal(0, 0.05, hidden.shape)
    order = rng.permutation(150)
    return np.hstack([texts, hidden])[order], np.repeat(np.arange(30), 5)[order]


@pytest.fixture(scope="module")
def of_captions(captions):
    return CrossModalAligner("cca", regularization=0, modalities={"text": 6, "image": 6}).fit(
        captions[0]
    )


def test_captions_of_one_picture_are_all_right(captions, of_captions):
    X, pictures = captions
    assert of_captions.score(X) == pytest.approx(1)
    for k in (1, 5):
        assert recall_at_k(k)(of_captions, X) == pytest.approx(1)
    for y in (None, pictures):
        assert mean_average_precision()(of_captions, X, y) == pytest.approx(1)


def test_captions_are_scored_as_their_distinct_items_are(captions, of_captions):
    """By ranks counted here, over distinct pictures, as benchmarks of retrieval do."""
    X, pictures = captions
    X = X.copy()
    X[:, :6] += np.random.default_rng(1).normal(0, 0.7, (150, 6))  # so that some are missed
    a, b = of_captions.transform(X, "text"), of_captions.transform(X, "image")
    first = np.unique(pictures, return_index=True)[1]
    forth = (-a @ b[first].T).argsort(1).argsort(1)[np.arange(150), pictures] + 1
    order = (-b @ a.T).argsort(1)
    is_right = pictures[order] == pictures[:, None]
    back = is_right.argmax(1) + 1
    precision = (np.cumsum(is_right, 1) / np.arange(1, 151) * is_right).sum(1) / 5
    for (source, target), ranks in {("text", "image"): forth, ("image", "text"): back}.items():
        for k in (1, 5):
            scorer = recall_at_k(k, source=source, target=target)
            assert scorer(of_captions, X) == pytest.approx(np.mean(ranks <= k))
    assert 0.2 < np.mean(forth == 1) < 0.9
    assert of_captions.score(X) == pytest.approx(np.mean([1 / forth, 1 / back]))
    for y in (None, pictures):
        assert mean_average_precision()(of_captions, X, y) == pytest.approx(
            np.mean([1 / forth, precision])
        )


def test_items_are_equal_by_their_columns_not_by_their_vectors(frame):
    """A space in which all rows are one point finds nothing: its ties are chance."""
    aligner = CrossModalAligner("cca").fit(frame)
    with torch.no_grad():
        for parameter in aligner.network_.parameters():
            parameter.zero_()
        for layers in aligner.network_.linear:
            layers[-1].bias[0] = 1
    assert recall_at_k(24)(aligner, frame) == pytest.approx(0.1)
    y = np.arange(240) % 2
    reciprocal = np.mean(1 / np.arange(1, 241))
    for labels in (None, np.arange(240)):
        assert mean_average_precision()(aligner, frame, labels) == pytest.approx(reciprocal)
    by_chance = np.mean(1 / np.arange(1, 241) + 119 / 239 * (1 - 1 / np.arange(1, 241)))
    assert mean_average_precision()(aligner, frame, y) == pytest.approx(by_chance)
