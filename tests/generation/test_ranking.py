import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from skmm.generation._candidates import Pieces
from skmm.generation._chrf import extract_features
from skmm.generation._evidence import Copies, Evidence
from skmm.generation._ranking import MatchModel, Ranker, candidate_features, ngram_features

TEXTS = ["red circle", "blue circle", "red star", "blue star", "green ring"]


def make_evidence(shares, source=""):
    """Evidence by the shares of training texts, from both the regression and the neighbours."""
    features = extract_features(TEXTS)
    names, counts = np.unique(features.name, return_counts=True)
    values = np.zeros(len(names))
    np.add.at(values, np.searchsorted(names, features.name), np.array(shares)[features.text])
    source_names = np.sort(extract_features([source]).name)
    copies = Copies(source_names, np.full(len(source_names), 0.9))
    lengths = np.array([9.0, 9.0, 0.0])
    return Evidence(names, counts, values, values, copies, copies, lengths)


@pytest.fixture
def match():
    evidence = [make_evidence(row) for row in 0.7 * np.eye(5) + 0.06]
    return MatchModel.learn(evidence, [TEXTS] * 5, TEXTS, np.ones(5))


def test_what_the_evidence_says_is_likely(match):
    expected = match.expected_chrf(make_evidence([0.1, 0.1, 0.7, 0.1, 0]), TEXTS)
    assert expected.argmax() == 2
    assert (expected > 0).all()
    assert (expected < 1).all()


def test_certain_ngrams_give_the_chrf_of_sacrebleu(match):
    sure = match._replace(length_coefficients=np.zeros(3), length_intercept=9.0)
    coefficients = np.zeros_like(match.coefficients)
    coefficients[0] = 1e3  # of the regression's share
    sure = sure._replace(coefficients=coefficients, intercept=-500.0)
    expected = sure.expected_chrf(make_evidence([1, 0, 0, 0, 0]), ["red circles", "red circle"])
    scores = [CHRF().sentence_score(text, ["red circle"]).score / 100 for text in ["red circles"]]
    np.testing.assert_allclose(expected, [*scores, 1], atol=1e-6)


def test_ngrams_of_the_source_are_told_from_unknown_ones():
    names = extract_features(["zz"]).name
    plain = ngram_features(make_evidence(np.zeros(5)), names)
    copied = ngram_features(make_evidence(np.zeros(5), source="zz"), names)
    assert (plain != copied).any()
    assert np.isfinite(copied).all()


def test_labels_of_one_kind_can_be_learned():
    evidence = [make_evidence([1, 0, 0, 0, 0])]
    match = MatchModel.learn(evidence, [["red"]], ["red circle"], np.ones(1))
    assert match.expected_chrf(evidence[0], ["red"])[0] > 0


def test_default_believes_the_neighbors():
    expected = MatchModel.default().expected_chrf(make_evidence([0, 0, 0, 1, 0]), TEXTS)
    assert expected.argmax() == 3


def test_ranker_learns_from_differences_within_rows():
    random = np.random.default_rng(0)
    features = [random.normal(size=(20, 4)) for _ in range(10)]
    scores = [block @ [1, -2, 0, 0] + offset for offset, block in enumerate(features)]
    ranker = Ranker.learn(features, scores, np.ones(10))
    np.testing.assert_allclose(ranker.coefficients, [1, -2, 0, 0], atol=0.05)
    assert Ranker.default().score(features[0]).argmax() == features[0][:, 0].argmax()


def test_features_of_candidates_are_finite():
    evidence = make_evidence([1, 0, 0, 0, 0])._replace(lengths=np.zeros(3))
    texts = ["red circle", "x"]
    features = candidate_features(texts, np.ones(2), evidence, Pieces.learn(TEXTS))
    assert np.isfinite(features).all()
    assert features[0, 1] > features[1, 1]  # fluency
