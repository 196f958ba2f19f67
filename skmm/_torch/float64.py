"""A network in float64, in which a row gets the same values alone and among any others."""

from __future__ import annotations

import copy
from typing import NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .tensors import to_float64

Network = TypeVar("Network", bound=nn.Module)


class _Copy(NamedTuple):
    network: nn.Module  # in float64
    submodules: list[nn.Module]  # of the one copied; not itself, which would never be freed
    state: list[Tensor]  # what its parameters and buffers were
    device: torch.device

    def is_of(self, network: nn.Module, device: torch.device) -> bool:
        """Return whether ``network`` is still as it was; ``.data`` changes without a trace."""
        submodules, state = _submodules(network), _state(network)
        return (
            self.device == device
            and len(submodules) == len(self.submodules)
            and len(state) == len(self.state)
            and all(now is then for now, then in zip(submodules, self.submodules, strict=True))
            and all(_equal(now, then) for now, then in zip(state, self.state, strict=True))
        )


# Not on the estimator: a clone or a pickle has no use for it.
_copies: WeakKeyDictionary[nn.Module, _Copy] = WeakKeyDictionary()


def float64_network(network: Network, device: torch.device) -> Network:
    """Copy ``network`` to ``device`` in float64 and evaluation mode; once, unless it changes.

    The copy belongs to all threads: nobody may change it.
    """
    made = _copies.get(network)
    if made is None or not made.is_of(network, device):
        double = copy.deepcopy(network).to(device).eval().requires_grad_(False)
        double.to(to_float64(next(double.parameters())).dtype)
        state = [tensor.detach().clone() for tensor in _state(network)]
        made = _copies[network] = _Copy(double, _submodules(network), state, device)
    return cast("Network", made.network)


def _submodules(network: nn.Module) -> list[nn.Module]:
    return list(network.modules())[1:]


def _state(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
