"""Tensors of all processes that learn together, and gradients that go back to each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ._together import collect, is_together


class _Gather(torch.autograd.Function):
    """The rows of all processes; the gradient of a row is the sum of those that they have of it."""

    @staticmethod
    def forward(ctx, own: Tensor) -> Tensor:
        lengths = collect(len(own))
        longest = own.new_zeros(max(lengths), own.shape[1])
        longest[: len(own)] = own
        blocks = [torch.empty_like(longest) for _ in lengths]
        dist.all_gather(blocks, longest)
        ctx.lengths = lengths
        return torch.cat([block[:n] for block, n in zip(blocks, lengths, strict=True)])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient.split(ctx.lengths)[dist.get_rank()]


def gather_rows(blocks: Sequence[Tensor]) -> list[Tensor]:
    """Put the rows of all processes together, in their order; gradients go back to each.

    The ``blocks`` (n, ...) have as many rows, which come back as float32; processes may differ in
    how many.
    """
    if not is_together():
        return list(blocks)
    flat = [block.flatten(1).float() for block in blocks]
    rows = _Gather.apply(torch.cat(flat, dim=1))
    columns = rows.split([block.shape[1] for block in flat], dim=1)
    return [own.reshape(-1, *block.shape[1:]) for own, block in zip(columns, blocks, strict=True)]


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Give all processes the mean of their gradients.

    Each has the gradient of the loss of all rows: that of what follows the encoders as a whole,
    and as many times its own part of that of the encoders as there are processes.
    """
    if not is_together():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def agree(module: nn.Module) -> None:
    """Give all processes the parameters and buffers of the first."""
    if not is_together():
        return
    for value in module.state_dict().values():
        dist.broadcast(value, src=0)
