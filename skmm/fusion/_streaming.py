"""Training on one batch after another, each of which comes once.

A batch is evaluated before it is trained on: the network has not seen its rows, which is what
cross-fitting goes to such lengths for. Alpha and the temperature are learned from the last of them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._torch.parallel import broadcast_from_first
from .._torch.processes import gather_over_processes, sum_over_processes
from .._torch.solvers import AdamWSolver, Objective, TrainingSettings
from .._torch.tasks import Task
from .._torch.tensors import TrainingTensors
from .._warnings import warn_user
from ._cross_fitting import Learned, evaluate_unseen
from ._fitted import StreamState
from ._network import FusionNetwork
from ._weights import OutOfFold, learn_weights

WINDOW_ROWS = 3000  # that weights are learned from, at most
GROUP_ROWS = 300  # for which one head stands
NEWS_SHARE = 0.05  # of the window, after which weights are learned again
STATISTICS_ROWS = 2048  # that the normaliser's statistics look back to


def train_on_batch(
    network: FusionNetwork,
    rows: TrainingTensors,
    objective: Objective,
    settings: TrainingSettings,
    tasks: Sequence[Task],
    learned: Learned,
    state: StreamState,
) -> list[float]:
    """Evaluate the rows, then train on them once; return the terms of the loss.

    Where the solver diverges, the network stays as it was, with a warning.
    """
    n_local = len(rows.weight)
    all_rows, n_rows = torch.arange(n_local, device=rows.weight.device), sum_over_processes(n_local)
    before = copy.deepcopy(network.state_dict())
    if state.n_rows == 0:
        network.store_statistics(rows, all_rows)
        if learned.scale:
            network.head.log_scale.requires_grad_(False)
    elif learned.needs_folds:
        _remember(network, rows, state)
        _learn(network, tasks, learned, state)
        if not _is_finite(network.state_dict()):
            network.load_state_dict(before)
    solver = AdamWSolver(network.train(), rows, all_rows, objective, settings)
    if state.optimizer:
        solver.optimizer.load_state_dict(_map(state.optimizer, np.ndarray, torch.from_numpy))
    mean, rms = network.normalizer.mean.clone(), network.normalizer.rms.clone()
    terms = solver.run_epoch(0, constant=True)
    network.store_statistics(rows, all_rows)
    news = n_rows / (n_rows + min(state.n_rows, STATISTICS_ROWS))
    network.normalizer.mean.copy_(mean.lerp(network.normalizer.mean, news))
    network.normalizer.rms.copy_(rms.lerp(network.normalizer.rms, news))
    if _is_finite([network.state_dict(), solver.optimizer.state_dict()]):
        state.optimizer = _map(solver.optimizer.state_dict(), Tensor, _to_numpy)
        state.n_rows += n_rows
    else:
        network.load_state_dict(before)
        warn_user(
            f"The solver diverged on a batch of {n_rows} rows, with learning_rate_init="
            f"{settings.learning_rate_init}: the network stays as it was before."
        )
    return terms.tolist()


def _remember(network: FusionNetwork, rows: TrainingTensors, state: StreamState) -> None:
    """Add what the network computes of rows to the window, and drop the oldest."""
    n_local = len(rows.weight)
    index = torch.arange(0, n_local, math.ceil(sum_over_processes(n_local) / WINDOW_ROWS))
    sample = rows.take(index.to(rows.weight.device))
    network.eval()
    values, gate_scores = evaluate_unseen(network, sample)
    finite = values.isfinite().flatten(1).all(1)
    tensors = {
        "values": values,
        "gate_scores": gate_scores,
        "present": sample.present,
        "target": sample.target,
        "weight": sample.weight,
    }
    new: dict[str, Any] = {
        name: np.concatenate(gather_over_processes(_to_numpy(t[finite])))
        for name, t in tensors.items()
    }
    if not len(new["values"]):
        return
    window = state.window
    if window and len(window[-1]["values"]) < GROUP_ROWS:
        last = window.pop()
        new = {name: np.concatenate([last[name], value]) for name, value in new.items()}
    new["head"] = {name: _to_numpy(value) for name, value in network.head.state_dict().items()}
    window.append(new)
    while sum(len(group["values"]) for group in window[1:]) >= WINDOW_ROWS:
        del window[0]
    state.n_new += sum_over_processes(len(index))


def _learn(
    network: FusionNetwork, tasks: Sequence[Task], learned: Learned, state: StreamState
) -> None:
    """Learn weights from the window, where it has changed enough."""
    if not state.window or state.n_new < NEWS_SHARE * sum(
        len(group["values"]) for group in state.window
    ):
        return
    state.n_new = 0
    samples = []
    for group in state.window:
        head = copy.deepcopy(network.head).cpu().eval()
        head.load_state_dict({n: torch.from_numpy(v) for n, v in group["head"].items()})
        tensors = {n: torch.from_numpy(v) for n, v in group.items() if n != "head"}
        samples.append(OutOfFold(head, **tensors))
    if learned.alpha:  # from equal ones, as ever: an alpha of 0 would never come back
        network.modality_weights.fill_(1 / len(network.modality_weights))
    learn_weights(
        network,
        samples,
        tasks,
        alpha=learned.alpha,
        calibrate=learned.calibration,
    )
    broadcast_from_first(network)  # processors differ in their last digits


def _is_finite(tree: Any) -> bool:
    """Return whether all tensors in dicts and lists are finite."""
    if isinstance(tree, Tensor):
        return bool(tree.isfinite().all())
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    return not isinstance(tree, list) or all(map(_is_finite, tree))


def _to_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()


def _map(tree: Any, kind: type, function: Callable) -> Any:
    """Apply a function to everything of a kind in dicts and lists, copying what it is in."""
    if isinstance(tree, kind):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: _map(value, kind, function) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_map(value, kind, function) for value in tree]
    return tree
