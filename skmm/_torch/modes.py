"""What a caller may have switched in torch, and does not count in what is computed here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def training_modes() -> Iterator[None]:
    """Compute gradients on the devices that are named, with neither autocast nor inference mode."""
    with _without_thread_modes(), torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def model_modes() -> Iterator[None]:
    """Load or run a model of others as if torch's defaults had not been changed."""
    with _without_thread_modes(), _float32_by_default():
        yield


@contextmanager
def _without_thread_modes() -> Iterator[None]:
    with ExitStack() as stack:
        for kind in ("cpu", "cuda", "mps", "xpu"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


_lock = threading.Lock()
_changed: list[torch.dtype] = []  # the caller's default, once for each thread that needs another


@contextmanager
def _float32_by_default() -> Iterator[None]:
    """Make float32 the default of the process, until the last thread that needs it has ended."""
    with _lock:
        _changed.append(_changed[0] if _changed else torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _lock:
            before = _changed.pop()
            if not _changed:
                torch.set_default_dtype(before)
