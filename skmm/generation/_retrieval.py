"""Texts by retrieval: what is learned of training rows, and the candidates of new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from .._data.rows import assign_folds
from ._candidates import Pieces, search, source_pieces
from ._chrf import NgramVocabulary, best_chrf, chrf_matrix, extract_features
from ._neighbors import (
    Inputs,
    InputSpace,
    combine,
    find_neighbors,
    kernels,
    neighbor_weights,
)
from ._ranking import Evidence, MatchModel, Ranker, candidate_features, count_characters
from ._rows import Candidate, GenerationRows, RetrievalSettings
from ._smoothing import Kernel, learn_kernel, left_out_neighbors, left_out_smoother

MAX_LANDMARKS = 2048  # training rows whose kernel matrix is inverted
MAX_WEIGHT_ROWS = 1000  # on which weights are learned
MAX_RANKED_ROWS = 600  # on which the choice among candidates is learned
MAX_TARGET_VALUES = 2**25  # of the regression's targets
N_FOLDS = 5
N_STARTS = 6  # texts that are edited
N_PIECES = 8  # that they are edited with, beside those of the source
N_STEPS = 2
BEAM_WIDTH = 3
N_RANKED = 40  # candidates of each row, of which the ranker chooses
ROWS_AT_ONCE = 64


class TargetTexts(NamedTuple):
    """Training texts as rows of the n-grams and pieces they have."""

    vocabulary: NgramVocabulary
    pieces: Pieces
    shares: sparse.csr_array  # (n, F + P) of references that have each n-gram, and each piece
    n_characters: np.ndarray  # (n,) the mean over references
    copied: np.ndarray  # (n,) share of the source's n-grams that are in the text

    @property
    def n_ngrams(self) -> int:
        return len(self.vocabulary.names)

    @classmethod
    def learn(cls, references: list[list[str]], source: list[str] | None) -> TargetTexts:
        texts = [text for group in references for text in group]
        max_features = max(N_FOLDS, MAX_TARGET_VALUES // min(len(references), MAX_LANDMARKS))
        vocabulary = NgramVocabulary.learn(texts, max_features)
        pieces = Pieces.learn(texts)
        return cls.describe(references, source, vocabulary, pieces)

    @classmethod
    def describe(cls, references, source, vocabulary, pieces) -> TargetTexts:
        texts = [text for group in references for text in group]
        counts = np.array([len(group) for group in references])
        owner = np.repeat(np.arange(len(references)), counts)
        columns = np.arange(len(texts))
        mean = sparse.csr_array((1 / counts[owner], (owner, columns)), dtype=np.float32)
        marks = sparse.hstack([vocabulary.encode(texts), pieces.mark(texts)], format="csr")
        characters = np.array([count_characters(text) for text in texts], dtype=float)
        copied = np.zeros(len(references))
        if source is not None:
            copied = np.array(
                [_copied_share(s, group[0]) for s, group in zip(source, references, strict=True)]
            )
        return cls(vocabulary, pieces, (mean @ marks).tocsr(), mean @ characters, copied)


def _copied_share(source: str, text: str) -> float:
    names = extract_features([source]).name
    return float(np.isin(names, extract_features([text]).name).mean()) if len(names) else 0.0


class RowSmoother(NamedTuple):
    """Weights with which rows of training texts predict those of other rows."""

    regression: np.ndarray  # (n, r) on rows of ``targets``
    targets: sparse.csr_array | np.ndarray  # (r, F + P)
    extra: np.ndarray  # (r,) characters
    neighbors: sparse.csr_array  # (n, n_training)


class FittedRetrieval:
    """Training rows, their texts, and what was learned of them: plain data."""

    def __init__(self, space, inputs, texts, references, kernel, landmarks, solver, targets, extra):
        self.space: InputSpace = space
        self.inputs: Inputs = inputs
        self.texts: TargetTexts = texts
        self.references: list[list[str]] = references
        self.kernel: Kernel = kernel
        self.landmarks: np.ndarray = landmarks
        self.solver: np.ndarray = solver
        self.targets = targets
        self.target_characters: np.ndarray = extra
        self.n_neighbors = 0
        self.match: MatchModel | None = None
        self.ranker: Ranker | None = None
        self.decoder_weight = 0.0

    @property
    def modality_weights(self) -> np.ndarray:
        """The weights of the inputs (m,), or with a source text (m + 1,); they sum to 1."""
        return self.kernel.weights

    def smooth(self, inputs: Inputs) -> RowSmoother:
        near = inputs_kernel(inputs, self.inputs.take(self.landmarks), self.kernel)
        found = find_neighbors(inputs, self.inputs, self.kernel.weights, self.n_neighbors)
        weights = neighbor_weights(found.similarity, self.kernel.temperature)
        k = weights.shape[1]
        neighbors = sparse.csr_array(
            (weights.ravel(), found.index.ravel(), np.arange(len(weights) + 1) * k),
            (len(weights), self.inputs.n_rows),
        )
        return RowSmoother(near @ self.solver, self.targets, self.target_characters, neighbors)

    def propose(
        self,
        rows: GenerationRows,
        n_best: int = 1,
        extra: list[list[tuple[str, float]]] | None = None,
    ) -> list[list[Candidate]]:
        """Find the best texts of each row, the best first."""
        found = []
        for start in range(0, rows.n_rows, ROWS_AT_ONCE):
            chunk = rows.take(slice(start, start + ROWS_AT_ONCE))
            smoother = self.smooth(self.space.embed(chunk))
            for i, evidence in enumerate(gather_evidence(smoother, self.texts, chunk.source)):
                beams = extra[start + i] if extra is not None else []
                texts = self._find_candidates(smoother, i, evidence, chunk.source, beams)
                found.append(self._rank(texts, evidence, beams, n_best))
        return found

    def _find_candidates(self, smoother, row, evidence, source, beams) -> list[str]:
        assert self.match is not None
        starts = neighbor_texts(smoother, row, self.references)
        source_text = source[row] if source is not None else ""
        texts, _ = propose_edits(
            smoother, row, starts, source_text, evidence, self.match, self.texts
        )
        return list(dict.fromkeys([*texts, *(text for text, _ in beams)]))

    def _rank(self, texts, evidence, beams, n_best) -> list[Candidate]:
        assert self.match is not None
        assert self.ranker is not None
        expected = self.match.expected_chrf(evidence, texts)
        features = candidate_features(texts, expected, evidence, self.texts.pieces)
        scores = self.ranker.score(features)
        if beams and self.decoder_weight:
            scores = (1 - self.decoder_weight) * scores
            scores = scores + self.decoder_weight * decoder_chrf(texts, beams)
        best = np.argsort(-scores, kind="stable")[:n_best]
        return [Candidate(texts[i], float(scores[i])) for i in best]


def decoder_chrf(texts: list[str], beams: list[tuple[str, float]]) -> np.ndarray:
    """Compute the chrF that each text is expected to have, if the decoder's beams are right."""
    log_likelihoods = np.array([value for _, value in beams])
    probabilities = np.exp(log_likelihoods - log_likelihoods.max())
    probabilities /= probabilities.sum()
    return chrf_matrix(texts, [text for text, _ in beams]) @ probabilities


def inputs_kernel(left: Inputs, right: Inputs, kernel: Kernel) -> np.ndarray:
    return combine(kernels(left, right), left.present, right.present, kernel.weights)


def neighbor_texts(smoother: RowSmoother, row: int, references) -> list[str]:
    """List the texts of a row's neighbours, the nearest neighbour's first."""
    start, end = smoother.neighbors.indptr[row : row + 2]
    index = smoother.neighbors.indices[start:end]
    order = np.argsort(-smoother.neighbors.data[start:end], kind="stable")
    return list(dict.fromkeys(text for i in index[order].tolist() for text in references[i]))


def gather_evidence(smoother: RowSmoother, texts: TargetTexts, source) -> list[Evidence]:
    """Predict the n-grams of each row."""
    n = texts.n_ngrams
    regression = np.asarray(smoother.regression @ smoother.targets[:, :n])
    near = (smoother.neighbors @ texts.shares[:, :n]).toarray()
    counts = np.asarray(texts.shares[:, :n].sum(0))
    lengths = np.column_stack(
        [
            smoother.regression @ smoother.extra,
            smoother.neighbors @ texts.n_characters,
            [count_characters(s) for s in source] if source is not None else np.zeros(len(near)),
        ]
    )
    copied = smoother.neighbors @ texts.copied
    empty = np.empty(0, dtype=np.uint64)
    evidence = []
    for i in range(len(near)):
        plain = capitalized = empty
        if source is not None and source[i]:
            plain = np.unique(extract_features([source[i]]).name)
            capitalized = np.unique(extract_features([source[i].title()]).name)
        evidence.append(
            Evidence(
                texts.vocabulary.names,
                counts,
                regression[i],
                near[i],
                plain,
                capitalized,
                float(copied[i]),
                lengths[i],
            )
        )
    return evidence


def propose_edits(smoother, row, starts, source, evidence, match, texts):
    """Score the neighbours' texts and the source, edit the best, and return the best of all."""
    starts = list(dict.fromkeys([*starts, source] if source else starts))
    expected = match.expected_chrf(evidence, starts)
    best = np.argsort(-expected, kind="stable")[:N_STARTS]
    shares = np.asarray(smoother.regression[row] @ smoother.targets[:, texts.n_ngrams :]).ravel()
    likely = np.argsort(-shares, kind="stable")[:N_PIECES]
    pieces = [texts.pieces.texts[i] for i in likely] + source_pieces(source)

    def score(new: list[str]) -> np.ndarray:
        return match.expected_chrf(evidence, new)

    found, scores = search([starts[i] for i in best], pieces, score, N_STEPS, BEAM_WIDTH, N_RANKED)
    more = [text for text in starts[:N_STARTS] if text not in found]
    if more:
        found, scores = found + more, np.concatenate([scores, score(more)])
    return found, scores


def fit_retrieval(
    rows: GenerationRows,
    references: list[list[str]],
    weight: np.ndarray,
    groups: np.ndarray | None,
    settings: RetrievalSettings,
    seed: int,
) -> FittedRetrieval:
    """Learn similarity, the regression and the choice among candidates."""
    kept = np.flatnonzero(weight > 0)
    rows, references = rows.take(kept), [references[i] for i in kept]
    weight = weight[kept] / weight[kept].mean()
    random_state = np.random.RandomState(seed)
    order = random_state.permutation(rows.n_rows)
    landmarks = np.sort(order[:MAX_LANDMARKS])
    groups = None if groups is None else groups[kept]
    space = InputSpace.learn(rows)
    inputs = space.embed(rows)
    near = inputs.take(landmarks)
    fold = draw_folds(landmarks, groups, random_state)
    values = kernels(near, near)
    chosen = np.sort(random_state.permutation(len(landmarks))[:MAX_WEIGHT_ROWS])
    kernel = learn_kernel(
        values[:, chosen[:, None], chosen],
        near.present[chosen],
        [_one_reference(references, i) for i in landmarks[chosen]],
        fold[chosen],
        settings.modality_weights,
    )
    texts = TargetTexts.learn(references, rows.source)
    square = combine(values, near.present, near.present, kernel.weights)
    fitted = solve(space, inputs, texts, references, kernel, landmarks, square)
    fitted.n_neighbors = settings.n_neighbors
    learn_choice(fitted, rows, references, weight, fold, square, chosen[:MAX_RANKED_ROWS])
    return fitted


def draw_folds(landmarks, groups, random_state) -> np.ndarray:
    n_folds = min(N_FOLDS, len(landmarks))
    groups = None if groups is None else groups[landmarks]
    if groups is not None and len(np.unique(groups)) < 2:
        groups = None
    return assign_folds(np.zeros(len(landmarks), dtype=int), n_folds, random_state, groups)


def _one_reference(references: Sequence[Sequence[str]], row: int) -> str:
    """Choose one of a row's references, another for each row."""
    return references[row][row % len(references[row])]


def solve(space, inputs, texts, references, kernel, landmarks, square) -> FittedRetrieval:
    """Fit the kernel ridge regression to all rows, by the columns of the landmarks."""
    identity = np.eye(len(landmarks), dtype=square.dtype)
    if len(landmarks) == inputs.n_rows:
        solver = linalg.inv(square + kernel.penalty * identity)
        targets, extra = texts.shares, texts.n_characters
    else:
        products = np.zeros_like(square)
        targets = np.zeros((len(landmarks), texts.shares.shape[1]), dtype=np.float32)
        extra = np.zeros(len(landmarks))
        for start in range(0, inputs.n_rows, 1024):
            rows = slice(start, start + 1024)
            chunk = inputs_kernel(inputs.take(landmarks), inputs.take(rows), kernel)
            products += chunk @ chunk.T
            targets += chunk @ texts.shares[rows]
            extra += chunk @ texts.n_characters[rows]
        solver = linalg.inv(products + kernel.penalty * square + 1e-4 * identity)
    return FittedRetrieval(
        space, inputs, texts, references, kernel, landmarks, solver, targets, extra
    )


def learn_choice(fitted, rows, references, weight, fold, square, chosen) -> None:
    """Learn the probabilities of n-grams and the ranker, on rows that were left out."""
    landmarks, kernel = fitted.landmarks, fitted.kernel
    regression = left_out_smoother(square, kernel.penalty, fold)
    near = left_out_neighbors(square, kernel.temperature, fold)
    left_out = []
    for number in np.unique(fold[chosen]):
        index = chosen[fold[chosen] == number]
        others = np.flatnonzero(fold != number)
        other_references = [references[i] for i in landmarks[others]]
        source = None if rows.source is None else [rows.source[i] for i in landmarks]
        other_source = None if source is None else [source[i] for i in others]
        pieces = Pieces.learn([t for group in other_references for t in group])
        texts = TargetTexts.describe(
            other_references, other_source, fitted.texts.vocabulary, pieces
        )
        smoother = RowSmoother(
            regression[np.ix_(index, others)],
            texts.shares,
            texts.n_characters,
            _keep_largest(near[np.ix_(index, others)], fitted.n_neighbors),
        )
        row_source = None if source is None else [source[i] for i in index]
        evidence = gather_evidence(smoother, texts, row_source)
        for i, row in enumerate(index):
            starts = neighbor_texts(smoother, i, other_references)
            text = row_source[i] if row_source is not None else ""
            left_out.append((landmarks[row], smoother, i, starts, text, evidence[i], texts))
    _learn_from(fitted, left_out, references, weight)


def _keep_largest(weights: np.ndarray, k: int) -> sparse.csr_array:
    k = min(k, weights.shape[1])
    index = np.argsort(-weights, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(weights, index, 1)
    values /= values.sum(1, keepdims=True)
    return sparse.csr_array(
        (values.ravel(), index.ravel(), np.arange(len(weights) + 1) * k), weights.shape
    )


def _learn_from(fitted, left_out, references, weight) -> None:
    row_weight = np.array([weight[item[0]] for item in left_out])
    targets = [_one_reference(references, item[0]) for item in left_out]
    evidence = [item[5] for item in left_out]
    starts = [item[3][:N_STARTS] for item in left_out]
    match = MatchModel.learn(evidence, starts, targets, row_weight)
    found = [_edit(item, match) for item in left_out]
    both = [[*a, *b[:10]] for a, b in zip(starts, found, strict=True)]
    match = MatchModel.learn(evidence, both, targets, row_weight)
    found = [_edit(item, match) for item in left_out]
    features, scores = [], []
    for item, texts in zip(left_out, found, strict=True):
        expected = match.expected_chrf(item[5], texts)
        features.append(candidate_features(texts, expected, item[5], item[6].pieces))
        scores.append(best_chrf(texts, [references[item[0]]] * len(texts)))
    fitted.match = match
    fitted.ranker = Ranker.learn(features, scores, row_weight)


def _edit(item, match) -> list[str]:
    _, smoother, i, starts, source, evidence, texts = item
    return propose_edits(smoother, i, starts, source, evidence, match, texts)[0]
