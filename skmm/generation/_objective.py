"""The loss that a network for texts is trained for: the negative log-likelihood of a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._torch.loop import History
from .._torch.tensors import TrainingTensors
from ._network import GenerationNetwork, GenerationOutput, token_losses, trim

EVALUATION_ROWS = 64  # whose logits are in memory at once
STATISTICS_ROWS = 8192  # of which mean and spread of what is fused are computed


class GenerationObjective(NamedTuple):
    """The mean over tokens of the texts; ``target`` of the rows holds source, then text."""

    n_source: int  # columns of the source

    @property
    def coefficients(self) -> list[float]:
        """What the one term is multiplied by."""
        return [1.0]

    def run(
        self, network: GenerationNetwork, batch: TrainingTensors, present: Tensor
    ) -> tuple[GenerationOutput, TrainingTensors]:
        """Run a batch; return the rows run, of which ``target`` is the text alone."""
        source, target = (trim(part) for part in self._split(batch.target))
        output = network(batch.values, present, source, target)
        return output, batch._replace(target=target)

    def terms(self, output: GenerationOutput, rows: TrainingTensors) -> Tensor:
        """Compute the mean negative log-likelihood of a token, (1,)."""
        losses = token_losses(output.logits, rows.target)
        n_tokens = (rows.target >= 0).sum(1)
        total = rows.weight @ losses.sum(1)
        return (total / (rows.weight @ n_tokens.to(total)).clamp(min=1e-12))[None]

    def prepare_evaluation(
        self, network: GenerationNetwork, rows: TrainingTensors, index: Tensor
    ) -> None:
        """Stop dropping units out, and store the statistics of what is fused."""
        network.eval()
        batch = rows.take(index[:STATISTICS_ROWS])
        m = len(network.prefix.n_features)
        network.prefix.store_statistics(batch.values, batch.present[:, :m])

    @torch.no_grad()
    def held_out_loss(
        self, network: GenerationNetwork, rows: TrainingTensors, held_out: Tensor
    ) -> float:
        """Compute the mean over tokens of rows that are not trained on."""
        total = n_tokens = 0.0
        for index in held_out.split(EVALUATION_ROWS):
            batch = rows.take(index)
            output, batch = self.run(network, batch, batch.present)
            losses = token_losses(output.logits, batch.target).sum(1)
            total += float(batch.weight @ losses)
            n_tokens += float(batch.weight @ (batch.target >= 0).sum(1).to(losses))
        return total / n_tokens

    def history_frame(self, history: History) -> pd.DataFrame:
        """Return the loss of each epoch, and that of held-out rows if there are some."""
        frame = pd.DataFrame({"loss": np.array(history.terms)[:, 0]})
        if history.validation:
            frame["validation_loss"] = history.validation
        return frame.rename_axis("epoch")

    def _split(self, tokens: Tensor) -> Sequence[Tensor]:
        return tokens[:, : self.n_source], tokens[:, self.n_source :]
