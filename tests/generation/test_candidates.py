import numpy as np
import pytest

from skmm.generation._candidates import Pieces, edits, phrases, search, source_pieces, tokenize
from skmm.generation._chrf import chrf_of_pairs


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Flagge: Burkina Faso", ["Flagge", ":", " ", "Burkina", " ", "Faso"]),
        ("笑脸 OK", ["笑", "脸", " ", "OK"]),
        ("وجه مبتسم", ["وجه", " ", "مبتسم"]),
        ("", []),
    ],
)
def test_tokens_are_words_punctuation_and_blanks(text, tokens):
    assert tokenize(text) == tokens
    assert "".join(tokens) == text


def test_phrases_run_from_word_to_word():
    assert phrases("a: b c", 2) == ["a", "a: b", "b", "b c", "c"]


def test_pieces_are_words_and_phrases_of_several_texts():
    pieces = Pieces.learn(["red big cat", "red big dog", "old dog"])
    assert pieces.texts == ["big", "cat", "dog", "old", "red", "red big"]
    marks = pieces.mark(["a red big dog dog", "x"]).toarray()
    np.testing.assert_array_equal(marks, [[1, 0, 1, 0, 1, 1], [0] * 6])


def test_fluency_is_the_share_of_known_neighbors():
    pieces = Pieces.learn(["a red cat", "a dog"])
    assert pieces.fluency("a red cat") == 1
    assert pieces.fluency("a red dog") == pytest.approx(3 / 4)  # all but red, dog
    assert pieces.fluency("dog cat a") == 0


def test_edits_replace_and_leave_out_words():
    found = set(edits("a red cat", ["dog"]))
    assert {"dog red cat", "a dog cat", "a red dog", "dog cat", "a dog", "dog"} <= found
    assert {"red cat", "a cat", "a red", "a", "cat", ""} <= found
    assert all("  " not in text for text in found)


def test_characters_are_edited_in_scripts_without_blanks():
    assert "哭脸" in set(edits("笑脸", ["哭"]))


def test_long_texts_are_left_as_they_are():
    assert list(edits("word " * 20, ["dog"])) == []


def test_source_words_come_as_they_are_and_with_capitals():
    assert source_pieces("kenya flag") == [
        "kenya",
        "kenya flag",
        "flag",
        "Kenya",
        "Kenya flag",
        "Flag",
    ]


def test_search_finds_what_two_edits_reach():
    target = "Flagge: Burkina Faso"

    def score(texts):
        return chrf_of_pairs(texts, [target] * len(texts))

    start, pieces, longest = ["Taste: Mali"], ["Flagge", "Burkina Faso", "x"], len(target)
    found = search(start, pieces, score, 2, 3, 5, longest)
    assert found[0] == target
    assert len(found) == 5
    assert search(start, pieces, score, 0, 3, 5, longest) == start
    found = search(start, pieces, score, 2, 3, 1000, 12)
    assert max(len("".join(text.split())) for text in found) == 12
