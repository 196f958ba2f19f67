"""Does fusing pay? The estimator beside simpler ones, on rows that none of them was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import check_random_state
from tqdm.auto import tqdm

from ._rows import deal_folds
from ._targets import strata
from ._tasks import Task

if TYPE_CHECKING:
    from ._base import BaseFusion

N_FOLDS = 3
SURE = 2.0  # standard errors
SUREST_LOGIT = 50.0
INNER = {"guard": False, "checkpoint": None, "verbose": False}
UNWEIGHTED = {"modality_weights": None, "alignment_weight": 0.0, "sharing": None, "balance": None}
LINEAR = {"fusion": "additive", "hidden_layer_sizes": (), "modality_loss_weight": 0.0}


class Verdict(NamedTuple):
    """What unseen rows say of the models."""

    scores: pd.DataFrame  # a row for each model, the fused one first
    parameters: Mapping[str, Any]  # to set for the model that is taken; none if fusing pays


class Data(NamedTuple):
    """What a model is trained on, with distinct rows."""

    X: np.ndarray
    target: np.ndarray  # (n, t)
    weight: np.ndarray
    tasks: Sequence[Task]
    groups: np.ndarray | None


def simpler_models(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Parameters of each simpler model, in place of the estimator's own."""
    late = {**UNWEIGHTED, "fusion": "late"}
    models: dict[str, dict[str, Any]] = {}
    for name in names:
        alone = {other: float(other == name) for other in names}
        models[f"{name} alone"] = {**late, "modality_weights": alone}
    models["average"] = {**late, "modality_weights": "uniform"}
    models["linear, all columns"] = {**UNWEIGHTED, **LINEAR}
    return models


def judge(estimator: BaseFusion, data: Data) -> Verdict:
    """Compare the estimator with simpler models, by cross-validation on distinct rows.

    A simpler model is taken if its loss is lower by more than `SURE` standard errors of the
    difference over rows.
    """
    random_state = check_random_state(estimator.random_state)
    stratum = strata(data.target, data.tasks[0].kind)
    fold = deal_folds(stratum, N_FOLDS, random_state, data.groups)
    candidates = {"fused": {}, **simpler_models(list(estimator.modalities_))}
    loss = {label: np.zeros(len(data.X)) for label in candidates}
    n_fits = len(candidates) * N_FOLDS
    with tqdm(total=n_fits, desc="guard", disable=not estimator.verbose) as bar:
        for label, parameters in candidates.items():
            for held_out, losses in _unseen_losses(estimator, parameters, data, fold):
                loss[label][held_out] = losses
                bar.update()
    scores = pd.DataFrame(
        [_compare(loss["fused"], each, data.weight) for each in loss.values()],
        index=pd.Index(list(loss), name="model"),
    )
    best = scores["loss"].idxmin()
    if scores.loc[best, "gain"] <= SURE * scores.loc[best, "standard_error"]:
        return Verdict(scores, {})
    warnings.warn(
        f"Fusing does not pay: on rows that it was not trained on its loss is "
        f"{scores.loc['fused', 'loss']:.4f}, that of {best!r} {scores.loc[best, 'loss']:.4f} "
        f"(standard error of the difference: {scores.loc[best, 'standard_error']:.4f}). {best!r} "
        "takes its place; guard_scores_ has the figures of all.",
        stacklevel=5,
    )
    return Verdict(scores, candidates[best])


def stand_in(estimator: BaseFusion, parameters: Mapping[str, Any]) -> BaseFusion:
    """Give a clone with other parameters that knows what its original has read of X and y."""
    twin = clone(estimator).set_params(**INNER | dict(parameters))
    own = estimator.get_params(deep=False)
    vars(twin).update({name: value for name, value in vars(estimator).items() if name not in own})
    return twin


def _unseen_losses(
    estimator: BaseFusion, parameters: Mapping[str, Any], data: Data, fold: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows of each fold, and their losses by a model that was trained on the others."""
    import torch

    from ._losses import row_losses

    for i in np.unique(fold):
        rows, held_out = np.flatnonzero(fold != i), np.flatnonzero(fold == i)
        twin = stand_in(estimator, parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the fit on all rows tells of them
            groups = None if data.groups is None else data.groups[rows]
            twin._train(data.X[rows], data.target[rows], data.weight[rows], data.tasks, groups)
        outputs, present = twin._run(data.X[held_out], lambda net, parts, a: net.logits(a, parts))
        # What is sure is not infinitely so: that times 0 would be NaN.
        prior = np.clip(twin._prior_outputs(), -SUREST_LOGIT, SUREST_LOGIT)
        outputs[twin._without_modality(present)] = prior
        target = torch.from_numpy(twin._scaled(data.target[held_out]))
        losses = row_losses(data.tasks, torch.from_numpy(outputs), target)
        yield held_out, losses.sum(1).numpy()


def _compare(fused: np.ndarray, losses: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Mean loss, by how much it is below that of the fused model, and how sure that is."""
    share = weight / weight.sum()
    gain = fused - losses
    mean = share @ gain
    error = np.sqrt(share**2 @ (gain - mean) ** 2)
    return {"loss": share @ losses, "gain": mean, "standard_error": error}
