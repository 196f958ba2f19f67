"""Parameters that contradict each other: the error names both."""

import pytest

from skmm.fusion._combinations import learns_weights

WEIGHTS = {"text": 0.5, "image": 0.5}

CONTRADICTIONS = [
    {"fusion": "weighted", "hidden_layer_sizes": ()},
    {"fusion": "concat", "hidden_layer_sizes": ()},
    {"fusion": "additive", "modality_weights": WEIGHTS},
]


@pytest.mark.parametrize("parameters", CONTRADICTIONS, ids=str)
def test_contradictions_name_both_parameters(data, small, parameters):
    both = "".join(rf"(?=.*\b{name}\b)" for name in parameters)  # in any order
    with pytest.raises(ValueError, match=both):
        small(**parameters).fit(*data)


@pytest.mark.parametrize(
    ("fusion", "modality_weights", "expected"),
    [
        ("late", None, True),
        ("late", "uniform", False),
        ("weighted", WEIGHTS, False),
        ("additive", None, False),
    ],
)
def test_when_weights_are_learned(fusion, modality_weights, expected):
    parameters = {"fusion": fusion, "modality_weights": modality_weights}
    assert learns_weights(parameters) is expected
