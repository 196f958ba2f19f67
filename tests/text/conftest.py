"""A model that the tests of texts share."""

import pytest
from minilm import MINILM

from skmm.encoding.engine import patch_torchvision


@pytest.fixture(scope="session")
def reference():
    """Return the model as sentence-transformers loads it; tests leave it as it is."""
    patch_torchvision()
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(MINILM, device="cpu")
