"""Layers that networks here are built of; they draw from the generators of the fit."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .generators import cpu_generator, generator_for

PRIOR_ROWS = 2
MOMENTUM = 0.1


class ModalityNormalizer(nn.Module):
    """Centre each modality's values and divide them by one root mean square per modality.

    In training by the statistics of the batch, with gradients flowing through them, so that none is
    spent on scale; in evaluation by those that were stored. Those of earlier batches count as
    `PRIOR_ROWS` rows more in each batch, so that a modality with one row in it does not vanish.
    """

    mean: Tensor
    rms: Tensor

    def __init__(self, n_modalities: int, n_values: int):
        super().__init__()
        self.prior_rows = PRIOR_ROWS  # 0 where all rows are one batch
        self.register_buffer("mean", torch.zeros(n_modalities, n_values, dtype=torch.float32))
        self.register_buffer("rms", torch.ones(n_modalities, dtype=torch.float32))

    def forward(self, values: Tensor, weights: Tensor) -> Tensor:
        """Normalise ``values`` (n, m, q); ``weights`` (n, m) are 0 where a modality is missing."""
        if not self.training:
            return (values - self.mean) / self.rms[:, None]
        n_rows = (weights > 0).sum(0, dtype=weights.dtype)  # (m,)
        share = n_rows / (n_rows + self.prior_rows).clamp(min=1)
        weights = weights / weights.sum(0).clamp(min=1e-12) * share  # (n, m)
        mean = (weights[:, :, None] * values).sum(0) + (1 - share)[:, None] * self.mean  # (m, q)
        centred = values - mean
        square = torch.linalg.vecdot(centred, centred) / centred.shape[2]  # (n, m)
        earlier = self.rms**2 + ((self.mean - mean) ** 2).mean(1)
        rms = ((weights * square).sum(0) + (1 - share) * earlier + 1e-8).sqrt()  # (m,)
        self.mean.lerp_(mean.detach(), MOMENTUM)
        self.rms.lerp_(rms.detach(), MOMENTUM)
        return centred * (1 / rms)[:, None]

    def store(self, mean: Tensor, variance: Tensor) -> None:
        """Set the statistics that evaluation uses; where variance is 0, values keep their scale."""
        self.mean.copy_(mean)
        self.rms.copy_(torch.where(variance > 0, variance + 1e-8, 1.0).sqrt())


class IdentityNormalizer(ModalityNormalizer):
    """Return the values as they are, and only store their statistics."""

    def forward(self, values: Tensor, weights: Tensor) -> Tensor:
        return values

    def store(self, mean: Tensor, variance: Tensor) -> None:
        self.mean.copy_(mean)
        self.rms.copy_(variance.sqrt())


class Dropout(nn.Module):
    """`nn.Dropout` that draws from the generators of the fit, and a byte for each value on a CPU.

    torch draws a float for each, which takes six times as long. So the rate is rounded to a
    multiple of 1/256.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.n_dropped = round(rate * 256)  # byte values, of 256

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.n_dropped == 0:
            return values
        rate = self.n_dropped / 256
        if values.device.type != "cpu":
            return bernoulli_dropout(values, rate)
        n = values.numel()
        words = torch.empty(n // 8 + 1, dtype=torch.int64)
        words.random_(-(2**63), None, generator=cpu_generator())
        drawn = words.view(torch.uint8)[:n].view(values.shape)
        kept = torch.ge(drawn, self.n_dropped, out=torch.empty_like(values))  # as 0.0 and 1.0
        return values * kept.mul_(1 / (1 - rate))


def bernoulli_dropout(values: Tensor, rate: float) -> Tensor:
    """Leave out values with probability ``rate``, and scale up the others."""
    kept = torch.empty_like(values).bernoulli_(1 - rate, generator=generator_for(values.device))
    return values * kept.div_(1 - rate)


class Calibration(nn.Module):
    """Multiply the logits of each task by one scale, once that is learned; not in training."""

    log_scale: Tensor
    n_outputs: Tensor

    def __init__(self, n_outputs: Sequence[int]):
        super().__init__()
        self.register_buffer("log_scale", torch.zeros(len(n_outputs), dtype=torch.float32))
        self.register_buffer("n_outputs", torch.tensor(n_outputs), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        if self.training:
            return logits
        return scale_per_output(self.log_scale.exp(), self.n_outputs) * logits


def scale_per_output(scale: Tensor, n_outputs: Tensor) -> Tensor:
    """Repeat the scales of tasks (..., t) for each of their outputs: (..., k), or one."""
    return scale if len(n_outputs) == 1 else scale.repeat_interleave(n_outputs, dim=-1)


class MemberLinear(nn.Module):
    """`nn.Linear` of every member of an ensemble, in one kernel.

    Rows stand member by member: all rows for the first, then all rows for the second.
    """

    def __init__(self, n_members: int, n_in: int, n_out: int):
        super().__init__()
        bound = 1 / math.sqrt(n_in)  # as of `nn.Linear`
        weight = torch.empty(n_members, n_in, n_out, dtype=torch.float32)
        bias = torch.empty(n_members, 1, n_out, dtype=torch.float32)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound, generator=cpu_generator()))
        self.bias = nn.Parameter(bias.uniform_(-bound, bound, generator=cpu_generator()))

    def forward(self, values: Tensor) -> Tensor:
        members = values.reshape(len(self.weight), -1, values.shape[-1])  # (e, n, q)
        return torch.baddbmm(self.bias, members, self.weight).view(*values.shape[:-1], -1)

    def first(self) -> nn.Linear:
        """Copy the first member."""
        _, n_in, n_out = self.weight.shape
        linear = nn.Linear(n_in, n_out, dtype=self.weight.dtype, device="meta")
        linear = linear.to_empty(device=self.weight.device)
        with torch.no_grad():
            linear.weight.copy_(self.weight[0].T)
            linear.bias.copy_(self.bias[0, 0])
        return linear


def make_linear(n_members: int, n_in: int, n_out: int) -> nn.Linear | MemberLinear:
    """Make a linear layer, of one network or of several."""
    if n_members > 1:
        return MemberLinear(n_members, n_in, n_out)
    linear = empty_linear(n_in, n_out)
    bound = 1 / math.sqrt(n_in)
    with torch.no_grad():  # as `nn.Linear` does, from the generators of the fit
        nn.init.kaiming_uniform_(linear.weight, a=math.sqrt(5), generator=cpu_generator())
        linear.bias.uniform_(-bound, bound, generator=cpu_generator())
    return linear


def empty_linear(n_in: int, n_out: int) -> nn.Linear:
    """Make a linear layer whose parameters are not drawn yet."""
    device = torch.get_default_device()
    return nn.Linear(n_in, n_out, device="meta", dtype=torch.float32).to_empty(device=device)


def first_member(module: nn.Module) -> nn.Module:
    """Copy a module with the first member of each layer in the place of all."""
    copied = copy.deepcopy(module)
    first: dict[nn.Module, nn.Module] = {}  # a layer that stands in several places stays one
    for parent in list(copied.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, MemberLinear):
                parent._modules[name] = first.setdefault(child, child.first())
    return copied


@torch.no_grad()
def copy_to_members(source: nn.Module, target: nn.Module) -> None:
    """Copy the values of a module with one member to a module with any number of them."""
    for name, module in target.named_modules():
        one: Any = source.get_submodule(name)
        if isinstance(module, MemberLinear):
            module.weight.copy_(one.weight.T)
            module.bias.copy_(one.bias)
        else:
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            values = [*one.parameters(recurse=False), *one.buffers(recurse=False)]
            for tensor, value in zip(own, values, strict=True):
                tensor.copy_(value)
