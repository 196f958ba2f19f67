"""The random numbers of one fit, from generators of its own.

torch's global generator is left alone, so that fits in several threads run side by side, and each
draws the same numbers as it would by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor


class Generators(NamedTuple):
    """A generator for what is drawn on the CPU, and one for what is drawn on the device."""

    cpu: torch.Generator
    device: torch.Generator  # the same one, where the device is the CPU

    @classmethod
    def seeded(cls, device: torch.device, seed: int) -> Generators:
        """Make generators that start from ``seed``."""
        cpu = torch.Generator().manual_seed(seed)
        if device.type == "cpu":
            return cls(cpu, cpu)
        return cls(cpu, torch.Generator(device).manual_seed(seed))

    @property
    def states(self) -> list[Tensor]:
        """The states of both."""
        return [generator.get_state() for generator in self]

    def restore(self, states: Sequence[Tensor]) -> None:
        """Return to ``states``."""
        for generator, state in zip(self, states, strict=True):
            generator.set_state(state)


_current: ContextVar[Generators | None] = ContextVar("generators", default=None)


@contextmanager
def use_generators(generators: Generators) -> Iterator[Generators]:
    """Draw all random numbers of this thread's modules and solvers from ``generators``."""
    token = _current.set(generators)
    try:
        yield generators
    finally:
        _current.reset(token)


def current_generators() -> Generators | None:
    """Return the generators in use; None outside of `use_generators`."""
    return _current.get()


def cpu_generator() -> torch.Generator | None:
    """Return the generator in use for the CPU; None is torch's global one."""
    generators = _current.get()
    return None if generators is None else generators.cpu


def generator_for(device: torch.device) -> torch.Generator | None:
    """Return the generator in use for a device; None is torch's global one."""
    generators = _current.get()
    if generators is None:
        return None
    return generators.cpu if device.type == "cpu" else generators.device
