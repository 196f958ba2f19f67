"""How the choice among candidates is learned: on training rows that were left out, fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from ._candidates import search, source_pieces
from ._chrf import NgramVocabulary, best_chrf
from ._evidence import Evidence, Smoother, TrainingTexts, choose_reference, gather_evidence
from ._ranking import MatchModel, Ranker, candidate_features

N_STARTS = 6  # texts that are edited
N_PIECES = 8  # that they are edited with, beside those of the source
N_STEPS = 2
BEAM_WIDTH = 3
N_RANKED = 40  # candidates of each row, of which the ranker chooses
N_JUDGED = 10  # of them, those whose n-grams the probabilities are fitted to


class OpenRow(NamedTuple):
    """A row whose text is looked for."""

    evidence: Evidence
    starts: list[str]  # the texts of its neighbours, the nearest one's first, and its source
    pieces: list[str]  # that texts are edited with
    max_characters: float  # of an edit: as many as the longest training text, or its source, has


def open_rows(smoother: Smoother, texts: TrainingTexts, references, source) -> list[OpenRow]:
    """Collect what is known of each row, and the texts that candidates are made of."""
    evidence = gather_evidence(smoother, texts, source)
    shares = np.asarray(smoother.regression @ smoother.targets[:, len(texts.vocabulary.names) :])
    likely = np.argsort(-shares, axis=1, kind="stable")[:, :N_PIECES]
    rows = []
    for i, item in enumerate(evidence):
        starts = neighbor_texts(smoother.neighbors, i, references)
        pieces = [texts.pieces.texts[j] for j in likely[i].tolist()]
        if source is not None and source[i]:
            starts, pieces = [*starts, source[i]], pieces + source_pieces(source[i])
        longest = max(texts.n_characters.max(), item.lengths[-1])  # the last is its source's
        starts, pieces = list(dict.fromkeys(starts)), list(dict.fromkeys(pieces))
        rows.append(OpenRow(item, starts, pieces, longest))
    return rows


def neighbor_texts(neighbors: sparse.csr_array, row: int, references) -> list[str]:
    """List the texts of a row's neighbours, the nearest one's first."""
    span = slice(neighbors.indptr[row], neighbors.indptr[row + 1])
    order = np.argsort(-neighbors.data[span], kind="stable")
    nearest = neighbors.indices[span][order].tolist()
    return list(dict.fromkeys(text for i in nearest for text in references[i]))


def find_candidates(row: OpenRow, match: MatchModel) -> list[str]:
    """Edit the texts of highest expected chrF; return the best of all, and the nearest ones."""
    if not row.starts:
        return []

    def score(texts: list[str]) -> np.ndarray:
        return match.expected_chrf(row.evidence, texts)

    best = np.argsort(-score(row.starts), kind="stable")[:N_STARTS]
    starts = [row.starts[i] for i in best]
    found = search(starts, row.pieces, score, N_STEPS, BEAM_WIDTH, N_RANKED, row.max_characters)
    return list(dict.fromkeys([*found, *row.starts[:N_STARTS]]))


class Choice(NamedTuple):
    """What candidates are judged by."""

    match: MatchModel
    ranker: Ranker

    @classmethod
    def default(cls) -> Choice:
        """What to judge by where there are too few rows to learn it."""
        return cls(MatchModel.default(), Ranker.default())


def learn_choice(
    rows: Sequence[OpenRow],
    texts: Sequence[TrainingTexts],
    references: Sequence[Sequence[str]],
    weight: np.ndarray,
) -> Choice:
    """Learn the probabilities of n-grams, and the ranker, from rows that were left out.

    The search finds texts whose n-grams have high estimated probabilities, too high ones among
    them. So the probabilities are fitted twice: to the n-grams of the neighbours' texts, and to
    those of what the search then finds.
    """
    targets = [choose_reference(references, i) for i in range(len(rows))]
    evidence = [row.evidence for row in rows]
    starts = [row.starts[:N_STARTS] for row in rows]
    match = MatchModel.learn(evidence, starts, targets, weight)
    found = [find_candidates(row, match) for row in rows]
    judged = [[*a, *b[:N_JUDGED]] for a, b in zip(starts, found, strict=True)]
    match = MatchModel.learn(evidence, judged, targets, weight)
    features, scores = [], []
    for row, row_texts, right in zip(rows, texts, references, strict=True):
        candidates = find_candidates(row, match)
        expected = match.expected_chrf(row.evidence, candidates)
        features.append(candidate_features(candidates, expected, row.evidence, row_texts.pieces))
        scores.append(best_chrf(candidates, [right] * len(candidates), every_order=True))
    return Choice(match, Ranker.learn(features, scores, weight))


def left_out_rows(
    regression: np.ndarray,
    neighbors: np.ndarray,
    fold: np.ndarray,
    chosen: np.ndarray,
    references: Sequence[Sequence[str]],
    source: list[str] | None,
    vocabulary: NgramVocabulary,
    n_neighbors: int,
) -> tuple[np.ndarray, list[OpenRow], list[TrainingTexts]]:
    """Collect what rows of other folds say of the rows ``chosen``.

    Parameters
    ----------
    regression, neighbors : ndarray of shape (n, n)
        Weights of left-out predictions, of `left_out_smoother` and `left_out_neighbors`.

    Returns
    -------
    index : ndarray of int
        The rows, fold by fold.
    rows : list of OpenRow
    texts : list of TrainingTexts
        Those of the other folds, for each row.
    """
    index, rows, row_texts = [], [], []
    for number in np.unique(fold[chosen]):
        held_out = chosen[fold[chosen] == number]
        others = np.flatnonzero(fold != number)
        other_references = [references[i] for i in others.tolist()]
        texts = TrainingTexts.describe(other_references, _take(source, others), vocabulary)
        smoother = Smoother(
            regression[np.ix_(held_out, others)],
            texts.marks,
            texts.n_characters,
            keep_largest(neighbors[np.ix_(held_out, others)], n_neighbors),
        )
        rows += open_rows(smoother, texts, other_references, _take(source, held_out))
        row_texts += [texts] * len(held_out)
        index.append(held_out)
    return np.concatenate(index), rows, row_texts


def _take(texts: list[str] | None, index: np.ndarray) -> list[str] | None:
    return None if texts is None else [texts[i] for i in index.tolist()]


def keep_largest(weights: np.ndarray, k: int) -> sparse.csr_array:
    """Keep the ``k`` largest weights of each row, and let them sum to 1."""
    k = min(k, weights.shape[1])
    index = np.argsort(-weights, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(weights, index, 1)
    if k:
        values = values / values.sum(1, keepdims=True)
    ends = np.arange(len(weights) + 1) * k
    return sparse.csr_array((values.ravel(), index.ravel(), ends), weights.shape)
