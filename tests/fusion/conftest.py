"""What the tests of fusion share: a small problem, and a small model that is quick to fit."""

import pytest

from skmm import FusionClassifier
from skmm.datasets import make_multimodal_classification


@pytest.fixture(scope="session")
def data():
    """Give 150 rows of "text" (5 columns) and "image" (4), and three classes, not to be changed."""
    return make_multimodal_classification(
        150, n_features=(5, 4), n_classes=3, modality_names=("text", "image"), random_state=0
    )


@pytest.fixture(scope="session")
def small():
    """Give a function that makes a classifier with 8 hidden units and 5 epochs of few batches."""

    def make(**parameters):
        defaults = {
            "hidden_layer_sizes": (8,),
            "max_iter": 5,
            "batch_size": 50,  # a third of the steps that "auto" takes, which is most of the time
            "random_state": 0,
        }
        return FusionClassifier(**{**defaults, **parameters})

    return make
