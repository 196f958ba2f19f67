"""Tensors of all processes that learn together, and gradients that go back to each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .processes import gather_over_processes, is_data_parallel


class _Gather(torch.autograd.Function):
    """The rows of all processes; the gradient of a row is summed over processes."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        lengths = gather_over_processes(len(rows))
        longest = rows.new_zeros(max(lengths), rows.shape[1])
        longest[: len(rows)] = rows
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
    """Concatenate the rows of all processes, in their order; gradients go back to each.

    The ``blocks`` (n, ...) have as many rows, which come back as float32; processes may differ in
    how many.
    """
    if not is_data_parallel():
        return list(blocks)
    wide = [block.flatten(1).float() for block in blocks]
    rows: Tensor = _Gather.apply(torch.cat(wide, dim=1))  # type: ignore[assignment] (torch's stub)
    columns = rows.split([block.shape[1] for block in wide], dim=1)
    return [flat.reshape(-1, *b.shape[1:]) for flat, b in zip(columns, blocks, strict=True)]


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace the gradients of all processes by their mean.

    Each has the gradient of the loss of all rows: that of what follows the encoders as a whole,
    and as many times its own part of that of the encoders as there are processes.
    """
    if not is_data_parallel():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    means = flat.split([gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))


def broadcast_from_first(module: nn.Module) -> None:
    """Copy the parameters and buffers of the first process to all."""
    if not is_data_parallel():
        return
    for value in module.state_dict().values():
        dist.broadcast(value, src=0)
