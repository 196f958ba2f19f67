"""How models of all columns are chosen, fitted and mixed with the network (see `_interaction`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

from .._data.columns import as_slice
from .._data.reduction import (
    FEW_BINS,
    BlockReducer,
    BoundedScaler,
    PiecewiseLinearEncoder,
    QuantileBinner,
)
from .._data.rows import TrainingRows
from .._data.scaling import ScaledRows
from .._progress import progress_bar, shorten
from .._torch.losses import row_losses
from .._torch.tasks import Task
from ._interaction import BACKGROUND_ROWS, FittedInteraction
from ._models import ScoreModel, fit_score_model

if TYPE_CHECKING:
    from tqdm.std import tqdm

    from ._settings import FusionProblem, FusionSettings

STANDARD_ERRORS = 1.0  # by which unseen rows must be predicted better
PRIOR_STRENGTH = 0.5  # rows' worth of belief in the network alone
MIN_ROWS = 40
SCREENED_VALUES = 5e5  # rows times columns times outputs, from which on one fold screens models
MIN_COEFFICIENT = 0.1  # of a model that passes
NEGLIGIBLE = 0.02  # a coefficient that is not worth a fit
MAX_OUTPUTS = 50
TREES = 64
TREE_ROWS = 10_000  # for one tree; of more rows each takes a sample
TREE_VALUES = 100_000  # outputs that the leaves of one tree store, at most
MAX_BOOSTED_OUTPUTS = 30  # for each of which boosting grows trees; a perceptron is as costly
MAX_LINEAR_VALUES = 2e6  # of rows times columns times outputs
MISSING_SHARE = 0.01  # of the rows that must lack a modality for trees to learn what that means
MAX_PERCEPTRON_VALUES = 5e7  # of rows times columns, or bins of columns
PERCEPTRON_EPOCHS = 40
PERCEPTRON_ROWS = 150_000  # that a perceptron sees in all epochs
MARGIN = 1e-3  # of probabilities from 0 and 1
MEASURED_ROWS = 64  # of each fold, whose outputs are split to see what counts


class MixtureProblem(NamedTuple):
    """What a mixture is learned from."""

    z: np.ndarray  # (n, q) rows as the models read them, NaN where a modality is missing
    widths: list[int]  # of the modalities in it
    reducer: BlockReducer | None
    outputs: np.ndarray  # (n, k) what networks that have not seen a row compute of it
    rows: TrainingRows
    folds: Sequence[np.ndarray]  # positions, a partition
    tasks: Sequence[Task]
    seed: int
    verbose: bool = False
    groups: np.ndarray | None = None  # (n,) rows of one group are alike by more than X

    @property
    def share(self) -> np.ndarray:
        """The share of each row in the sum of the weights (n,)."""
        return self.rows.weight / self.rows.weight.sum()


class Candidate(NamedTuple):
    """A model of all columns that may be mixed with the network."""

    estimator: BaseEstimator
    fits_residuals: bool = False  # of the network, not y
    columns: np.ndarray | None = None  # of the rows that it reads; None: all


def fit_interaction(
    problem: FusionProblem,
    settings: FusionSettings,
    rows: TrainingRows,
    x: np.ndarray | ScaledRows,
    outputs: np.ndarray | None,
    order: np.ndarray,
    folds: Sequence[np.ndarray],
    seed: int,
) -> FittedInteraction:
    """Mix models of all columns with the network.

    ``outputs`` (n, k) are what networks compute of training rows that they have not seen, or None;
    ``x`` (n, sum of widths) are these rows scaled, and ``order`` and ``folds`` positions of them.
    """
    widths = [len(columns) for columns in problem.columns.network_groups.values()]
    if outputs is None or len(order) < MIN_ROWS:
        return FittedInteraction(widths, sum(task.n_outputs for task in problem.tasks))
    estimator = settings.interaction
    if estimator == "auto":
        reducer = BlockReducer.fit(x, rows.present, widths, order, seed)
        z, widths = reducer.transform(x, rows.present), reducer.output_widths
    else:
        reducer, z = None, problem.X[:, as_slice(problem.network_columns)][rows.index]
    position = np.zeros(len(rows.index), dtype=int)
    position[order] = np.arange(len(order))
    data = MixtureProblem(
        z[order],
        widths,
        reducer,
        outputs[order],
        TrainingRows(*(values[order] for values in rows)),
        [position[fold] for fold in folds],
        problem.tasks,
        seed,
        settings.verbose,
        None if problem.groups is None else problem.groups[rows.index][order],
    )
    models = default_models(data) if estimator == "auto" else {"interaction": Candidate(estimator)}
    return learn_mixture(data, models)


def default_models(problem: MixtureProblem) -> dict[str, Candidate]:
    """Return the models of all columns that are tried, not fitted; none for many outputs.

    Extremely randomised trees: Geurts, Ernst and Wehenkel (2006).
    """
    task, n_rows = problem.tasks[0], len(problem.z)
    k = sum(task.n_outputs for task in problem.tasks)
    if k > min(MAX_OUTPUTS, n_rows / 3):
        return {}
    fraction = TREE_ROWS / n_rows  # of the rows that a clone is fitted to
    sampled = {"bootstrap": True, "max_samples": fraction} if fraction < 1 else {}
    leaf = math.ceil(min(n_rows, TREE_ROWS) * k / TREE_VALUES)
    models: dict[str, Candidate] = {}
    few = whole = None  # columns to read one at a time, or all at once
    if problem.reducer is not None and problem.reducer.keeps_columns:
        few, whole = problem.reducer.reduced_columns, problem.reducer.whole_columns
    n_values = problem.z.size if few is None else n_rows * len(few)
    if task.is_numeric:
        trees = ExtraTreesRegressor(TREES, max_features=1 / 3, min_samples_leaf=leaf, **sampled)
        loss = "absolute_error" if task.kind == "absolute_error" else "squared_error"
        boosting = HistGradientBoostingRegressor(loss=loss, early_stopping=False)
        linear: BaseEstimator = RidgeCV(np.logspace(-1, 5, 13))
    else:
        leaf = max(2, leaf)
        trees = ExtraTreesClassifier(TREES, max_features=1 / 3, min_samples_leaf=leaf, **sampled)
        quick = {"learning_rate": 0.2, "max_iter": 40, "max_features": 0.3} if k > 2 else {}
        boosting = HistGradientBoostingClassifier(
            max_leaf_nodes=15,
            early_stopping=False,  # for which each class would need two rows
            **quick,
        )
        linear = LogisticRegression(C=0.03, max_iter=200)
    models["trees"] = Candidate(trees, columns=few)
    if k <= MAX_BOOSTED_OUTPUTS:
        perceptron = _make_perceptron(problem)
        if perceptron is not None:
            smooth = make_pipeline(BoundedScaler(), perceptron)
            models["perceptron"] = Candidate(smooth, columns=whole)
            if n_values * FEW_BINS <= MAX_PERCEPTRON_VALUES:
                bent = make_pipeline(PiecewiseLinearEncoder(), StandardScaler(), perceptron)
                models["perceptron of piecewise linear columns"] = Candidate(bent, columns=few)
        binned = make_pipeline(QuantileBinner(), boosting)
        models["boosting"] = Candidate(binned, columns=few)
        if task.is_numeric:
            models["boosting of residuals"] = Candidate(binned, fits_residuals=True, columns=few)
    if n_values * k <= MAX_LINEAR_VALUES:
        models["linear"] = Candidate(make_pipeline(BoundedScaler(), linear), columns=few)
    return models


def _make_perceptron(problem: MixtureProblem) -> BaseEstimator | None:
    """Return a perceptron, unless the table is too large, or it knows no such loss or weights."""
    task, n_rows = problem.tasks[0], len(problem.z)
    if problem.z.size > MAX_PERCEPTRON_VALUES:
        return None
    if task.is_numeric and task.kind != "squared_error":
        return None
    perceptron = MLPRegressor if task.is_numeric else MLPClassifier
    has_weights = not np.allclose(problem.rows.weight, 1)
    if has_weights and not has_fit_parameter(perceptron, "sample_weight"):  # scikit-learn 1.6
        return None
    n_epochs = max(5, min(PERCEPTRON_EPOCHS, PERCEPTRON_ROWS // n_rows))
    return perceptron(
        hidden_layer_sizes=(64, 64),
        alpha=1.0,
        learning_rate_init=0.002,
        batch_size=min(128, math.ceil(n_rows / 15)),
        # No epoch improves by that much: training ends after the last, without a warning.
        tol=1e30,
        n_iter_no_change=n_epochs - 2,
        max_iter=n_epochs + 1,
    )


def learn_mixture(
    problem: MixtureProblem, candidates: Mapping[str, Candidate]
) -> FittedInteraction:
    """Mix models of all columns with the network, as far as unseen rows are predicted better.

    Nothing is mixed if what they gain may be chance. In large tables only models that count
    in the first fold are fitted to the others.
    """
    nothing = FittedInteraction(problem.widths, problem.outputs.shape[1])
    n_fits = len(candidates) * (len(problem.folds) + 1)
    with progress_bar(desc="interaction", total=n_fits, verbose=problem.verbose) as bar:
        scores, of_folds = _cross_fit(problem, candidates, bar)
        network_coefficient, *others = _mix(problem, scores, slice(None)).tolist()
        mixed = {name: c for name, c in zip(scores, others, strict=True) if c > NEGLIGIBLE}
        from_network = network_coefficient * problem.outputs
        added = np.zeros_like(problem.outputs)
        for name, coefficient in mixed.items():
            added += coefficient * scores[name]
        if not mixed or not _gains(problem, from_network + added):
            shorten(bar, n_fits - bar.n)
            return nothing
        shorten(bar, bar.total - bar.n - len(mixed))
        mixture = nothing._replace(
            reducer=problem.reducer,
            coefficients=list(mixed.values()),
            network_coefficient=network_coefficient,
            background=_sample_background(problem),
            is_learned=((~problem.rows.present).mean(0) >= MISSING_SHARE).tolist(),
        )
        spreads = [_spread(problem, outputs) for outputs in (from_network, added)]
        mixture = mixture._replace(
            share=spreads[1] / max(sum(spreads), np.finfo(float).tiny),
            spreads=_measure_spreads(problem, mixture, [of_folds[name] for name in mixed]),
        )
        models = []
        for name in mixed:
            models.append(_fit(candidates[name], problem, slice(None)))
            bar.update()
    return mixture._replace(models=models)


def _cross_fit(
    problem: MixtureProblem, candidates: Mapping[str, Candidate], bar: tqdm
) -> tuple[dict[str, np.ndarray], dict[str, list[ScoreModel]]]:
    """Compute out-of-fold scores (n, k) of each model; also return the models of the folds."""
    n, k = problem.outputs.shape
    scores = {name: np.zeros((n, k)) for name in candidates}
    models: dict[str, list[ScoreModel]] = {name: [] for name in candidates}
    for i, fold in enumerate(problem.folds):
        rest = np.concatenate([other for j, other in enumerate(problem.folds) if j != i])
        for name in scores:
            models[name].append(_fit(candidates[name], problem, rest))
            scores[name][fold] = models[name][-1].predict(problem.z[fold])
            bar.update()
        if i == 0 and problem.z.size * k > SCREENED_VALUES:
            coefficients = _mix(problem, scores, fold)[1:]
            scores = {
                name: scores[name]
                for name, coefficient in zip(scores, coefficients, strict=True)
                if coefficient > MIN_COEFFICIENT
            }
    return scores, models


def _gains(problem: MixtureProblem, outputs: np.ndarray) -> bool:
    """Return whether rows are predicted better than by the network, by more than chance.

    The standard error is that of independent rows, or of independent groups (Liang and Zeger 1986).
    """
    target, share = torch.from_numpy(problem.rows.target), problem.share
    before, after = (
        row_losses(problem.tasks, torch.from_numpy(values), target).sum(1).numpy()
        for values in (problem.outputs, outputs)
    )
    gain = before - after
    deviations = share * (gain - share @ gain)
    if problem.groups is not None:
        _, group = np.unique(problem.groups, return_inverse=True)
        deviations = np.bincount(group, deviations)
    error = math.sqrt(deviations @ deviations)
    return bool(share @ gain > STANDARD_ERRORS * error)


def _fit(candidate: Candidate, problem: MixtureProblem, index: np.ndarray | slice) -> ScoreModel:
    """Fit a clone to some of the rows."""
    target, is_used = problem.rows.target, np.zeros(len(problem.z), dtype=bool)
    if candidate.fits_residuals:
        target = target - problem.outputs
    is_used[index] = True
    columns = candidate.columns
    z = problem.z if columns is None else problem.z[:, columns]
    data = z, target, problem.rows.weight, problem.tasks, problem.seed
    model = fit_score_model(candidate.estimator, *data, is_used)
    return model._replace(margin=MARGIN, columns=columns)


def _mix(
    problem: MixtureProblem, scores: Mapping[str, np.ndarray], index: np.ndarray | slice
) -> np.ndarray:
    """Compute the coefficients of the network and of the models that suit rows best (1 + M,)."""
    target = torch.from_numpy(problem.rows.target[index])
    weight = torch.from_numpy(problem.rows.weight[index])
    values = [problem.outputs[index], *(s[index] for s in scores.values())]
    stacked = torch.from_numpy(np.stack(values).astype(float))  # (1 + M, n, k)
    start = np.eye(len(stacked))[0]

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        coefficients = torch.from_numpy(values).requires_grad_()
        outputs = torch.tensordot(coefficients, stacked, dims=1)
        losses = row_losses(problem.tasks, outputs, target).sum(1)
        prior = (coefficients - torch.from_numpy(start)).square().sum()
        total = weight @ losses + PRIOR_STRENGTH * prior
        total.backward()
        assert coefficients.grad is not None
        return float(total.detach()), coefficients.grad.numpy()

    bounds = [(0, None)] * len(start)
    return minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x


def _sample_background(problem: MixtureProblem) -> np.ndarray:
    """Draw rows; where one lacks a modality that others have, another row's takes its place."""
    random_state = np.random.RandomState(problem.seed)
    order = random_state.permutation(np.concatenate(problem.folds))
    background = problem.z[order[:BACKGROUND_ROWS]].copy()
    starts = np.cumsum([0, *problem.widths])
    for start, end in itertools.pairwise(starts):
        is_missing = np.isnan(background[:, start])
        having = order[~np.isnan(problem.z[order, start])]
        if is_missing.any() and len(having):
            drawn = random_state.choice(having, is_missing.sum())
            background[is_missing, start:end] = problem.z[drawn, start:end]
    return background


def _measure_spreads(
    problem: MixtureProblem, mixture: FittedInteraction, models: Sequence[list[ScoreModel]]
) -> np.ndarray:
    """Compute the spread of each part of the outputs, over rows of each fold (m + 1, k).

    Less what is chance: models of two folds have half of their rows in common. What they learn of
    the data is the same in both, and of what they learn by chance about half, so the variance less
    chance is twice their covariance less the variance.
    """
    variances = np.zeros((len(problem.widths) + 1, problem.outputs.shape[1]))
    for i, fold in enumerate(problem.folds):
        z = problem.z[fold[:: math.ceil(len(fold) / MEASURED_ROWS)]]
        unseen, other = [
            mixture._replace(models=[model[j] for model in models]).split(z)
            for j in (i, (i + 1) % len(problem.folds))
        ]
        unseen, other = unseen - unseen.mean(0), other - other.mean(0)
        covariance = (unseen * other).mean(0)
        if len(problem.folds) > 2:  # of two folds the models have no row in common
            covariance = 2 * covariance - (unseen**2).mean(0)
        variances += len(fold) * covariance
    return np.sqrt(variances.clip(min=0) / sum(map(len, problem.folds)))


def _spread(problem: MixtureProblem, outputs: np.ndarray) -> float:
    """Compute the root mean square of outputs (n, k), centred for each output."""
    centred = outputs - problem.share @ outputs
    return float(np.sqrt((problem.share @ centred**2).sum()))
