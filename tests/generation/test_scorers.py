"""Scores of texts in scikit-learn's searches."""

import pickle

import pytest
from sacrebleu.metrics import BLEU, CHRF
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV

from skmm.generation import bleu, chrf

X = [[i] for i in range(6)]
Y = ["a cat", "a red cat on a mat", "a dog", "a cat", "a red cat on a mat", "a red cat on a mat"]


@pytest.fixture
def model():
    return DummyClassifier().fit(X, Y)


@pytest.mark.parametrize(
    ("scorer", "metric"),
    [
        (chrf(), CHRF()),
        (chrf(word_order=2), CHRF(word_order=2)),
        (bleu(), BLEU()),
        (bleu("char"), BLEU(tokenize="char")),
    ],
)
def test_scores_are_those_of_sacrebleu_for_all_texts_together(model, scorer, metric):
    expected = metric.corpus_score(model.predict(X).tolist(), [Y]).score / 100
    assert scorer(model, X, Y) == pytest.approx(expected)
    assert pickle.loads(pickle.dumps(scorer))(model, X, Y) == pytest.approx(expected)
    assert 0 < expected < 1


def test_the_nearest_of_several_references_counts(model):
    references = [[text, "a red cat on a mat"] if text != Y[1] else [text] for text in Y]
    assert chrf()(model, X, references) == 1


def test_scorers_choose_in_a_grid_search():
    scoring = {"chrf": chrf(), "bleu": bleu()}
    search = GridSearchCV(
        DummyClassifier(strategy="constant"), {"constant": ["a cat", "a red cat on a mat"]}, cv=2
    )
    search.set_params(scoring=scoring, refit="chrf").fit(X, Y)
    assert search.best_params_ == {"constant": "a red cat on a mat"}
    bleu_of_short, bleu_of_long = search.cv_results_["mean_test_bleu"]
    assert bleu_of_short < bleu_of_long


def test_scorers_show_what_they_compute():
    assert [repr(chrf(2)), repr(bleu("zh"))] == ["chrf(word_order=2)", "bleu(tokenize='zh')"]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: chrf(-1), "word_order"),
        (lambda: bleu(3), "tokenize"),
        (lambda: bleu("nope"), "tokenize .*'13a'.*'nope'"),
    ],
)
def test_bad_parameters_are_named(make, name):
    with pytest.raises(ValueError, match=name):
        make()


def test_y_without_strings_is_an_error(model):
    with pytest.raises(ValueError, match="y must hold strings"):
        chrf()(model, X, list(range(6)))


def test_equal_texts_of_few_words_have_a_bleu_of_1():
    short = [["red cat"], ["dog"]]
    right = DummyClassifier(strategy="constant", constant="dog").fit(short, ["dog", "red cat"])
    assert bleu()(right, short, ["dog", "dog"]) == 1
    assert bleu()(right, short, ["dog", "red dog"]) < 1
