"""Ways to bring a network closer to its objective, an epoch at a time."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ._losses import Objective, Rows
from ._network import Encoded, FusionNetwork, FusionOutput
from ._parallel import average_gradients, gather_rows
from ._together import is_together, total

WARM_UP_SHARE = 0.1
HEAD_STEP_RATIO = 10  # a scale and a bias per class have further to go than weights do
RELATIVE_TOLERANCE = 64 * sys.float_info.epsilon  # as in scikit-learn's LogisticRegression
LINE_SEARCH_STEPS = 25


class Settings(NamedTuple):
    """Hyperparameters of training, under the names of `FusionClassifier`."""

    solver: str
    learning_rate_init: float
    weight_decay: float
    batch_size: int
    max_iter: int
    tol: float
    n_iter_no_change: int
    modality_dropout: float
    precision: str
    balance: str | None
    learn_weights: bool
    calibrate: bool
    verbose: bool


class AdamW:
    """A gradient step for each batch, under one warm-up and one cosine decay of the step size.

    The ``scales`` of the network have a larger step, no decay, and stay once learned. To balance
    modalities, one that is ahead of the others has a smaller step (`slow_down`).
    """

    converged = False  # it is for the caller to see that the loss stalls

    def __init__(
        self,
        network: FusionNetwork,
        rows: Rows,
        fitting: Tensor,
        objective: Objective,
        settings: Settings,
    ):
        self.network, self.rows, self.fitting = network, rows, fitting
        self.objective, self.settings = objective, settings
        self.n_batches = math.ceil(total(len(fitting)) / settings.batch_size)
        self.coefficients = _coefficients(network, objective)
        rate = settings.learning_rate_init
        groups = {
            False: {"params": [], "peak": rate, "weight_decay": settings.weight_decay},
            True: {"params": [], "peak": rate * HEAD_STEP_RATIO, "weight_decay": 0.0},
        }
        self.balanced = settings.balance is not None and len(network.encoders) > 1
        own = {}  # what only one modality has
        if self.balanced:
            own = {p: i for i, f in enumerate(network.encoders) for p in f.parameters()}
            groups |= {(i,): {**groups[False], "params": []} for i in set(own.values())}
        scales = network.scales
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                key = (own[parameter],) if parameter in own else name in scales
                groups[key]["params"].append(parameter)
        for key, group in groups.items():
            group["modality"] = key[0] if isinstance(key, tuple) else None
        self.optimizer = torch.optim.AdamW(
            [group for group in groups.values() if group["params"]], lr=rate, fused=True
        )

    def run_epoch(self, number: int, *, constant: bool = False) -> Tensor:
        """Run epoch ``number``, from 0; the terms of the loss, each a mean over the rows.

        With ``constant`` all steps are of the largest size.
        """
        sums = torch.zeros_like(self.coefficients)
        order = self.fitting[torch.randperm(len(self.fitting)).to(self.fitting.device)]
        n_steps = self.settings.max_iter * self.n_batches
        first = number * self.n_batches
        for step, index in enumerate(order.tensor_split(self.n_batches), start=first):
            if not constant:
                self._set_step_size(step / n_steps)
            sums += self.step(self.rows.take(index).tile(self.network)) * total(len(index))
        return sums / total(len(self.fitting))

    def step(self, batch: Rows) -> Tensor:
        """One gradient step; the terms of the loss, detached."""
        fused = drop_modalities(batch.present, self.settings.modality_dropout)
        if self.settings.precision == "bfloat16":  # all but the losses
            with torch.autocast(batch.x.device.type, dtype=torch.bfloat16):
                output, batch = self._run(batch, fused)
                output = _to_float32(output)
        else:
            output, batch = self._run(batch, fused)
        terms = self.objective.terms(output, batch)
        self.optimizer.zero_grad()
        (self.coefficients @ terms).backward()
        average_gradients([p for group in self.optimizer.param_groups for p in group["params"]])
        terms = terms.detach()
        if self.balanced:
            losses = terms[1 : 1 + len(self.objective.modality)]
            self._balanced_step(slow_down(losses, batch.present.any(0)))
        else:
            self.optimizer.step()
        return terms

    def _run(self, batch: Rows, fused: Tensor) -> tuple[FusionOutput, Rows]:
        """Run the network, the modalities ``fused`` of each row; what it says, and of what rows."""
        if not is_together():
            return self.network(batch.x, fused, batch.weight), batch
        encoded = self.network.encode(batch.x, fused)
        encoded, batch = _gather(encoded, batch, aligned=bool(self.objective.alignment))
        return self.network.combine(encoded, batch.weight), batch

    def _balanced_step(self, slower: Tensor) -> None:
        """Step with the step size of each modality multiplied by ``slower`` (m,)."""
        factors = slower.tolist()
        sizes = [group["lr"] for group in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            if group["modality"] is not None:
                group["lr"] *= factors[group["modality"]]
        self.optimizer.step()
        for group, size in zip(self.optimizer.param_groups, sizes, strict=True):
            group["lr"] = size

    def _set_step_size(self, progress: float) -> None:
        """Linear from near 0 to the peak, then half a cosine down to 0."""
        if progress < WARM_UP_SHARE:
            factor = (progress + 0.01) / (WARM_UP_SHARE + 0.01)
        else:
            factor = (1 + math.cos(math.pi * (progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor


class LBFGS:
    """An iteration of L-BFGS on all rows, with a line search for the strong Wolfe conditions.

    Minimises the composite loss plus ``weight_decay / (2 n)`` times the sum of the squares of all
    matrices of weights, n being the number of rows. What is fused is normalised by the statistics
    of all rows, through which gradients flow, so that this is one fixed function.
    """

    def __init__(
        self,
        network: FusionNetwork,
        rows: Rows,
        fitting: Tensor,
        objective: Objective,
        settings: Settings,
    ):
        self.network, self.rows = network, rows.take(fitting).tile(network)
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
        """Run one iteration; the terms of the loss after it."""
        prior_rows, self.network.normalizer.prior_rows = self.network.normalizer.prior_rows, 0
        try:
            before, start = float(self._evaluate()), self._where
            self.optimizer.step(self._evaluate)
            after = float(self._evaluate())
            if not after <= before:  # no step is short enough for the precision of numbers
                vector_to_parameters(start.clone(), self.variables)
                after = float(self._evaluate())
        finally:
            self.network.normalizer.prior_rows = prior_rows
        slope = max(float(v.grad.abs().max()) for v in self.variables if v.grad is not None)
        unit = max(abs(before), abs(after), 1.0)
        self.converged = slope <= self.settings.tol or before - after <= RELATIVE_TOLERANCE * unit
        return self._terms

    def _evaluate(self) -> Tensor:
        """The function's value, and its gradient in ``.grad``; once for each point."""
        where = parameters_to_vector(self.variables).detach()
        if self._where is None or not torch.equal(where, self._where):
            self.optimizer.zero_grad()
            x, present, _, weight = self.rows
            output = self.network(x, present, weight)
            terms = self.objective.terms(output, self.rows)
            loss = self.coefficients @ terms
            if self.settings.weight_decay:
                squares = sum(v.square().sum() for v in self.variables if v.ndim > 1)
                loss = loss + self.settings.weight_decay / (2 * len(x)) * squares
            if torch.isfinite(loss):
                loss.backward()
            else:  # the line search went too far; without a slope it halves its step
                loss = torch.full_like(loss, math.inf)
            self._where, self._loss, self._terms = where, loss.detach(), terms.detach()
        return self._loss


SOLVERS = {"adamw": AdamW, "lbfgs": LBFGS}


def slow_down(losses: Tensor, there: Tensor) -> Tensor:
    """By what to multiply the step size of each modality, from the losses (m,) of those ``there``.

    OGM-GE (Peng et al. 2022): exp(-loss) of each is compared with the mean of the others; where the
    ratio r is above 1, 1 - tanh(r - 1). There it is the gradient that is multiplied, of which AdamW
    would take no notice, and noise is added, which dropout makes up for here.
    """
    score = torch.exp(-losses) * there
    n_others = there.sum() - there.to(score)
    ratio = score * n_others / (score.sum() - score).clamp(min=1e-12)
    return 1 - torch.tanh((ratio - 1).clamp(min=0))


def drop_modalities(present: Tensor, rate: float) -> Tensor:
    """Leave out each modality of a row with probability ``rate``, never all of them."""
    if rate == 0:
        return present
    kept = present & (torch.rand(present.shape, device=present.device) >= rate)
    return torch.where(kept.any(1, keepdim=True), kept, present)


def _gather(encoded: Encoded, own: Rows, *, aligned: bool) -> tuple[Encoded, Rows]:
    """Put what all processes have encoded together, and all of their rows but ``x``.

    Representations are most of it, and stay where they are unless they are ``aligned``.
    """
    shared = encoded.representations if aligned else ()
    m = len(shared)
    blocks = [*shared, *encoded.modality_logits, encoded.values]
    blocks += [encoded.present, own.present, own.target, own.weight[:, None]]
    *blocks, fused, present, target, weight = gather_rows(blocks)
    rows = Rows(own.x, present > 0, target.to(own.target.dtype), weight[:, 0])
    return Encoded(tuple(blocks[:m]), tuple(blocks[m:-1]), blocks[-1], fused > 0), rows


def _to_float32(output: FusionOutput) -> FusionOutput:
    return FusionOutput(
        *(tuple(t.float() for t in v) if isinstance(v, tuple) else v.float() for v in output)
    )


def _coefficients(network: FusionNetwork, objective: Objective) -> Tensor:
    some = next(network.parameters())
    return torch.tensor(objective.coefficients, device=some.device, dtype=some.dtype)
