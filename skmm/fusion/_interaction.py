"""f_inter: what only several modalities say together, learned of what their sum leaves.

The residuals of out-of-fold predictions are what the sum of the modalities could not tell of new
rows. A model of all columns learns them, out of fold again, and one number says how much of it is
added: that which suits rows best that neither has seen, or 0, if what it gains there may be chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils import check_random_state

from .._data.columns import as_slice
from .._data.rows import TrainingRows
from .._torch.losses import row_losses
from .._torch.tasks import Task
from ._models import fit_clone

STANDARD_ERRORS = 1.0  # by which new rows must be predicted better
MAX_LOG_SCALE = 5.0
MAX_OUTPUTS = 50  # of trees, which store all of them in each leaf
N_COMPONENTS = 64  # of a wide modality
MAX_SPARSE_COLUMNS = 512  # of a modality that is mostly zeros, such as one-hot columns
PCA_ROWS = 10_000
TREE_ROWS = 20_000  # for one tree; of more rows each tree takes a sample
BOOSTED_OUTPUTS = 10  # boosting fits a model to each


class FittedInteraction(NamedTuple):
    """f_inter, its factor, and how much it counts: nothing, if it would gain nothing."""

    columns: np.ndarray  # of X, that it reads
    models: Sequence[Any] = ()  # one for all outputs, or one for each
    scale: float = 0.0  # what its outputs are multiplied by
    weight: float = 0.0  # its share, in [0, 1]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Compute what is added to the outputs of the network (n, k)."""
        return self.scale * _predict(self.models, X[:, as_slice(self.columns)])


class TreeMixture(RegressorMixin, BaseEstimator):
    """The mean of extremely randomised trees and gradient boosting, on columns of all modalities.

    Extremely randomised trees: Geurts, Ernst and Wehenkel (2006). A modality of many columns that
    are not mostly zeros, such as an embedding, is reduced to its principal components, since a
    tree looks at one column at a time.

    Parameters
    ----------
    blocks : sequence of ndarray of int
        The positions of each modality's columns. A row that lacks a modality is NaN in them, which
        trees can split on.
    min_samples_leaf : int, default=1
        The fewest rows in a leaf.
    random_state : int, RandomState instance or None, default=None
        Determines the trees.
    """

    def __init__(self, blocks: Sequence[np.ndarray], min_samples_leaf: int = 1, random_state=None):
        self.blocks = blocks
        self.min_samples_leaf = min_samples_leaf
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Fit the components, the trees and the boosting to residuals y (n, k)."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.components_ = [_fit_components(X[:, as_slice(c)], seed) for c in self.blocks]
        Z, has_many_rows = self._reduce(X), len(X) > TREE_ROWS
        trees = ExtraTreesRegressor(
            max_features=1 / 3,
            min_samples_leaf=self.min_samples_leaf,
            bootstrap=has_many_rows,
            max_samples=TREE_ROWS if has_many_rows else None,
            random_state=seed,
        )
        column_or_columns = y[:, 0] if y.shape[1] == 1 else y
        self.models_: list[Any] = [trees.fit(Z, column_or_columns, sample_weight)]
        if y.shape[1] <= BOOSTED_OUTPUTS:
            boosting = MultiOutputRegressor(HistGradientBoostingRegressor(random_state=seed))
            self.models_.append(boosting.fit(Z, y, sample_weight))
        return self

    def predict(self, X):
        """Predict residuals (n, k)."""
        Z = self._reduce(X)
        return np.mean([model.predict(Z).reshape(len(X), -1) for model in self.models_], axis=0)

    def _reduce(self, X: np.ndarray) -> np.ndarray:
        """Replace wide modalities by their components; NaN where a row lacks one."""
        blocks = []
        for columns, pca in zip(self.blocks, self.components_, strict=True):
            block = X[:, as_slice(columns)]
            if pca is not None:
                present = ~np.isnan(block[:, 0])
                reduced = np.full((len(X), pca.n_components_), np.nan, dtype=np.float32)
                if present.any():
                    reduced[present] = pca.transform(block[present])
                block = reduced
            blocks.append(block)
        return np.hstack(blocks)


def _fit_components(block: np.ndarray, seed: int) -> PCA | None:
    """Fit the components of a modality; None if its columns are read as they are."""
    n_columns = block.shape[1]
    if n_columns <= N_COMPONENTS:
        return None
    rows = block[~np.isnan(block[:, 0])]
    if len(rows) > PCA_ROWS:
        rows = rows[np.random.RandomState(seed).permutation(len(rows))[:PCA_ROWS]]
    is_sparse = len(rows) > 0 and (rows == 0).mean() > 0.5
    if len(rows) < 2 or (is_sparse and n_columns <= MAX_SPARSE_COLUMNS):
        return None
    n_components = min(N_COMPONENTS, len(rows) - 1)
    return PCA(n_components, svd_solver="randomized", random_state=seed).fit(rows)


def make_interaction(
    interaction: str | BaseEstimator, blocks: Sequence[np.ndarray], tasks: Sequence[Task]
) -> BaseEstimator | None:
    """Return the model of all columns, not fitted; None if "auto" has none for so many outputs."""
    if not isinstance(interaction, str):
        return interaction
    if sum(task.n_outputs for task in tasks) > MAX_OUTPUTS:
        return None
    return TreeMixture(blocks, min_samples_leaf=1 if tasks[0].is_numeric else 3)


def learn_interaction(
    estimator: BaseEstimator,
    X: np.ndarray,
    columns: np.ndarray,
    outputs: np.ndarray,
    rows: TrainingRows,
    folds: Sequence[np.ndarray],
    tasks: Sequence[Task],
    seed: int,
) -> FittedInteraction:
    """Learn what the sum of the modalities leaves, unless what new rows gain may be chance.

    Parameters
    ----------
    estimator : estimator
        A regressor.
    X : ndarray of shape (n_samples, n_columns)
    columns : ndarray of int
        The columns of all modalities.
    outputs : ndarray of shape (n, k)
        What networks that have not seen a training row compute of it.
    rows : TrainingRows
    folds : sequence of ndarray of int
        The positions of the rows, a partition.
    tasks : sequence of Task
    seed : int
        Of the estimator.
    """
    values = X[:, as_slice(columns)][rows.index]
    residuals = compute_residuals(outputs, rows.target, tasks)
    added = np.zeros_like(outputs)
    fitting = np.concatenate(folds)
    for fold in folds:
        rest = np.setdiff1d(fitting, fold)
        models = _fit(estimator, values[rest], residuals[rest], rows.weight[rest], seed)
        added[fold] = _predict(models, values[fold])
    target = torch.from_numpy(rows.target[fitting])

    def losses(scale: float) -> np.ndarray:
        total = torch.from_numpy(outputs[fitting] + scale * added[fitting])
        return row_losses(tasks, total, target).sum(1).numpy()

    share = rows.weight[fitting] / rows.weight[fitting].sum()
    best = minimize_scalar(
        lambda log_scale: share @ losses(math.exp(log_scale)),
        bounds=(-MAX_LOG_SCALE, MAX_LOG_SCALE),
        method="bounded",
    )
    scale = math.exp(best.x)
    gain = losses(0.0) - losses(scale)
    error = math.sqrt(share**2 @ (gain - share @ gain) ** 2)
    if not share @ gain > STANDARD_ERRORS * error:
        return FittedInteraction(columns)
    spreads = [_spread(part[fitting], share) for part in (outputs, scale * added)]
    models = _fit(estimator, values[fitting], residuals[fitting], rows.weight[fitting], seed)
    return FittedInteraction(columns, models, scale, spreads[1] / sum(spreads))


def compute_residuals(outputs: np.ndarray, target: np.ndarray, tasks: Sequence[Task]) -> np.ndarray:
    """Compute how outputs (n, k) had to change: minus the gradient of the loss for each value.

    0 where the target is not known.
    """
    residuals = np.zeros_like(outputs)
    for task in tasks:
        scores, y = outputs[:, task.outputs], target[:, task.columns]
        if task.kind == "multiclass":
            change = (y == np.arange(task.n_outputs)) - softmax(scores, axis=1)
            change[y[:, 0] < 0] = 0.0
        else:
            change = y - (scores if task.is_numeric else expit(scores))
        residuals[:, task.outputs] = np.nan_to_num(change)
    return residuals


def _fit(
    estimator: BaseEstimator, X: np.ndarray, residuals: np.ndarray, weight: np.ndarray, seed: int
) -> list[Any]:
    """Fit one model to all outputs; of an estimator that is not ours, one to each."""
    if isinstance(estimator, TreeMixture):
        return [fit_clone(estimator, X, residuals, weight, seed)]
    return [fit_clone(estimator, X, residual, weight, seed) for residual in residuals.T]


def _predict(models: Sequence[Any], X: np.ndarray) -> np.ndarray:
    """Predict residuals (n, k)."""
    return np.column_stack([model.predict(X) for model in models]).astype(np.float64, copy=False)


def _spread(outputs: np.ndarray, share: np.ndarray) -> float:
    """Compute the root mean square of outputs (n, k), centred for each output."""
    centred = outputs - share @ outputs
    return float(np.sqrt((share @ centred**2).sum()))
