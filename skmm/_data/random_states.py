"""Random numbers of a fit that goes on from a checkpoint."""

from __future__ import annotations

from numbers import Integral
from typing import Protocol

import numpy as np
from sklearn.utils import check_random_state


class KeepsSeed(Protocol):
    """A checkpoint: it has the seed of the fit that it is of, once that is drawn."""

    seed: int | None


def open_random_state(
    random_state: int | np.random.RandomState | None, checkpoint: KeepsSeed | None
) -> np.random.RandomState:
    """Draw as the fit that is continued did, though ``random_state`` may say nothing of it."""
    if checkpoint is None:
        return check_random_state(random_state)
    if isinstance(random_state, Integral):
        checkpoint.seed = int(random_state)
    elif checkpoint.seed is None:
        drawn = check_random_state(random_state).randint(np.iinfo(np.int32).max)
        checkpoint.seed = int(drawn)
    return np.random.RandomState(checkpoint.seed)
