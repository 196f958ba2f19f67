"""Does fusing pay? The settings compared with simpler ones, on rows that were not trained on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state
from tqdm.auto import tqdm

from .._data.rows import assign_folds
from .._data.targets import strata
from .._torch.losses import row_losses
from .._warnings import warn_user
from ._fit import N_FOLDS, fit, select_training_rows
from ._rules import Additive, Late
from ._settings import MLP, AdamW, FusionProblem, FusionSettings

STANDARD_ERRORS = 2.0
SUREST_LOGIT = 50.0


class Comparison(NamedTuple):
    """How models do on rows that they were not trained on."""

    scores: pd.DataFrame  # a row for each model, the fused one first
    settings: FusionSettings  # of the model to fit


def compare(problem: FusionProblem, settings: FusionSettings) -> Comparison:
    """Compare settings with those of simpler models, by cross-validation on distinct rows.

    A simpler model is taken if its loss is lower by more than two standard errors of the
    difference over rows.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # `fit` warns of rows that are left out
        rows = select_training_rows(problem, settings)
    data = problem.take(rows.index)._replace(weight=rows.weight)
    random_state = check_random_state(settings.random_state)
    fold = assign_folds(strata(data.target, data.tasks[0].kind), N_FOLDS, random_state, data.groups)
    candidates = {"fused": settings, **simpler_settings(settings, problem.columns.names)}
    losses = {label: np.zeros(len(data.X)) for label in candidates}
    n_fits = len(candidates) * len(np.unique(fold))
    with tqdm(total=n_fits, desc="guard", disable=not settings.verbose) as bar:
        for label, candidate in candidates.items():
            quiet = replace(candidate, checkpoint=None, verbose=False)
            for i in np.unique(fold):
                held_out = fold == i
                losses[label][held_out] = _held_out_losses(data, quiet, held_out)
                bar.update()
    scores = pd.DataFrame(
        [_summarise(losses["fused"], loss, data.weight) for loss in losses.values()],
        index=pd.Index(list(losses), name="model"),
    )
    best = scores["loss"].idxmin()
    if scores.loc[best, "gain"] <= STANDARD_ERRORS * scores.loc[best, "standard_error"]:
        return Comparison(scores, settings)
    warn_user(
        f"Fusing does not pay: on rows that it was not trained on its loss is "
        f"{scores.loc['fused', 'loss']:.4f}, that of {best!r} {scores.loc[best, 'loss']:.4f} "
        f"(standard error of the difference: {scores.loc[best, 'standard_error']:.4f}). {best!r} "
        "takes its place; guard_scores_ has the figures of all.",
    )
    return Comparison(scores, candidates[str(best)])


def simpler_settings(
    settings: FusionSettings, names: Sequence[str]
) -> Mapping[str, FusionSettings]:
    """Return the settings of each modality alone, of their average, and of a linear model."""
    m, solver = len(settings.alpha), settings.solver
    if isinstance(solver, AdamW):
        solver = AdamW(**{**solver.get_params(), "balance": None})
    plain = replace(
        settings.with_models(sharing=None),
        rule=Late(),
        alignment_weight=np.zeros((m, m)),
        learns_alpha=False,
        solver=solver,
    )
    models = {
        f"{name} alone": replace(plain, alpha=np.array([float(n == name) for n in settings.models]))
        for name in names
    }
    equal = np.full(m, 1 / m)
    models["average"] = replace(plain, alpha=equal)
    linear = {
        name: MLP((), n_members=settings.mlp.n_members, missing=settings.mlp.missing)
        for name in settings.models
    }
    models["linear, all columns"] = replace(
        plain, rule=Additive(), alpha=equal, models=linear, modality_loss_weight=np.zeros(m)
    )
    return models


def _held_out_losses(
    data: FusionProblem, settings: FusionSettings, held_out: np.ndarray
) -> np.ndarray:
    """Fit to the other rows, and compute the loss of each row that is held out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the fit on all rows warns of them
        fitted = fit(data.take(np.flatnonzero(~held_out)), settings)
        # What is sure is not infinitely so: that times 0 would be NaN.
        fitted.prior_outputs = np.clip(fitted.prior_outputs, -SUREST_LOGIT, SUREST_LOGIT)
        outputs = fitted.run(data.X[held_out], settings.device).outputs("the prior")
    target = data.target[held_out]
    if fitted.scale is not None:
        target = fitted.scale.apply(target)
    losses = row_losses(data.tasks, torch.from_numpy(outputs), torch.from_numpy(target))
    return losses.sum(1).numpy()


def _summarise(fused: np.ndarray, losses: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Return the mean loss, by how much it is below that of the fused model, and its error."""
    share = weight / weight.sum()
    gain = fused - losses
    mean = share @ gain
    error = np.sqrt(share**2 @ (gain - mean) ** 2)
    return {"loss": share @ losses, "gain": mean, "standard_error": error}
