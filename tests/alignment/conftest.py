"""What the tests of alignment share: modalities that have hidden numbers in common."""

import numpy as np
import pandas as pd
import pytest

from skmm.alignment import CrossModalAligner


def make_frame(n=240, widths=None, n_hidden=4, noise=0.3, seed=0, nonlinear=False):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, n_hidden))
    blocks = {}
    for name, width in (widths or {"text": 6, "image": 9}).items():
        block = hidden @ rng.normal(size=(n_hidden, width))
        block = np.tanh(block) if nonlinear else block
        block += rng.normal(0, noise, block.shape)
        blocks |= {f"{name}__{i}": column for i, column in enumerate(block.T)}
    return pd.DataFrame(blocks)


@pytest.fixture(scope="session")
def frame():
    """Give 240 rows of "text" (6 columns) and "image" (9), not to be changed."""
    return make_frame()


@pytest.fixture(scope="session")
def three():
    """Give 240 rows of "text" (6 columns), "image" (9) and "audio" (5), not to be changed."""
    return make_frame(widths={"text": 6, "image": 9, "audio": 5})


@pytest.fixture(scope="session")
def aligner(frame):
    """Give an aligner of the first 160 rows, not to be changed."""
    return CrossModalAligner("cca", regularization=0.1).fit(frame[:160])
