"""Training on one batch after another, each of which comes once.

A batch is looked at before it is trained on: the network has not seen its rows, which is what
cross-fitting goes to such lengths for. Alpha and the temperature are learned from the last of them.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._losses import Objective, Rows
from ._network import FusionNetwork
from ._parallel import agree
from ._solvers import AdamW, Settings
from ._together import collect, total
from ._training import evaluate, store_statistics
from ._weights import Unseen, learn_weights

WINDOW_ROWS = 3000  # that weights are learned from, at most
GROUP_ROWS = 300  # for which one head stands
NEWS_SHARE = 0.05  # of the window, after which weights are learned again
STATISTICS_ROWS = 2048  # that the normaliser's statistics look back to


def new_memory() -> dict[str, Any]:
    """What is remembered from one batch to the next, as plain data."""
    return {"optimizer": None, "groups": [], "n_rows": 0, "n_new": 0}


def train_on_batch(
    network: FusionNetwork,
    rows: Rows,
    objective: Objective,
    settings: Settings,
    memory: dict[str, Any],
) -> list[float]:
    """Look at the rows, then train on them once; the terms of the loss."""
    everyone, n_rows = torch.arange(len(rows.x), device=rows.x.device), total(len(rows.x))
    learns = settings.learn_weights or settings.calibrate or network.fusion == "late"
    if memory["n_rows"] == 0:
        store_statistics(network, rows, everyone)
        if learns and network.fusion == "late":
            network.head.log_scale.requires_grad_(False)
    elif learns:
        _remember(network, rows, memory)
        _learn(network, objective, settings, memory)
    solver = AdamW(network.train(), rows, everyone, objective, settings)
    if memory["optimizer"]:
        solver.optimizer.load_state_dict(_map(memory["optimizer"], np.ndarray, torch.from_numpy))
    mean, rms = network.normalizer.mean.clone(), network.normalizer.rms.clone()
    terms = solver.run_epoch(0, constant=True)
    store_statistics(network, rows, everyone)
    news = n_rows / (n_rows + min(memory["n_rows"], STATISTICS_ROWS))
    network.normalizer.mean.copy_(mean.lerp(network.normalizer.mean, news))
    network.normalizer.rms.copy_(rms.lerp(network.normalizer.rms, news))
    memory["balance"] = settings.balance
    memory["optimizer"] = _map(solver.optimizer.state_dict(), Tensor, _to_numpy)
    memory["n_rows"] += n_rows
    return terms.tolist()


def _remember(network: FusionNetwork, rows: Rows, memory: dict[str, Any]) -> None:
    """Add what the network makes of rows to the window, and let the oldest go."""
    index = torch.arange(0, len(rows.x), math.ceil(total(len(rows.x)) / WINDOW_ROWS))
    sample = rows.take(index.to(rows.x.device))
    network.eval()
    with torch.no_grad():
        parts, _ = evaluate(network, sample.x, sample.present)
        sample = sample._replace(present=network.imputed(sample.present))
        odds = network.odds(sample.present, parts)
    tensors = {**sample._asdict(), "x": sample.x[:, :0], "parts": parts, "odds": odds}
    new = {name: np.concatenate(collect(_to_numpy(t))) for name, t in tensors.items()}
    groups = memory["groups"]
    if groups and len(groups[-1]["parts"]) < GROUP_ROWS:
        last = groups.pop()
        new = {name: np.concatenate([last[name], value]) for name, value in new.items()}
    new["head"] = {name: _to_numpy(value) for name, value in network.head.state_dict().items()}
    groups.append(new)
    while sum(len(group["parts"]) for group in groups[1:]) >= WINDOW_ROWS:
        del groups[0]
    memory["n_new"] += total(len(index))


def _learn(
    network: FusionNetwork, objective: Objective, settings: Settings, memory: dict[str, Any]
) -> None:
    """Learn weights from the window, where it has changed enough."""
    groups = memory["groups"]
    if memory["n_new"] < NEWS_SHARE * sum(len(group["parts"]) for group in groups):
        return
    memory["n_new"] = 0
    unseen = []
    for group in groups:
        head = copy.deepcopy(network.head).cpu().eval()
        head.load_state_dict({n: torch.from_numpy(v) for n, v in group["head"].items()})
        tensors = {n: torch.from_numpy(v) for n, v in group.items() if n != "head"}
        sample = Rows(*(tensors[name] for name in Rows._fields))
        unseen.append(Unseen(head, tensors["parts"], tensors["odds"], sample))
    if settings.learn_weights:  # from equal ones, as ever: an alpha of 0 would never come back
        network.modality_weights.fill_(1 / len(network.modality_weights))
    learn_weights(
        network,
        unseen,
        objective.tasks,
        alpha=settings.learn_weights,
        calibrate=settings.calibrate,
    )
    agree(network)  # processors differ in their last digits


def _to_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()


def _map(tree: Any, kind: type, function) -> Any:
    """Apply a function to everything of a kind in dicts and lists, copying what it is in."""
    if isinstance(tree, kind):
        return function(tree)
    if isinstance(tree, dict):
        return {key: _map(value, kind, function) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_map(value, kind, function) for value in tree]
    return tree
