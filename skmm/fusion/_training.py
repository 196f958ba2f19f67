"""Training a fusion network in memory: tensors in, losses out.

First, networks are trained on all folds of the rows but one. On the rows that a network has not
seen, alpha, the temperature of late fusion and what a missing modality costs are learned
(cross-fitting). Then the network itself is trained on all rows, with these fixed. On its own
training rows a modality looks the better the more it can memorise: 200 columns of noise would get
their share.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ._checkpoint import Checkpoint
from ._losses import Objective, Rows, known, row_losses
from ._network import FusionNetwork
from ._solvers import LBFGS, SOLVERS, AdamW, Settings
from ._tasks import Task
from ._together import total as total_of_all
from ._weights import Unseen, learn_calibration, learn_weights

CROSS_FIT_SHARE = 0.5  # of the epochs
EVALUATION_ROWS = 2048
WEIGHING_ROWS = 5000  # of each fold, at most


class Split(NamedTuple):
    """Which rows are used for what, as positions; in an order that the data determine."""

    fitting: Tensor  # trained on
    folds: list[Tensor]  # a partition of these, for cross-fitting
    held_out: Tensor | None  # for early stopping


class History(NamedTuple):
    """What was measured after each epoch."""

    terms: list[list[float]]
    validation: list[float]  # L of the held-out rows; empty without early stopping
    converged: bool = True  # False if more epochs would have been of use


def train(
    network: FusionNetwork,
    rows: Rows,
    split: Split,
    objective: Objective,
    settings: Settings,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train ``network`` in place; go on where ``checkpoint`` says that the fit was."""
    calibrate_later = settings.calibrate and split.held_out is not None
    settings = settings._replace(calibrate=settings.calibrate and not calibrate_later)
    if not settings.calibrate:  # what an earlier fit has learned is of other rows
        network.calibration.log_scale.zero_()
    free = settings.learn_weights or settings.calibrate or network.fusion == "late"
    folds = split.folds if free and len(split.folds) > 1 else []
    n_short = max(1, round(settings.max_iter * CROSS_FIT_SHARE))
    n_epochs = settings.max_iter + n_short * len(folds)
    dtype, used = network.modality_weights.dtype, rows
    if settings.solver == "lbfgs":  # which ends early where a float32 cannot show progress
        used = rows._replace(x=precise(rows.x), weight=precise(rows.weight))
        network.to(used.x.dtype)
    final: Pass | None = None
    with tqdm(total=n_epochs, desc="fusion", disable=not settings.verbose) as bar:
        try:
            if folds and not (checkpoint and checkpoint.find(len(folds))):
                trained_on = 1 - 1 / len(folds)  # as many steps in an epoch as with all rows
                short = settings._replace(
                    max_iter=n_short, batch_size=math.ceil(settings.batch_size * trained_on)
                )
                of_one = objective._replace(n_members=1)
                _cross_fit(network, used, folds, of_one, short, bar, checkpoint)
            final = Pass(network, used, split.fitting, split.held_out, objective, settings)
            final.run(bar, checkpoint, len(folds))
        except KeyboardInterrupt:
            if final is None or not final.history.terms:
                raise
            interrupted(len(final.history.terms), settings.max_iter)
        else:
            if checkpoint:
                checkpoint.remove()
    network.to(dtype)
    store_statistics(network, rows, split.fitting)
    if calibrate_later:
        logits = torch.cat(list(_unseen_logits(network, rows, split.held_out)))
        held_out = (tensor[split.held_out] for tensor in (rows.target, rows.weight))
        learn_calibration(network, logits, *held_out, objective.tasks)
    return final.history._replace(converged=final.converged)


def interrupted(n_epochs: int, max_iter: int) -> None:
    """Say that training ended early, as Ctrl-C asked."""
    warnings.warn(
        f"Training was interrupted after {n_epochs} of {max_iter} epochs; the estimator is fitted "
        "as far as it got.",
        stacklevel=3,
    )


def _cross_fit(
    network: FusionNetwork,
    rows: Rows,
    folds: Sequence[Tensor],
    objective: Objective,
    settings: Settings,
    bar: tqdm,
    checkpoint: Checkpoint | None,
) -> None:
    """Set alpha and temperature of ``network`` by copies of it, each trained without one fold.

    Of an ensemble, by copies of one member.
    """
    unseen = []
    for i, fold in enumerate(folds):
        trained = network.first_member()
        sample = rows.take(fold[:: math.ceil(len(fold) / WEIGHING_ROWS)])
        there = network.imputed(sample.present)
        if checkpoint and i < len(checkpoint.results):
            trained.eval().head.load_state_dict(checkpoint.results[i]["head"])
            parts, odds = (checkpoint.results[i][k].to(sample.x.device) for k in ("parts", "odds"))
        else:
            others = torch.cat([other for j, other in enumerate(folds) if j != i])
            Pass(trained, rows, others, None, objective, settings).run(bar, checkpoint, i)
            store_statistics(trained, rows, others)
            parts, _ = evaluate(trained, sample.x, sample.present)
            odds = trained.odds(there, parts).detach()
            if checkpoint:
                head = trained.head.state_dict()
                checkpoint.results.append({"head": head, "parts": parts, "odds": odds})
        sample = sample._replace(x=sample.x.new_empty(len(parts), 0), present=there)
        unseen.append(Unseen(trained.head, parts, odds, sample))
    learn_weights(
        network,
        unseen,
        objective.tasks,
        alpha=settings.learn_weights,
        calibrate=settings.calibrate,
    )
    if checkpoint:
        checkpoint.results.clear()  # what came of them is in the network


class Pass:
    """The epochs of one network, and where they have got to."""

    def __init__(
        self,
        network: FusionNetwork,
        rows: Rows,
        fitting: Tensor,
        held_out: Tensor | None,
        objective: Objective,
        settings: Settings,
    ):
        self.network, self.rows = network, rows
        self.fitting, self.held_out = fitting, held_out
        self.objective, self.settings = objective, settings
        self.history = History([], [])
        self.best, self.best_state, self.n_stale, self.ended = math.inf, None, 0, False
        self.solver: AdamW | LBFGS | None = None

    def run(self, bar: tqdm, checkpoint: Checkpoint | None, number: int) -> None:
        """Run epochs while there is progress; ``number`` is that of the pass in its fit."""
        found = checkpoint.find(number) if checkpoint else None
        if found:
            self.restore(found)
            bar.update(len(self.history.terms))
        else:  # what the batches' statistics begin from
            self._settle(self.fitting[:EVALUATION_ROWS])
        self._make_solver(found)
        try:
            while not self.ended and len(self.history.terms) < self.settings.max_iter:
                loss = self._run_epoch()
                bar.update()
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                if checkpoint:
                    checkpoint.save(number, self.state(), _generator_states(self.rows.x.device))
        finally:  # after an interrupt too
            del self.history.validation[len(self.history.terms) :]
            if self.best_state is not None:
                self.network.load_state_dict(self.best_state)

    @property
    def converged(self) -> bool:
        """Whether more epochs would have been of no use."""
        return self.ended or self.settings.solver == "adamw"  # whose step size has come down to 0

    def _make_solver(self, found: dict[str, Any] | None) -> None:
        make = SOLVERS[self.settings.solver]
        self.solver = make(self.network, self.rows, self.fitting, self.objective, self.settings)
        if found:
            self.solver.optimizer.load_state_dict(found["optimizer"])
            _set_generators(self.rows.x.device, found["generators"])

    def _run_epoch(self) -> float:
        self.network.train()
        terms = self.solver.run_epoch(len(self.history.terms))
        loss = float(self.solver.coefficients @ terms)
        _check_loss(loss, self.settings)
        if self.held_out is not None:
            self._settle(self.fitting)
            loss = self._unseen_loss()
            self.history.validation.append(loss)
        self.history.terms.append(terms.tolist())
        self.n_stale = 0 if loss < self.best - self.settings.tol else self.n_stale + 1
        if self.held_out is not None and loss < self.best:
            self.best_state = copy.deepcopy(self.network.state_dict())
        self.best = min(self.best, loss)
        waits = self.settings.solver == "adamw" or self.held_out is not None
        stalled = waits and self.n_stale >= self.settings.n_iter_no_change
        self.ended = self.solver.converged or stalled
        return loss

    def _settle(self, index: Tensor) -> None:
        """Store what evaluation needs to know of the rows ``index``."""
        store_statistics(self.network, self.rows, index)

    def _unseen_loss(self) -> float:
        """The loss of the rows that are held out."""
        return held_out_loss(self.network, self.rows, self.held_out, self.objective.tasks)

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, but for the generators of random numbers."""
        return {
            "network": self.network.state_dict(),
            "trainable": {n: p.requires_grad for n, p in self.network.named_parameters()},
            "optimizer": self.solver.optimizer.state_dict(),
            "terms": self.history.terms,
            "validation": self.history.validation,
            "best": self.best,
            "best_state": self.best_state,
            "n_stale": self.n_stale,
            "ended": self.ended,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state, but for solver and generators."""
        self.network.load_state_dict(state["network"])
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(state["trainable"][name])
        self.history = History(list(state["terms"]), list(state["validation"]))
        self.best, self.best_state = state["best"], state["best_state"]
        self.n_stale, self.ended = state["n_stale"], state["ended"]


def _generator_states(device: torch.device) -> list[Tensor]:
    return [generator.get_state() for generator in generators(device)]


def _set_generators(device: torch.device, states: Sequence[Tensor]) -> None:
    for generator, state in zip(generators(device), states, strict=True):
        generator.set_state(state)


def _check_loss(loss: float, settings: Settings) -> None:
    if not math.isfinite(loss):
        raise ValueError(
            f"The loss became {loss}: training diverged. Lower learning_rate_init "
            f"(it is {settings.learning_rate_init}) or weight_decay ({settings.weight_decay})."
        )


def generators(device: torch.device) -> list[torch.Generator]:
    """Give the generators that training draws from: the CPU's, and that of ``device``."""
    if device.type == "cuda":
        return [torch.default_generator, torch.cuda.default_generators[device.index]]
    if device.type == "mps":
        return [torch.default_generator, torch.mps._get_default_mps_generator()]
    return [torch.default_generator]


@torch.no_grad()
def store_statistics(network: FusionNetwork, rows: Rows, index: Tensor) -> None:
    """Store the statistics of the rows ``index`` for evaluation, summed in float64."""
    network.eval()
    there = network.imputed(rows.present[index])
    total = total_of_all((there * rows.weight[index][:, None]).sum(0, dtype=torch.float32))
    mean, square = 0.0, 0.0
    for chunk in index.split(EVALUATION_ROWS):
        x, present, _, weight = rows.take(chunk)
        x, present = network.complete(x, present)
        share = present * weight[:, None] / (network.n_members * total).clamp(min=1e-30)
        share = precise(network.tile(share))  # (e chunk, m)
        values = precise(network.values(network.tile(x))[2])  # (e chunk, m, q)
        mean += (share[:, :, None] * values).sum(0)  # (m, q)
        square += (share * (values**2).mean(2)).sum(0)  # (m,)
    mean, square = total_of_all(mean), total_of_all(square)
    variance = square - (mean**2).mean(1)
    # A modality of one row, or of none, has no spread.
    network.normalizer.store(mean, torch.where(variance > 1e-9 * square, variance, 0.0))


def precise(values: Tensor) -> Tensor:
    """Values in float64, where the device is sure to have it: "mps" has none, nor some "xpu"."""
    return values.double() if values.device.type in ("cpu", "cuda") else values


@torch.no_grad()
def evaluate(
    network: FusionNetwork, x: Tensor, present: Tensor, *, alone: bool = False
) -> tuple[Tensor, Tensor]:
    """Parts (n, m, q) and weights (n, m) of rows; the network must be in evaluation mode.

    With ``alone`` each part is that of a row that has no other modality. Of an ensemble the rows
    are repeated for each member, (e n, ...).
    """
    x, present = network.complete(network.tile(x), network.tile(present))
    parts = network.normalizer(network.values(x)[2], present)
    there = torch.eye(present.shape[1], dtype=torch.bool, device=x.device) if alone else present
    confidence = network.confidence(there)  # (m,) if alone, else (n,)
    parts = parts * (confidence[:, None] if alone else confidence[:, None, None])
    return parts, network.row_weights(present, parts)


@torch.no_grad()
def _unseen_logits(network: FusionNetwork, rows: Rows, index: Tensor) -> Iterator[Tensor]:
    """Logits of rows, averaged over the members of an ensemble, a chunk at a time."""
    network.eval()
    for chunk in index.split(EVALUATION_ROWS):
        x, present, _, _ = rows.take(chunk)
        parts, weights = evaluate(network, x, present)
        yield network.members(network.logits(weights, parts)).mean(0)


@torch.no_grad()
def held_out_loss(
    network: FusionNetwork, rows: Rows, held_out: Tensor, tasks: Sequence[Task]
) -> float:
    """L of the rows ``held_out``, which are not trained on."""
    total = torch.zeros(rows.target.shape[1], dtype=torch.float64)
    chunks = held_out.split(EVALUATION_ROWS)
    for index, logits in zip(chunks, _unseen_logits(network, rows, held_out), strict=True):
        losses = row_losses(tasks, logits, rows.target[index])
        total += (losses * rows.weight[index][:, None]).sum(0).cpu()
    weight = (rows.weight[held_out][:, None] * known(rows.target[held_out])).sum(0).cpu()
    return float((total / weight.double().clamp(min=1e-300)).sum())
