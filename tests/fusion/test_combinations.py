"""Parameters that contradict each other: the error names both."""

import numpy as np
import pytest

from skmm import FusionClassifier, FusionRegressor
from skmm.fusion._combinations import check_losses, learns_weights
from skmm.fusion._tasks import Task

WEIGHTS = {"text": 0.5, "image": 0.5}

CONTRADICTIONS = [
    {"fusion": "weighted", "hidden_layer_sizes": ()},
    {"fusion": "concat", "hidden_layer_sizes": ()},
    {"fusion": "gated", "hidden_layer_sizes": ()},
    {"fusion": "additive", "modality_weights": WEIGHTS},
    {"fusion": "attention", "modality_weights": WEIGHTS},
    {"fusion": "attention", "modality_weights": "uniform"},
    {"fusion": "bilinear", "modality_weights": WEIGHTS},
    {"modality_weights": "per_class", "fusion": "weighted"},
    {"modality_weights": "per_class", "fusion": "additive"},
    {"sharing": "layers", "fusion": "concat"},
    {"sharing": "representation", "fusion": "attention"},
    {"sharing": "representation", "fusion": "bilinear"},
    {"sharing": "layers", "hidden_layer_sizes": (8,)},
    {"sharing": "parameters", "hidden_layer_sizes": ()},
    {"sharing": "representation", "hidden_layer_sizes": ()},
    {"sharing": "representation", "fusion": "weighted", "modality_loss_weight": 0},
    {"alignment": "kl", "modality_loss_weight": 0, "fusion": "weighted", "alignment_weight": 1.0},
]


@pytest.mark.parametrize("parameters", CONTRADICTIONS, ids=str)
def test_contradictions_name_both_parameters(data, small, parameters):
    told = [name for name in parameters if name != "alignment_weight"]
    both = "".join(rf"(?=.*\b{name}\b)" for name in told)  # in any order
    with pytest.raises(ValueError, match=both):
        small(**parameters).fit(*data)


def test_predictions_that_are_taught_may_be_aligned(data, small):
    model = small(alignment="kl", alignment_weight=1.0, modality_loss_weight=0)
    for fusion in ("late", "additive"):  # which teach the scores of each modality
        model.set_params(fusion=fusion).fit(*data)
    one = {"text": 0.0, "image": 0.3}
    model.set_params(fusion="weighted", modality_loss_weight=one, alignment_weight=0).fit(*data)
    with pytest.raises(ValueError, match="kl"):
        model.set_params(alignment_weight=0.1).fit(*data)


def test_numbers_have_no_probabilities_to_agree_on():
    tasks = [Task("squared_error", slice(0, 1), slice(0, 1), 1.0)]
    parameters = FusionRegressor(alignment="kl").get_params()
    with pytest.raises(ValueError, match=r'alignment="kl".*loss="squared_error"'):
        check_losses(parameters, np.ones(2), 1 - np.eye(2), tasks)
    check_losses(parameters, np.ones(2), np.zeros((2, 2)), tasks)


def test_weights_of_each_class_need_one_column_of_classes():
    classes = Task("multiclass", slice(0, 2), slice(0, 1), 0.5)
    more = Task("multiclass", slice(2, 5), slice(1, 2), 0.5)
    labels = Task("multilabel", slice(0, 2), slice(0, 2), 0.5)
    parameters = FusionClassifier(modality_weights="per_class").get_params()
    for tasks in ([classes, more], [labels]):
        with pytest.raises(ValueError, match=r'modality_weights="per_class".*y'):
            check_losses(parameters, np.ones(2), np.zeros((2, 2)), tasks)
    check_losses(parameters, np.ones(2), np.zeros((2, 2)), [classes])


@pytest.mark.parametrize(
    ("fusion", "modality_weights", "expected"),
    [
        ("late", None, True),
        ("late", "per_class", True),
        ("late", "uniform", False),
        ("weighted", WEIGHTS, False),
        ("gated", None, True),
        ("additive", None, False),
        ("attention", None, False),
    ],
)
def test_when_weights_are_learned(fusion, modality_weights, expected):
    parameters = {"fusion": fusion, "modality_weights": modality_weights}
    assert learns_weights(parameters) is expected
