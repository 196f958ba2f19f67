"""Coloured shapes: names in English and German, and features that show colour and shape."""

import itertools

import numpy as np

from skmm.generation._rows import GenerationRows

COLORS = {
    "red": "roter",
    "blue": "blauer",
    "green": "grüner",
    "black": "schwarzer",
    "grey": "grauer",
}
SHAPES = {
    "circle": "Kreis",
    "star": "Stern",
    "arrow": "Pfeil",
    "ring": "Ring",
    "cube": "Würfel",
    "cone": "Kegel",
}
PAIRS = list(itertools.product(COLORS, SHAPES))


def name(pair):
    return f"{COLORS[pair[0]]} {SHAPES[pair[1]]}"


def make_shapes(pairs=PAIRS, seed=0, source=True, noise=0.1):
    """Colour in one modality, shape in another, and a third of noise."""
    random = np.random.default_rng(seed)
    colors, shapes = np.eye(len(COLORS)), np.eye(len(SHAPES))
    first = np.array([colors[list(COLORS).index(color)] for color, _ in pairs])
    second = np.array([shapes[list(SHAPES).index(shape)] for _, shape in pairs])
    blocks = {
        "color": first + noise * random.normal(size=first.shape),
        "noise": random.normal(size=(len(pairs), 8)),
        "shape": second + noise * random.normal(size=second.shape),
    }
    blocks = {key: block.astype(np.float32) for key, block in blocks.items()}
    texts = [" ".join(pair) for pair in pairs] if source else None
    return GenerationRows(blocks, np.ones((len(pairs), 3), dtype=bool), texts)
