"""Alpha: how much each input counts, learned from how well it predicts texts of unseen rows."""

from __future__ import annotations

import numpy as np

from ._neighbors import InputSpace, kernels
from ._retrieval import MAX_WEIGHT_ROWS, draw_folds
from ._rows import GenerationRows
from ._smoothing import learn_kernel


def learn_weights(
    rows: GenerationRows, references: list[list[str]], groups: np.ndarray | None, seed: int
) -> np.ndarray:
    """Learn the weights of the inputs without candidates, as `fit_retrieval` does with them.

    Returns
    -------
    ndarray of shape (m,) or (m + 1,)
        Of the modalities, and of the source text if there is one; they sum to 1.
    """
    random_state = np.random.RandomState(seed)
    chosen = np.sort(random_state.permutation(rows.n_rows)[:MAX_WEIGHT_ROWS])
    inputs = InputSpace.learn(rows).embed(rows.take(chosen))
    fold = draw_folds(chosen, groups, random_state)
    texts = [references[i][0] for i in chosen]
    values = kernels(inputs, inputs)
    return learn_kernel(values, inputs.present, texts=texts, fold=fold).weights


def fused_weights(alpha: np.ndarray, n_modalities: int) -> np.ndarray:
    """Return the weights of what is fused (m,), which sum to 1: those of the modalities alone.

    They are 0 where all weight is the source text's.
    """
    weights = alpha[:n_modalities]
    return weights / weights.sum() if weights.any() else weights
