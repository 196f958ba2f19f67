"""Rows that have the columns of some modalities only."""

import numpy as np
import pytest

from skmm.alignment import CrossModalAligner


@pytest.mark.parametrize("name", ["text", "image"])
def test_columns_of_one_modality_are_enough(frame, aligner, name):
    expected = aligner.transform(frame, name)
    block = frame.filter(like=name)
    for X in (block, block.iloc[:, ::-1], block.to_numpy()):
        np.testing.assert_allclose(aligner.transform(X, name), expected, atol=1e-6)
    np.testing.assert_allclose(aligner.transform(block), expected, atol=1e-6)
    bare = CrossModalAligner("cca", modalities={"text": 6, "image": 9}, regularization=0.1)
    bare.fit(frame.to_numpy()[:160])
    np.testing.assert_allclose(bare.transform(block.to_numpy(), name), expected, atol=1e-6)


def test_columns_of_two_modalities_in_another_order(three):
    aligner = CrossModalAligner("cca", regularization=0.1)
    shuffled = np.random.default_rng(0).permutation(three.columns)
    aligner.fit(three[shuffled])
    some = three.filter(regex="audio|text")
    for name in ("text", "audio"):
        np.testing.assert_array_equal(
            aligner.transform(some, name), aligner.transform(three[shuffled], name)
        )
    missing = three[shuffled].assign(**dict.fromkeys(three.filter(like="image"), np.nan))
    np.testing.assert_array_equal(aligner.transform(some), aligner.transform(missing))
    assert aligner.score(some) == aligner.score(missing)


def test_other_columns_are_an_error(frame, aligner):
    with pytest.raises(ValueError, match=r"\b5 of the 6\b.*'text'.*'text__0'"):
        aligner.transform(frame.drop(columns="text__0"))
    with pytest.raises(ValueError, match=r"'other'.* CrossModalAligner"):
        aligner.transform(frame.filter(like="text").assign(other=0.0))
    with pytest.raises(ValueError, match=r"'image'.*\['text'\].*'image__0'"):
        aligner.transform(frame.filter(like="text"), "image")
    some_columns = {"a": ["text__0"], "b": ["image__0"]}
    without_others = CrossModalAligner("cca", modalities=some_columns).fit(frame)
    with pytest.raises(ValueError, match=r"\['a', 'b'\].*'text__0'"):
        without_others.transform(frame[["text__1"]])
    with pytest.raises(ValueError, match=r"'sound'.*\['text', 'image'\]"):
        aligner.transform(frame, "sound")
    with pytest.raises(ValueError, match=r"\b7\b.*\b6\b.*'text'.*\b15\b"):
        aligner.transform(np.zeros((2, 7)), "text")


def test_values_that_are_missing_are_an_error(frame, aligner):
    holes = frame[:6].assign(text__1=[np.nan] * 2 + [0.0, np.nan, 0.0, 0.0])
    holes.iloc[:2, :6] = np.nan
    with pytest.raises(ValueError, match=r"Row 3 .* 1 of the 6\b.*'text'"):
        aligner.transform(holes)
