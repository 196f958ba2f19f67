"""Texts that may be a row's: those of its neighbours, its source, and edits of both.

An edit replaces one to three words (characters, in scripts without blanks) by a piece, or leaves
them out. Pieces are words and short phrases of the training texts that the regression expects in
the text of the row, and the words of its source.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._data.scripts import MARKS, UNSPACED
from ._chrf import count_characters

MAX_EDITED_TOKENS = 12  # words of longer texts are left as they are
MAX_SPAN = 3  # words that one edit replaces
MAX_PIECES = 2**13
MAX_EDITS = 1500  # of one row, in one step
EDGE = "\n"  # before and after a text

_TOKEN = re.compile(rf"[{UNSPACED}][{MARKS}]*|[^\W{UNSPACED}]+|\s+|[^\w\s]+")


def tokenize(text: str) -> list[str]:
    """Split a text into words, punctuation and blanks."""
    return _TOKEN.findall(text)


def _is_word(token: str) -> bool:
    return token[0].isalnum()


def phrases(text: str, max_words: int = MAX_SPAN) -> list[str]:
    """List the runs of up to ``max_words`` words, from word to word."""
    tokens = tokenize(text)
    words = [i for i, token in enumerate(tokens) if _is_word(token)]
    return [
        "".join(tokens[words[a] : words[b] + 1])
        for a in range(len(words))
        for b in range(a, min(a + max_words, len(words)))
    ]


class Pieces(NamedTuple):
    """Words and phrases that texts are edited with, and what stands side by side in texts."""

    texts: list[str]  # of the pieces
    pairs: set[str]  # two tokens in a row, of all texts

    @classmethod
    def learn(cls, texts: Sequence[str]) -> Pieces:
        """Collect the words of texts, and the phrases that at least two of them have."""
        words, longer, pairs = Counter(), Counter(), set()
        for text in texts:
            words.update(set(phrases(text, 1)))
            longer.update(set(phrases(text)))
            pairs.update(_pairs(text))
        counts = words + Counter({t: n for t, n in longer.items() if n > 1 and t not in words})
        kept = sorted(counts, key=lambda text: (-counts[text], text))[:MAX_PIECES]
        return cls(sorted(kept), pairs)

    def mark(self, texts: Sequence[str]) -> sparse.csr_array:
        """Mark which pieces each text has: ones (n, n_pieces), float32."""
        position = {text: i for i, text in enumerate(self.texts)}
        columns, ends = [], [0]
        for text in texts:
            columns.extend(sorted({position[p] for p in phrases(text) if p in position}))
            ends.append(len(columns))
        ones = np.ones(len(columns), dtype=np.float32)
        shape = (len(texts), len(self.texts))
        return sparse.csr_array((ones, np.array(columns, dtype=np.intp), ends), shape)

    def fluency(self, text: str) -> float:
        """Return the share of neighbouring tokens that stand side by side in a training text."""
        pairs = _pairs(text)
        return sum(pair in self.pairs for pair in pairs) / len(pairs)


def _pairs(text: str) -> list[str]:
    tokens = [EDGE, *(token for token in tokenize(text) if not token.isspace()), EDGE]
    return [f"{a} {b}" for a, b in pairwise(tokens)]


def source_pieces(source: str) -> list[str]:
    """List what may be copied of a source: its phrases, also with a capital."""
    found = phrases(source)
    return list(dict.fromkeys([*found, *(text[0].upper() + text[1:] for text in found)]))


def edits(text: str, pieces: Sequence[str]) -> Iterator[str]:
    """Yield the text with each run of one to three words replaced by each piece, or left out."""
    tokens = tokenize(text)
    words = [i for i, token in enumerate(tokens) if _is_word(token)]
    if len(words) > MAX_EDITED_TOKENS:
        return
    for a, start in enumerate(words):
        for last in words[a : a + MAX_SPAN]:
            before, after = "".join(tokens[:start]), "".join(tokens[last + 1 :])
            yield " ".join((before + after).split())
            for piece in pieces:
                yield f"{before}{piece}{after}"


def search(
    starts: Sequence[str],
    pieces: Sequence[str],
    score: Callable[[list[str]], np.ndarray],
    n_steps: int,
    beam_width: int,
    n_best: int,
    max_characters: float,
) -> list[str]:
    """Edit the best texts again and again; return the best of all, the best first.

    No edit has more than ``max_characters``, blanks left out. Expected chrF counts recall twice, so
    that without this limit two likely texts in one would be better than either.
    """
    texts = list(dict.fromkeys(starts))
    scores = score(texts)
    front = texts
    for _ in range(n_steps):
        edited = dict.fromkeys(new for text in front for new in edits(text, pieces))
        known = set(texts)
        new = [text for text in edited if text not in known]
        new = [text for text in new if 0 < count_characters(text) <= max_characters][:MAX_EDITS]
        if not new:
            break
        texts, scores = texts + new, np.concatenate([scores, score(new)])
        best = np.argsort(-scores, kind="stable")
        front = [texts[i] for i in best[:beam_width]]
    best = np.argsort(-scores, kind="stable")[:n_best]
    return [texts[i] for i in best]
