"""How near a text is expected to be to the one that is looked for: the choice among candidates.

The expected chrF of a candidate (its minimum Bayes risk) needs the probability of each of its
n-grams to be in the unknown text. A logistic regression computes it from what the kernel ridge
regression and the nearest neighbours say of the n-gram, and from whether the source text has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge

from ._candidates import Pieces
from ._chrf import N_ORDERS, Features, chrf_of_counts, extract_features, orders_of

FLOOR = 0.01  # added to shares before their logarithm is taken
MAX_SAMPLES = 300_000  # n-grams that the logistic regression is fitted to


class Evidence(NamedTuple):
    """What is known of the text of one row."""

    names: np.ndarray  # uint64 (F,) of n-grams of the training texts
    counts: np.ndarray  # (F,) in how many of the training texts they are
    regression: np.ndarray  # (F,) the share of each n-gram, as predicted by the regression
    neighbors: np.ndarray  # (F,) in the neighbours' texts
    source: np.ndarray  # uint64, sorted: the source's n-grams
    capitalized: np.ndarray  # the same, with capitals
    copied: float  # the share of the source's n-grams that the neighbours' texts have
    lengths: np.ndarray  # (3,) characters: by regression, by neighbours, of the source


def ngram_features(evidence: Evidence, names: np.ndarray) -> np.ndarray:
    """Describe n-grams by the evidence for each (n, n_features)."""
    position = np.searchsorted(evidence.names, names).clip(max=len(evidence.names) - 1)
    is_known = evidence.names[position] == names
    shares = [
        np.where(is_known, values[position], 0).clip(0, 1)
        for values in (evidence.regression, evidence.neighbors)
    ]
    counts = np.where(is_known, evidence.counts[position], 0)
    logs = np.log(np.stack(shares) + FLOOR)
    in_source = _is_in(names, evidence.source)
    in_capitals = _is_in(names, evidence.capitalized) - in_source
    copied = np.log(evidence.copied + FLOOR)
    order = orders_of(names)
    columns = [*shares, *logs, in_source, in_capitals, np.log1p(counts), counts == 0]
    columns += [in_source * value for value in (*logs, copied, counts == 0)]
    columns += [in_capitals.clip(0) * value for value in (logs[0], copied)]
    columns += [order / N_ORDERS * value for value in (*logs, in_source, in_source * copied)]
    columns += list(np.eye(N_ORDERS)[order].T)
    return np.stack(columns, axis=1)


def _is_in(names: np.ndarray, sorted_names: np.ndarray) -> np.ndarray:
    if not len(sorted_names):
        return np.zeros(len(names))
    position = np.searchsorted(sorted_names, names).clip(max=len(sorted_names) - 1)
    return (sorted_names[position] == names).astype(float)


class MatchModel(NamedTuple):
    """The probability that an n-gram is in the text that is looked for, and the text's length."""

    coefficients: np.ndarray
    intercept: float
    length_coefficients: np.ndarray  # (3,)
    length_intercept: float

    @classmethod
    def learn(cls, evidence: Sequence[Evidence], candidates, references, weight) -> MatchModel:
        """Fit to n-grams of the candidates and of the sources of rows that were left out."""
        features, labels, weights = [], [], []
        for row, (item, texts) in enumerate(zip(evidence, candidates, strict=True)):
            names = np.unique(np.concatenate([extract_features(texts).name, item.source]))
            features.append(ngram_features(item, names))
            labels.append(np.isin(names, extract_features([references[row]]).name))
            weights.append(np.full(len(names), weight[row]))
        x, is_in, weights = map(np.concatenate, (features, labels, weights))
        step = -(-len(x) // MAX_SAMPLES)
        x, is_in, weights = x[::step], is_in[::step], weights[::step]
        lengths = np.array([item.lengths for item in evidence])
        length = Ridge(alpha=1.0).fit(lengths, [count_characters(text) for text in references])
        coefficients, intercept = _fit_logistic(x, is_in, weights)
        return cls(coefficients, intercept, length.coef_, float(length.intercept_))

    def expected_counts(self, evidence: Evidence) -> np.ndarray:
        """Return the expected number of n-grams of each order (6,)."""
        length = evidence.lengths @ self.length_coefficients + self.length_intercept
        return np.maximum(max(length, 1.0) - np.arange(N_ORDERS), 0.1)

    def expected_chrf(self, evidence: Evidence, texts: Sequence[str]) -> np.ndarray:
        """Compute the chrF of each text with the expected one (n,)."""
        found: Features = extract_features(texts)
        names, position = np.unique(found.name, return_inverse=True)
        logits = ngram_features(evidence, names) @ self.coefficients + self.intercept
        bins = found.text * N_ORDERS + orders_of(found.name)
        size = N_ORDERS * len(texts)
        matches = np.bincount(bins, expit(logits)[position], size).reshape(-1, N_ORDERS)
        counts = np.bincount(bins, minlength=size).reshape(-1, N_ORDERS)
        return chrf_of_counts(matches, counts, self.expected_counts(evidence))


def _fit_logistic(x: np.ndarray, labels: np.ndarray, weight) -> tuple[np.ndarray, float]:
    """Fit coefficients to columns that are standardised for it."""
    if labels.all() or not labels.any():
        return np.zeros(x.shape[1]), 10.0 if labels.all() else -10.0
    mean, scale = x.mean(0), x.std(0)
    scale[scale == 0] = 1
    model = LogisticRegression(max_iter=300).fit((x - mean) / scale, labels, weight)
    coefficients = model.coef_[0] / scale
    return coefficients, float(model.intercept_[0] - mean @ coefficients)


def count_characters(text: str) -> int:
    """Count the characters of a text without blanks."""
    return sum(map(len, text.split()))


class Ranker(NamedTuple):
    """A linear estimate of a candidate's chrF, learned from candidates of rows that were left out."""

    coefficients: np.ndarray

    @classmethod
    def learn(cls, features: list[np.ndarray], scores: list[np.ndarray], weight) -> Ranker:
        """Fit to the differences between the candidates of a row."""
        x = np.concatenate([block - block.mean(0) for block in features])
        y = np.concatenate([values - values.mean() for values in scores])
        weights = np.repeat(weight, [len(values) for values in scores])
        model = Ridge(alpha=1.0, fit_intercept=False).fit(x, y, weights)
        return cls(model.coef_)

    def score(self, features: np.ndarray) -> np.ndarray:
        return features @ self.coefficients


def candidate_features(texts, expected: np.ndarray, evidence: Evidence, pieces: Pieces):
    """Describe candidates by expected chrF, fluency, length and what is copied (n, 4)."""
    fluency = [pieces.fluency(text) for text in texts]
    lengths = np.array([count_characters(text) for text in texts], dtype=float)
    longer = np.log(lengths + 1) - np.log(max(evidence.lengths[0], 1.0) + 1)
    return np.column_stack([expected, fluency, longer, longer**2])
