"""From the activations of items and y to tuned models, one for each fold, and what they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from .._data.persistence import digest_arrays
from .._data.rows import assign_folds, sample_holdout
from .._torch.checkpoint import Checkpoint
from .._torch.generators import Generators, use_generators
from .._torch.loop import EpochLoop, warn_of_interrupt
from .._torch.lora import AdapterSpec
from .._torch.modes import training_modes
from .._torch.solvers import TrainingSettings
from .._torch.splitting import Split, UpperLayers
from .._torch.tasks import Task
from .._torch.tensors import TrainingTensors
from .._torch.tuning import (
    Items,
    TunedNetwork,
    TuningObjective,
    fill_tuned,
    log_probabilities,
    pack_tuned,
)
from ._lora import LoRA
from ._targets import Targets

if TYPE_CHECKING:
    from tqdm.std import tqdm

CHUNK = 512  # items that a network runs at once where nothing is learned
N_KEPT = 2  # tuned models of a model, in memory
STATISTICS_ITEMS = 2048  # of which mean and spread of the features of the model are computed


class TuningProblem(NamedTuple):
    """What a model is tuned to: rows, each with an item and a target."""

    items: Items
    item: np.ndarray  # (n,) the number of the item of each row
    targets: Targets
    weight: np.ndarray  # (n,) with mean 1
    groups: np.ndarray | None  # (n,)

    def digest(self, items: Sequence[bytes]) -> str:
        """Digest rows, by digests of their items, so that other ones are not taken for them.

        What the lower layers give depends, by rounding, on what is in a batch with an item.
        """
        arrays = [self.targets.values, self.weight, np.frombuffer(b"|".join(items), np.uint8)]
        return digest_arrays(arrays if self.groups is None else [*arrays, self.groups])


class TunedModel(NamedTuple):
    """What is tuned, without the model: plain data, as the encoder holds them."""

    folds: list[dict[str, np.ndarray]]  # the arrays of a network each
    spec: AdapterSpec
    tasks: list[Task]
    n_features: int  # of the vectors of the model
    split: Split

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, arrays, and lists and dicts of these."""
        tasks = [
            {
                "kind": task.kind,
                "outputs": [task.outputs.start, task.outputs.stop],
                "columns": [task.columns.start, task.columns.stop],
                "weight": task.weight,
            }
            for task in self.tasks
        ]
        return {
            "folds": self.folds,
            "spec": self.spec._asdict(),
            "tasks": tasks,
            "n_features": self.n_features,
            "split": self.split._asdict(),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TunedModel:
        """Undo `to_plain`."""
        tasks = [
            Task(task["kind"], slice(*task["outputs"]), slice(*task["columns"]), task["weight"])
            for task in plain["tasks"]
        ]
        spec, split = AdapterSpec(**plain["spec"]), Split(**plain["split"])
        return cls(plain["folds"], spec, tasks, plain["n_features"], split)

    def digest(self) -> str:
        """Digest all that the features of an item depend on, but for the model."""
        arrays = [array for fold in self.folds for _, array in sorted(fold.items())]
        return digest_arrays([np.array([self.spec.alpha / self.spec.rank]), *arrays])

    def build(self, model: nn.Module) -> list[TunedNetwork]:
        """Return the network of each fold, on copies of a model's upper part.

        The last few are kept while the model is, so that a row alone does not wait for them.
        """
        built, key = _built.setdefault(model, {}), self.digest()
        if key not in built:
            built[key] = [self._build_fold(model, arrays) for arrays in self.folds]
            for oldest in list(built)[:-N_KEPT]:
                del built[oldest]
        return built[key]

    def _build_fold(self, model: nn.Module, arrays: Mapping[str, np.ndarray]) -> TunedNetwork:
        network = build_network(model, self.split, self.spec, self.n_features, self.tasks)
        fill_tuned(network, arrays)
        return network


_built: WeakKeyDictionary[nn.Module, dict[str, list[TunedNetwork]]] = WeakKeyDictionary()


class Tuning(NamedTuple):
    """What comes of tuning a model."""

    tuned: TunedModel
    out_of_fold: list[np.ndarray]  # of each fold, the features (n_k, q) of rows it has not seen
    history: list[list[float]]  # fold, epoch, loss, loss of held-out rows
    is_whole: bool  # False after an interrupt


def build_network(
    model: nn.Module, split: Split, spec: AdapterSpec, n_features: int, tasks: Sequence[Task]
) -> TunedNetwork:
    """Build a network whose adapters do nothing yet."""
    n_outputs = max(task.outputs.stop for task in tasks)
    return TunedNetwork(UpperLayers(model, split), spec, n_features, n_outputs).eval()


@torch.no_grad()
def compute_features(network: TunedNetwork, items: Items, tasks: Sequence[Task]) -> np.ndarray:
    """Compute what a tuned model says of each item, as the encoder gives it: (n, q).

    This is the one place that decides what the features are, and `average_features` how those of
    several folds become one.
    """
    parts = []
    for start in range(0, len(items), CHUNK):
        index = np.arange(start, min(start + CHUNK, len(items)))
        vectors = network.vectors(items, index)
        parts.append(log_probabilities(tasks, network.logits(vectors)).cpu().numpy())
    return np.concatenate(parts)


def average_features(features: Sequence[np.ndarray]) -> np.ndarray:
    """Compute the features of items that no fold has seen, from those of each fold (n, q)."""
    return np.stack(features).mean(axis=0)


class Tuner(NamedTuple):
    """What the trainings of all folds have in common."""

    model: nn.Module
    split: Split
    spec: AdapterSpec
    problem: TuningProblem
    rows: TrainingTensors
    n_features: int
    training: TrainingSettings

    def build(self) -> TunedNetwork:
        """Build a network whose adapters do nothing yet."""
        tasks = self.problem.targets.tasks
        return build_network(self.model, self.split, self.spec, self.n_features, tasks)

    def make_loop(self, network: TunedNetwork, fold: FoldRows) -> EpochLoop:
        """Prepare to train the network of a fold."""
        device = self.rows.present.device
        items, item = self.problem.items, self.problem.item
        with torch.no_grad():  # of the vectors before any tuning
            sample = np.unique(item[fold.fitting])[:STATISTICS_ITEMS]
            network.store_statistics(network.vectors(items, sample))
        fitting = torch.from_numpy(fold.fitting).to(device)
        held_out = torch.from_numpy(fold.held_out).to(device) if len(fold.held_out) else None
        objective = TuningObjective(items, self.problem.targets.tasks)
        return EpochLoop(network, self.rows, fitting, held_out, objective, self.training)

    def compute_unseen(self, network: TunedNetwork, fold: FoldRows) -> np.ndarray:
        """Compute the features of the rows that a fold has left out."""
        distinct, place = np.unique(self.problem.item[fold.unseen], return_inverse=True)
        items = self.problem.items.take(distinct)
        return compute_features(network, items, self.problem.targets.tasks)[place]


class FoldRows(NamedTuple):
    """The rows of the training of one fold, as positions."""

    fitting: np.ndarray
    held_out: np.ndarray  # for early stopping
    unseen: np.ndarray  # of which its features are used


@training_modes()
def tune(tuner: Tuner, folds: Sequence[FoldRows], start: TuningStart, bar: tqdm) -> Tuning:
    """Tune a model, once for each fold.

    Raises
    ------
    ValueError
        If training diverges.
    """
    checkpoint, packed, history, is_whole = start.checkpoint, [], [], True
    out_of_fold: list[np.ndarray] = []
    for number, fold in enumerate(folds):
        network = tuner.build()
        done = checkpoint.results[number : number + 1] if checkpoint else []
        if done:
            fill_tuned(network, {name: t.numpy() for name, t in done[0]["arrays"].items()})
            epochs = done[0]["epochs"]
            bar.update(len(epochs))
        else:
            with use_generators(Generators.seeded(tuner.rows.present.device, start.seed + number)):
                loop = tuner.make_loop(network, fold)
                is_last = number == len(folds) - 1
                is_whole = _run(loop, bar, checkpoint, number, is_last=is_last)
            epochs = _list_epochs(loop)
        network.eval()
        packed.append(pack_tuned(network))
        history += [[float(number), *epoch] for epoch in epochs]
        out_of_fold.append(tuner.compute_unseen(network, fold))
        if checkpoint and not done:
            arrays = {name: torch.from_numpy(array) for name, array in packed[-1].items()}
            checkpoint.results.append({"arrays": arrays, "epochs": epochs})
    tasks = tuner.problem.targets.tasks
    tuned = TunedModel(packed, tuner.spec, tasks, tuner.n_features, tuner.split)
    return Tuning(tuned, out_of_fold, history, is_whole)


def _run(
    loop: EpochLoop, bar: tqdm, checkpoint: Checkpoint | None, number: int, *, is_last: bool
) -> bool:
    """Run the epochs of a fold; return whether they came to their end.

    An interrupt ends the last fold early, and is raised in others: without all folds there would be
    rows of which no features are out of fold.
    """
    try:
        loop.run(bar, checkpoint, number)
    except KeyboardInterrupt:
        if not is_last or not loop.history.terms:
            raise
        warn_of_interrupt(len(loop.history.terms), loop.settings.max_iter)
        return False
    return True


def _list_epochs(loop: EpochLoop) -> list[list[float]]:
    """Return number, loss, and loss of held-out rows (NaN without any) of each epoch."""
    validation = loop.history.validation or [float("nan")] * len(loop.history.terms)
    pairs = zip(loop.history.terms, validation, strict=True)
    return [[float(i), terms[0], held_out] for i, (terms, held_out) in enumerate(pairs)]


class TuningStart(NamedTuple):
    """What a tuning begins from."""

    seed: int
    checkpoint: Checkpoint | None


def split_rows(
    problem: TuningProblem, settings: LoRA, random_state: np.random.RandomState
) -> list[FoldRows]:
    """Split rows into folds; of the rows that a fold trains on, some are held out.

    Raises
    ------
    ValueError
        If there are too few rows, or groups.
    """
    codes, n_rows = problem.targets.strata, len(problem.item)
    if n_rows < 2:
        raise ValueError(
            f"finetune needs at least 2 rows with an item, a target and a weight, got {n_rows}."
        )
    n_folds = min(settings.cv, n_rows)
    fold = assign_folds(codes, n_folds, random_state, problem.groups)
    splits = []
    for number in range(fold.max() + 1):
        rows = np.flatnonzero(fold != number)
        groups = None if problem.groups is None else problem.groups[rows]
        is_held_out = np.zeros(len(rows), dtype=bool)
        if groups is None or len(np.unique(groups)) > 1:  # else none could be held out whole
            fraction = settings.validation_fraction
            is_held_out = sample_holdout(codes[rows], fraction, random_state, groups)
        if is_held_out.all():
            is_held_out[:] = False
        splits.append(
            FoldRows(rows[~is_held_out], rows[is_held_out], np.flatnonzero(fold == number))
        )
    return splits


def make_tuner(
    model: nn.Module,
    split: Split,
    problem: TuningProblem,
    settings: LoRA,
    seed: int,
    n_features: int,
) -> Tuner:
    """Prepare to tune a model, which gives vectors of ``n_features``."""
    modules = settings.target_modules
    spec = AdapterSpec(
        settings.rank,
        float(settings.alpha),
        float(settings.dropout),
        None if modules is None else [str(module) for module in modules],
        seed,
    )
    training = TrainingSettings(
        solver="adamw",
        learning_rate_init=settings.learning_rate_init,
        weight_decay=settings.weight_decay,
        batch_size=settings.batch_size,
        max_iter=settings.max_iter,
        tol=0.0,
        n_iter_no_change=settings.n_iter_no_change,
    )
    rows = _make_tensors(problem, next(model.parameters()).device)
    return Tuner(model, split, spec, problem, rows, n_features, training)


def _make_tensors(problem: TuningProblem, device: torch.device) -> TrainingTensors:
    """Return the rows as the loop takes them: ``x`` holds the number of the item."""
    target = problem.targets.values
    return TrainingTensors(
        torch.from_numpy(problem.item[:, None]).to(device),
        torch.ones(len(problem.item), 1, dtype=torch.bool, device=device),
        torch.from_numpy(target).to(device),
        torch.from_numpy(problem.weight.astype(np.float32)).to(device),
    )
