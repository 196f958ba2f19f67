"""The device that torch computes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def choose_device(device: str) -> torch.device:
    """Resolve "auto", and raise early where a device is missing.

    Raises
    ------
    ValueError
        If this torch cannot use the device.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        probe = torch.zeros(1, device=device)
        probe.item()
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        raise ValueError(
            f'device={device!r} cannot be used with this torch ({e}). "cpu" always can.'
        ) from e
    return probe.device  # "cuda" has become "cuda:0"
