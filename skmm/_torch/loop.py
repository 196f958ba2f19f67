"""The epochs of one network: tensors in, losses out."""

from __future__ import annotations

import copy
import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from .._progress import shorten
from .checkpoint import Checkpoint
from .generators import Generators, current_generators
from .solvers import SOLVERS, AdamWSolver, LBFGSSolver, Objective, TrainingSettings
from .tensors import TrainingTensors

if TYPE_CHECKING:
    from tqdm.std import tqdm

EVALUATION_ROWS = 2048


class History(NamedTuple):
    """What was measured after each epoch."""

    terms: list[list[float]]
    validation: list[float]  # L of the held-out rows; empty without early stopping
    converged: bool = True  # False if more epochs would have been of use


class EpochLoop:
    """The epochs of one network, and the state that they have reached."""

    def __init__(
        self,
        network: Any,
        rows: TrainingTensors,
        fitting: Tensor,
        held_out: Tensor | None,
        objective: Objective,
        settings: TrainingSettings,
    ):
        self.network, self.rows = network, rows
        self.fitting, self.held_out = fitting, held_out
        self.objective, self.settings = objective, settings
        self.history = History([], [])
        self.best, self.best_state, self.n_stale, self.ended = math.inf, None, 0, False

    def run(self, bar: tqdm, checkpoint: Checkpoint | None = None, number: int = 0) -> None:
        """Run epochs while there is progress; ``number`` is that of the loop in its fit."""
        found = checkpoint.find(number) if checkpoint else None
        if found:
            self.restore(found)
            bar.update(len(self.history.terms))
        else:  # what the batches' statistics begin from
            first = self.fitting[:EVALUATION_ROWS]
            self.objective.prepare_evaluation(self.network, self.rows, first)
        solver = self._make_solver(found)
        try:
            while not self.ended and len(self.history.terms) < self.settings.max_iter:
                loss = self._run_epoch(solver)
                bar.update()
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                if checkpoint:
                    checkpoint.save(number, self._state(solver), _generators().states)
            shorten(bar, self.settings.max_iter - len(self.history.terms))
        finally:  # after an interrupt too
            del self.history.validation[len(self.history.terms) :]
            if self.best_state is not None:
                self.network.load_state_dict(self.best_state)

    @property
    def converged(self) -> bool:
        """Whether more epochs would have been of no use."""
        return self.ended or self.settings.solver == "adamw"  # whose step size has come down to 0

    def _make_solver(self, found: dict[str, Any] | None) -> AdamWSolver | LBFGSSolver:
        solver = SOLVERS[self.settings.solver](
            self.network, self.rows, self.fitting, self.objective, self.settings
        )
        if found:
            solver.optimizer.load_state_dict(found["optimizer"])
            _generators().restore(found["generators"])
        return solver

    def _run_epoch(self, solver: AdamWSolver | LBFGSSolver) -> float:
        self.network.train()
        terms = solver.run_epoch(len(self.history.terms))
        loss = float(solver.coefficients @ terms)
        _check_loss(loss, self.settings)
        if self.held_out is not None:
            self.objective.prepare_evaluation(self.network, self.rows, self.fitting)
            loss = self.objective.held_out_loss(self.network, self.rows, self.held_out)
            self.history.validation.append(loss)
        self.history.terms.append(terms.tolist())
        self.n_stale = 0 if loss < self.best - self.settings.tol else self.n_stale + 1
        if self.held_out is not None and loss < self.best:
            self.best_state = copy.deepcopy(self.network.state_dict())
        self.best = min(self.best, loss)
        waits = self.settings.solver == "adamw" or self.held_out is not None
        stalled = waits and self.n_stale >= self.settings.n_iter_no_change
        self.ended = solver.converged or stalled
        return loss

    def _state(self, solver: AdamWSolver | LBFGSSolver) -> dict[str, Any]:
        """Return all that the next epoch depends on, but for the generators of random numbers."""
        return {
            "network": self.network.state_dict(),
            "trainable": {n: p.requires_grad for n, p in self.network.named_parameters()},
            "optimizer": solver.optimizer.state_dict(),
            "terms": self.history.terms,
            "validation": self.history.validation,
            "best": self.best,
            "best_state": self.best_state,
            "n_stale": self.n_stale,
            "ended": self.ended,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a state, but for solver and generators."""
        self.network.load_state_dict(state["network"])
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(state["trainable"][name])
        self.history = History(list(state["terms"]), list(state["validation"]))
        self.best, self.best_state = state["best"], state["best_state"]
        self.n_stale, self.ended = state["n_stale"], state["ended"]


def warn_of_interrupt(n_epochs: int, max_iter: int) -> None:
    """Warn that training ended early, as Ctrl-C asked."""
    warnings.warn(
        f"Training was interrupted after {n_epochs} of {max_iter} epochs; the estimator is fitted "
        "as far as it got.",
        stacklevel=3,
    )


def _generators() -> Generators:
    generators = current_generators()
    if generators is None:
        raise RuntimeError("A checkpoint needs the generators of the fit: use_generators(...).")
    return generators


def _check_loss(loss: float, settings: TrainingSettings) -> None:
    if not math.isfinite(loss):
        fix = f"lower weight_decay (it is {settings.weight_decay})"
        if settings.solver == "adamw":
            fix = f"lower learning_rate_init (it is {settings.learning_rate_init}), or {fix}"
        raise ValueError(f"The loss became {loss}, training diverged: {fix}.")
