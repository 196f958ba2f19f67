import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import CHRF

from skmm.generation._chrf import (
    NgramVocabulary,
    best_chrf,
    chrf_matrix,
    chrf_of_pairs,
    count_ngrams,
)

TEXTS = [
    "Flagge: Deutschland",
    "Flagge: Dänemark",
    "a dog runs on the beach, and a second dog runs after the first dog of the beach",
    "aaaaaa",
    "aaa aaaa",
    "笑脸",
    "哭笑不得的笑脸",
    "وجه مبتسم",
    "👩🏽‍🚀",
    "x",
    " \n",
    "",
]


def sacrebleu_chrf(hypothesis, references):
    return CHRF().sentence_score(hypothesis, references).score / 100


def test_every_pair_has_the_score_of_sacrebleu():
    expected = [[sacrebleu_chrf(a, [b]) for b in TEXTS] for a in TEXTS]
    np.testing.assert_allclose(chrf_matrix(TEXTS, TEXTS), expected, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("ab cß笑", max_size=15), min_size=2, max_size=8))
def test_pairs_agree_with_sacrebleu_whatever_the_texts(texts):
    reversed_texts = texts[::-1]
    expected = [sacrebleu_chrf(a, [b]) for a, b in zip(texts, reversed_texts, strict=True)]
    np.testing.assert_allclose(chrf_of_pairs(texts, reversed_texts), expected, atol=1e-9)


def test_best_of_several_references_counts():
    references = [["Hund", "ein Hund"], ["Katze"], ["kein Tier", "x", "Maus"]]
    hypotheses = ["ein Hund", "Kater", "Haus"]
    expected = [sacrebleu_chrf(a, b) for a, b in zip(hypotheses, references, strict=True)]
    np.testing.assert_allclose(best_chrf(hypotheses, references), expected, atol=1e-9)


@pytest.mark.parametrize("chunk", [1, 50])
def test_chunks_change_nothing(chunk, monkeypatch):
    expected = chrf_matrix(TEXTS, TEXTS)
    monkeypatch.setattr("skmm.generation._chrf.CHUNK_VALUES", chunk)
    np.testing.assert_array_equal(chrf_matrix(TEXTS, TEXTS), expected)


def test_a_small_vocabulary_keeps_what_most_texts_have():
    vocabulary = NgramVocabulary.learn(["ab", "ac", "ad", "da"], max_features=2)
    encoded = vocabulary.encode(["a", "d", "b", ""]).toarray()
    np.testing.assert_array_equal(encoded.sum(1), [1, 1, 0, 0])
    np.testing.assert_array_equal(vocabulary.orders, [0, 0])


def test_occurrences_are_features_and_blanks_are_none():
    encoded = NgramVocabulary.learn(["aa a"]).encode(["a", "a a", "aaaa"])
    np.testing.assert_array_equal(encoded.sum(1), [1, 3, 6])  # of 3 a, 2 aa, 1 aaa
    np.testing.assert_array_equal(count_ngrams(["aa a"])[0], [3, 2, 1, 0, 0, 0])
