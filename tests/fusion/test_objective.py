"""The composite loss: its terms, and what of them is recorded."""

import math

import numpy as np
import pytest
import torch
from nested_settings import FUSIONS

from skmm._torch.loop import History
from skmm._torch.losses import ALIGNMENT_LOSSES
from skmm._torch.tasks import Task
from skmm._torch.tensors import TrainingTensors
from skmm.fusion._network import FusionOutput
from skmm.fusion._objective import FusionObjective

LN2 = math.log(2)
CLASSES = [Task("multiclass", slice(0, 2), slice(0, 1), 1.0)]
ONES = torch.ones(2)


def rows(target, present, weight):
    return TrainingTensors(torch.empty(len(target), 0), present, target, weight)


def test_terms_come_in_the_order_of_their_coefficients():
    zeros, right = torch.zeros(2, 2), torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)]])
    f_0, f_1 = torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[0.0, 1.0]] * 2)
    output = FusionOutput(
        logits=right,
        modality_values=torch.zeros(2, 2, 2),
        weights=torch.full((2, 2), 0.5),
        modality_logits=(right, zeros),
        representations=(f_0, f_1),
    )
    objective = FusionObjective({1: 0.3}, {(0, 1): 0.5, (1, 0): 2.0}, "cosine", CLASSES)
    present = torch.ones(2, 2, dtype=torch.bool)
    terms = objective.terms(output, rows(torch.tensor([[0], [1]]), present, ONES))
    assert terms.tolist() == pytest.approx([math.log(4 / 3), LN2, 1.0, 1.0])
    assert objective.coefficients == [1.0, 0.3, 0.5, 2.0]


def test_kl_compares_the_predictions_of_the_modalities():
    right, zeros = torch.tensor([[math.log(3), 0.0]]), torch.zeros(1, 2)
    output = FusionOutput(
        logits=right,
        modality_values=torch.zeros(1, 2, 2),
        weights=torch.full((1, 2), 0.5),
        modality_logits=(right, zeros),
        representations=(torch.zeros(1, 3), torch.zeros(1, 3)),
    )
    one, both = torch.ones(1), torch.ones(1, 2, dtype=torch.bool)
    objective = FusionObjective({}, {(0, 1): 1.0}, "kl", CLASSES)
    terms = objective.terms(output, rows(torch.tensor([[0]]), both, one))
    assert terms[1].item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_terms_skip_missing_modalities():
    ln3 = math.log(3)
    output = FusionOutput(
        logits=torch.tensor([[ln3, 0.0], [0.0, 0.0], [0.0, 0.0]]),
        modality_values=torch.zeros(3, 2, 2),
        weights=torch.full((3, 2), 0.5),
        modality_logits=(
            torch.tensor([[ln3, 0.0], [99.0, -99.0], [0.0, 0.0]]),
            torch.tensor([[0.0, 0.0], [0.0, ln3], [-99.0, 99.0]]),
        ),
        representations=(torch.eye(3), torch.eye(3).roll(1, 0)),
    )
    present = torch.tensor([[True, True], [False, True], [True, False]])
    objective = FusionObjective({0: 1.0, 1: 1.0}, {(0, 1): 1.0}, "cosine", CLASSES)
    weight = torch.tensor([2.0, 0.5, 0.5])
    terms = objective.terms(output, rows(torch.tensor([[0], [1], [0]]), present, weight))
    # ln(4/3) is the loss of the class that has 3/4, ln 2 that of a guess
    assert terms.tolist() == pytest.approx(
        [
            (2 * math.log(4 / 3) + 0.5 * LN2 + 0.5 * LN2) / 3,
            (2 * math.log(4 / 3) + 0.5 * LN2) / 2,  # not row 1
            (2 * LN2 + 0.5 * math.log(4 / 3)) / 2,  # not row 2
            2 * 1.0,  # row 0 alone has both, at 90 degrees
        ]
    )


def test_alignment_of_an_ensemble_is_the_mean_over_its_members():
    torch.manual_seed(0)
    f_0, f_1 = torch.randn(6, 3), torch.randn(6, 3)  # three rows of one member, then of the other
    present = torch.tensor([[True, True], [True, True], [False, True]] * 2)
    weight = torch.tensor([0.5, 1.5, 1.0] * 2)

    def alignment(part, n_members):
        n = len(weight[part])
        output = FusionOutput(
            logits=torch.zeros(n, 2),
            modality_values=torch.zeros(n, 2, 2),
            weights=torch.full((n, 2), 0.5),
            modality_logits=(),
            representations=(f_0[part], f_1[part]),
        )
        objective = FusionObjective({}, {(0, 1): 1.0}, "contrastive", CLASSES, n_members)
        target = torch.zeros(n, 1, dtype=torch.long)
        return objective.terms(output, rows(target, present[part], weight[part]))[1]

    first, second = alignment(slice(0, 3), 1), alignment(slice(3, 6), 1)
    assert first != second
    torch.testing.assert_close(alignment(slice(0, 6), 2), (first + second) / 2)


def test_terms_are_recorded_by_the_names_of_modalities():
    objective = FusionObjective({1: 0.5}, {(0, 1): 2.0, (1, 0): 3.0}, "cosine", CLASSES)
    history = History([[1.0, 2.0, 3.0, 4.0], [0.5, 1.0, 1.5, 2.0]], [7.0, 8.0])
    frame = objective.history_frame(history, ["image", "text"])
    assert frame.index.name == "epoch"
    assert list(frame) == [
        "loss",
        "fused",
        "modality__text",
        "alignment__image__text",
        "alignment__text__image",
        "validation_loss",
    ]
    np.testing.assert_allclose(frame["loss"], [1 + 1 + 6 + 12, 10])
    assert frame["alignment__text__image"].tolist() == [4, 2]
    assert frame["validation_loss"].tolist() == [7, 8]
    assert "validation_loss" not in objective.history_frame(history._replace(validation=[]), "ab")


# What is recorded, and that it learns


@pytest.mark.parametrize("fusion", ["late", "weighted", "concat"])
@pytest.mark.parametrize("alignment", ["contrastive", "cosine"])
def test_history_terms_times_weights_are_the_loss(data, small, fusion, alignment):
    model = small(
        fusion=fusion,
        modality_loss_weight={"text": 0.2, "image": 0.7},
        alignment=alignment,
        alignment_weight={("text", "image"): 0.5, ("image", "text"): 0.1},
    ).fit(*data)
    history = model.history_
    assert list(history) == [
        "loss",
        "fused",
        "modality__image",
        "modality__text",
        "alignment__image__text",
        "alignment__text__image",
    ]
    weights = [1, 0.7, 0.2, 0.1, 0.5]
    np.testing.assert_allclose(history["loss"], history.iloc[:, 1:] @ weights)
    assert model.loss_curve_ == history["loss"].tolist()
    assert model.n_iter_ == len(history) == 5
    assert (history.iloc[-1] < history.iloc[0]).sum() >= 4  # it learns


def test_terms_without_weight_are_left_out(data, small):
    history = small(modality_loss_weight={"text": 0, "image": 1.0}).fit(*data).history_
    assert list(history) == ["loss", "fused", "modality__image"]
    history = small(modality_loss_weight=0.0).fit(*data).history_
    assert list(history) == ["loss", "fused"]
    np.testing.assert_array_equal(history["loss"], history["fused"])


def test_first_terms_are_those_of_a_guess(data, small):
    # with tiny steps nothing is learned, and logits are near 0 as they start: about ln 3 a row
    model = small(fusion="weighted", max_iter=1, learning_rate_init=1e-9, dropout=0.0).fit(*data)
    assert model.history_["modality__text"][0] == pytest.approx(math.log(3), abs=0.3)
    assert model.history_["modality__image"][0] == pytest.approx(math.log(3), abs=0.3)


@pytest.mark.parametrize("alignment", ["cosine", "mse", "kl", "correlation"])
def test_alignment_brings_representations_together(data, small, alignment):
    parameters = {"max_iter": 30, "fusion": "weighted", "modality_weights": "uniform"}
    parameters["learning_rate_init"] = 0.02
    apart = small(**parameters).fit(*data)
    drawn = small(alignment=alignment, alignment_weight=2.0, **parameters)
    assert "alignment__image__text" not in apart.history_
    aligned = drawn.fit(*data).history_["alignment__image__text"]
    assert aligned.iloc[-1] < 0.6 * aligned.iloc[0]


def test_alignment_of_modalities_that_never_meet(data, small):
    X, y = data
    X = X.copy()
    X.loc[:74, X.columns.str.startswith("text")] = np.nan
    X.loc[75:, X.columns.str.startswith("image")] = np.nan
    for alignment in ALIGNMENT_LOSSES:
        model = small(alignment=alignment, alignment_weight=1.0).fit(X, y)
        np.testing.assert_array_equal(model.history_.filter(like="alignment"), 0)
        for parameter in model.network_.parameters():
            assert torch.isfinite(parameter).all()


@pytest.mark.parametrize(
    ("fusion", "alignment"),
    [
        *((fusion, "cosine") for fusion in FUSIONS),
        *(("weighted", name) for name in ALIGNMENT_LOSSES),
    ],
)
def test_training_with_missing_modalities_stays_finite(data, small, fusion, alignment):
    X, y = data
    X = X.copy()
    X.loc[:60, X.columns.str.startswith("text")] = np.nan
    X.loc[90:, X.columns.str.startswith("image")] = np.nan
    model = small(fusion=fusion, alignment=alignment, alignment_weight=1.0, modality_dropout=0.5)
    model.fit(X, y)
    assert np.isfinite(model.history_.to_numpy()).all()
    assert (model.history_.filter(like="alignment") > 0).all(axis=None)
    for parameter in model.network_.parameters():
        assert torch.isfinite(parameter).all()
