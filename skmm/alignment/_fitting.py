"""From arrays and parameters to a trained network: where numpy ends and torch begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from .._torch.device import choose_device
from ..fusion._fitting import put_on_device, seeded
from ..fusion._losses import Rows
from ..fusion._modalities import ScaledRows
from ..fusion._prediction import precise_network
from ..fusion._solvers import Settings
from ..fusion._training import History, precise
from ._closed_form import LinearMaps
from ._network import AlignmentNetwork, AlignmentObjective, align, unit

LEARNED_TEMPERATURE = 0.07  # where it starts, as in CLIP


class Problem(NamedTuple):
    """What is trained on; modalities in the order of ``modalities_``."""

    x: np.ndarray | ScaledRows  # (n, sum of widths) scaled float32
    present: np.ndarray  # (n, m)
    target: np.ndarray | None  # (n,) numbers of classes
    fitting: np.ndarray  # positions of the rows to train on
    held_out: np.ndarray | None  # positions of the rows for early stopping
    widths: Sequence[int]


def make_network(
    widths: Sequence[int],
    n_components: int,
    parameters: Mapping[str, Any],
    maps: LinearMaps | None,
    *,
    linear: bool = False,
) -> AlignmentNetwork:
    """Build a network, which starts from ``maps`` if they are given; ``linear`` has no layers.

    Each component is weighted by the root of its correlation: as both modalities tell of it, this
    is the mean of what they have in common given one of them (Bach and Jordan 2005).
    """
    temperature = parameters["temperature"]
    network = AlignmentNetwork(
        n_features=widths,
        n_components=n_components,
        hidden_layer_sizes=[]
        if linear
        else np.atleast_1d(parameters["hidden_layer_sizes"]).tolist(),
        activation=parameters["activation"],
        dropout=parameters["dropout"],
        temperature=LEARNED_TEMPERATURE if temperature is None else temperature,
        learn_temperature=temperature is None,
    )
    if maps is not None:
        factors = np.sqrt(maps.correlations.clip(0))
        weights = [torch.from_numpy(own * factors) for own in maps.weights]
        network.start_from(weights, [torch.from_numpy(own * factors) for own in maps.offsets])
    return network


def fit_network(
    problem: Problem,
    n_components: int,
    parameters: Mapping[str, Any],
    maps: LinearMaps | None,
    seed: int,
) -> tuple[AlignmentNetwork, AlignmentObjective, History]:
    """Build and train a network; torch's own random state is left as it was."""
    device = choose_device(parameters["device"])
    n = len(problem.present)
    target = np.full(n, -1) if problem.target is None else problem.target
    rows = Rows(
        put_on_device(problem.x, device),
        torch.from_numpy(problem.present).to(device),
        torch.from_numpy(target[:, None]).to(device),
        torch.ones(n, device=device),
    )
    fitting = torch.from_numpy(problem.fitting).to(device)
    held_out = None if problem.held_out is None else torch.from_numpy(problem.held_out).to(device)
    with seeded(device, seed):
        network = make_network(problem.widths, n_components, parameters, maps).to(device)
        objective = AlignmentObjective(
            parameters["alignment"],
            _pairs(network.views, problem.present[problem.fitting]),
            network.views,
            problem.target is not None,
        )
        settings = _settings(parameters, len(fitting))
        history = align(network, rows, fitting, held_out, objective, settings)
    return network, objective, history


def _pairs(views: Sequence[int], present: np.ndarray) -> list[tuple[int, int]]:
    """Ordered pairs of views that some rows have both of."""
    together = present.T.astype(int) @ present.astype(int)
    numbers = range(len(views))
    return [(i, j) for i in numbers for j in numbers if i != j and together[views[i], views[j]] > 0]


def _settings(parameters: Mapping[str, Any], n_rows: int) -> Settings:
    shared = {name: parameters[name] for name in Settings._fields if name in parameters}
    fixed = {
        "solver": "adamw",
        "modality_dropout": 0.0,
        "precision": "float32",
        "balance": None,
        "learn_weights": False,
        "calibrate": False,
    }
    return Settings(**{**shared, **fixed})


def history_frame(
    history: History, objective: AlignmentObjective, names: Sequence[str]
) -> pd.DataFrame:
    """Name the terms of the loss."""
    of_views = [names[i] for i in objective.views]
    columns = [f"alignment__{of_views[i]}__{of_views[j]}" for i, j in objective.pairs]
    values = np.array(history.terms)
    frame = pd.DataFrame({"loss": values @ np.array(objective.coefficients)})
    for name in dict.fromkeys(columns):
        frame[name] = values[:, [column == name for column in columns]].mean(1)
    if history.validation:
        frame["validation_loss"] = history.validation
    return frame.rename_axis("epoch")


def represent(network: AlignmentNetwork, i: int, x: np.ndarray, device: str) -> np.ndarray:
    """Unit vectors (n, q) in float64 of the scaled columns (n, d_i) of modality ``i``."""
    place = choose_device(device)
    exact = precise_network(network, place)
    with torch.inference_mode():
        values = precise(torch.from_numpy(x).to(place))
        return unit(exact.represent(i, values)).double().cpu().numpy()
