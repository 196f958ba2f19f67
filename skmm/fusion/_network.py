"""The torch module of the fusion estimators: tensors in, named results out.

    Fusion(x_1..x_n) = sum_i a_i f_i(x_i),   a = alpha over the modalities of the row, renormalised

What is weighted is normalised: centred and divided by its root mean square over the rows in which
the modality is present. Otherwise f_i could absorb any scale, and alpha would say nothing. Additive
fusion weighs nothing: there the f_i themselves are summed.

A sum of several normalised values is smaller than each of them unless they agree, so a row with
fewer modalities would be predicted with more confidence. Each that it lacks shrinks its values by a
factor that is learned, exp(-c_i).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .._torch.fusing import TemperatureHead, WeightedSum, renormalise, weigh
from .._torch.layers import Calibration, ModalityNormalizer, first_member
from .._torch.loop import EVALUATION_ROWS
from .._torch.parallel import gather_rows
from .._torch.processes import is_data_parallel, sum_over_processes
from .._torch.tensors import TrainingTensors, tile, to_float64


class FusionOutput(NamedTuple):
    """One forward pass: n rows, m modalities, k classes; q values are fused, f_i has width h.

    Of an ensemble, n is the number of rows times that of members.
    """

    logits: Tensor  # (n, k)
    modality_values: Tensor  # (n, m, q) normalised f_i(x_i) times the confidence, not yet weighted
    weights: Tensor  # (n, m) a, or (n, m, k)
    modality_logits: tuple[Tensor, ...]  # m times (n, k), or empty without modality heads
    representations: tuple[Tensor, ...]  # m times (n, h); the scores where f_i is linear


class Encoded(NamedTuple):
    """What is computed of each row by itself; modalities in the order of the network."""

    representations: tuple[Tensor, ...]  # as in `FusionOutput`
    modality_logits: tuple[Tensor, ...]
    values: Tensor  # (n, m, q), to be fused
    present: Tensor  # (n, m)


class Encoders(NamedTuple):
    """The models f_i and what follows them, before anything is fused."""

    encoders: Sequence[nn.Module]  # one per modality
    trunk: nn.Module | None  # what follows each of them and is one for all
    heads: Sequence[nn.Module]  # from f_i to scores (k,), of each modality; may be empty
    is_linear: bool  # f_i has no hidden layer: scores are its only representation


class Fusing(NamedTuple):
    """What a fusion rule is made of."""

    normalizer: ModalityNormalizer
    fuse: nn.Module  # from weights (n, m) and values (n, m, q) to what is fused (n, q)
    head: nn.Module  # from what is fused to logits (n, k)
    gate: nn.Module | None  # scores each modality of a row (n, m)
    fuses_scores: bool  # what is fused are scores (k,), not representations
    head_reads_modalities: bool  # the one head gives the logits of each modality, too


class FusionNetwork(nn.Module):
    """Encode each modality, normalise, weigh, sum, and read the sum with a head.

    Parameters
    ----------
    n_features : sequence of int
        The width of each modality; the columns of ``x`` stand in this order.
    n_outputs : sequence of int
        The number of outputs of each task; k in all, which are called logits here.
    modality_weights : Tensor of shape (m,) or (m, k)
        alpha, or one for each class. A buffer: no gradient step of the network changes it.
    encoders : Encoders
    fusing : Fusing
    n_members : int, default=1
        The number of networks in an ensemble, which differ in their linear layers and have all else
        in common. They are given every row once each, member by member (`tile`).
    """

    modality_weights: Tensor
    missing_penalty: Tensor

    def __init__(
        self,
        n_features: Sequence[int],
        n_outputs: Sequence[int],
        modality_weights: Tensor,
        encoders: Encoders,
        fusing: Fusing,
        *,
        n_members: int = 1,
    ):
        super().__init__()
        self.n_members = n_members
        self.n_features = tuple(n_features)
        self.encoders = nn.ModuleList(encoders.encoders)
        self.trunk = encoders.trunk
        self.modality_heads = nn.ModuleList(encoders.heads)
        self.is_linear = encoders.is_linear
        self.normalizer, self.fuse, self.head, self.gate, *_ = fusing
        self.fuses_scores = fusing.fuses_scores
        self.head_reads_modalities = fusing.head_reads_modalities
        self.register_buffer("modality_weights", modality_weights.float())
        self.register_buffer(
            "missing_penalty", torch.zeros(len(self.n_features), dtype=torch.float32)
        )
        self.calibration = Calibration(n_outputs)

    def forward(self, x: Tensor, present: Tensor, sample_weight: Tensor) -> FusionOutput:
        """Run rows ``x`` (n, sum of widths) with ``present`` (n, m) and ``sample_weight`` (n,)."""
        return self.combine(self.encode(x, present), sample_weight)

    def encode(self, x: Tensor, present: Tensor) -> Encoded:
        """Compute what depends on one row alone."""
        return Encoded(*self.values(x), present)

    def combine(self, encoded: Encoded, sample_weight: Tensor) -> FusionOutput:
        """Compute the rest, in which rows share the statistics of the batch."""
        representations, modality_logits, values, present = encoded
        values = self.normalizer(values, present * sample_weight[:, None])
        values = values * self.confidence(present)[:, None, None]
        weights = self.row_weights(present, values)
        logits = self.logits(weights, values)
        if self.head_reads_modalities:
            modality_logits = self.head(values).unbind(1)
        return FusionOutput(logits, values, weights, modality_logits, representations)

    def run_batch(
        self, batch: TrainingTensors, present: Tensor, *, aligned: bool
    ) -> tuple[FusionOutput, TrainingTensors]:
        """Run a batch; with the rows of all processes, where several learn together.

        ``aligned`` says whether representations are compared, and must be those of all rows.
        """
        encoded = self.encode(batch.values, present)
        if is_data_parallel():
            encoded, batch = _gather(encoded, batch, aligned=aligned)
        return self.combine(encoded, batch.weight), batch

    def values(self, x: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
        """Compute representations f_i, modality logits, and what of them is fused, (n, m, q)."""
        blocks = x.split(self.n_features, dim=1)
        representations = tuple(f(block) for f, block in zip(self.encoders, blocks, strict=True))
        if self.trunk is not None:
            representations = self.trunk(torch.stack(representations, dim=1)).unbind(1)
        modality_logits = tuple(
            head(z) for head, z in zip(self.modality_heads, representations, strict=False)
        )
        if self.is_linear:
            representations = modality_logits
        fused_values = modality_logits if self.fuses_scores else representations
        return representations, modality_logits, torch.stack(fused_values, dim=1)

    def row_weights(self, present: Tensor, values: Tensor) -> Tensor:
        """Compute weights of each row, summing to 1 (n, m); zeros where no modality has weight."""
        return renormalise(self.modality_weights, self.gate_scores(present, values))

    @property
    def has_weight(self) -> Tensor:
        """Whether alpha is above 0, of any class (m,)."""
        return (self.modality_weights > 0).reshape(len(self.n_features), -1).any(1)

    def confidence(self, present: Tensor) -> Tensor:
        """Compute what values of rows that lack modalities are multiplied by (...), of (..., m)."""
        missing = (~present).to(self.missing_penalty)
        return torch.exp(-(missing @ self.missing_penalty))

    def gate_scores(self, present: Tensor, values: Tensor) -> Tensor:
        """Compute what alpha is multiplied by in each row, before it is renormalised (n, m)."""
        if self.gate is None:
            return present
        return self.gate(present & self.has_weight, values)

    def logits(self, weights: Tensor, values: Tensor) -> Tensor:
        """Compute what the head reads from the fused values (n, k)."""
        return self.calibration(self.head(self.fuse(weights, values)))

    def contributions(self, weights: Tensor, values: Tensor) -> Tensor:
        """Split logits by modality (n, m, k), where the head is affine and the rule a sum."""
        return weigh(weights, self.calibration(self.head(values)))

    def logits_of_each(self, values: Tensor) -> Tensor:
        """Compute logits of rows that had each modality alone (n, m, k)."""
        if isinstance(self.fuse, WeightedSum):
            return self.calibration(self.head(values))
        alone = torch.eye(values.shape[1], dtype=values.dtype, device=values.device)
        logits = [self.logits(one.expand(len(values), -1), values) for one in alone]
        return torch.stack(logits, dim=1)

    @property
    def scales(self) -> set[str]:
        """The parameters that are not weights: a scale, and a bias for each class."""
        is_scale = isinstance(self.head, TemperatureHead)
        return {f"head.{name}" for name, _ in self.head.named_parameters() if is_scale}

    def members(self, values: Tensor) -> Tensor:
        """Split the members' rows (e n, ...) into (e, n, ...)."""
        return values.unflatten(0, (self.n_members, -1))

    def first_member(self) -> FusionNetwork:
        """Copy the first network of the ensemble."""
        network = first_member(self)
        assert isinstance(network, FusionNetwork)
        network.n_members = 1
        return network

    @torch.no_grad()
    def evaluate(self, x: Tensor, present: Tensor, *, alone: bool = False) -> tuple[Tensor, Tensor]:
        """Compute values (n, m, q) and weights (n, m) of rows; in evaluation mode.

        With ``alone`` each value is that of a row that has no other modality. Of an ensemble the
        rows are repeated for each member, (e n, ...).
        """
        x, present = tile(x, self.n_members), tile(present, self.n_members)
        values = self.normalizer(self.values(x)[2], present)
        m = present.shape[1]
        has = torch.eye(m, dtype=torch.bool, device=x.device) if alone else present
        confidence = self.confidence(has)  # (m,) if alone, else (n,)
        values = values * (confidence[:, None] if alone else confidence[:, None, None])
        return values, self.row_weights(present, values)

    @torch.no_grad()
    def store_statistics(self, rows: TrainingTensors, index: Tensor) -> None:
        """Store the statistics of the rows ``index`` for evaluation, summed in float64."""
        self.eval()
        weighted = rows.present[index] * rows.weight[index][:, None]
        total = sum_over_processes(weighted.sum(0, dtype=torch.float32))
        mean, square = 0.0, 0.0
        for chunk in index.split(EVALUATION_ROWS):
            batch = rows.take(chunk)
            share = batch.present * batch.weight[:, None]
            share = share / (self.n_members * total).clamp(min=1e-30)
            share = to_float64(tile(share, self.n_members))  # (e chunk, m)
            x = tile(batch.values, self.n_members)
            values = to_float64(self.values(x)[2])  # (e chunk, m, q)
            mean += (share[:, :, None] * values).sum(0)  # (m, q)
            square += (share * (values**2).mean(2)).sum(0)  # (m,)
        mean, square = sum_over_processes(mean), sum_over_processes(square)
        variance = square - (mean**2).mean(1)
        # A modality of one row, or of none, has no spread.
        self.normalizer.store(mean, torch.where(variance > 1e-9 * square, variance, 0.0))


def _gather(
    encoded: Encoded, rows: TrainingTensors, *, aligned: bool
) -> tuple[Encoded, TrainingTensors]:
    """Concatenate what all processes have encoded, and all of their rows but ``x``.

    Representations are most of it, and stay where they are unless they are ``aligned``.
    """
    shared = encoded.representations if aligned else ()
    m = len(shared)
    blocks = [*shared, *encoded.modality_logits, encoded.values]
    blocks += [encoded.present, rows.present, rows.target, rows.weight[:, None]]
    *blocks, kept, present, target, weight = gather_rows(blocks)
    gathered = TrainingTensors(rows.x, present > 0, target.to(rows.target.dtype), weight[:, 0])
    return Encoded(tuple(blocks[:m]), tuple(blocks[m:-1]), blocks[-1], kept > 0), gathered
