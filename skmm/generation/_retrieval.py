"""Texts by retrieval: what is learned of training rows.

Of n training rows with d columns, and texts of t characters: fitting takes O(r^3 + n r (d + 6 t))
time, where r is n or `MAX_LANDMARKS`, the lesser, and memory for the rows themselves, for a few
matrices (r, r), and for `MAX_TARGET_VALUES` numbers. A prediction compares a row with all of them:
O(n d).
"""

from __future__ import annotations

import numpy as np

from .._data.rows import assign_folds
from ._candidates import MAX_PIECES
from ._choice import learn_choice, left_out_rows
from ._chrf import NgramVocabulary
from ._evidence import TrainingTexts, choose_reference
from ._fitted_retrieval import FittedRetrieval
from ._likelihood import TextLikelihood, learn_scales
from ._neighbors import InputSpace, combine, kernels
from ._regression import Regression
from ._rows import GenerationRows, RetrievalSettings
from ._smoothing import learn_kernel, left_out_neighbors, left_out_smoother

MAX_LANDMARKS = 2048  # training rows whose kernel matrix is inverted
MAX_WEIGHT_ROWS = 1000  # on which the weights of the inputs are learned
MAX_CHOICE_ROWS = 400  # on which the choice among candidates is learned
MAX_TARGET_VALUES = 2**25  # of the regression's targets
N_FOLDS = 5


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
        Rows of weight 0 are left out; the others count by theirs where the choice among candidates
        is learned.
    groups : ndarray of shape (n,), default=None
        Rows of one group are left out together.
    settings : RetrievalSettings
    seed : int
    """
    kept = np.flatnonzero(weight > 0)
    rows, references = rows.take(kept), [references[i] for i in kept.tolist()]
    random_state = np.random.RandomState(seed)
    landmarks = np.sort(random_state.permutation(len(kept))[:MAX_LANDMARKS])
    fold = draw_folds(landmarks, None if groups is None else groups[kept], random_state)
    sample = random_state.permutation(len(landmarks))
    space = InputSpace.learn(rows)
    inputs = space.embed(rows)
    texts = TrainingTexts.describe(references, rows.source, _learn_vocabulary(references))

    near = inputs.take(landmarks)
    values = kernels(near, near)
    chosen = np.sort(sample[:MAX_WEIGHT_ROWS])
    targets = [choose_reference(references, i) for i in landmarks[chosen].tolist()]
    learned_on = values[:, chosen[:, None], chosen], near.present[chosen], fold[chosen], targets
    kernel = learn_kernel(*learned_on, settings.modality_weights)
    scales = learn_scales(*learned_on, kernel.weights, texts)
    regression = Regression.fit(inputs, texts, kernel, landmarks)
    fitted = FittedRetrieval(
        space=space,
        inputs=inputs,
        references=references,
        texts=texts,
        kernel=kernel,
        landmarks=landmarks,
        targets=regression.targets,
        target_characters=regression.target_characters,
        solver=regression.make_solver(kernel.penalty),
        likelihood=TextLikelihood.fit(
            scales, regression, near, kernel.weights, len(texts.vocabulary.names)
        ),
        n_neighbors=settings.n_neighbors,
    )
    if len(np.unique(fold)) > 1 and settings.n_neighbors:
        square = combine(values, near.present, near.present, kernel.weights)
        chosen = np.sort(sample[:MAX_CHOICE_ROWS])
        fitted.choice = _learn_choice(fitted, rows, weight[kept], square, fold, chosen)
    return fitted


def _learn_vocabulary(references) -> NgramVocabulary:
    """Learn the n-grams of all references; so many that the regression's memory is bounded."""
    n_landmarks = min(len(references), MAX_LANDMARKS)
    max_features = max(MAX_PIECES, MAX_TARGET_VALUES // n_landmarks - MAX_PIECES)
    return NgramVocabulary.learn([text for group in references for text in group], max_features)


def draw_folds(landmarks: np.ndarray, groups: np.ndarray | None, random_state) -> np.ndarray:
    """Assign a fold to each landmark; groups, if there are several, stay whole."""
    codes = np.zeros(len(landmarks), dtype=int)
    if len(landmarks) < 2:
        return codes
    if groups is not None:
        groups = groups[landmarks]
        groups = groups if len(np.unique(groups)) > 1 else None
    return assign_folds(codes, min(N_FOLDS, len(landmarks)), random_state, groups)


def _learn_choice(fitted: FittedRetrieval, rows, weight, square, fold, chosen):
    """Learn the choice among candidates from the landmarks ``chosen``."""
    landmarks = fitted.landmarks
    references = [fitted.references[i] for i in landmarks.tolist()]
    source = None if rows.source is None else [rows.source[i] for i in landmarks.tolist()]
    index, opened, texts = left_out_rows(
        left_out_smoother(square, fitted.kernel.penalty, fold),
        left_out_neighbors(square, fitted.kernel.temperature, fold),
        fold,
        chosen,
        references,
        source,
        fitted.texts.vocabulary,
        fitted.n_neighbors,
    )
    right = [references[i] for i in index.tolist()]
    return learn_choice(opened, texts, right, weight[landmarks[index]])
