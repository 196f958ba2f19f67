"""The composite loss that a fusion network is trained for.

Loss = L(logits, y) + sum_i lambda_i L(head_i(f_i(x_i)), y)
+ sum_{i != j} gamma_ij L_ij(f_i(x_i), f_j(x_j))
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._torch.loop import EVALUATION_ROWS, History
from .._torch.losses import ALIGNMENT_LOSSES, known, row_losses, supervised, task_kl
from .._torch.tasks import Task
from .._torch.tensors import TrainingTensors
from ._network import FusionNetwork, FusionOutput


class FusionObjective(NamedTuple):
    """The weights of the composite loss; modalities are counted in the network's order."""

    modality: Mapping[int, float]  # i -> lambda_i, those above 0
    pairs: Mapping[tuple[int, int], float]  # (i, j) -> gamma_ij, those above 0
    alignment: str | None  # a key of `ALIGNMENT_LOSSES`
    tasks: Sequence[Task]
    n_members: int = 1

    @property
    def coefficients(self) -> list[float]:
        """The factor of each term: 1, then lambda, then gamma."""
        return [1.0, *self.modality.values(), *self.pairs.values()]

    def run(
        self, network: FusionNetwork, batch: TrainingTensors, present: Tensor
    ) -> tuple[FusionOutput, TrainingTensors]:
        """Run a batch with the modalities ``present``; return the rows run, too."""
        return network.run_batch(batch, present, aligned=bool(self.pairs))

    def terms(self, output: FusionOutput, rows: TrainingTensors) -> Tensor:
        """Compute every term, not yet multiplied by its coefficient, (n_terms,)."""
        _, present, target, weight = rows
        everyone = torch.ones_like(present[:, 0])
        terms = [supervised(self.tasks, output.logits, target, weight, everyone)]
        for i in self.modality:
            logits = output.modality_logits[i]
            terms.append(supervised(self.tasks, logits, target, weight, present[:, i]))
        terms += [self._alignment_term(output, rows, i, j) for i, j in self.pairs]
        return torch.stack(terms)

    def _alignment_term(
        self, output: FusionOutput, rows: TrainingTensors, i: int, j: int
    ) -> Tensor:
        """Compute L_ij, averaged over the members of an ensemble."""
        assert self.alignment is not None
        loss, aligned = ALIGNMENT_LOSSES[self.alignment], output.representations
        if self.alignment == "kl":
            loss, aligned = functools.partial(task_kl, self.tasks), output.modality_logits
        both = rows.present[:, i] & rows.present[:, j]
        members = [
            values.tensor_split(self.n_members)
            for values in (aligned[i], aligned[j], rows.weight, both)
        ]
        return torch.stack([loss(*member) for member in zip(*members, strict=True)]).mean()

    def prepare_evaluation(
        self, network: FusionNetwork, rows: TrainingTensors, index: Tensor
    ) -> None:
        """Store the statistics of the rows ``index``."""
        network.store_statistics(rows, index)

    @torch.no_grad()
    def held_out_loss(
        self, network: FusionNetwork, rows: TrainingTensors, held_out: Tensor
    ) -> float:
        """Compute L of rows that are not trained on."""
        total = torch.zeros(rows.target.shape[1], dtype=torch.float64)
        logits_of_chunks = unseen_logits(network, rows, held_out)
        for index, logits in zip(held_out.split(EVALUATION_ROWS), logits_of_chunks, strict=True):
            losses = row_losses(self.tasks, logits, rows.target[index])
            total += (losses * rows.weight[index][:, None]).sum(0).cpu()
        weight = (rows.weight[held_out][:, None] * known(rows.target[held_out])).sum(0).cpu()
        return float((total / weight.double().clamp(min=1e-300)).sum())

    def history_frame(self, history: History, names: Sequence[str]) -> pd.DataFrame:
        """Name the terms of the loss; ``names`` are the modalities in the network's order."""
        columns = ["fused"]
        columns += [f"modality__{names[i]}" for i in self.modality]
        columns += [f"alignment__{names[i]}__{names[j]}" for i, j in self.pairs]
        frame = pd.DataFrame(history.terms, columns=pd.Index(columns))
        frame.insert(0, "loss", frame.to_numpy() @ np.array(self.coefficients))
        if history.validation:
            frame["validation_loss"] = history.validation
        return frame.rename_axis("epoch")


@torch.no_grad()
def unseen_logits(network: FusionNetwork, rows: TrainingTensors, index: Tensor) -> Iterator[Tensor]:
    """Compute logits of rows, averaged over the members of an ensemble, a chunk at a time."""
    network.eval()
    for chunk in index.split(EVALUATION_ROWS):
        batch = rows.take(chunk)
        values, weights = network.evaluate(batch.values, batch.present)
        yield network.members(network.logits(weights, values)).mean(0)
