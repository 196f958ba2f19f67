"""Subwords: what is encoded is decoded, in any script."""

from hypothesis import given, settings
from hypothesis import strategies as st

from skmm.generation._vocabulary import END, SPACES, UNKNOWN, Vocabulary

TEXTS = [
    "a red cat",
    " two  blanks ",
    "großer Vogel",
    "鱼和鸟",
    "قطة",
    "line\nbreak\t",
    "👩‍🚀",
    "▁",
]


def test_texts_of_the_fit_come_back():
    vocabulary = Vocabulary.learn(TEXTS, 60)
    assert vocabulary.decode(vocabulary.encode(TEXTS)) == TEXTS
    assert all(ids[-1] == END for ids in vocabulary.encode_target(TEXTS))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_any_text_comes_back(texts):
    if all(mark in "".join(texts) for mark in SPACES):  # then one of them becomes a blank
        return
    vocabulary = Vocabulary.learn(texts, 30)
    assert vocabulary.decode(vocabulary.encode(texts)) == texts


def test_frequent_pairs_become_one_token():
    vocabulary = Vocabulary.learn(["the cat", "the dog", "the the the"], 20)
    assert len(vocabulary.encode(["the"])[0]) == 1
    assert vocabulary.n_tokens <= 20


def test_unknown_characters_are_one_token():
    vocabulary = Vocabulary.learn(["abc", "abc"], 20)
    assert vocabulary.encode(["ξ"]) == [[UNKNOWN]]
    assert UNKNOWN in vocabulary.never_generated


def test_fits_are_identical():
    assert Vocabulary.learn(TEXTS, 40).content == Vocabulary.learn(TEXTS, 40).content
