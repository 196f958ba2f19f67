"""The loss that an alignment network is trained for: L_ij alone, of each pair of modalities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._torch.loop import EVALUATION_ROWS, History
from .._torch.losses import ALIGNMENT_LOSSES, contrastive, supervised_contrastive
from .._torch.tensors import TrainingTensors
from ._network import AlignmentNetwork, AlignmentOutput


class AlignmentObjective(NamedTuple):
    """L_ij of each ordered pair of views; the loss is their mean."""

    alignment: str  # "contrastive" or "correlation"
    pairs: Sequence[tuple[int, int]]
    views: Sequence[int]  # the modality of each
    is_supervised: bool  # rows of a class are brought together

    @property
    def coefficients(self) -> list[float]:
        """What each term is multiplied by."""
        return [1 / len(self.pairs)] * len(self.pairs)

    def run(
        self, network: AlignmentNetwork, batch: TrainingTensors, present: Tensor
    ) -> tuple[AlignmentOutput, TrainingTensors]:
        """Run a batch; return the rows run, too."""
        return network(batch.values), batch

    def terms(self, output: AlignmentOutput, rows: TrainingTensors) -> Tensor:
        """Compute every term, not yet multiplied by its coefficient, (n_terms,)."""
        return torch.stack([self._term(output, rows, i, j) for i, j in self.pairs])

    def _term(self, output: AlignmentOutput, rows: TrainingTensors, i: int, j: int) -> Tensor:
        both = rows.present[:, self.views[i]] & rows.present[:, self.views[j]]
        pair = (output.representations[i], output.representations[j], rows.weight, both)
        if self.is_supervised:
            is_same_class = rows.target == rows.target.T  # (n, n)
            return supervised_contrastive(*pair, output.temperature, is_same_class)
        if self.alignment == "contrastive":
            return contrastive(*pair, output.temperature)
        return ALIGNMENT_LOSSES[self.alignment](*pair)

    def prepare_evaluation(
        self, network: AlignmentNetwork, rows: TrainingTensors, index: Tensor
    ) -> None:
        """Stop dropping units out; there are no statistics to store."""
        network.eval()

    @torch.no_grad()
    def held_out_loss(
        self, network: AlignmentNetwork, rows: TrainingTensors, held_out: Tensor
    ) -> float:
        """Compute the loss of rows that are not trained on, the mean over chunks of them."""
        total = 0.0
        for index in held_out.split(EVALUATION_ROWS):
            batch = rows.take(index)
            terms = self.terms(network(batch.values), batch)
            total += float(terms.new_tensor(self.coefficients) @ terms) * len(index)
        return total / len(held_out)

    def history_frame(self, history: History, names: Sequence[str]) -> pd.DataFrame:
        """Name the terms of the loss; ``names`` are the modalities."""
        labels = [
            f"alignment__{names[self.views[i]]}__{names[self.views[j]]}" for i, j in self.pairs
        ]
        values = np.array(history.terms)
        frame = pd.DataFrame({"loss": values @ np.array(self.coefficients)})
        for label in dict.fromkeys(labels):  # two views of one modality have one name
            frame[label] = values[:, np.array(labels) == label].mean(1)
        if history.validation:
            frame["validation_loss"] = history.validation
        return frame.rename_axis("epoch")


def find_pairs(views: Sequence[int], present: np.ndarray) -> list[tuple[int, int]]:
    """Find the ordered pairs of views that some rows (n, m) have both of."""
    n_both = present.T.astype(int) @ present.astype(int)
    numbers = range(len(views))
    return [(i, j) for i in numbers for j in numbers if i != j and n_both[views[i], views[j]] > 0]
