import numpy as np
import pytest
from scipy import sparse

from skmm.generation._chrf import NgramVocabulary, extract_features
from skmm.generation._evidence import (
    Copying,
    Smoother,
    TrainingTexts,
    capitalize,
    choose_reference,
    gather_evidence,
)

SOURCE = ["flag: mali", "flag: togo", "cat"]
REFERENCES = [["Flagge: mali"], ["Flagge: togo", "togo"], ["Katze"]]


@pytest.fixture
def texts():
    vocabulary = NgramVocabulary.learn([text for group in REFERENCES for text in group])
    return TrainingTexts.describe(REFERENCES, SOURCE, vocabulary)


def test_what_was_copied_is_copied_again():
    copying = Copying.learn(SOURCE, [group[0] for group in REFERENCES], 1000)
    flag, cat, new = (extract_features([text]).name[-1:] for text in ("fl", "cat", "xyzzy"))
    rates = [float(copying.rate(names, 0.5)[0]) for names in (flag, cat, new)]
    assert rates == [0.25, pytest.approx(1 / 3), 0.5]  # 0 of 2, 0 of 1, 0 of 0, beside 1 of 2
    assert copying.shares[0] > copying.shares[2]


def test_capitals_leave_the_rest_of_a_word():
    assert capitalize("new McDonald ärger  x") == "New McDonald Ärger X"


def test_marks_are_shares_of_references(texts):
    n_ngrams = len(texts.vocabulary.names)
    togo = texts.vocabulary.encode(["togo"]).indices
    assert (texts.marks[[1]][:, togo].toarray() == 1).all()  # both references have it
    flag = texts.vocabulary.encode(["Fla"]).indices
    np.testing.assert_array_equal(texts.marks[[1]][:, flag[-1:]].toarray(), 0.5)
    assert texts.marks.shape == (3, n_ngrams + len(texts.pieces.texts))
    np.testing.assert_allclose(texts.n_characters, [11, (11 + 4) / 2, 5])
    assert [choose_reference(REFERENCES, 1), choose_reference(REFERENCES, 2)] == ["togo", "Katze"]


def test_evidence_of_a_row_is_the_weighted_sum(texts):
    weights = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    smoother = Smoother(2 * weights, texts.marks, texts.n_characters, sparse.csr_array(weights))
    first, second = gather_evidence(smoother, texts, ["flag: Oman", ""])
    marks = texts.marks.toarray()[:, : len(first.names)]
    np.testing.assert_allclose(first.neighbors, (marks[0] + marks[1]) / 2)
    np.testing.assert_allclose(first.regression, marks[0] + marks[1])
    np.testing.assert_allclose(first.lengths, [11 + 7.5, (11 + 7.5) / 2, 9])
    assert len(first.source.names) == len(first.source.rates) == 9 + 8 + 7 + 6 + 5 + 4
    assert len(second.source.names) == 0


def test_without_a_source_nothing_is_copied(texts):
    texts = TrainingTexts.describe(REFERENCES, None, texts.vocabulary)
    weights = np.array([[1.0, 0.0, 0.0]])
    smoother = Smoother(weights, texts.marks, texts.n_characters, sparse.csr_array(weights))
    (evidence,) = gather_evidence(smoother, texts, None)
    assert len(evidence.source.names) == len(evidence.capitalized.names) == 0
