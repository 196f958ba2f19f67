"""From arrays and parameters to a trained network: where numpy ends and torch begins."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from .._torch.device import choose_device
from ._checkpoint import Checkpoint
from ._combinations import learns_weights
from ._losses import ALIGNMENT_LOSSES, Objective, Rows
from ._modalities import ScaledRows
from ._network import FusionNetwork
from ._parallel import agree
from ._rows import TrainingRows
from ._saving import KIND
from ._solvers import Settings
from ._streaming import train_on_batch
from ._tasks import Task
from ._together import total
from ._training import History, Split, generators, train

CHUNK = 8192
PARAMETERS_OF_ARGUMENTS = {
    "impute": "missing",
    "modality_heads": "modality_loss_weight or alignment",
    "n_members": "n_ensembles",
}

_generators_in_use = threading.Lock()


class Problem(NamedTuple):
    """What is trained on; modalities in the network's order."""

    x: np.ndarray | ScaledRows  # (n, sum of widths) scaled float32
    rows: TrainingRows
    fitting: np.ndarray  # positions of the rows to train on
    folds: list[np.ndarray]  # a partition of these
    held_out: np.ndarray | None  # positions of the rows for early stopping
    widths: list[int]
    tasks: Sequence[Task]
    alpha: np.ndarray  # (m,)
    lambda_: np.ndarray  # (m,)
    gamma: np.ndarray  # (m, m)


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the generators of the CPU and of ``device`` alone, and put them back at the end.

    Threads share these generators, so one fits at a time: each gets its own sequence.
    """
    used = generators(device)
    with _generators_in_use:
        states = [generator.get_state() for generator in used]
        try:
            for generator in used:
                generator.manual_seed(seed)
            yield
        finally:
            for generator, state in zip(used, states, strict=True):
                generator.set_state(state)


def fit_network(
    problem: Problem,
    parameters: dict[str, Any],
    seed: int,
    checkpoint: Checkpoint | None = None,
    start: FusionNetwork | None = None,
) -> tuple[FusionNetwork, Objective, History]:
    """Build and train a network; torch's own random state is left as it was."""
    device = choose_device(parameters["device"])
    objective = _make_objective(problem, parameters)
    rows = _make_rows(problem, device)
    split = Split(
        torch.from_numpy(problem.fitting).to(device),
        [torch.from_numpy(fold).to(device) for fold in problem.folds],
        None if problem.held_out is None else torch.from_numpy(problem.held_out).to(device),
    )
    with seeded(device, seed):
        network = _make_network(problem, parameters).to(device)
        if start is not None:  # no row is unseen any more: what was learned of them stays
            split = split._replace(folds=[])
            _copy_network(start, network, learned=learns_weights(parameters))
        settings = _settings(parameters, len(rows.x))
        history = train(network, rows, split, objective, settings, checkpoint)
    return network, objective, history


def fit_batch(
    network: FusionNetwork | None,
    problem: Problem,
    parameters: dict[str, Any],
    seed: int,
    memory: dict[str, Any],
) -> tuple[FusionNetwork, Objective, History]:
    """Train a network, or a new one, on a batch of a stream."""
    device = choose_device(parameters["device"])
    objective = _make_objective(problem, parameters)
    rows = _make_rows(problem, device)
    with seeded(device, seed):
        if network is None:
            network = _make_network(problem, parameters)
            agree(network.to(device))
        network = network.to(device)
        settings = _settings(parameters, total(len(rows.x)))
        terms = train_on_batch(network, rows, objective, settings, memory)
    return network, objective, History([terms], [])


def _make_objective(problem: Problem, parameters: dict[str, Any]) -> Objective:
    return Objective(
        {i: float(value) for i, value in enumerate(problem.lambda_) if value > 0},
        {(i, j): float(value) for (i, j), value in np.ndenumerate(problem.gamma) if value > 0},
        ALIGNMENT_LOSSES[parameters["alignment"]],
        problem.tasks,
        parameters["n_ensembles"],
    )


def _make_rows(problem: Problem, device: torch.device) -> Rows:
    return Rows(
        put_on_device(problem.x, device),
        torch.from_numpy(problem.rows.present).to(device),
        torch.from_numpy(problem.rows.target).to(device),
        torch.from_numpy(problem.rows.weight.astype(np.float32)).to(device),
    )


def _make_network(problem: Problem, parameters: dict[str, Any]) -> FusionNetwork:
    alpha = torch.from_numpy(problem.alpha)
    if parameters["modality_weights"] == "per_class":
        alpha = alpha[:, None].repeat(1, problem.tasks[0].n_outputs)
    return build_network(
        alpha,
        n_features=problem.widths,
        n_outputs=[task.n_outputs for task in problem.tasks],
        **_asked_for(parameters, problem.lambda_),
    )


def _asked_for(parameters: dict[str, Any], lambda_: np.ndarray) -> dict[str, Any]:
    """Arguments of the network that do not depend on data."""
    return {
        "fusion": parameters["fusion"],
        "hidden_layer_sizes": np.atleast_1d(parameters["hidden_layer_sizes"]).tolist(),
        "activation": parameters["activation"],
        "dropout": parameters["dropout"],
        "sharing": parameters["sharing"],
        "modality_heads": bool(lambda_.any() or parameters["alignment"] == "kl"),
        "n_members": parameters["n_ensembles"],
        "impute": parameters["missing"] == "impute",
    }


def check_same_network(
    network: FusionNetwork, memory: dict[str, Any], parameters: dict[str, Any], lambda_: np.ndarray
) -> None:
    """Refuse to go on with a stream whose parameters ask for something else than it has.

    Raises
    ------
    ValueError
        If an argument of the network, or ``balance``, is another one; it says which.
    """
    now = {**_asked_for(parameters, lambda_), "balance": parameters["balance"]}
    was = {"balance": now["balance"], **memory, **network.arguments}
    other = [name for name in now if was[name] != now[name]]
    if other:
        name = other[0]
        said = PARAMETERS_OF_ARGUMENTS.get(name, name)
        raise ValueError(
            f"partial_fit goes on with the network that there is, and {said} asks for another "
            f"({name} was {was[name]!r} and is {now[name]!r}). Set it to what it was (after "
            "guard=True, to what that chose), or start anew."
        )


def build_network(modality_weights: torch.Tensor, **arguments: Any) -> FusionNetwork:
    """Build a network that knows what it was built from."""
    network = FusionNetwork(modality_weights=modality_weights, **arguments)
    network.arguments = arguments
    return network


def _copy_network(source: FusionNetwork, target: FusionNetwork, *, learned: bool) -> None:
    """Copy parameters and buffers, alpha only if it was ``learned``."""
    state, alpha = source.state_dict(), target.modality_weights.clone()
    was, now = (
        {name: tuple(value.shape) for name, value in values.items()}
        for values in (state, target.state_dict())
    )
    other = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    if other:
        raise ValueError(
            "warm_start=True goes on with the network of the last fit, and the parameters now ask "
            f"for one of another shape: {other[0]!r} was {was.get(other[0])} and is "
            f"{now.get(other[0])}. Set them to what they were, or warm_start=False."
        )
    target.load_state_dict(state)
    if not learned:
        target.modality_weights.copy_(alpha)
    for name, parameter in source.named_parameters():
        target.get_parameter(name).requires_grad_(parameter.requires_grad)


def pack_network(network: FusionNetwork) -> dict[str, Any] | FusionNetwork:
    """Give a network as plain data, or itself on the CPU if it was changed by hand."""
    with torch.device("meta"):  # draws no random numbers, which other threads may be using
        built = build_network(network.modality_weights, **network.arguments)
    if repr(built) != repr(network):
        return copy.deepcopy(network).cpu()
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {
        KIND: "network",
        "arguments": network.arguments,
        "state": {name: value.detach().cpu().numpy().copy() for name, value in state.items()},
        "frozen": [name for name, p in network.named_parameters() if not p.requires_grad],
    }


def unpack_network(packed: dict[str, Any]) -> FusionNetwork:
    """Build the network again."""
    state = {name: torch.from_numpy(value.copy()) for name, value in packed["state"].items()}
    with torch.device("meta"):
        network = build_network(state["modality_weights"], **packed["arguments"])
    network = network.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(state[name])
            parameter.requires_grad_(name not in packed["frozen"])
        for name, buffer in network.named_buffers():
            buffer.copy_(state[name])
    return network.eval()


class RowsOnDemand:
    """What training asks of the tensor of all rows, without that tensor."""

    def __init__(self, x: ScaledRows, device: torch.device):
        self.x, self.device = x, device

    def __len__(self) -> int:
        return len(self.x)

    def index_select(self, dim: int, index: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.x[index.cpu().numpy()]).to(self.device)


def put_on_device(x: np.ndarray | ScaledRows, device: torch.device) -> torch.Tensor | RowsOnDemand:
    """Hold the rows on the device, or in the memory of X alone where that is better."""
    if isinstance(x, np.ndarray):
        return torch.from_numpy(x).to(device)
    if device.type != "cuda" or x.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        return RowsOnDemand(x, device)
    rows = torch.empty(x.shape, device=device)
    for start in range(0, len(x), CHUNK):
        rows[start : start + CHUNK] = torch.from_numpy(x[start : start + CHUNK])
    return rows


def describe_fit(parameters: dict[str, Any], data: Sequence[Any]) -> dict[str, str]:
    """Tell what a fit depends on, so that another one is not taken for it."""
    digest = blake2b(digest_size=16)
    for array in map(np.asarray, data):
        digest.update(str((array.dtype, array.shape)).encode())
        digest.update(np.ascontiguousarray(array))
    matters = parameters.keys() - {"checkpoint", "device", "random_state", "verbose"}
    return {
        **{name: repr(parameters[name]) for name in sorted(matters)},
        "data": digest.hexdigest(),
    }


def _settings(parameters: dict[str, Any], n_rows: int) -> Settings:
    batch_size = parameters["batch_size"]
    if batch_size == "auto":
        batch_size = min(max(n_rows // 10, 16), 256)
    shared = {name: parameters[name] for name in Settings._fields if name in parameters}
    derived = {
        "batch_size": batch_size,
        "learn_weights": learns_weights(parameters),
        "calibrate": parameters.get("calibrate") is not None,  # classifiers have it
    }
    return Settings(**{**shared, **derived})


def history_frame(history: History, objective: Objective, names: list[str]) -> pd.DataFrame:
    """Name the terms of the loss; ``names`` are the modalities in the network's order."""
    columns = ["fused"]
    columns += [f"modality__{names[i]}" for i in objective.modality]
    columns += [f"alignment__{names[i]}__{names[j]}" for i, j in objective.alignment]
    frame = pd.DataFrame(history.terms, columns=columns)
    frame.insert(0, "loss", frame.to_numpy() @ np.array(objective.coefficients))
    if history.validation:
        frame["validation_loss"] = history.validation
    return frame.rename_axis("epoch")
