"""Networks from the arrays of a pickle or a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def pack_arrays(network: nn.Module) -> dict[str, Any]:
    """Return the arrays that `fill_network` takes, and which parameters are not trained."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return {
        "state": {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors},
        "frozen": [name for name, p in network.named_parameters() if not p.requires_grad],
    }


def fill_network(network: Network, packed: Mapping[str, Any]) -> Network:
    """Put arrays in the place of the tensors of a network on the device "meta".

    No kernel of torch runs: one that is parallel starts threads, which a process that is forked
    later does not have, and waits for.

    Raises
    ------
    ValueError
        If an array has another shape than the network asks for.
    """
    with torch.inference_mode(False):
        for name, empty in [*network.named_parameters(), *network.named_buffers()]:
            array = np.array(packed["state"][name])
            if array.shape != empty.shape:
                raise ValueError(f"{name} has shape {array.shape}, not {tuple(empty.shape)}")
            tensor = torch.from_numpy(array).to(empty.dtype)
            if isinstance(empty, nn.Parameter):
                tensor = nn.Parameter(tensor, requires_grad=name not in packed["frozen"])
            owner, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(owner), attribute, tensor)
    return network.eval()
