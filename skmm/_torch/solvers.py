"""Ways to bring a network closer to its objective, an epoch at a time."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from .generators import cpu_generator, generator_for
from .parallel import average_gradients
from .processes import sum_over_processes
from .tensors import TrainingTensors

WARM_UP_SHARE = 0.1
HEAD_STEP_RATIO = 10  # a scale and a bias per class have further to go than weights do
RELATIVE_TOLERANCE = 64 * sys.float_info.epsilon  # as in scikit-learn's LogisticRegression
LINE_SEARCH_STEPS = 25


class TrainingSettings(NamedTuple):
    """How a network is trained, as plain numbers and strings."""

    solver: str  # a key of `SOLVERS`
    learning_rate_init: float
    weight_decay: float
    batch_size: int
    max_iter: int
    tol: float
    n_iter_no_change: int
    modality_dropout: float = 0.0
    precision: str = "float32"
    verbose: bool = False


class Objective(Protocol):
    """What a network is trained for: the terms of its loss."""

    @property
    def coefficients(self) -> list[float]:
        """What each term is multiplied by."""
        ...

    def run(
        self, network: Any, batch: TrainingTensors, present: Tensor
    ) -> tuple[Any, TrainingTensors]:
        """Run a network on a batch with the modalities ``present``, and return the rows run."""
        ...

    def terms(self, output: Any, rows: TrainingTensors) -> Tensor:
        """Compute every term, not yet multiplied by its coefficient, (n_terms,)."""
        ...

    def prepare_evaluation(self, network: Any, rows: TrainingTensors, index: Tensor) -> None:
        """Store what evaluation needs to know of the rows ``index``."""
        ...

    def held_out_loss(self, network: Any, rows: TrainingTensors, held_out: Tensor) -> float:
        """Compute the loss of rows that are not trained on."""
        ...


class AdamWSolver:
    """A gradient step for each batch, under one warm-up and one cosine decay of the step size.

    The ``scales`` of the network have a larger step, no decay, and stay once learned.
    """

    converged = False  # it is for the caller to see that the loss stalls

    def __init__(
        self,
        network: Any,
        rows: TrainingTensors,
        fitting: Tensor,
        objective: Objective,
        settings: TrainingSettings,
    ):
        self.network, self.rows, self.fitting = network, rows, fitting
        self.objective, self.settings = objective, settings
        self.n_batches = math.ceil(sum_over_processes(len(fitting)) / settings.batch_size)
        self.coefficients = _coefficients(network, objective)
        groups = _parameter_groups(network, settings)
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate_init, fused=True)

    def run_epoch(self, number: int, *, constant: bool = False) -> Tensor:
        """Run epoch ``number``, from 0; return the terms of the loss, each a mean over the rows.

        With ``constant`` all steps are of the largest size.
        """
        sums = torch.zeros_like(self.coefficients)
        permutation = torch.randperm(len(self.fitting), generator=cpu_generator())
        order = self.fitting[permutation.to(self.fitting.device)]
        n_steps = self.settings.max_iter * self.n_batches
        first = number * self.n_batches
        for step, index in enumerate(order.tensor_split(self.n_batches), start=first):
            if not constant:
                self._set_step_size(step / n_steps)
            batch = self.rows.take(index).tile(self.network.n_members)
            sums += self.step(batch) * sum_over_processes(len(index))
        return sums / sum_over_processes(len(self.fitting))

    def step(self, batch: TrainingTensors) -> Tensor:
        """Take one gradient step; return the terms of the loss, detached."""
        present = drop_modalities(batch.present, self.settings.modality_dropout)
        if self.settings.precision == "bfloat16":  # all but the losses
            with torch.autocast(batch.present.device.type, dtype=torch.bfloat16):
                output, batch = self.objective.run(self.network, batch, present)
            output = _to_float32(output)
            torch.clear_autocast_cache()  # which an autocast of the caller's would keep
        else:
            output, batch = self.objective.run(self.network, batch, present)
        terms = self.objective.terms(output, batch)
        self.optimizer.zero_grad()
        (self.coefficients @ terms).backward()
        average_gradients([p for group in self.optimizer.param_groups for p in group["params"]])
        self.optimizer.step()
        return terms.detach()

    def _set_step_size(self, progress: float) -> None:
        """Linear from near 0 to the peak, then half a cosine down to 0."""
        if progress < WARM_UP_SHARE:
            factor = (progress + 0.01) / (WARM_UP_SHARE + 0.01)
        else:
            factor = (1 + math.cos(math.pi * (progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor


class LBFGSSolver:
    """An iteration of L-BFGS on all rows, with a line search for the strong Wolfe conditions.

    Minimises the composite loss plus ``weight_decay / (2 n)`` times the sum of the squares of all
    matrices of weights, n being the number of rows. What is fused is normalised by the statistics
    of all rows, through which gradients flow, so that this is one fixed function.
    """

    def __init__(
        self,
        network: Any,
        rows: TrainingTensors,
        fitting: Tensor,
        objective: Objective,
        settings: TrainingSettings,
    ):
        self.network, self.rows = network, rows.take(fitting).tile(network.n_members)
        self.objective, self.settings = objective, settings
        self.coefficients = _coefficients(network, objective)
        self.variables = [p for p in network.parameters() if p.requires_grad]
        self.converged = False
        self.optimizer = torch.optim.LBFGS(
            self.variables,
            max_iter=1,
            max_eval=1 + LINE_SEARCH_STEPS,
            tolerance_grad=0.0,  # convergence is found below
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )
        self._where: Tensor | None = None  # the variables at which the next two were evaluated
        self._loss = self._terms = torch.empty(0)

    def run_epoch(self, number: int) -> Tensor:
        """Run one iteration; return the terms of the loss after it."""
        normalizer = self.network.normalizer
        prior_rows, normalizer.prior_rows = normalizer.prior_rows, 0
        try:
            before = float(self._evaluate())
            start = parameters_to_vector(self.variables).detach().clone()
            self.optimizer.step(self._evaluate)  # type: ignore[arg-type] (it may return a tensor)
            after = float(self._evaluate())
            if not after <= before:  # no step is short enough for the precision of numbers
                vector_to_parameters(start, self.variables)
                after = float(self._evaluate())
        finally:
            normalizer.prior_rows = prior_rows
        slope = max(float(v.grad.abs().max()) for v in self.variables if v.grad is not None)
        unit = max(abs(before), abs(after), 1.0)
        self.converged = slope <= self.settings.tol or before - after <= RELATIVE_TOLERANCE * unit
        return self._terms

    def _evaluate(self) -> Tensor:
        """Return the function's value, and set its gradient in ``.grad``; once for each point."""
        where = parameters_to_vector(self.variables).detach()
        if self._where is None or not torch.equal(where, self._where):
            self.optimizer.zero_grad()
            output, rows = self.objective.run(self.network, self.rows, self.rows.present)
            terms = self.objective.terms(output, rows)
            loss = self.coefficients @ terms
            if self.settings.weight_decay:
                squares = sum(v.square().sum() for v in self.variables if v.ndim > 1)
                loss = loss + self.settings.weight_decay / (2 * len(rows.present)) * squares
            if torch.isfinite(loss):
                loss.backward()
            else:  # the line search went too far; without a slope it halves its step
                loss = torch.full_like(loss, math.inf)
            self._where, self._loss, self._terms = where, loss.detach(), terms.detach()
        return self._loss


SOLVERS: Mapping[str, type[AdamWSolver] | type[LBFGSSolver]] = {
    "adamw": AdamWSolver,
    "lbfgs": LBFGSSolver,
}


def drop_modalities(present: Tensor, rate: float) -> Tensor:
    """Leave out each modality of a row with probability ``rate``, never all of them."""
    if rate == 0:
        return present
    generator = generator_for(present.device)
    drawn = torch.rand(
        present.shape, dtype=torch.float32, device=present.device, generator=generator
    )
    kept = present & (drawn >= rate)
    return torch.where(kept.any(1, keepdim=True), kept, present)


def _parameter_groups(network: Any, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Group what is trained by step size: weights, and scales."""
    rate, decay = settings.learning_rate_init, settings.weight_decay
    weights: dict[str, Any] = {"peak": rate, "weight_decay": decay, "params": []}
    scales: dict[str, Any] = {"peak": rate * HEAD_STEP_RATIO, "weight_decay": 0.0, "params": []}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            group = scales if name in network.scales else weights
            group["params"].append(parameter)
    return [group for group in (weights, scales) if group["params"]]


def _to_float32(output: Any) -> Any:
    """Convert a named tuple of tensors, and of tuples of tensors."""
    return type(output)(
        *(tuple(t.float() for t in v) if isinstance(v, tuple) else v.float() for v in output)
    )


def _coefficients(network: nn.Module, objective: Objective) -> Tensor:
    parameter = next(network.parameters())
    return torch.tensor(objective.coefficients, device=parameter.device, dtype=parameter.dtype)
