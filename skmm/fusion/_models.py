"""The models f_i: a perceptron, or an estimator of scikit-learn whose scores are fused.

The scores of an estimator are out of fold: a row's score comes from a clone that was fitted to
other rows. Otherwise an estimator that memorises its rows would get all of the weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.ensemble._base import _set_random_states
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from .._data.columns import as_slice
from .._data.rows import TrainingRows
from .._hyperparameters import MLP
from .._torch.tasks import Task
from .._warnings import warn_user

MODELS = ("auto", "mlp", "linear")
MANY_ROWS = 1000
SCORE_MARGIN = 1e-6  # of probabilities from 0 and 1: what is sure is not infinitely so


def resolve_models(modality_model, names: Sequence[str]) -> dict[str, BaseEstimator]:
    """Convert ``modality_model`` into the model of each modality.

    Raises
    ------
    ValueError
        If a dict does not name each modality and nothing else, or a value is no model.
    """
    if not isinstance(modality_model, Mapping):
        modality_model = dict.fromkeys(names, modality_model)
    unknown = [name for name in modality_model if name not in names]
    missing = [name for name in names if name not in modality_model]
    if unknown or missing:
        raise ValueError(
            f"modality_model must have a model for each modality of X, {list(names)}, and no other;"
            f" got {list(modality_model)}."
        )
    return {name: _resolve_model(modality_model[name], name) for name in names}


def _resolve_model(model, name: str) -> BaseEstimator:
    if isinstance(model, str):
        if model not in MODELS:
            raise ValueError(
                f"modality_model of {name!r} must be one of {MODELS}, an MLP or an estimator of "
                f"scikit-learn, got {model!r}."
            )
        model = MLP(hidden_layer_sizes=()) if model == "linear" else MLP()
    if isinstance(model, MLP):
        model._check()
    elif not hasattr(model, "fit") or isinstance(model, type):
        raise ValueError(
            f"modality_model of {name!r} must be one of {MODELS}, an MLP or an estimator of "
            f"scikit-learn, got {model!r}."
        )
    return model


def learns_in_batches(estimator) -> bool:
    """Return whether each f_i of an estimator is a perceptron: `partial_fit` trains no other.

    Raises
    ------
    AttributeError
        If one is not; it says which.
    """
    models = estimator.modality_model
    for model in models.values() if isinstance(models, Mapping) else [models]:
        if not isinstance(model, (str, MLP)):
            raise AttributeError(
                f"partial_fit trains perceptrons alone, and modality_model has {model!r}, which is "
                "fitted to all rows at once: use fit, or MLP() as modality_model."
            )
    return True


class ScoreModel(NamedTuple):
    """An estimator as f_i: one clone of it for each target, fitted to the rows that have it."""

    estimators: list[Any]  # None where only one class was known
    constants: list[np.ndarray]  # the scores where there is no estimator
    margin: float = SCORE_MARGIN  # of probabilities from 0 and 1
    columns: np.ndarray | None = None  # of X that the estimators read; None: all

    def predict_present(self, X: np.ndarray) -> np.ndarray:
        """Compute the scores of rows, zeros where the modality is missing (all NaN)."""
        scores = np.zeros((len(X), sum(map(len, self.constants))), dtype=np.float32)
        present = ~np.isnan(X[:, 0])
        if present.any():
            scores[present] = self.predict(X[present])
        return scores

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Compute scores (n, k): centred log-probabilities, log-odds, or scaled numbers."""
        X = X if self.columns is None else X[:, self.columns]
        scores = [
            np.tile(constant, (len(X), 1))
            if estimator is None
            else _scores(estimator, X, constant, self.margin)
            for estimator, constant in zip(self.estimators, self.constants, strict=True)
        ]
        return np.hstack(scores)


def check_score_model(name: str, estimator: BaseEstimator, *, numeric: bool) -> None:
    """Raise if an estimator cannot score a modality for this kind of target."""
    if isinstance(estimator, type):
        raise ValueError(f"{name} must be an estimator, got the class {estimator.__name__}.")
    if numeric and not is_regressor(estimator):
        raise ValueError(f"{name} must be a regressor, for y holds numbers, got {estimator}.")
    if not numeric and not (is_classifier(estimator) and hasattr(estimator, "predict_proba")):
        raise ValueError(
            f"{name} must be a classifier with predict_proba, for y holds "
            f"classes, got {estimator}. CalibratedClassifierCV adds predict_proba to a classifier "
            "that lacks it."
        )


def fit_score_model(
    estimator: BaseEstimator,
    X: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    tasks: Sequence[Task],
    seed: int,
    present: np.ndarray,
) -> ScoreModel:
    """Fit a clone of an estimator to each target, on the rows in which it is ``present``."""
    X, target, weight = X[present], target[present], weight[present]
    fitted, constants = [], []
    for task in tasks:
        for column in range(task.columns.start, task.columns.stop):
            model, constant = _fit_column(estimator, X, target[:, column], weight, task, seed)
            fitted.append(model)
            constants.append(constant)
    return ScoreModel(fitted, constants)


def replace_by_scores(
    estimators: Mapping[str, BaseEstimator],
    groups: Mapping[str, np.ndarray],
    X: np.ndarray,
    x: np.ndarray,
    rows: TrainingRows,
    tasks: Sequence[Task],
    folds: Sequence[np.ndarray],
    held_out: np.ndarray | None,
    seed: int,
) -> tuple[np.ndarray, dict[str, ScoreModel]]:
    """Put out-of-fold scores in the place of scaled columns whose f_i is an estimator.

    Parameters
    ----------
    estimators : dict of str to estimator
        The f_i of some modalities.
    groups : dict of str to ndarray of int
        The columns of all modalities in X, in the network's order.
    X : ndarray of shape (n_samples, n_columns)
    x : ndarray of shape (n_rows, sum of widths)
        The training rows, scaled, in the network's order.
    rows : TrainingRows
    tasks : sequence of Task
    folds : sequence of ndarray of int
    held_out : ndarray of int or None
        The positions of rows that belong to no fold.
    seed : int
        Of the estimators.

    Returns
    -------
    x : ndarray of shape (n_rows, sum of widths and numbers of scores)
        What the network is trained on.
    score_models : dict of str to ScoreModel
        The estimators, fitted to all rows.
    """
    if len(folds) < 2:
        raise ValueError(
            f"modality_model of {next(iter(estimators))!r} is an estimator, whose scores are out "
            f"of fold: at least 2 distinct rows are needed, got n_samples = {len(rows.index)}."
        )
    blocks, score_models, start = [], {}, 0
    for i, (name, columns) in enumerate(groups.items()):
        end = start + len(columns)
        if name in estimators:
            values = X[:, as_slice(columns)][rows.index]
            data = estimators[name], values, rows.target, rows.weight, tasks, seed
            blocks.append(out_of_fold_scores(*data, folds, held_out))
            score_models[name] = fit_score_model(*data, rows.present[:, i])
        else:
            blocks.append(x[:, start:end])
        start = end
    return np.hstack(blocks), score_models


def out_of_fold_scores(
    estimator: BaseEstimator,
    X: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    tasks: Sequence[Task],
    seed: int,
    folds: Sequence[np.ndarray],
    held_out: np.ndarray | None,
) -> np.ndarray:
    """Compute each row's scores (n, k) by a clone that was fitted to other rows.

    ``folds`` are the positions of the folds, ``held_out`` those of rows that belong to none. Rows
    of X that lack the modality are NaN, and their scores 0.
    """
    present = ~np.isnan(X[:, 0])
    n_outputs = max(task.outputs.stop for task in tasks)
    scores = np.zeros((len(X), n_outputs), dtype=np.float32)
    splits = [(np.setdiff1d(np.concatenate(folds), fold), fold) for fold in folds]
    if held_out is not None:
        splits.append((np.concatenate(folds), held_out))
    for training, scored in splits:
        is_trained_on = np.zeros(len(X), dtype=bool)
        is_trained_on[training] = present[training]
        model = fit_score_model(estimator, X, target, weight, tasks, seed, is_trained_on)
        scores[scored] = model.predict_present(X[scored])
    return scores


def _fit_column(
    estimator: BaseEstimator,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    task: Task,
    seed: int,
) -> tuple[Any, np.ndarray]:
    """Fit to one target where it is known; also return its mean score by weight."""
    known = y >= 0 if task.kind == "multiclass" else ~np.isnan(y)
    y, share = y[known], weight[known] / max(weight[known].sum(), np.finfo(float).tiny)
    if task.kind == "multiclass":
        constant = _log_scores(np.bincount(y, weights=share, minlength=task.n_outputs)[None])[0]
    elif task.kind == "multilabel":
        y = y.astype(int)
        constant = _log_odds(np.array([share @ y])) if len(y) else np.zeros(1)
    else:
        constant = np.array([share @ y])
    needed = 1 if task.is_numeric else 2
    if len(np.unique(y)) < needed:
        return None, constant
    return fit_clone(estimator, X[known], y, weight[known], seed), constant


def fit_clone(
    estimator: BaseEstimator, X: np.ndarray, y: np.ndarray, weight: np.ndarray, seed: int
) -> Any:
    """Fit a clone of an estimator, with the weights of rows if it takes them."""
    model: Any = clone(estimator)
    _set_random_states(model, np.random.RandomState(seed))
    if np.allclose(weight, 1):
        return model.fit(X, y)
    if has_fit_parameter(model, "sample_weight"):
        return model.fit(X, y, sample_weight=weight)
    if isinstance(model, Pipeline) and has_fit_parameter(model[-1], "sample_weight"):
        with config_context(enable_metadata_routing=False):  # no step asks for weights by itself
            return model.fit(X, y, **{f"{model.steps[-1][0]}__sample_weight": weight})
    if not np.allclose(weight, weight[0]):
        warn_user(
            f"{type(model).__name__}.fit takes no sample_weight: all distinct rows count alike.",
        )
    return model.fit(X, y)


def _scores(estimator: Any, X: np.ndarray, constant: np.ndarray, margin: float) -> np.ndarray:
    if is_regressor(estimator):
        return _predict(estimator, X).reshape(len(X), 1)
    proba = _predict(estimator, X)
    if len(constant) == 1:  # a label
        return _log_odds(proba[:, 1], margin)[:, None]
    aligned = np.zeros((len(X), len(constant)))
    aligned[:, np.asarray(estimator.classes_, dtype=int)] = proba
    return _log_scores(aligned, margin)


def _predict(estimator: Any, X: np.ndarray) -> np.ndarray:
    """Predict numbers (n,) or probabilities (n, k)."""
    if isinstance(estimator, (ExtraTreesClassifier, ExtraTreesRegressor)) and len(X) < MANY_ROWS:
        # The forest's own method takes longer to start a task for each tree than a tree takes.
        x = np.ascontiguousarray(X, dtype=np.float32)
        return np.mean([tree.tree_.predict(x) for tree in estimator.estimators_], axis=0)
    predict = estimator.predict if is_regressor(estimator) else estimator.predict_proba
    return np.asarray(predict(X), dtype=float)


def _log_scores(proba: np.ndarray, margin: float = SCORE_MARGIN) -> np.ndarray:
    """Return log-probabilities (n, k), centred over the classes."""
    logs = np.log(np.clip(proba, margin, 1))
    return logs - logs.mean(1, keepdims=True)


def _log_odds(proba: np.ndarray, margin: float = SCORE_MARGIN) -> np.ndarray:
    clipped = np.clip(proba, margin, 1 - margin)
    return np.log(clipped) - np.log1p(-clipped)
