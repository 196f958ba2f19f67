"""TF-IDF of words and runs of characters; scripts without blanks are split into characters."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .._data.scripts import MARKS, UNSPACED, ZERO_WIDTH_SPACE

_search_unspaced = re.compile(f"[{UNSPACED}]").search
_find_segments = re.compile(
    f"[{UNSPACED}][{UNSPACED}{MARKS}]*|[^\\s{ZERO_WIDTH_SPACE}{UNSPACED}]+"
).findall
_find_characters = re.compile(f".[{MARKS}]*", re.DOTALL).findall
_find_words = re.compile(r"\b\w+\b").findall

FEW_TEXTS = 10  # of which no segments are collected

LENGTHS = range(2, 6)  # of the runs of characters


def _has_unspaced(text: str) -> bool:
    return not text.isascii() and _search_unspaced(text) is not None


def split_segments(text: str) -> list[str]:
    """Split a text at its blanks, and before and after each run of a script without blanks."""
    if not _has_unspaced(text):
        return text.lower().split()
    # One form for full-width and half-width characters, and for letters with marks.
    return _find_segments(unicodedata.normalize("NFKC", text).lower())


def list_words(text: str) -> list[str]:
    """List the words of a text; in a script without blanks, each character and each pair is one."""
    words: list[str] = []
    for segment in split_segments(text):
        if _has_unspaced(segment):
            characters = _find_characters(segment)
            words += characters
            words += map("".join, pairwise(characters))
        else:
            words += _find_words(segment)
    return words


def list_runs(text: str) -> list[str]:
    """List the runs of 2 to 5 characters in a text, within words that have a blank at each end.

    In a script without blanks they are of 1 to 5 characters.
    """
    runs: list[str] = []
    for segment in split_segments(text):
        unspaced = _has_unspaced(segment)
        characters = _find_characters(segment) if unspaced else []
        runs += characters
        padded: Any = [" ", *characters, " "] if unspaced else f" {segment} "
        for length in LENGTHS:
            slices = [padded[i : i + length] for i in range(max(1, len(padded) - length + 1))]
            runs += map("".join, slices) if unspaced else slices
            if length >= len(padded):  # a short word is counted only once
                break
    return runs


TOKENS = {"words": list_words, "runs": list_runs}


class SegmentedTexts(NamedTuple):
    """Texts by their distinct segments, of each of which tokens are listed only once."""

    segments: Sequence[str]
    counts: sparse.csr_matrix | None  # (n_texts, n_segments); None: each text is one segment


def segment_texts(texts: Sequence[str]) -> SegmentedTexts:
    """Split texts into segments; few texts are left whole."""
    if len(texts) < FEW_TEXTS:
        return SegmentedTexts(texts, None)
    segments = Numbering()
    counts = _count(map(split_segments, texts), segments)
    return SegmentedTexts([*segments], counts)


def count_tokens(
    texts: SegmentedTexts, list_tokens: Callable, vocabulary: Mapping[str, int]
) -> sparse.csr_matrix:
    """Count in each text the tokens that the vocabulary numbers.

    A token may have no number. A dict that makes one, such as `Numbering`, learns all tokens.
    """
    of_segments = _count(map(list_tokens, texts.segments), vocabulary)  # (n_segments, n_tokens)
    if texts.counts is None:
        return of_segments
    counts = texts.counts @ of_segments
    counts.sort_indices()
    return counts


def learn_vocabulary(
    texts: SegmentedTexts, list_tokens: Callable, *, min_df: int, max_features: int
) -> tuple[dict[str, int], sparse.csr_matrix]:
    """Return the tokens of the texts, numbered in alphabetical order, and their counts.

    Those in fewer than ``min_df`` texts are left out, and all but the most frequent.
    """
    numbering = Numbering()
    counts = count_tokens(texts, list_tokens, numbering)
    tokens = sorted(numbering)
    counts = counts[:, [numbering[token] for token in tokens]]
    kept = np.flatnonzero(np.bincount(counts.indices, minlength=len(tokens)) >= min_df)
    if len(kept) > max_features:
        totals = np.asarray(counts.sum(axis=0)).ravel()[kept]
        kept = np.sort(kept[(-totals).argsort()[:max_features]])
    counts = counts[:, kept]
    counts.sort_indices()
    return {tokens[column]: number for number, column in enumerate(kept.tolist())}, counts


def compute_tfidf(counts: sparse.csr_matrix, idf: np.ndarray) -> sparse.csr_matrix:
    """Replace counts by TF-IDF, as `TfidfTransformer(sublinear_tf=True)` does, but faster."""
    data = (np.log(counts.data) + np.float32(1)) * idf[counts.indices]
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    norms = np.sqrt(np.bincount(rows, weights=data * data, minlength=counts.shape[0]))
    counts.data = (data / norms[rows]).astype(np.float32)
    return counts


class Numbering(dict):
    """A dict that numbers each new key."""

    def __missing__(self, key):
        self[key] = number = len(self)
        return number

    def get(self, key, default=None):
        """Return the number of a key, which is made if there is none."""
        return self[key]


def _count(lists: Iterable[list[str]], vocabulary: Mapping[str, int]) -> sparse.csr_matrix:
    """Count the items of each list, in the columns that the vocabulary names."""
    indices, ends = array("q"), array("q", [0])
    for items in lists:
        numbers = map(vocabulary.get, items)
        indices.extend([number for number in numbers if number is not None])
        ends.append(len(indices))
    ones = np.ones(len(indices), dtype=np.float32)
    arrays = ones, np.array(indices, dtype=np.int64), np.array(ends, dtype=np.int64)
    counts = sparse.csr_matrix(arrays, shape=(len(ends) - 1, len(vocabulary)))
    counts.sum_duplicates()
    return counts
