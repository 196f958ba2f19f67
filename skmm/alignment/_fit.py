"""From a problem and settings to what is fitted: where numpy ends and torch begins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state
from torch import Tensor

from .._data.rows import TrainingRows, sample_holdout
from .._data.scaling import ColumnScaler, ScaledRows, scale_rows
from .._hyperparameters import AdamW
from .._progress import progress_bar
from .._torch.device import choose_device
from .._torch.generators import Generators, use_generators
from .._torch.loop import EpochLoop, History, warn_of_interrupt
from .._torch.modes import training_modes
from .._torch.perceptrons import PerceptronSpec
from .._torch.solvers import TrainingSettings
from .._torch.tensors import TrainingTensors, put_on_device
from ._architecture import AlignmentSpec, build_network
from ._closed_form import LinearMaps, canonical_maps
from ._fitted import FittedAligner
from ._network import AlignmentNetwork
from ._objective import AlignmentObjective, find_pairs
from ._partial_rows import PartialRows
from ._problem import AlignmentProblem
from ._settings import AlignmentSettings

LEARNED_TEMPERATURE = 0.07  # where it starts, as in CLIP
NO_HIDDEN_LAYERS = PerceptronSpec((), "identity", 0.0, 0.0)


@training_modes()
def fit(problem: AlignmentProblem, settings: AlignmentSettings) -> FittedAligner:
    """Fit the map of each modality to a problem: in closed form, or by training from there.

    Raises
    ------
    ValueError
        If no column of a modality varies, too few rows can be held out, or training diverges.
    """
    columns, rows = problem.columns, _select_rows(problem)
    scaler = ColumnScaler.fit(problem.X, rows.index, columns.groups, rows.present, rows.weight)
    positions = np.concatenate(list(columns.groups.values()))
    x = scale_rows(problem.X, rows.index, positions, scaler)
    maps = _find_maps(problem, settings, rows, scaler, x) if settings.uses_correlations else None
    spec = _make_spec(problem, settings, maps)
    if settings.is_closed_form:
        generators = Generators.seeded(torch.device("cpu"), 0)  # what is drawn is replaced
        with use_generators(generators):
            network, history = _make_network(spec, maps), None
    else:
        network, history = _fit_network(problem, settings, rows, x, spec, maps)
    fitted = FittedAligner(
        network=network.cpu().eval(),
        spec=spec,
        columns=columns,
        scaler=scaler,
        correlations=None if maps is None else maps.correlations,
        history=history,
    )
    if settings.store_embeddings:
        training_rows = PartialRows(problem.X, columns.groups, problem.present)
        fitted.embeddings = fitted.embed_each(training_rows, settings.device)
    return fitted


def _select_rows(problem: AlignmentProblem) -> TrainingRows:
    """Select the rows that have any modality."""
    index = np.flatnonzero(problem.present.any(1))
    codes = np.full(len(problem.X), -1) if problem.codes is None else problem.codes
    return TrainingRows(index, codes[index, None], problem.present[index], np.ones(len(index)))


def _find_maps(
    problem: AlignmentProblem,
    settings: AlignmentSettings,
    rows: TrainingRows,
    scaler: ColumnScaler,
    x: np.ndarray | ScaledRows,
) -> LinearMaps:
    """Find the canonical correlations."""
    constant = [
        name
        for name, positions in problem.columns.groups.items()
        if np.isinf(scaler.scale_[positions]).all()
    ]
    if constant:
        raise ValueError(
            f"No column of modality {constant[0]!r} varies over the rows. Leave them out, or check "
            "the step that makes them."
        )
    widths = problem.widths
    most = sum(widths) - max(widths) if len(widths) > 1 else widths[0]
    n_components = min(settings.n_components, most)
    return canonical_maps(x, rows.present, widths, n_components, settings.regularization)


def _make_spec(
    problem: AlignmentProblem, settings: AlignmentSettings, maps: LinearMaps | None
) -> AlignmentSpec:
    """Return what the network is built from."""
    temperature = settings.temperature
    return AlignmentSpec(
        n_features=problem.widths,
        n_components=settings.n_components if maps is None else len(maps.correlations),
        perceptron=NO_HIDDEN_LAYERS if settings.is_closed_form else settings.modality_model._spec(),
        linear_dropout=settings.linear_dropout,
        temperature=LEARNED_TEMPERATURE if temperature is None else float(temperature),
        learns_temperature=temperature is None,
    )


def _make_network(spec: AlignmentSpec, maps: LinearMaps | None) -> AlignmentNetwork:
    """Build a network, which starts from ``maps`` if they are given.

    Each component is weighted by the root of its correlation: as both modalities depend on it, this
    is the mean of what they have in common given one of them (Bach and Jordan 2005).
    """
    network = build_network(spec)
    if maps is not None:
        factors = np.sqrt(maps.correlations.clip(0))
        weights = [torch.from_numpy(weight * factors) for weight in maps.weights]
        network.start_from(weights, [torch.from_numpy(b * factors) for b in maps.offsets])
    return network


def _fit_network(
    problem: AlignmentProblem,
    settings: AlignmentSettings,
    rows: TrainingRows,
    x: np.ndarray | ScaledRows,
    spec: AlignmentSpec,
    maps: LinearMaps | None,
) -> tuple[AlignmentNetwork, pd.DataFrame]:
    """Build and train a network; also return the frame of its history."""
    random_state = check_random_state(settings.random_state)
    paired = np.flatnonzero(problem.is_paired[rows.index])
    fitting, held_out = _split_rows(paired, rows.target[paired, 0], settings.solver, random_state)
    seed = random_state.randint(np.iinfo(np.int32).max)
    device = choose_device(settings.device)
    tensors = TrainingTensors(
        put_on_device(x, device),
        torch.from_numpy(rows.present).to(device),
        torch.from_numpy(rows.target).to(device),
        torch.from_numpy(rows.weight.astype(np.float32)).to(device),
    )
    with use_generators(Generators.seeded(device, seed)):
        network = _make_network(spec, maps).to(device)
        objective = AlignmentObjective(
            settings.alignment,
            find_pairs(network.views, rows.present[fitting]),
            network.views,
            problem.codes is not None,
        )
        history = train(
            network,
            tensors,
            torch.from_numpy(fitting).to(device),
            None if held_out is None else torch.from_numpy(held_out).to(device),
            objective,
            settings.training(len(fitting)),
        )
    return network, objective.history_frame(history, problem.columns.names)


def _split_rows(
    paired: np.ndarray, codes: np.ndarray, solver: AdamW, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray | None]:
    """Split the rows to train on into those to fit and those to hold out."""
    if not solver.early_stopping:
        return paired, None
    is_held_out = sample_holdout(codes, solver.validation_fraction, random_state)
    if min(is_held_out.sum(), (~is_held_out).sum()) < 2:
        raise ValueError(
            f"validation_fraction={solver.validation_fraction} of {len(paired)} rows with two "
            f"modalities is {is_held_out.sum()}; early_stopping needs at least 2 rows to train on "
            "and 2 to hold out."
        )
    return paired[~is_held_out], paired[is_held_out]


def train(
    network: AlignmentNetwork,
    rows: TrainingTensors,
    fitting: Tensor,
    held_out: Tensor | None,
    objective: AlignmentObjective,
    settings: TrainingSettings,
) -> History:
    """Train ``network`` in place."""
    loop = EpochLoop(network, rows, fitting, held_out, objective, settings)
    with progress_bar(desc="alignment", total=settings.max_iter, verbose=settings.verbose) as bar:
        try:
            loop.run(bar)
        except KeyboardInterrupt:
            if not loop.history.terms:
                raise
            warn_of_interrupt(len(loop.history.terms), settings.max_iter)
    return loop.history
