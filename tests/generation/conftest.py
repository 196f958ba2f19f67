"""What the tests of generation share: colours from one modality, animals from another."""

import numpy as np
import pandas as pd
import pytest
from tiny_text_models import save_model

from skmm import AdamW
from skmm.generation import FusionTextGenerator, TextTransformer

COLOURS = ["red", "green", "grün-blau", "dark grey"]
ANIMALS = ["cat", "dog", "鱼", "σκύλος"]


class Names:
    """Rows with a colour in "paint", an animal in "shape", noise in "noise", and their names."""

    def __init__(self, n_rows, seed=0):
        rng = np.random.default_rng(seed)
        self.colour, self.animal = rng.integers(0, 4, (2, n_rows))
        maps = np.random.default_rng(1).normal(size=(2, 4, 5))
        blocks = {"paint": maps[0][self.colour], "shape": maps[1][self.animal]}
        blocks["noise"] = np.zeros((n_rows, 3))
        self.X = pd.DataFrame(
            {
                f"{name}__{i}": column + rng.normal(0, 0.1, n_rows)
                for name, block in blocks.items()
                for i, column in enumerate(block.T)
            }
        )
        self.y = np.array(
            [f"a {COLOURS[i]} {ANIMALS[j]}" for i, j in zip(self.colour, self.animal, strict=True)],
            dtype=object,
        )
        self.words = [COLOURS[i] for i in self.colour]

    def without(self, *modalities):
        X = self.X.copy()
        for name in modalities:
            X.loc[:, X.columns.str.startswith(name)] = np.nan
        return X

    def with_source(self):
        """Return X in which the colour stands in the column "word" instead of "paint"."""
        kept = [column for column in self.X if not column.startswith("paint")]
        return self.X[kept].assign(word=self.words)


@pytest.fixture(scope="session")
def training():
    return Names(260)


@pytest.fixture(scope="session")
def unseen():
    return Names(40, seed=5)


@pytest.fixture(scope="session")
def quick():
    """A function that makes a generator whose decoder alone is trained, for a second or two."""

    def make(**parameters):
        defaults = {
            "decoder": TextTransformer(1, 32, 2, dropout=0.0),
            "neighbors": 0,
            "solver": AdamW(0.01, max_iter=14, batch_size=32),
            "random_state": 0,
        }
        return FusionTextGenerator(**{**defaults, **parameters})

    return make


@pytest.fixture(scope="session")
def fitted(quick, training):
    return quick().fit(training.X, training.y)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A function that saves a tiny model of transformers, once, and returns its folder."""
    folders = {}

    def save(kind):
        if kind not in folders:
            folders[kind] = save_model(tmp_path_factory.mktemp(kind), kind)
        return folders[kind]

    return save
