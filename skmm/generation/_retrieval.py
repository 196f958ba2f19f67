"""Texts by retrieval: training rows with what was learned of them, and the candidates of new rows.

Of n training rows with d columns and texts of t characters, fitting takes the kernels of at most
`MAX_LANDMARKS` rows r: O(r^3 + n r (d + 6 t)) time, and memory for the rows themselves and for
`MAX_TARGET_VALUES` numbers. A prediction compares a row with all n: O(n d).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from .._data.rows import assign_folds
from ._candidates import MAX_PIECES
from ._choice import Choice, find_candidates, learn_choice, left_out_rows, open_rows
from ._chrf import NgramVocabulary, best_chrf, chrf_matrix
from ._evidence import Smoother, TrainingTexts, choose_reference
from ._likelihood import TextLikelihood, learn_scale, text_profiles
from ._neighbors import Inputs, InputSpace, combine, find_neighbors, kernels, row_scales
from ._ranking import candidate_features
from ._rows import Candidate, GenerationRows, RetrievalSettings
from ._smoothing import (
    Kernel,
    learn_kernel,
    left_out_neighbors,
    left_out_smoother,
    softmax,
)

MAX_LANDMARKS = 2048  # training rows whose kernel matrix is inverted
MAX_WEIGHT_ROWS = 1000  # on which the weights of the inputs are learned
MAX_CHOICE_ROWS = 500  # on which the choice among candidates is learned
MAX_TARGET_VALUES = 2**25  # of the regression's targets
N_FOLDS = 5
CHUNK = 1024  # training rows
QUERY_CHUNK = 64
JITTER = 1e-3  # relative to the mean of the diagonal
DECODER_WEIGHTS = np.linspace(0, 1, 11)


class Regression(NamedTuple):
    """A kernel ridge regression from rows to what their texts have."""

    landmarks: np.ndarray  # (r,) training rows
    solver: np.ndarray  # (r, r)
    targets: sparse.csr_array | np.ndarray  # (r, F + P) `TrainingTexts.marks`
    target_characters: np.ndarray  # (r,)

    @classmethod
    def fit(cls, inputs: Inputs, texts: TrainingTexts, kernel: Kernel, landmarks: np.ndarray):
        """Fit to all rows, by functions of the similarity to the landmarks."""
        near = inputs.take(landmarks)
        square = similarity(near, near, kernel)
        if len(landmarks) == inputs.n_rows:
            penalty = kernel.penalty * np.eye(len(square), dtype=square.dtype)
            return cls(landmarks, linalg.inv(square + penalty), texts.marks, texts.n_characters)
        products = np.zeros_like(square)
        targets = np.zeros((len(landmarks), texts.marks.shape[1]), dtype=np.float32)
        characters = np.zeros(len(landmarks))
        for start in range(0, inputs.n_rows, CHUNK):
            rows = slice(start, start + CHUNK)
            chunk = similarity(near, inputs.take(rows), kernel)  # (r, chunk)
            products += chunk @ chunk.T
            targets += chunk @ texts.marks[rows]
            characters += chunk @ texts.n_characters[rows]
        products += kernel.penalty * square
        products[np.diag_indices_from(products)] += JITTER * np.diag(products).mean()
        return cls(landmarks, linalg.inv(products), targets, characters)


def similarity(left: Inputs, right: Inputs, kernel: Kernel) -> np.ndarray:
    """Compute the similarity of all rows, the sum over the inputs (n_left, n_right)."""
    return combine(kernels(left, right), left.present, right.present, kernel.weights)


class FittedRetrieval:
    """Training rows, their texts, and what was learned of them: plain data."""

    def __init__(
        self,
        space: InputSpace,
        inputs: Inputs,
        references: list[list[str]],
        texts: TrainingTexts,
        kernel: Kernel,
        regression: Regression,
        n_neighbors: int,
    ):
        self.space = space
        self.inputs = inputs
        self.references = references
        self.texts = texts
        self.kernel = kernel
        self.regression = regression
        self.n_neighbors = n_neighbors
        self.choice = Choice.default()
        self.likelihood = TextLikelihood(self._background(), 1.0)
        self.decoder_weight = 0.0

    @property
    def modality_weights(self) -> np.ndarray:
        """The weights of the inputs (m,), or with a source text (m + 1,); they sum to 1."""
        return self.kernel.weights

    def propose(
        self,
        rows: GenerationRows,
        n_best: int = 1,
        extra: Sequence[Sequence[tuple[str, float]]] | None = None,
    ) -> list[list[Candidate]]:
        """Find texts of each row, the best first.

        Parameters
        ----------
        rows : GenerationRows
        n_best : int, default=1
            Texts of each row; there may be fewer, without neighbours none.
        extra : list of lists of (str, float), default=None
            The texts that a decoder generates, with their log-likelihoods.
        """
        found = []
        for row, (texts, scores) in enumerate(self._score_candidates(rows, extra)):
            if extra is not None and extra[row]:
                weight = self.decoder_weight
                scores = (1 - weight) * scores + weight * decoder_chrf(texts, extra[row])
            best = np.argsort(-scores, kind="stable")[:n_best]
            found.append([Candidate(texts[i], float(scores[i])) for i in best])
        return found

    def learn_decoder_weight(
        self,
        rows: GenerationRows,
        references: Sequence[Sequence[str]],
        extra: Sequence[Sequence[tuple[str, float]]],
    ) -> None:
        """Choose how much a decoder counts, by the chrF of rows that nobody was fitted to."""
        totals = np.zeros(len(DECODER_WEIGHTS))
        for row, (texts, scores) in enumerate(self._score_candidates(rows, extra)):
            if not extra[row]:
                continue
            right = best_chrf(texts, [references[row]] * len(texts), every_order=True)
            by_decoder = decoder_chrf(texts, extra[row])
            for i, weight in enumerate(DECODER_WEIGHTS):
                mixed = (1 - weight) * scores + weight * by_decoder
                totals[i] += right[np.argsort(-mixed, kind="stable")[0]]
        self.decoder_weight = float(DECODER_WEIGHTS[np.round(totals, 9).argmax()])

    def _score_candidates(self, rows: GenerationRows, extra):
        """Yield the candidates of each row with their estimated chrF."""
        for start in range(0, rows.n_rows, QUERY_CHUNK):
            chunk = rows.take(slice(start, start + QUERY_CHUNK))
            smoother = self._smooth(self.space.embed(chunk))
            opened = open_rows(smoother, self.texts, self.references, chunk.source)
            for i, row in enumerate(opened, start):
                beams = [] if extra is None else [text for text, _ in extra[i]]
                candidates = find_candidates(row, self.choice.match)
                texts = list(dict.fromkeys([*candidates, *beams]))
                if not texts:
                    yield texts, np.empty(0)
                    continue
                expected = self.choice.match.expected_chrf(row.evidence, texts)
                features = candidate_features(texts, expected, row.evidence, self.texts.pieces)
                yield texts, self.choice.ranker.score(features)

    def _smooth(self, inputs: Inputs) -> Smoother:
        near = similarity(inputs, self.inputs.take(self.regression.landmarks), self.kernel)
        found = find_neighbors(inputs, self.inputs, self.kernel.weights, self.n_neighbors)
        weights = softmax(found.similarity / self.kernel.temperature)
        ends = np.arange(len(weights) + 1) * weights.shape[1]
        neighbors = sparse.csr_array(
            (weights.ravel(), found.index.ravel(), ends), (len(weights), self.inputs.n_rows)
        )
        _, solver, targets, characters = self.regression
        return Smoother(near @ solver, targets, characters, neighbors)

    def log_scores(self, rows: GenerationRows, texts: Sequence[str]) -> np.ndarray:
        """Score one text of each row, in nats relative to a row of which nothing is known (n,)."""
        return self.contributions(rows, texts).sum(1)

    def contributions(self, rows: GenerationRows, texts: Sequence[str]) -> np.ndarray:
        """Split `log_scores` exactly among the inputs (n, m), or with a source (n, m + 1)."""
        parts = np.empty((rows.n_rows, len(self.kernel.weights)))
        for start in range(0, rows.n_rows, CHUNK):
            chunk = slice(start, start + CHUNK)
            inputs = self.space.embed(rows.take(chunk))
            profiles = text_profiles(texts[chunk], self.texts.vocabulary)
            values = self._weights_by_input(inputs)  # (m, chunk, r)
            on_landmarks = self._ngram_targets() @ profiles.T  # (r, chunk)
            if sparse.issparse(on_landmarks):
                on_landmarks = on_landmarks.toarray()
            raw = np.einsum("mir,ri->im", values, on_landmarks)
            raw -= (profiles @ self.likelihood.background.T) * inputs.present
            parts[chunk] = raw * self.likelihood.scale
        return parts

    def _weights_by_input(self, inputs: Inputs) -> np.ndarray:
        """Compute the regression's weights of the landmarks, split by input (m, n, r)."""
        near = self.inputs.take(self.regression.landmarks)
        weights = self.kernel.weights
        scales = row_scales(inputs.present, weights)[:, None] * row_scales(near.present, weights)
        return (kernels(inputs, near) * scales * weights[:, None, None]) @ self.regression.solver

    def _ngram_targets(self):
        return self.regression.targets[:, : len(self.texts.vocabulary.names)]

    def _background(self) -> np.ndarray:
        """Compute the mean shares that each input predicts of the landmarks (m, F)."""
        inputs = self.inputs.take(self.regression.landmarks)
        total = np.zeros((len(self.kernel.weights), len(inputs.present)))
        for start in range(0, inputs.n_rows, CHUNK):
            total += self._weights_by_input(inputs.take(slice(start, start + CHUNK))).sum(1)
        n_present = np.maximum(inputs.present.sum(0), 1)
        return np.asarray((total / n_present[:, None]) @ self._ngram_targets())


def decoder_chrf(texts: Sequence[str], beams: Sequence[tuple[str, float]]) -> np.ndarray:
    """Compute the chrF that each text is expected to have by the decoder's beams (n,)."""
    probabilities = softmax(np.array([[value for _, value in beams]]))[0]
    return chrf_matrix(texts, [text for text, _ in beams]) @ probabilities


def fit_retrieval(
    rows: GenerationRows,
    references: list[list[str]],
    weight: np.ndarray,
    groups: np.ndarray | None,
    settings: RetrievalSettings,
    seed: int,
) -> FittedRetrieval:
    """Learn similarity, the regression and the choice among candidates from training rows.

    Parameters
    ----------
    rows : GenerationRows
    references : list of lists of str
        The texts of each row, at least one.
    weight : ndarray of shape (n,)
        Rows of weight 0 are left out.
    groups : ndarray of shape (n,), default=None
        Rows of one group are left out together.
    settings : RetrievalSettings
    seed : int
    """
    kept = np.flatnonzero(weight > 0)
    rows, references = rows.take(kept), [references[i] for i in kept.tolist()]
    random_state = np.random.RandomState(seed)
    landmarks = np.sort(random_state.permutation(len(kept))[:MAX_LANDMARKS])
    fold = _assign_folds(
        None if groups is None else groups[kept][landmarks], len(landmarks), random_state
    )
    sample = random_state.permutation(len(landmarks))
    space = InputSpace.learn(rows)
    inputs = space.embed(rows)
    near = inputs.take(landmarks)
    values = kernels(near, near)
    targets = [choose_reference(references, i) for i in landmarks.tolist()]
    chosen = np.sort(sample[:MAX_WEIGHT_ROWS])
    kernel = learn_kernel(
        values[:, chosen[:, None], chosen],
        near.present[chosen],
        [targets[i] for i in chosen.tolist()],
        fold[chosen],
        settings.modality_weights,
    )
    vocabulary = NgramVocabulary.learn(
        [text for group in references for text in group],
        max(MAX_PIECES, MAX_TARGET_VALUES // len(landmarks) - MAX_PIECES),
    )
    texts = TrainingTexts.describe(references, rows.source, vocabulary)
    regression = Regression.fit(inputs, texts, kernel, landmarks)
    fitted = FittedRetrieval(
        space, inputs, references, texts, kernel, regression, settings.n_neighbors
    )
    if len(np.unique(fold)) > 1:
        square = combine(values, near.present, near.present, kernel.weights)
        _learn_on_left_out(
            fitted, rows, weight[kept], square, fold, np.sort(sample[:MAX_CHOICE_ROWS])
        )
    return fitted


def _assign_folds(groups, n_rows: int, random_state) -> np.ndarray:
    """Assign a fold to each row; groups stay whole if there are several."""
    if groups is not None and len(np.unique(groups)) < 2:
        groups = None
    n_folds = min(N_FOLDS, n_rows)
    if n_folds < 2:
        return np.zeros(n_rows, dtype=int)
    return assign_folds(np.zeros(n_rows, dtype=int), n_folds, random_state, groups)


def _learn_on_left_out(fitted, rows, weight, square, fold, chosen) -> None:
    """Learn the choice among candidates, and the unit of likelihoods."""
    landmarks = fitted.regression.landmarks
    references = [fitted.references[i] for i in landmarks.tolist()]
    source = None if rows.source is None else [rows.source[i] for i in landmarks.tolist()]
    regression = left_out_smoother(square, fitted.kernel.penalty, fold)
    neighbors = left_out_neighbors(square, fitted.kernel.temperature, fold)
    vocabulary = fitted.texts.vocabulary
    index, opened, texts = left_out_rows(
        regression, neighbors, fold, chosen, references, source, vocabulary, fitted.n_neighbors
    )
    right = [references[i] for i in index.tolist()]
    if any(row.starts for row in opened):
        fitted.choice = learn_choice(opened, texts, right, weight[landmarks[index]])
    targets = [choose_reference(right, i) for i in range(len(right))]
    profiles = text_profiles(targets, vocabulary)
    marks = fitted.texts.marks[landmarks, : len(vocabulary.names)]
    scores = regression[index] @ (marks @ profiles.T).toarray()
    scores = scores - profiles @ np.asarray(marks.mean(0)).ravel()
    scale = learn_scale(scores, targets)
    fitted.likelihood = fitted.likelihood._replace(scale=scale)
