"""Training rows with what was learned of them, and the candidates of new rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from ._choice import Choice, find_candidates, open_rows
from ._chrf import best_chrf, chrf_matrix
from ._evidence import Smoother, TrainingTexts
from ._likelihood import LikelihoodScales, TextLikelihood, text_profiles
from ._neighbors import Inputs, InputSpace, find_neighbors, kernels, terms
from ._ranking import candidate_features
from ._regression import Regression, similarity
from ._rows import Candidate, GenerationRows
from ._smoothing import Kernel, softmax

QUERY_CHUNK = 64
DECODER_WEIGHTS = np.linspace(0, 1, 11)


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
        likelihood: LikelihoodScales,
        n_neighbors: int,
    ):
        self.space = space
        self.inputs = inputs
        self.references = references
        self.texts = texts
        self.kernel = kernel
        self.landmarks = regression.landmarks
        self.targets = regression.targets
        self.target_characters = regression.target_characters
        self.solver = regression.make_solver(kernel.penalty)
        self.n_neighbors = n_neighbors
        self.choice = Choice.default()
        self.likelihood = self._make_likelihood(regression, likelihood)
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
        near = similarity(inputs, self.inputs.take(self.landmarks), self.kernel)
        found = find_neighbors(inputs, self.inputs, self.kernel.weights, self.n_neighbors)
        weights = softmax(found.similarity / self.kernel.temperature)
        ends = np.arange(len(weights) + 1) * weights.shape[1]
        neighbors = sparse.csr_array(
            (weights.ravel(), found.index.ravel(), ends), (len(weights), self.inputs.n_rows)
        )
        return Smoother(near @ self.solver, self.targets, self.target_characters, neighbors)

    def log_scores(self, rows: GenerationRows, texts: Sequence[str]) -> np.ndarray:
        """Score one text of each row, in nats relative to a row of which nothing is known (n,)."""
        return self.contributions(rows, texts).sum(1)

    def contributions(self, rows: GenerationRows, texts: Sequence[str]) -> np.ndarray:
        """Split `log_scores` exactly among the inputs (n, m), or with a source (n, m + 1)."""
        parts = np.empty((rows.n_rows, len(self.kernel.weights)))
        background, scales = self.likelihood.background, self.likelihood.scales
        for start in range(0, rows.n_rows, QUERY_CHUNK):
            chunk = slice(start, start + QUERY_CHUNK)
            inputs = self.space.embed(rows.take(chunk))
            profiles = text_profiles(texts[chunk], self.texts.vocabulary)
            on_landmarks = self._ngram_targets() @ profiles.T  # (r, chunk)
            if sparse.issparse(on_landmarks):
                on_landmarks = on_landmarks.toarray()
            dual = self.likelihood.solver @ on_landmarks
            predicted = np.einsum("mir,ri->im", self._landmark_terms(inputs), dual)
            predicted -= profiles @ background.T
            parts[chunk] = np.where(inputs.present, predicted * scales, 0)
        return parts

    def _landmark_terms(self, inputs: Inputs) -> np.ndarray:
        """Compute the similarity to the landmarks, split by input (m, n, r)."""
        near = self.inputs.take(self.landmarks)
        weights = self.kernel.weights
        return terms(kernels(inputs, near), inputs.present, near.present, weights)

    def _ngram_targets(self):
        return self.targets[:, : len(self.texts.vocabulary.names)]

    def _make_likelihood(self, regression: Regression, learned: LikelihoodScales):
        """Find what each input predicts of the training texts on average."""
        solver = regression.make_solver(learned.penalty)
        inputs = self.inputs.take(self.landmarks)
        total = np.zeros((len(learned.scales), inputs.n_rows))
        for start in range(0, inputs.n_rows, QUERY_CHUNK):
            chunk = inputs.take(slice(start, start + QUERY_CHUNK))
            total += self._landmark_terms(chunk).sum(1)
        mean = total / np.maximum(inputs.present.sum(0), 1)[:, None]
        background = np.asarray((mean @ solver) @ self._ngram_targets())
        return TextLikelihood(solver, background, learned.scales)


def decoder_chrf(texts: Sequence[str], beams: Sequence[tuple[str, float]]) -> np.ndarray:
    """Compute the chrF that each text is expected to have by the decoder's beams (n,)."""
    probabilities = softmax(np.array([[value for _, value in beams]]))[0]
    return chrf_matrix(texts, [text for text, _ in beams]) @ probabilities
