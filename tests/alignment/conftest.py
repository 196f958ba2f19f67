"""What the tests of alignment share: modalities that have hidden numbers in common."""

import numpy as np
import pandas as pd
import pytest

from skmm import MLP, AdamW
from skmm.alignment import CrossModalAligner


def make_frame(n=240, widths=None, n_hidden=4, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, n_hidden))
    blocks = {}
    for name, width in (widths or {"text": 6, "image": 9}).items():
        block = hidden @ rng.normal(size=(n_hidden, width)) + rng.normal(0, noise, (n, width))
        blocks |= {f"{name}__{i}": column for i, column in enumerate(block.T)}
    return pd.DataFrame(blocks)


@pytest.fixture(scope="session")
def frame():
    """240 rows of "text" (6 columns) and "image" (9), not to be changed."""
    return make_frame()


@pytest.fixture(scope="session")
def three():
    """240 rows of "text" (6 columns), "image" (9) and "audio" (5), not to be changed."""
    return make_frame(widths={"text": 6, "image": 9, "audio": 5})


@pytest.fixture(scope="session")
def aligner(frame):
    """An aligner of the first 160 rows, not to be changed."""
    return CrossModalAligner("cca", regularization=0.1).fit(frame[:160])


@pytest.fixture(scope="session")
def quick():
    """A function that makes a linear aligner without dropout that learns fast."""

    def make(alignment="contrastive", **parameters):
        solver = AdamW(0.02, max_iter=15)
        aligner = CrossModalAligner(
            alignment, modality_model=MLP((), dropout=0.0), solver=solver, random_state=0
        )
        return aligner.set_params(**parameters)

    return make


@pytest.fixture(scope="session")
def hide():
    """A function that copies a frame with a modality missing from some rows."""

    def copy(frame, name, rows):
        holes = frame.copy()
        holes.loc[rows, [c for c in frame if c.startswith(f"{name}__")]] = np.nan
        return holes

    return copy
