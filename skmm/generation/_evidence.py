"""What training texts, the regression and the neighbours say of the n-grams of a row's text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from ._candidates import Pieces
from ._chrf import NgramVocabulary, count_characters, extract_features, find_names

PRIOR_COUNT = 2.0  # texts that the copied share of all n-grams counts as, beside those of one


class Copying(NamedTuple):
    """How often n-grams of the source texts are in the target texts."""

    vocabulary: NgramVocabulary  # of the source texts
    n_seen: np.ndarray  # (F,) source texts that have an n-gram
    n_copied: np.ndarray  # (F,) of them, those whose target has it too
    shares: np.ndarray  # (n,) of the n-grams of each row's source that are in its target

    @classmethod
    def learn(cls, source: Sequence[str], texts: Sequence[str], max_features: int) -> Copying:
        vocabulary = NgramVocabulary.learn(source, max_features)
        left = vocabulary.encode(source)
        both = left.multiply(vocabulary.encode(texts)).tocsr()
        shares = both.sum(1) / np.maximum(left.sum(1), 1)
        return cls(vocabulary, left.sum(0), both.sum(0), shares)

    def rate(self, names: np.ndarray, prior: float) -> np.ndarray:
        """Estimate the probability that n-grams are copied (n,); of unseen ones it is ``prior``."""
        position, is_known = find_names(self.vocabulary.names, names)
        n_seen = np.where(is_known, self.n_seen[position], 0)
        n_copied = np.where(is_known, self.n_copied[position], 0)
        return (n_copied + PRIOR_COUNT * prior) / (n_seen + PRIOR_COUNT)


class TrainingTexts(NamedTuple):
    """Training texts by the n-grams and the pieces they have."""

    vocabulary: NgramVocabulary
    pieces: Pieces
    marks: sparse.csr_array  # (n, F + P) the share of a row's references that have each of them
    n_characters: np.ndarray  # (n,) the mean over references
    counts: np.ndarray  # (F,) texts that have each n-gram
    copying: list[Copying]  # of the source as it is, and with capitals; none without a source

    @classmethod
    def describe(
        cls,
        references: Sequence[Sequence[str]],
        source: Sequence[str] | None,
        vocabulary: NgramVocabulary,
    ) -> TrainingTexts:
        texts = [text for group in references for text in group]
        n_references = np.array([len(group) for group in references])
        owner = np.repeat(np.arange(len(references)), n_references)
        shape = (len(references), len(texts))
        mean = sparse.csr_array((1 / n_references[owner], (owner, np.arange(len(texts)))), shape)
        pieces = Pieces.learn(texts)
        marks = sparse.hstack([vocabulary.encode(texts), pieces.mark(texts)], format="csr")
        marks = (mean @ marks).tocsr().astype(np.float32)
        copying = []
        if source is not None:
            targets = [choose_reference(references, row) for row in range(len(references))]
            limit = max(1, len(vocabulary.names))
            for texts_to_copy in (source, [capitalize(text) for text in source]):
                copying.append(Copying.learn(texts_to_copy, targets, limit))
        characters = mean @ np.array([count_characters(text) for text in texts], dtype=float)
        counts = np.asarray(marks[:, : len(vocabulary.names)].sum(0))
        return cls(vocabulary, pieces, marks, characters, counts, copying)


def choose_reference(references: Sequence[Sequence[str]], row: int) -> str:
    """Choose one of a row's references, another one for each row."""
    return references[row][row % len(references[row])]


def capitalize(text: str) -> str:
    """Write each word of a text with a capital; German nouns, and names, have one."""
    return " ".join(word[:1].upper() + word[1:] for word in text.split())


class Smoother(NamedTuple):
    """The weights with which training rows predict what other rows have."""

    regression: np.ndarray  # (n, r) weights of ``targets``
    targets: sparse.csr_array | np.ndarray  # (r, F + P) as `TrainingTexts.marks`
    target_characters: np.ndarray  # (r,)
    neighbors: sparse.csr_array  # (n, n_training) sum to 1


class Copies(NamedTuple):
    """N-grams of a source that may be in the text."""

    names: np.ndarray  # uint64, sorted
    rates: np.ndarray  # the probability that each of them is copied


def no_copies() -> Copies:
    """Return those of a row without a source."""
    return Copies(np.empty(0, dtype=np.uint64), np.empty(0))


class Evidence(NamedTuple):
    """What is known of the text of one row."""

    names: np.ndarray  # uint64 (F,) of n-grams
    counts: np.ndarray  # (F,) training texts that have them
    regression: np.ndarray  # (F,) probability by the regression; it may lie outside [0, 1]
    neighbors: np.ndarray  # (F,) by the neighbours
    source: Copies  # its n-grams
    capitalized: Copies  # those of the source with capitals
    lengths: np.ndarray  # (3,) characters: by the regression, by neighbours, of the source


def gather_evidence(
    smoother: Smoother, texts: TrainingTexts, source: Sequence[str] | None
) -> list[Evidence]:
    """Predict the n-grams of each row, and what is copied of its source."""
    n_ngrams = len(texts.vocabulary.names)
    regression = np.asarray(smoother.regression @ smoother.targets[:, :n_ngrams])
    neighbors = (smoother.neighbors @ texts.marks[:, :n_ngrams]).toarray()
    source = [""] * len(neighbors) if source is None else source
    lengths = np.column_stack(
        [
            smoother.regression @ smoother.target_characters,
            smoother.neighbors @ texts.n_characters,
            [count_characters(text) for text in source],
        ]
    )
    shares = [smoother.neighbors @ copying.shares for copying in texts.copying]
    evidence = []
    for row, text in enumerate(source):
        copied = [no_copies(), no_copies()]
        for i, copying in enumerate(texts.copying):
            names = np.sort(extract_features([capitalize(text) if i else text]).name)
            copied[i] = Copies(names, copying.rate(names, shares[i][row]))
        evidence.append(
            Evidence(
                texts.vocabulary.names,
                texts.counts,
                regression[row],
                neighbors[row],
                copied[0],
                copied[1],
                lengths[row],
            )
        )
    return evidence
