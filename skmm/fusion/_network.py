"""The torch module of the fusion estimators: tensors and numbers in, named results out.

    Fusion(x_1..x_n) = sum_i a_i f_i(x_i),   a = alpha over the modalities of the row, renormalised

What is weighted is normalised: centred and divided by its root mean square over the rows in which
the modality is present. Otherwise f_i could absorb any scale, and alpha would say nothing. Additive
fusion weighs nothing: there the f_i themselves are summed.

A sum of several normalised values is smaller than each of them unless they agree, so a row with
fewer modalities would get bolder predictions. Each that it lacks shrinks its values by a factor
that is learned, exp(-c_i).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ._encoders import make_encoders, make_rest
from ._layers import (
    Calibration,
    Dropout,
    IdentityNormalizer,
    ModalityNormalizer,
    first_member,
    make_linear,
    per_output,
)
from ._rules import Attention, Bilinear, Gate, WeightedSum, renormalise, weigh


class FusionOutput(NamedTuple):
    """One forward pass: n rows, m modalities, k classes; q values are fused, f_i has width h.

    Of an ensemble, n is the number of rows times that of members.
    """

    logits: Tensor  # (n, k)
    parts: Tensor  # (n, m, q) normalised f_i(x_i) times the confidence, not yet weighted
    weights: Tensor  # (n, m) a, or (n, m, k)
    modality_logits: tuple[Tensor, ...]  # m times (n, k), or empty without modality heads
    representations: tuple[Tensor, ...]  # m times (n, h); the scores where f_i is linear


class Encoded(NamedTuple):
    """What is computed of each row by itself; modalities in the order of the network."""

    representations: tuple[Tensor, ...]  # as in `FusionOutput`
    modality_logits: tuple[Tensor, ...]
    values: Tensor  # (n, m, q), to be fused
    present: Tensor  # (n, m), with what is imputed


class FusionNetwork(nn.Module):
    """Encode each modality, normalise, weigh, sum, and read the sum with a head.

    Parameters
    ----------
    n_features : sequence of int
        The width of each modality; the columns of ``x`` stand in this order.
    n_outputs : sequence of int
        The number of outputs of each task; k in all, which are called logits here.
    modality_weights : Tensor of shape (m,) or (m, k)
        alpha, or with "late" one for each class. A buffer: no gradient step of the network changes
        it.
    fusion : {"late", "weighted", "concat", "additive", "gated", "attention", "bilinear"}
        What is summed. "late": scores, (k,). "weighted": representations, (h,), which a linear
        head reads. "concat": what each modality adds to the first layer of one network on all of
        them side by side; the head is the rest of that network. "additive": scores, (k,), as they
        are. "gated": representations, as "weighted", by weights that depend on the row.
        "attention" and "bilinear": representations are not summed but put together as
        `Attention` and `Bilinear` say. For these two and "additive" alpha must be equal for all.
    hidden_layer_sizes : sequence of int
    activation : str
        A key of `ACTIVATIONS`.
    dropout : float
    modality_heads : bool
        Whether each modality gets a head of its own, for its own loss; with "late" and "additive"
        each has.
    sharing : {None, "layers", "parameters", "representation"}
        What the f_i have in common: nothing; all layers but the first, or one network behind a
        linear adapter for each (see `make_encoders`); with "representation", and where f_i is one
        network that ends in scores, all modalities have one head.
    n_members : int, default=1
        The number of networks in an ensemble, which differ in their linear layers and have all else
        in common. They are given every row once each, member by member (`tile`).
    impute : bool, default=False
        Whether a vector that is learned takes the place of a missing modality, which then counts as
        one that is there.
    """

    def __init__(
        self,
        n_features: Sequence[int],
        n_outputs: Sequence[int],
        modality_weights: Tensor,
        *,
        fusion: str,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        dropout: float,
        modality_heads: bool,
        sharing: str | None = None,
        n_members: int = 1,
        impute: bool = False,
    ):
        super().__init__()
        self.fusion = fusion
        self.n_members = n_members
        self.n_features = tuple(n_features)
        k = sum(n_outputs)
        linear = fusion == "concat"
        own_sizes = tuple(hidden_layer_sizes[:1] if linear else hidden_layer_sizes)
        self.encoders, self.trunk = make_encoders(
            self.n_features,
            own_sizes,
            activation,
            dropout,
            linear=linear,
            sharing=sharing,
            n_members=n_members,
        )
        self.dropout = Dropout(dropout if own_sizes else 0.0)
        widths = own_sizes[-1:] * len(self.n_features) or self.n_features
        self.fuses_scores = fusion in ("late", "additive")
        self.is_linear = not own_sizes
        one_head = sharing == "representation" or (sharing == "parameters" and self.fuses_scores)
        # Where representations are fused, the one head is that which reads their sum.
        self.head_reads_parts = modality_heads and one_head and not self.fuses_scores
        has_heads = self.fuses_scores or (modality_heads and not one_head)
        different = widths[: 1 if one_head else None] if has_heads else ()
        heads = [make_linear(n_members, width, k) for width in different]
        self.modality_heads = nn.ModuleList(heads * len(widths) if one_head else heads)
        n_values = k if self.fuses_scores else own_sizes[-1]
        normalizer = IdentityNormalizer if fusion == "additive" else ModalityNormalizer
        self.normalizer = normalizer(len(self.n_features), n_values)
        if fusion == "late":
            self.head: nn.Module = TemperatureHead(n_outputs)
        elif fusion == "additive":
            self.head = SumHead(len(self.n_features), k)
        elif fusion == "concat":
            self.head = make_rest(hidden_layer_sizes, k, activation, dropout, n_members)
        else:
            self.head = nn.Sequential(Dropout(dropout), make_linear(n_members, n_values, k))
        self.gate = None
        if fusion == "gated":
            self.gate = Gate(len(self.n_features), n_values, dropout, n_members)
        self.fuse = _rule(fusion, len(self.n_features), n_values, dropout)
        self.register_buffer("modality_weights", modality_weights.float())
        self.register_buffer("absence_costs", torch.zeros(len(self.n_features)))
        self.calibration = Calibration(n_outputs)
        self.substitute = nn.Parameter(torch.zeros(sum(self.n_features))) if impute else None

    def forward(self, x: Tensor, present: Tensor, sample_weight: Tensor) -> FusionOutput:
        """Run rows ``x`` (n, sum of widths) with ``present`` (n, m) and ``sample_weight`` (n,)."""
        return self.combine(self.encode(x, present), sample_weight)

    def encode(self, x: Tensor, present: Tensor) -> Encoded:
        """Run the part in which rows have nothing to do with each other."""
        x, present = self.complete(x, present)
        return Encoded(*self.values(x), present)

    def combine(self, encoded: Encoded, sample_weight: Tensor) -> FusionOutput:
        """Run the rest."""
        representations, modality_logits, values, present = encoded
        parts = self.normalizer(values, present * sample_weight[:, None])
        parts = parts * self.confidence(present)[:, None, None]
        weights = self.row_weights(present, parts)
        logits = self.logits(weights, parts)
        if self.head_reads_parts:
            modality_logits = self.head(parts).unbind(1)
        return FusionOutput(logits, parts, weights, modality_logits, representations)

    def complete(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Impute the modalities that rows lack, and tell which they then have."""
        if self.substitute is None:
            return x, present
        widths = torch.tensor(self.n_features, device=x.device)
        missing = (~present).repeat_interleave(widths, dim=1, output_size=x.shape[1])
        return x + missing * self.substitute, self.imputed(present)

    def imputed(self, present: Tensor) -> Tensor:
        """Which modalities rows have once they are imputed: all, unless none that counts."""
        if self.substitute is None:
            return present
        return (present & self.counts).any(1, keepdim=True).expand_as(present)

    def values(self, x: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
        """Representations f_i, modality logits, and what of them is fused, (n, m, q)."""
        blocks = x.split(self.n_features, dim=1)
        representations = tuple(f(block) for f, block in zip(self.encoders, blocks, strict=True))
        if self.trunk is not None:
            representations = self.trunk(torch.stack(representations, dim=1)).unbind(1)
        modality_logits = tuple(
            head(self.dropout(z))
            for head, z in zip(self.modality_heads, representations, strict=False)
        )
        if self.is_linear:
            representations = modality_logits
        fused_values = modality_logits if self.fuses_scores else representations
        return representations, modality_logits, torch.stack(fused_values, dim=1)

    def row_weights(self, present: Tensor, parts: Tensor) -> Tensor:
        """Weights of each row, summing to 1 (n, m); zeros where no modality has weight."""
        return renormalise(self.modality_weights, self.odds(present, parts))

    @property
    def counts(self) -> Tensor:
        """Whether alpha is above 0, of any class (m,)."""
        return (self.modality_weights > 0).reshape(len(self.n_features), -1).any(1)

    def confidence(self, present: Tensor) -> Tensor:
        """What the values of rows that lack modalities are multiplied by (...), from (..., m)."""
        return torch.exp(-((~present).to(self.absence_costs) @ self.absence_costs))

    def odds(self, present: Tensor, parts: Tensor) -> Tensor:
        """What alpha is multiplied by in each row, before it is renormalised (n, m)."""
        if self.gate is None:
            return present
        return self.gate(present & self.counts, parts)

    def logits(self, weights: Tensor, parts: Tensor) -> Tensor:
        """What the head reads from the fused parts (n, k)."""
        return self.calibration(self.head(self.fuse(weights, parts)))

    def contributions(self, weights: Tensor, parts: Tensor) -> Tensor:
        """Parts (n, m, k) of the logits, where the head is affine and the rule a sum."""
        return weigh(weights, self.calibration(self.head(parts)))

    @property
    def scales(self) -> set[str]:
        """The parameters that are not weights: a scale, and a bias for each class."""
        late = isinstance(self.head, TemperatureHead)
        return {f"head.{name}" for name, _ in self.head.named_parameters() if late}

    def tile(self, values: Tensor) -> Tensor:
        """Repeat rows (n, ...) for each member (e n, ...)."""
        return values if self.n_members == 1 else torch.cat([values] * self.n_members)

    def members(self, values: Tensor) -> Tensor:
        """Tell the members' rows (e n, ...) apart (e, n, ...)."""
        return values.unflatten(0, (self.n_members, -1))

    def first_member(self) -> FusionNetwork:
        """Copy the first network of the ensemble."""
        network = first_member(self)
        network.n_members = 1
        return network

    def opinions(self, parts: Tensor) -> Tensor:
        """Logits of rows that had each modality alone (n, m, k)."""
        if isinstance(self.fuse, WeightedSum):
            return self.calibration(self.head(parts))
        alone = torch.eye(parts.shape[1], dtype=parts.dtype, device=parts.device)
        return torch.stack([self.logits(one.expand(len(parts), -1), parts) for one in alone], dim=1)


class TemperatureHead(nn.Module):
    """Logits from fused scores: one scale for all those of a task, and a bias for each."""

    def __init__(self, n_outputs: Sequence[int]):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(len(n_outputs)))
        self.bias = nn.Parameter(torch.zeros(sum(n_outputs)))
        self.register_buffer("n_outputs", torch.tensor(n_outputs), persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        return per_output(self.log_scale.exp(), self.n_outputs) * scores + self.bias


class SumHead(nn.Module):
    """Logits from the mean of scores: their sum had every modality been present, and a bias."""

    def __init__(self, n_modalities: int, n_outputs: int):
        super().__init__()
        self.n_modalities = n_modalities
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, scores: Tensor) -> Tensor:
        return self.n_modalities * scores + self.bias


def _rule(fusion: str, n_modalities: int, width: int, dropout: float) -> nn.Module:
    if fusion == "attention":
        return Attention(n_modalities, width, dropout)
    if fusion == "bilinear":
        return Bilinear(n_modalities, width, dropout)
    return WeightedSum()
