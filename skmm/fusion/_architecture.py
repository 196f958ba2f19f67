"""From plain numbers to a network: the models f_i, the rule and its head are put together."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .._torch.filling import fill_network, pack_arrays
from .._torch.layers import (
    Dropout,
    IdentityNormalizer,
    ModalityNormalizer,
    make_linear,
)
from .._torch.perceptrons import PerceptronSpec, make_perceptron, make_shared_perceptrons
from ._network import Encoders, Fusing, FusionNetwork
from ._rules import RULES, FusionRule, RuleSizes

SCORES = PerceptronSpec((), "identity", 0.0, 0.0)


class NetworkSpec(NamedTuple):
    """All that a network is built from but alpha; modalities in the network's order."""

    n_features: list[int]  # the width of each modality; of an estimator's scores, k
    n_outputs: list[int]  # of each task
    fusion: str
    rule_parameters: dict[str, Any]
    perceptrons: list[PerceptronSpec | None]  # None: the scores of an estimator
    modality_heads: bool  # each modality has a loss of its own
    sharing: str | None = None
    n_members: int = 1

    @property
    def rule(self) -> FusionRule:
        """The fusion rule."""
        return RULES[self.fusion](**self.rule_parameters)

    def first_difference(self, other: NetworkSpec) -> tuple[str, Any, Any] | None:
        """Return the name and both values of the first field that differs; None if none does."""
        for name in self._fields:
            before, now = getattr(self, name), getattr(other, name)
            if before == now:
                continue
            if name != "perceptrons":
                return name, before, now
            model, changed = next((b, n) for b, n in zip(before, now, strict=True) if b != n)
            if not (model and changed):
                return "modality_model", model, changed
            fields = zip(model._fields, model, changed, strict=True)
            return next((f, b, n) for f, b, n in fields if b != n)
        return None

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, lists and dicts."""
        models = [None if spec is None else list(spec) for spec in self.perceptrons]
        return {**self._asdict(), "perceptrons": models}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> NetworkSpec:
        """Undo `to_plain`."""
        models = [
            None if spec is None else PerceptronSpec(tuple(spec[0]), *spec[1:])
            for spec in plain["perceptrons"]
        ]
        return cls(**{**plain, "perceptrons": models})


def build_network(spec: NetworkSpec, modality_weights: np.ndarray | Tensor) -> FusionNetwork:
    """Build a network, drawing its weights from the generators of the fit."""
    rule = spec.rule
    first = next((model for model in spec.perceptrons if model), SCORES)
    if rule.reads_inputs:
        spec = spec._replace(perceptrons=[_first_layer(model) for model in spec.perceptrons])
    encoders = _build_encoders(spec, rule)
    m, k = len(spec.n_features), sum(spec.n_outputs)
    sizes = first.hidden_layer_sizes[: 1 if rule.reads_inputs else None]
    width = sizes[-1] if sizes else 0
    modules = rule._build(RuleSizes(m, width, spec.n_outputs, first, spec.n_members))
    normalizer = ModalityNormalizer if rule.normalizes else IdentityNormalizer
    fusing = Fusing(
        normalizer(m, k if rule.fuses_scores else width),
        *modules,
        fuses_scores=rule.fuses_scores,
        # Where representations are fused, the one head is that which reads their sum.
        head_reads_modalities=spec.modality_heads
        and spec.sharing == "representation"
        and not rule.fuses_scores,
    )
    return FusionNetwork(
        spec.n_features,
        spec.n_outputs,
        torch.as_tensor(modality_weights),
        encoders,
        fusing,
        n_members=spec.n_members,
    )


def _build_encoders(spec: NetworkSpec, rule: FusionRule) -> Encoders:
    trunk = None
    if spec.sharing in ("layers", "parameters"):
        shared = spec.perceptrons[0]
        assert shared is not None
        encoders, trunk = make_shared_perceptrons(
            spec.n_features, shared, spec.n_members, spec.sharing
        )
    else:
        encoders = [
            nn.Identity()
            if model is None
            else make_perceptron(width, model, spec.n_members, ends_linear=rule.reads_inputs)
            for width, model in zip(spec.n_features, spec.perceptrons, strict=True)
        ]
    is_linear = not any(model and model.hidden_layer_sizes for model in spec.perceptrons)
    return Encoders(encoders, trunk, _build_heads(spec, rule), is_linear)


def _first_layer(model: PerceptronSpec | None) -> PerceptronSpec | None:
    return model and model._replace(hidden_layer_sizes=model.hidden_layer_sizes[:1])


def _build_heads(spec: NetworkSpec, rule: FusionRule) -> Sequence[nn.Module]:
    """Make what reads the scores of each modality, where they are fused or have a loss."""
    is_one = spec.sharing == "representation" or (
        spec.sharing == "parameters" and rule.fuses_scores
    )
    if not rule.fuses_scores and (is_one or not spec.modality_heads):
        return []
    models = list(zip(spec.n_features, spec.perceptrons, strict=True))
    k = sum(spec.n_outputs)
    heads = [_build_head(*model, k, spec.n_members) for model in models[: 1 if is_one else None]]
    return heads * len(models) if is_one else heads


def _build_head(n_in: int, model: PerceptronSpec | None, k: int, n_members: int) -> nn.Module:
    if model is None:
        return nn.Identity()
    sizes = model.hidden_layer_sizes
    if not sizes:
        return nn.Sequential(make_linear(n_members, n_in, k))
    return nn.Sequential(Dropout(model.dropout), make_linear(n_members, sizes[-1], k))


def pack_network(network: FusionNetwork, spec: NetworkSpec) -> dict[str, Any] | FusionNetwork:
    """Return a network as plain data, or itself on the CPU if it was changed by hand."""
    with torch.device("meta"):  # draws no random numbers
        built = build_network(spec, network.modality_weights)
    if repr(built) != repr(network):
        return copy.deepcopy(network).cpu()
    return pack_arrays(network)


def unpack_network(packed: Mapping[str, Any] | FusionNetwork, spec: NetworkSpec) -> FusionNetwork:
    """Build the network again that `pack_network` returned."""
    if isinstance(packed, FusionNetwork):
        return packed
    with torch.device("meta"):
        network = build_network(spec, packed["state"]["modality_weights"])
    return fill_network(network, packed)


def copy_parameters(source: FusionNetwork, target: FusionNetwork, *, with_alpha: bool) -> None:
    """Copy parameters and buffers; alpha only if it was learned."""
    state, alpha = source.state_dict(), target.modality_weights.clone()
    was, now = (
        {name: tuple(value.shape) for name, value in values.items()}
        for values in (state, target.state_dict())
    )
    different = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    if different:
        name = different[0]
        raise ValueError(
            "warm_start=True goes on with the network of the last fit, and the parameters now ask "
            f"for one of another shape: {name!r} was {was.get(name)} and is {now.get(name)}. Set "
            "them to what they were, or warm_start=False."
        )
    target.load_state_dict(state)
    if not with_alpha:
        target.modality_weights.copy_(alpha)
    for name, parameter in source.named_parameters():
        target.get_parameter(name).requires_grad_(parameter.requires_grad)
