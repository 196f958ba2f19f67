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
from ._chrf import N_ORDERS, chrf_of_counts, count_characters, extract_features, orders_of
from ._evidence import Copies, Evidence, find_names, no_copies

NEIGHBOR_LOG = 3  # the column of `ngram_features` with the neighbours' share, as a logarithm
FLOOR = 0.01  # added to shares before their logarithm is taken
MAX_SAMPLES = 300_000  # n-grams that the logistic regression is fitted to


def ngram_features(evidence: Evidence, names: np.ndarray) -> np.ndarray:
    """Describe n-grams by the evidence for each (n, n_features)."""
    position, is_known = find_names(evidence.names, names)
    regression, neighbors, counts = (
        np.where(is_known, values[position], 0) if len(values) else np.zeros(len(names))
        for values in (evidence.regression, evidence.neighbors, evidence.counts)
    )
    shares = np.stack([regression, neighbors]).clip(0, 1)
    logs = np.log(shares + FLOOR)
    in_source, log_rate = _copied(names, evidence.source)
    in_capitals, log_capital_rate = _copied(names, evidence.capitalized)
    in_capitals = in_capitals * (1 - in_source)
    is_new = (counts == 0).astype(float)
    order = orders_of(names)
    columns = [*shares, *logs, np.log1p(counts), is_new]
    columns += [in_source * value for value in (1.0, *logs, log_rate, is_new)]
    columns += [in_capitals * value for value in (1.0, logs[0], log_capital_rate, is_new)]
    columns += [order / N_ORDERS * value for value in (*logs, in_source, in_source * log_rate)]
    columns += list(np.eye(N_ORDERS)[order].T)
    return np.stack(columns, axis=1)


def _copied(names: np.ndarray, copies: Copies) -> tuple[np.ndarray, np.ndarray]:
    """Return which n-grams may be copied, and the logarithm of the probability that they are."""
    position, is_in = find_names(copies.names, names)
    if not len(copies.names):
        return np.zeros(len(names)), np.zeros(len(names))
    return is_in.astype(float), np.log(copies.rates[position] + FLOOR)


class MatchModel(NamedTuple):
    """The probability that an n-gram is in the text that is looked for, and the text's length."""

    coefficients: np.ndarray
    intercept: float
    length_coefficients: np.ndarray  # (3,)
    length_intercept: float

    @classmethod
    def default(cls) -> MatchModel:
        """Believe the neighbours."""
        names = np.zeros(1, dtype=np.uint64)
        none, one = no_copies(), np.zeros(1)
        empty = Evidence(names, one, one, one, none, none, np.zeros(3))
        coefficients = np.zeros(ngram_features(empty, names).shape[1])
        coefficients[NEIGHBOR_LOG] = 1.0
        return cls(coefficients, 0.0, np.array([0.0, 1.0, 0.0]), 0.0)

    @classmethod
    def learn(cls, evidence: Sequence[Evidence], candidates, references, weight) -> MatchModel:
        """Fit to n-grams of the candidates and of the sources of rows that were left out."""
        features, labels, weights = [], [], []
        for row, (item, texts) in enumerate(zip(evidence, candidates, strict=True)):
            names = np.unique(np.concatenate([extract_features(texts).name, item.source.names]))
            if not len(names):
                continue
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
        return np.maximum(max(length, 1.0) - np.arange(N_ORDERS), 0)

    def expected_chrf(self, evidence: Evidence, texts: Sequence[str]) -> np.ndarray:
        """Compute the chrF of each text with the expected one (n,)."""
        found = extract_features(texts)
        names, position = np.unique(found.name, return_inverse=True)
        logits = ngram_features(evidence, names) @ self.coefficients + self.intercept
        bins = found.text * N_ORDERS + orders_of(found.name)
        size = N_ORDERS * len(texts)
        matches = np.bincount(bins, expit(logits)[position], size).reshape(-1, N_ORDERS)
        counts = np.bincount(bins, minlength=size).reshape(-1, N_ORDERS)
        return chrf_of_counts(matches, counts, self.expected_counts(evidence), every_order=True)


def _fit_logistic(x: np.ndarray, labels: np.ndarray, weight) -> tuple[np.ndarray, float]:
    """Fit coefficients to columns that are standardised for it."""
    if labels.all() or not labels.any():
        return np.zeros(x.shape[1]), 10.0 if labels.all() else -10.0
    mean, scale = x.mean(0), x.std(0)
    scale[scale == 0] = 1
    model = LogisticRegression(max_iter=300).fit((x - mean) / scale, labels, weight)
    coefficients = model.coef_[0] / scale
    return coefficients, float(model.intercept_[0] - mean @ coefficients)


class Ranker(NamedTuple):
    """A linear estimate of a candidate's chrF, learned from rows that were left out."""

    coefficients: np.ndarray

    @classmethod
    def default(cls) -> Ranker:
        """Believe the expected chrF."""
        return cls(np.array([1.0, 0.0, 0.0, 0.0]))

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
