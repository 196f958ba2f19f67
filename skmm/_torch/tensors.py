"""The rows that a network is trained on, as tensors."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

CHUNK = 8192


class LazyRows(Protocol):
    """Rows that are computed when they are asked for, as `ScaledRows`."""

    shape: tuple[int, int]
    nbytes: int

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray: ...


class TrainingTensors(NamedTuple):
    """Rows on the device of the network; ``x`` may stay in the memory of X, until `take`."""

    x: Tensor | LazyRows  # (n, sum of widths) scaled, zeros where missing
    present: Tensor  # (n, m) boolean
    target: Tensor  # (n, t) class numbers, -1 where not known; or numbers, NaN where not known
    weight: Tensor  # (n,)

    @property
    def values(self) -> Tensor:
        """``x``, where it is a tensor: of all rows in memory, or of those that `take` copied."""
        assert isinstance(self.x, Tensor)
        return self.x

    def take(self, index: Tensor) -> TrainingTensors:
        """Copy the rows ``index``."""
        if isinstance(self.x, Tensor):
            x = self.x.index_select(0, index)
        else:
            x = torch.from_numpy(self.x[index.cpu().numpy()]).to(self.present.device)
        present, target, weight = (t.index_select(0, index) for t in self[1:])
        return TrainingTensors(x, present, target, weight)

    def tile(self, n_members: int) -> TrainingTensors:
        """Repeat rows for each member of an ensemble."""
        return TrainingTensors(*(tile(t, n_members) for t in (self.values, *self[1:])))


def tile(values: Tensor, n_members: int) -> Tensor:
    """Repeat rows (n, ...) for each member (e n, ...)."""
    return values if n_members == 1 else torch.cat([values] * n_members)


def put_on_device(x: np.ndarray | LazyRows, device: torch.device) -> Tensor | LazyRows:
    """Copy scaled rows to the device; leave them in the memory of X where that is better."""
    if isinstance(x, np.ndarray):
        return torch.from_numpy(x).to(device)
    if device.type != "cuda" or x.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        return x
    rows = torch.empty(x.shape, dtype=torch.float32, device=device)
    for start in range(0, len(x), CHUNK):
        rows[start : start + CHUNK] = torch.from_numpy(x[start : start + CHUNK])
    return rows


def to_float64(values: Tensor) -> Tensor:
    """Convert to float64 where the device is sure to have it: "mps" has none, nor some "xpu"."""
    return values.double() if values.device.type in ("cpu", "cuda") else values
