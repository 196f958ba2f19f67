"""From a problem and settings to what is fitted: where numpy ends and torch begins."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state

from .._data.persistence import digest_arrays
from .._data.random_states import open_random_state
from .._data.rows import TrainingRows, assign_folds, order_rows, sample_holdout, select_rows
from .._data.scaling import ColumnScaler, ScaledRows, compute_moments, scale_rows
from .._data.targets import Scale, measure_scale, strata
from .._torch.checkpoint import Checkpoint
from .._torch.device import choose_device
from .._torch.generators import Generators, use_generators
from .._torch.loop import History
from .._torch.modes import training_modes
from .._torch.parallel import broadcast_from_first
from .._torch.processes import gather_over_processes, rank, sum_over_processes
from .._torch.tensors import TrainingTensors, put_on_device
from .._warnings import warn_user
from ._architecture import NetworkSpec, build_network, copy_parameters
from ._cross_fitting import Learned, Split, Training, train
from ._fitted import FittedFusion, StreamState
from ._models import ScoreModel, replace_by_scores
from ._objective import FusionObjective
from ._settings import FusionProblem, FusionSettings
from ._streaming import train_on_batch

N_FOLDS = 3
PARAMETERS = {  # of an estimator, that decide a field of `NetworkSpec`
    "rule_parameters": "fusion",
    "modality_heads": "modality_loss_weight or alignment",
}


class RowSplit(NamedTuple):
    """Positions of training rows by their use, in an order that the data determine."""

    fitting: np.ndarray
    folds: list[np.ndarray]  # a partition of these
    held_out: np.ndarray | None  # for early stopping

    def to(self, device: torch.device) -> Split:
        """Copy to a device."""
        held_out = None if self.held_out is None else torch.from_numpy(self.held_out).to(device)
        folds = [torch.from_numpy(fold).to(device) for fold in self.folds]
        return Split(torch.from_numpy(self.fitting).to(device), folds, held_out)


@training_modes()
def fit(
    problem: FusionProblem, settings: FusionSettings, start: FittedFusion | None = None
) -> FittedFusion:
    """Fit a network to a problem; from the parameters of ``start``, if it is given.

    Raises
    ------
    ValueError
        If a modality is missing from all rows, too few rows can be held out, training diverges, or
        a checkpoint belongs to another fit.
    """
    rows = select_training_rows(problem, settings)
    checkpoint = None if settings.checkpoint is None else Checkpoint(settings.checkpoint)
    rows, scale = _scale_target(problem, rows, start)
    groups = problem.columns.network_groups
    scaler = ColumnScaler.fit(problem.X, rows.index, groups, rows.present, rows.weight)
    in_memory = settings.solver._name == "lbfgs"
    x = scale_rows(problem.X, rows.index, problem.network_columns, scaler, in_memory=in_memory)
    random_state = open_random_state(settings.random_state, checkpoint)
    split = _split_rows(problem, settings, rows, order_rows(x), random_state)
    seed = random_state.randint(np.iinfo(np.int32).max)
    columns = x
    x, score_models = _add_scores(problem, settings, rows, split, x, seed)
    if checkpoint:
        checkpoint.identify(_describe_fit(settings, scaler, rows, split, x, start))
    device, spec = choose_device(settings.device), make_spec(problem, settings)
    objective = make_objective(problem, settings)
    with use_generators(Generators.seeded(device, seed)):
        network = build_network(spec, settings.start_weights(problem.tasks)).to(device)
        positions = split.to(device)
        if start is not None:  # no row is unseen any more: what was learned of them stays
            positions = positions._replace(folds=[])
            copy_parameters(start.network, network, with_alpha=settings.learns_alpha)
        training = train(
            network,
            make_tensors(x, rows, device),
            positions,
            objective,
            settings.training(len(rows.index)),
            what_is_learned(settings),
            checkpoint,
        )
    fitted = FittedFusion(
        network=network,
        spec=spec,
        columns=problem.columns,
        scaler=scaler,
        prior_outputs=problem.prior_outputs,
        scale=scale,
        score_models=score_models,
        interaction=None if start is None else start.interaction,
        history=objective.history_frame(training.history, problem.columns.network_names),
        converged=training.history.converged,
    )
    fitted.measure_weights(problem.X, rows, settings.fixed_alpha, settings.device)
    if settings.interaction is not None and start is None:
        from ._mixture import fit_interaction  # scikit-learn's ensembles take long to import

        outputs = _read_out_of_fold(training, scale)
        data = rows, columns, outputs, split.fitting, split.folds, seed
        try:
            interaction = fit_interaction(problem, settings, *data)
            fitted.interaction = interaction._replace(scaler=copy.deepcopy(scaler))
        except KeyboardInterrupt:
            warn_user(
                "fit was interrupted while interaction was learned; the estimator is fitted "
                "without it.",
            )
            return fitted
    if checkpoint and training.is_whole:
        checkpoint.remove()
    return fitted


@training_modes()
def update(
    fitted: FittedFusion | None, problem: FusionProblem, settings: FusionSettings
) -> FittedFusion | None:
    """Fit to one more batch of a stream; None if no row of it can be learned from.

    Raises
    ------
    ValueError
        If the parameters ask for another network than ``fitted`` has.
    """
    spec = make_spec(problem, settings)
    if fitted is not None:
        _check_same_network(fitted, spec)
    index = np.flatnonzero((problem.weight > 0) & problem.present[:, settings.alpha > 0].any(1))
    n_rows = sum_over_processes(len(index))
    if n_rows == 0:
        return fitted
    stream = _start_stream(fitted, settings)
    mean_weight = stream.mean_weight(sum_over_processes(problem.weight[index].sum()), n_rows)
    weight = problem.weight[index] / mean_weight
    rows = TrainingRows(index, problem.target[index], problem.present[index], weight)
    scaler = fitted.scaler if fitted is not None else ColumnScaler(problem.X.shape[1])
    _update_scaler(scaler, problem, rows)
    x = scale_rows(problem.X, index, problem.network_columns, scaler)
    device, objective = choose_device(settings.device), make_objective(problem, settings)
    with use_generators(Generators.seeded(device, stream.next_seed(rank()))):
        if fitted is None:
            network = build_network(spec, settings.start_weights(problem.tasks)).to(device)
            broadcast_from_first(network)
        else:
            network = fitted.network.to(device)
        terms = train_on_batch(
            network,
            make_tensors(x, rows, device),
            objective,
            settings.training(n_rows),
            problem.tasks,
            what_is_learned(settings),
            stream,
        )
    history = objective.history_frame(History([terms], []), problem.columns.network_names)
    if fitted is not None:
        epochs = [fitted.history, history]
        history = pd.concat(epochs, ignore_index=True).rename_axis("epoch")
    updated = FittedFusion(
        network=network,
        spec=spec,
        columns=problem.columns,
        scaler=scaler,
        prior_outputs=problem.prior_outputs,
        interaction=None if fitted is None else fitted.interaction,
        history=history,
        stream=stream,
    )
    updated.measure_weights(problem.X, rows, settings.fixed_alpha, settings.device)
    return updated


def select_training_rows(problem: FusionProblem, settings: FusionSettings) -> TrainingRows:
    """Select the distinct rows that have a weight and a modality that counts."""
    return select_rows(
        problem.X,
        problem.network_columns,
        problem.target,
        problem.present,
        problem.weight,
        settings.alpha > 0,
        problem.columns.network_names,
    )


def make_spec(problem: FusionProblem, settings: FusionSettings) -> NetworkSpec:
    """Return what the network is built from."""
    n_outputs, mlp = [task.n_outputs for task in problem.tasks], settings.mlp
    is_scored = [name in settings.score_models for name in settings.models]
    widths = [len(columns) for columns in problem.columns.network_groups.values()]
    return NetworkSpec(
        n_features=[
            sum(n_outputs) if scored else width
            for scored, width in zip(is_scored, widths, strict=True)
        ],
        n_outputs=n_outputs,
        fusion=settings.rule.name,
        rule_parameters=settings.rule.get_params(),
        perceptrons=settings.perceptrons,
        modality_heads=bool(settings.modality_loss_weight.any() or settings.alignment == "kl"),
        sharing=mlp.sharing,
        n_members=mlp.n_members,
    )


def make_objective(problem: FusionProblem, settings: FusionSettings) -> FusionObjective:
    """Return the composite loss, with the terms whose weights are above 0."""
    lambda_, gamma = settings.modality_loss_weight, settings.alignment_weight
    return FusionObjective(
        {i: float(value) for i, value in enumerate(lambda_) if value > 0},
        {(i, j): float(value) for (i, j), value in np.ndenumerate(gamma) if value > 0},
        settings.alignment,
        problem.tasks,
        settings.mlp.n_members,
    )


def make_tensors(
    x: np.ndarray | ScaledRows, rows: TrainingRows, device: torch.device
) -> TrainingTensors:
    """Return rows as tensors on a device."""
    return TrainingTensors(
        put_on_device(x, device),
        torch.from_numpy(rows.present).to(device),
        torch.from_numpy(rows.target).to(device),
        torch.from_numpy(rows.weight.astype(np.float32)).to(device),
    )


def what_is_learned(settings: FusionSettings) -> Learned:
    """Return what is learned on rows that no network was trained on."""
    calibration = settings.solver.calibrate is not None
    has_interaction = settings.interaction is not None
    return Learned(settings.learns_alpha, settings.rule.learns_scale, calibration, has_interaction)


def _scale_target(
    problem: FusionProblem, rows: TrainingRows, start: FittedFusion | None
) -> tuple[TrainingRows, Scale | None]:
    """Scale y where it holds numbers: robustly, unless the loss is that of a mean."""
    if not problem.is_numeric:
        return rows, None
    robust = problem.tasks[0].kind != "squared_error"
    scale = measure_scale(rows.target, rows.weight, problem.target_names, robust=robust)
    if start is not None and start.interaction is not None:
        scale = start.target_scale.include(scale)  # in whose units the mixture predicts
    elif start is not None:
        scale = scale.include(start.target_scale)
    return rows._replace(target=scale.apply(rows.target)), scale


def _start_stream(fitted: FittedFusion | None, settings: FusionSettings) -> StreamState:
    """Return the state of the stream; a new one, after `fit` too."""
    if fitted is not None and fitted.stream is not None:
        return fitted.stream
    seed = int(check_random_state(settings.random_state).randint(2**31 - 1))
    return StreamState(seed, n_rows=0 if fitted is None else fitted.scaler.n_rows_)


def _update_scaler(scaler: ColumnScaler, problem: FusionProblem, rows: TrainingRows) -> None:
    """Add the statistics of the rows of all processes."""
    groups = problem.columns.network_groups
    moments = compute_moments(problem.X, rows.index, groups, rows.present, rows.weight)
    scaler.n_rows_ += sum_over_processes(len(rows.index))
    for columns, block in zip(groups.values(), moments, strict=True):
        scaler.merge(columns, gather_over_processes(block))


def _check_same_network(fitted: FittedFusion, spec: NetworkSpec) -> None:
    """Raise if the parameters ask for another network than that of the stream."""
    changed = fitted.spec.first_difference(spec)
    if changed is not None:
        name, before, now = changed
        raise ValueError(
            f"partial_fit goes on with the network that it has, and {PARAMETERS.get(name, name)} "
            f"asks for another ({name} was {before!r} and is {now!r}). Set it to what it was, or "
            "start anew."
        )


def _split_rows(
    problem: FusionProblem,
    settings: FusionSettings,
    rows: TrainingRows,
    order: np.ndarray,
    random_state: np.random.RandomState,
) -> RowSplit:
    """Split rows, in their ``order``, into those to fit, folds of these, and the rest."""
    stratum = strata(rows.target, problem.tasks[0].kind)
    groups = None if problem.groups is None else problem.groups[rows.index]
    solver, held_out = settings.solver, None
    if solver.early_stopping:
        ordered = None if groups is None else groups[order]
        is_held_out = sample_holdout(
            stratum[order], solver.validation_fraction, random_state, ordered
        )
        if is_held_out.all() or not is_held_out.any():
            raise ValueError(
                f"validation_fraction={solver.validation_fraction} of {len(order)} distinct rows "
                f"is {is_held_out.sum()}; early_stopping needs rows to train on and rows to hold "
                "out."
            )
        held_out, order = order[is_held_out], order[~is_held_out]
    ordered = None if groups is None else groups[order]
    fold = assign_folds(stratum[order], N_FOLDS, random_state, ordered)
    return RowSplit(order, [order[fold == i] for i in np.unique(fold)], held_out)


def _read_out_of_fold(training: Training, scale: Scale | None) -> np.ndarray | None:
    """Return what networks compute of rows that they have not seen, clipped as predictions are."""
    if training.out_of_fold is None or not training.is_whole:
        return None
    outputs = training.out_of_fold.cpu().numpy()
    return outputs if scale is None else np.nan_to_num(scale.clip(outputs))


def _add_scores(
    problem: FusionProblem,
    settings: FusionSettings,
    rows: TrainingRows,
    split: RowSplit,
    x: np.ndarray | ScaledRows,
    seed: int,
) -> tuple[np.ndarray | ScaledRows, dict[str, ScoreModel]]:
    """Replace columns whose f_i is an estimator by its scores; also return the estimators."""
    if not settings.score_models:
        return x, {}
    groups, folds = problem.columns.network_groups, split.folds
    data = problem.X, x[:], rows, problem.tasks, folds, split.held_out, seed
    return replace_by_scores(settings.score_models, groups, *data)


def _describe_fit(
    settings: FusionSettings,
    scaler: ColumnScaler,
    rows: TrainingRows,
    split: RowSplit,
    x: np.ndarray | ScaledRows,
    start: FittedFusion | None,
) -> dict[str, str]:
    """Return what a fit depends on, so that another one is not taken for it."""
    data = [*scaler.state.values(), *rows[1:], split.fitting, *split.folds]
    if settings.score_models:
        data.append(x[:])
    if start is not None:
        data += [value.cpu().numpy() for value in start.network.state_dict().values()]
    return {**settings.identity, "data": digest_arrays(data)}
