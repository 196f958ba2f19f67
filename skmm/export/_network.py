"""The network of a fusion estimator as an ONNX model, by torch's exporter."""

from __future__ import annotations

import copy
import io
import math
import warnings
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .._optional import import_optional
from ._graph import OPSET

if TYPE_CHECKING:
    from onnx import ModelProto

N_ROWS = 2  # of the example that is traced


class _Logits(nn.Module):
    """From scaled rows (n, sum of widths) and present (n, m) to the mean of the members' logits."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        values, weights = self.network.evaluate(x, present)
        return self.network.members(self.network.logits(weights, values)).mean(0)


class _GELU(nn.Module):
    """`nn.GELU`, with the error function in float32: onnxruntime has no other (1.32)."""

    def forward(self, values: Tensor) -> Tensor:
        erf = torch.erf((values / math.sqrt(2)).float()).to(values.dtype)
        return values * (0.5 + 0.5 * erf)


def export_network(network: Any) -> ModelProto:
    """Export a network in float64, from scaled rows and which modalities they have to logits."""
    import_optional("onnxscript", extra="export", purpose="skmm.export.to_onnx")
    module = _Logits(_replace_gelu(copy.deepcopy(network).cpu().double().eval()))
    x = torch.zeros(N_ROWS, sum(network.n_features), dtype=torch.float64)
    present = torch.ones(N_ROWS, len(network.n_features), dtype=torch.bool)
    rows = {0: torch.export.Dim("rows")}
    # The exporter warns of its own internals, and reports what it does.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (x, present),
            dynamo=True,
            dynamic_shapes=(rows, rows),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _replace_gelu(network: nn.Module) -> nn.Module:
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.GELU):
                setattr(parent, name, _GELU())
    return network
