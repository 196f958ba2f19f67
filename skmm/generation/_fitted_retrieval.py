"""Training rows with what was learned of them, and the candidates of new rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from ._choice import Choice, find_candidates, open_rows
from ._chrf import best_chrf, chrf_matrix
from ._evidence import Smoother, TrainingTexts
from ._likelihood import TextLikelihood, text_profiles
from ._neighbors import Inputs, InputSpace, find_neighbors, input_terms
from ._ranking import candidate_features
from ._regression import similarity
from ._rows import Candidate, GenerationRows
from ._smoothing import Kernel, softmax

QUERY_CHUNK = 64
DECODER_WEIGHTS = np.linspace(0, 1, 11)
MAX_TYPICAL = 256  # training texts that are compared where nothing is known of a row


@dataclass
class FittedRetrieval:
    """Training rows, their texts, and what was learned of them: plain data."""

    space: InputSpace
    inputs: Inputs
    references: list[list[str]]
    texts: TrainingTexts
    kernel: Kernel
    landmarks: np.ndarray  # (r,) rows
    targets: sparse.csr_array | np.ndarray  # (r, F + P) of the regression on the landmarks
    target_characters: np.ndarray  # (r,)
    solver: np.ndarray  # (r, r)
    likelihood: TextLikelihood
    n_neighbors: int
    choice: Choice = field(default_factory=Choice.default)
    decoder_weight: float = 0.0

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
        """Choose how much a decoder counts, by the chrF of rows that nobody was fitted to.

        It is the least weight whose chrF is within a standard error of the best one's (the rule of
        Breiman et al. 1984), so 0 where these rows do not show that the decoder helps.
        """
        found = []
        for row, (texts, scores) in enumerate(self._score_candidates(rows, extra)):
            if not extra[row]:
                continue
            right = best_chrf(texts, [references[row]] * len(texts), every_order=True)
            by_decoder = decoder_chrf(texts, extra[row])
            mixed = [(1 - w) * scores + w * by_decoder for w in DECODER_WEIGHTS]
            found.append([right[np.argsort(-values, kind="stable")[0]] for values in mixed])
        self.decoder_weight = _least_of_the_best(np.array(found)) if len(found) > 1 else 0.0

    def _score_candidates(self, rows: GenerationRows, extra):
        """Yield the candidates of each row with their estimated chrF."""
        for start in range(0, rows.n_rows, QUERY_CHUNK):
            chunk = rows.take(slice(start, start + QUERY_CHUNK))
            inputs = self.space.embed(chunk)
            opened = open_rows(self._smooth(inputs), self.texts, self.references, chunk.source)
            for i, row in enumerate(opened, start):
                beams = [] if extra is None else [text for text, _ in extra[i]]
                if self.n_neighbors and not inputs.present[i - start].any():
                    yield score_typical(self.references, beams)
                    continue
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
        # In float32 the score of a row would depend, visibly, on the rows beside it.
        near = self.inputs.take(self.landmarks).astype(np.float64)
        solver = self.likelihood.solver.astype(np.float64)
        for start in range(0, rows.n_rows, QUERY_CHUNK):
            chunk = slice(start, start + QUERY_CHUNK)
            inputs = self.space.embed(rows.take(chunk)).astype(np.float64)
            profiles = text_profiles(texts[chunk], self.texts)
            on_landmarks = self._ngram_targets() @ profiles.T  # (r, chunk)
            if sparse.issparse(on_landmarks):
                on_landmarks = on_landmarks.toarray()
            split = input_terms(inputs, near, self.kernel.weights)
            predicted = np.einsum("mir,ri->im", split, solver @ on_landmarks)
            predicted -= profiles @ self.likelihood.background.T
            parts[chunk] = np.where(inputs.present, predicted * self.likelihood.scales, 0)
        return parts

    def _ngram_targets(self):
        return self.targets[:, : len(self.texts.vocabulary.names)]


def score_typical(references: Sequence[Sequence[str]], beams: list[str]):
    """Score training texts, for a row of which nothing is known, by their mean chrF with others."""
    step = -(-len(references) // MAX_TYPICAL)
    texts = [of_row[0] for of_row in references[::step]]
    candidates = list(dict.fromkeys([*texts, *beams]))
    return candidates, chrf_matrix(candidates, texts).mean(1)


def _least_of_the_best(chrf: np.ndarray) -> float:
    """Choose among `DECODER_WEIGHTS`, by the chrF (n, 11) of n rows, more than one."""
    best = np.round(chrf.mean(0), 9).argmax()
    loss = chrf[:, [best]] - chrf
    error = loss.std(axis=0, ddof=1) / np.sqrt(len(chrf))
    return float(DECODER_WEIGHTS[(loss.mean(0) <= error).argmax()])


def decoder_chrf(texts: Sequence[str], beams: Sequence[tuple[str, float]]) -> np.ndarray:
    """Compute the chrF that each text is expected to have by the decoder's beams (n,)."""
    probabilities = softmax(np.array([[value for _, value in beams]]))[0]
    return chrf_matrix(texts, [text for text, _ in beams]) @ probabilities
