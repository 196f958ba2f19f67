"""What others may have switched in torch before they call skmm."""

from contextlib import contextmanager

import torch

SWITCHES = [
    "float64",
    "bfloat16",
    "float16",
    "meta",
    "cpu",
    "no_grad",
    "set_grad_enabled",
    "inference_mode",
    "autocast",
]


@contextmanager
def switched(name):
    """Switch something, and check on leaving that it is as it was switched."""
    contexts = {
        "no_grad": torch.no_grad,
        "inference_mode": torch.inference_mode,
        "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    }
    if name in contexts:
        with contexts[name]():
            before = _state()
            yield
            assert _state() == before
        return
    try:
        if name == "set_grad_enabled":
            torch.set_grad_enabled(False)
        elif name in ("meta", "cpu"):
            torch.set_default_device(name)
        else:
            torch.set_default_dtype(getattr(torch, name))
        before = _state()
        yield
        assert _state() == before
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def _state():
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(),
        torch.get_default_device(),
    )
