"""The chrF score of many pairs of texts at once, and texts as vectors of character n-grams.

chrF (Popović 2015) is the F-score, with recall counted twice, of the character n-grams of order 1
to 6, blanks left out; precision and recall are averaged over the orders. The numbers are those of
``sacrebleu.sentence_chrf``, in [0, 1].

An n-gram that a text has k times is k distinct features: its first, second, ... k-th occurrence. So
the n-grams that two texts have in common are counted by a product of two sparse matrices of ones,
and the expected number of matches with an unknown text by one with the probabilities that the text
has each feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

N_ORDERS = 6
BETA_SQUARED = 4.0
CHUNK_VALUES = 2**22  # numbers of a matrix that are held at once

# A feature is named by 64 bits: the order in the highest ones, so that features sorted by name are
# sorted by order; then a hash of the n-gram's characters and of the occurrence. Of a million
# features, two have the same name with a probability of a millionth.
_ORDER_SHIFT = np.uint64(61)
_HASH_SHIFT = np.uint64(3)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Features(NamedTuple):
    """The features of texts, sorted by text, those of a text by order."""

    text: np.ndarray  # (N,) position of the text that has the feature
    name: np.ndarray  # uint64 (N,)


def extract_features(texts: Sequence[str]) -> Features:
    """Extract the n-gram occurrences of all texts."""
    characters, ends = _join(texts)
    owner = np.repeat(np.arange(len(texts)), np.diff(ends, prepend=0))
    remaining = ends[owner] - np.arange(len(owner))  # characters up to the text's end
    hashes = np.zeros(len(owner), dtype=np.uint64)
    found_texts, found_names = [], []
    for order in range(1, N_ORDERS + 1):
        fits = remaining >= order
        last = characters[order - 1 :]
        hashes[: len(last)] = _mix(hashes[: len(last)] + last)
        text, name = owner[fits], hashes[fits] >> _HASH_SHIFT
        found_texts.append(text)
        found_names.append(_number_occurrences(text, name) | np.uint64(order) << _ORDER_SHIFT)
    text, name = np.concatenate(found_texts), np.concatenate(found_names)
    by_text = np.argsort(text, kind="stable")
    return Features(text[by_text], name[by_text])


def _join(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the characters of all texts without blanks, and where each text ends."""
    compact = ["".join(text.split()) for text in texts]
    encoded = "".join(compact).encode("utf-32-le", errors="surrogatepass")
    ends = np.cumsum([len(text) for text in compact], dtype=np.int64)
    return np.frombuffer(encoded, dtype="<u4").astype(np.uint64), ends


def _mix(values: np.ndarray) -> np.ndarray:
    """Spread the bits of uint64 values (the finalizer of splitmix64)."""
    values = (values + np.uint64(1)) * _MULTIPLIER
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _number_occurrences(text: np.ndarray, name: np.ndarray) -> np.ndarray:
    """Name the second, third ... occurrence of an n-gram in a text apart from the first."""
    if not len(name):
        return name
    key = _mix(name + text.astype(np.uint64) * _MULTIPLIER)  # one for each n-gram of each text
    order = np.argsort(key)
    starts = np.flatnonzero(np.append(True, np.diff(key[order]) != 0))
    occurrence = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    repeated = order[occurrence > 0]
    numbers = occurrence[occurrence > 0].astype(np.uint64)
    names = name.copy()
    names[repeated] = _mix(name[repeated] + numbers * _MULTIPLIER) >> _HASH_SHIFT
    return names


def orders_of(names: np.ndarray) -> np.ndarray:
    """Return the order of each feature, from 0 (n,)."""
    return (names >> _ORDER_SHIFT).astype(np.intp) - 1


def count_characters(text: str) -> int:
    """Count the characters of a text without blanks."""
    return sum(map(len, text.split()))


def count_ngrams(texts: Sequence[str]) -> np.ndarray:
    """Count the n-grams of each order in each text (n, 6)."""
    lengths = np.array([count_characters(text) for text in texts], dtype=float)
    return np.maximum(lengths[:, None] - np.arange(N_ORDERS), 0)


def find_names(sorted_names: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the positions of names, valid where the second array, of bool, says so."""
    if not len(sorted_names):  # one position that holds for no name
        return np.zeros(len(names), dtype=np.intp), np.zeros(len(names), dtype=bool)
    position = np.searchsorted(sorted_names, names).clip(max=len(sorted_names) - 1)
    return position, sorted_names[position] == names


class NgramVocabulary(NamedTuple):
    """The features that texts are described by; others of a text are left out."""

    names: np.ndarray  # uint64 (F,), sorted

    @classmethod
    def learn(cls, texts: Sequence[str], max_features: int | None = None) -> NgramVocabulary:
        """Collect the features of texts, if there are too many those of the most texts."""
        names, counts = np.unique(extract_features(texts).name, return_counts=True)
        if max_features is not None and len(names) > max_features:
            kept = np.lexsort((names, -counts))[:max_features]
            names = np.sort(names[kept])
        return cls(names)

    @property
    def orders(self) -> np.ndarray:
        """The order of each feature, from 0 (F,)."""
        return orders_of(self.names)

    @property
    def bounds(self) -> np.ndarray:
        """Where the features of each order start and the last ones end (7,)."""
        return np.searchsorted(self.orders, np.arange(N_ORDERS + 1))

    def encode(self, texts: Sequence[str]) -> sparse.csr_array:
        """Mark which features each text has: ones (n, F), float32."""
        text, name = extract_features(texts)
        columns, known = find_names(self.names, name)
        indptr = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum(np.bincount(text[known], minlength=len(texts)), out=indptr[1:])
        ones = np.ones(int(indptr[-1]), dtype=np.float32)
        return sparse.csr_array((ones, columns[known], indptr), (len(texts), len(self.names)))


def chrf_of_counts(matches, n_hypothesis, n_reference, every_order: bool = False) -> np.ndarray:
    """Compute chrF from numbers of n-grams, whose last axis is the order.

    Parameters
    ----------
    matches, n_hypothesis, n_reference : array-like of shape (..., 6)
        N-grams that two texts have in common, and those of each of them. They may be expected
        values; the shapes are broadcast.
    every_order : bool, default=False
        chrF averages over the orders that both texts are long enough for, so that a text of one
        character, if it is right, scores 1. True: over all orders of the reference, as in the chrF
        of a whole corpus.
    """
    matches, n_hypothesis, n_reference = np.broadcast_arrays(matches, n_hypothesis, n_reference)
    counts = (n_hypothesis > 0) & (n_reference > 0)
    n_orders = np.maximum((n_reference >= 0.5 if every_order else counts).sum(-1), 1)
    precision = np.divide(matches, n_hypothesis, where=counts, out=np.zeros(matches.shape))
    recall = np.divide(matches, n_reference, where=counts, out=np.zeros(matches.shape))
    precision, recall = precision.sum(-1) / n_orders, recall.sum(-1) / n_orders
    denominator = BETA_SQUARED * precision + recall
    scores = (1 + BETA_SQUARED) * precision * recall
    return np.divide(scores, denominator, where=denominator > 0, out=np.zeros(scores.shape))


def chrf_matrix(hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Compute the chrF of each hypothesis with each reference (n_hypotheses, n_references)."""
    vocabulary = NgramVocabulary.learn(references)
    left, right = vocabulary.encode(hypotheses), vocabulary.encode(references)
    n_left, n_right = count_ngrams(hypotheses), count_ngrams(references)
    bounds = vocabulary.bounds
    scores = np.empty((len(hypotheses), len(references)))
    step = max(1, CHUNK_VALUES // (N_ORDERS * max(1, len(references))))
    by_order = [right[:, a:b].T.tocsr() for a, b in pairwise(bounds)]
    for start in range(0, len(hypotheses), step):
        rows = slice(start, start + step)
        chunk = left[rows]
        matches = [
            (chunk[:, a:b] @ columns).toarray()
            for (a, b), columns in zip(pairwise(bounds), by_order, strict=True)
        ]
        scores[rows] = chrf_of_counts(np.stack(matches, -1), n_left[rows, None], n_right[None])
    return scores


def chrf_of_pairs(
    hypotheses: Sequence[str], references: Sequence[str], every_order: bool = False
) -> np.ndarray:
    """Compute the chrF of each hypothesis with the reference at its position (n,)."""
    vocabulary = NgramVocabulary.learn(references)
    common = vocabulary.encode(hypotheses).multiply(vocabulary.encode(references)).tocsr()
    matches = sum_by_order(common, vocabulary)
    return chrf_of_counts(matches, count_ngrams(hypotheses), count_ngrams(references), every_order)


def sum_by_order(values: sparse.csr_array, vocabulary: NgramVocabulary) -> np.ndarray:
    """Sum the values of each row over the features of each order (n, 6)."""
    bounds = vocabulary.bounds
    return np.stack([values[:, a:b].sum(1) for a, b in pairwise(bounds)], axis=-1)


def best_chrf(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], every_order: bool = False
) -> np.ndarray:
    """Compute the chrF of each hypothesis with the nearest of its own references (n,)."""
    owner = np.repeat(np.arange(len(references)), [len(texts) for texts in references])
    scores = chrf_of_pairs(
        [hypotheses[i] for i in owner.tolist()],
        [text for texts in references for text in texts],
        every_order,
    )
    best = np.zeros(len(hypotheses))
    np.maximum.at(best, owner, scores)
    return best
