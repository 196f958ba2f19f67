"""A network in float64, in which a row gets the same values alone and in any company."""

from __future__ import annotations

import copy
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ._training import precise


class _Copy(NamedTuple):
    precise: nn.Module
    parts: list[nn.Module]  # of the network that was copied; not itself, which would never go
    state: list[Tensor]  # what its parameters and buffers were
    device: torch.device

    def is_of(self, network: nn.Module, device: torch.device) -> bool:
        """Tell whether ``network`` is still as it was; ``.data`` changes without a trace."""
        parts, state = _parts(network), _state(network)
        return (
            self.device == device
            and len(parts) == len(self.parts)
            and len(state) == len(self.state)
            and all(now is then for now, then in zip(parts, self.parts, strict=True))
            and all(_equal(now, then) for now, then in zip(state, self.state, strict=True))
        )


# Not on the estimator: a clone or a pickle has no use for it.
_copies: WeakKeyDictionary[nn.Module, _Copy] = WeakKeyDictionary()


def precise_network(network: nn.Module, device: torch.device) -> nn.Module:
    """Copy ``network`` to ``device`` in float64 and evaluation mode, or give the copy made before.

    The copy belongs to all threads: nobody may change it.
    """
    made = _copies.get(network)
    if made is None or not made.is_of(network, device):
        double = copy.deepcopy(network).to(device).eval().requires_grad_(False)
        double.to(precise(next(double.parameters())).dtype)
        state = [tensor.detach().clone() for tensor in _state(network)]
        made = _copies[network] = _Copy(double, _parts(network), state, device)
    return made.precise


def _parts(network: nn.Module) -> list[nn.Module]:
    return list(network.modules())[1:]


def _state(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
