"""Rows that can be learned from, and what happens where there are too few."""

import pytest
from sklearn.exceptions import NotFittedError

from skmm.alignment import CrossModalAligner


def test_rows_without_pairs_are_an_error(frame, three, hide):
    lonely = hide(hide(frame, "text", slice(0, 119)), "image", slice(119, 239))
    aligner = CrossModalAligner("cca")
    with pytest.raises(ValueError, match=r"\b0 of 240\b.*\['text', 'image'\]"):
        aligner.fit(lonely)
    with pytest.raises(NotFittedError):
        aligner.transform(frame)
    with pytest.raises(ValueError, match=r"shape=\(1, 15\).*\b2\b"):
        aligner.fit(frame[:1])
    with pytest.raises(ValueError, match=r"shape=\(0, 15\)"):
        aligner.fit(frame[:0])
    alone = hide(three, "audio", slice(0, 199))
    alone = hide(hide(alone, "text", slice(200, 239)), "image", slice(200, 239))
    with pytest.raises(ValueError, match="'audio'"):
        aligner.fit(alone)
    constant = frame.assign(**dict.fromkeys(frame.filter(like="text"), 1.0))
    with pytest.raises(ValueError, match="'text'"):
        aligner.fit(constant)


def test_one_class_is_an_error(frame):
    with pytest.raises(ValueError, match=r"\by\b.*'a'"):
        CrossModalAligner().fit(frame, ["a"] * 240)


def test_classes_that_are_not_known_are_an_error(frame):
    with pytest.raises(ValueError, match=r"\by\b.*\bNaN\b"):
        CrossModalAligner().fit(frame, ["a", None] * 120)


def test_values_that_are_missing_are_an_error(frame):
    X = frame.copy()
    X.loc[3, "text__1"] = float("nan")
    with pytest.raises(ValueError, match=r"Row 3 .*'text'.*'text__1'"):
        CrossModalAligner().fit(X)
