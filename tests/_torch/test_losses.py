"""Each loss against a value worked out by hand."""

import math

import numpy as np
import pytest
import torch

from skmm._torch.losses import (
    ALIGNMENT_LOSSES,
    REDUNDANCY_WEIGHT,
    contrastive,
    correlation,
    cosine,
    kl,
    known,
    mse,
    row_losses,
    supervised,
    supervised_contrastive,
    task_kl,
)
from skmm._torch.tasks import Task

LN2, LN4, LN7 = math.log(2), math.log(4), math.log(7)
NAN = math.nan
CLASSES = [Task("multiclass", slice(0, 2), slice(0, 1), 1.0)]
ALL = torch.tensor([True, True])
ONES = torch.ones(2)


def test_cross_entropy():
    # softmax([ln 3, 0]) = (3/4, 1/4): losses ln(4/3) for class 0 and ln 4 for class 1
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    target = torch.tensor([[0], [1]])
    loss = supervised(CLASSES, logits, target, ONES, ALL)
    assert loss.item() == pytest.approx((math.log(4 / 3) + LN4) / 2)
    weighted = supervised(CLASSES, logits, target, torch.tensor([0.5, 1.5]), ALL)
    assert weighted.item() == pytest.approx((0.5 * math.log(4 / 3) + 1.5 * LN4) / 2)
    masked = supervised(CLASSES, logits, target, ONES, torch.tensor([False, True]))
    assert masked.item() == pytest.approx(LN4)


def test_several_targets_of_classes():
    tasks = [
        Task("multiclass", slice(0, 2), slice(0, 1), 0.25),
        Task("multiclass", slice(2, 5), slice(1, 2), 0.75),
    ]
    ln3 = math.log(3)
    outputs = torch.tensor([[ln3, 0.0, 0.0, 0.0, 0.0], [ln3, 0.0, ln3, 0.0, ln3]])
    target = torch.tensor([[0, 2], [1, 1]])
    expected = torch.tensor([[0.25 * math.log(4 / 3), 0.75 * ln3], [0.25 * LN4, 0.75 * LN7]])
    losses = row_losses(tasks, outputs, target)
    torch.testing.assert_close(losses, expected)
    assert supervised(tasks, outputs, target, ONES, ALL).item() == pytest.approx(
        expected.mean(0).sum().item()
    )


def test_a_target_counts_in_the_rows_in_which_it_is_known():
    tasks = [
        Task("multiclass", slice(0, 2), slice(0, 1), 0.5),
        Task("multiclass", slice(2, 4), slice(1, 2), 0.5),
    ]
    outputs = torch.tensor([[math.log(3), 0, 0, 0], [math.log(3), 0, 0, 0]], requires_grad=True)
    target = torch.tensor([[0, -1], [-1, 1]])
    assert known(target).tolist() == [[True, False], [False, True]]
    loss = supervised(tasks, outputs, target, torch.tensor([0.5, 1.5]), ALL)
    assert loss.item() == pytest.approx(0.5 * 0.5 * math.log(4 / 3) + 0.5 * 1.5 * LN2)
    loss.backward()
    assert (outputs.grad[0, 2:] == 0).all()
    assert (outputs.grad[1, :2] == 0).all()
    nowhere = supervised(tasks, outputs, torch.full((2, 2), -1), ONES, ALL)
    assert nowhere.item() == 0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # of errors 1/2 and 3; huber with delta 1: e^2 / 2 up to 1, then |e| - 1/2
        ("squared_error", [1 / 8, 9 / 2]),
        ("absolute_error", [1 / 2, 3]),
        ("huber", [1 / 8, 5 / 2]),
    ],
)
def test_losses_of_numbers(kind, expected):
    tasks = [Task(kind, slice(0, 2), slice(0, 2), 0.5)]
    outputs = torch.tensor([[1.0, 1.0], [7.0, 0.0]], requires_grad=True)
    target = torch.tensor([[0.5, 4.0], [NAN, NAN]])
    losses = row_losses(tasks, outputs, target)
    torch.testing.assert_close(losses, torch.tensor([[e / 2 for e in expected], [0.0, 0.0]]))
    loss = supervised(tasks, outputs, target, ONES, ALL)
    assert loss.item() == pytest.approx(sum(expected) / 2)
    loss.backward()
    assert (outputs.grad[0] != 0).all()
    assert (outputs.grad[1] == 0).all()  # not NaN


def test_losses_of_labels():
    tasks = [Task("multilabel", slice(0, 3), slice(0, 3), 1 / 3)]
    ln3 = math.log(3)  # a probability of 3/4
    outputs = torch.tensor([[ln3, ln3, 50.0], [0.0, 0.0, -50.0]])
    target = torch.tensor([[1.0, 0.0, 1.0], [NAN, 0.0, NAN]])
    expected = [math.log(4 / 3), (LN4 + LN2) / 2, 0.0]
    loss = supervised(tasks, outputs, target, ONES, ALL)
    assert loss.item() == pytest.approx(sum(expected) / 3)


def test_losses_take_more_axes():
    target = torch.tensor([[0, 1], [1, -1]])
    tasks = [
        Task("multiclass", slice(0, 2), slice(0, 1), 0.5),
        Task("multiclass", slice(2, 5), slice(1, 2), 0.5),
    ]
    outputs = torch.randn(2, 5, 3)
    at_once = row_losses(tasks, outputs, target[:, :, None].expand(-1, -1, 3))
    for i in range(3):
        torch.testing.assert_close(at_once[:, :, i], row_losses(tasks, outputs[:, :, i], target))


def test_cosine():
    # angles of 0, 90 and 180 degrees; length plays no part
    a = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    b = torch.tensor([[5.0, 0.0], [1.0, 0.0], [-4.0, 0.0]])
    valid = torch.tensor([True, True, True])
    assert cosine(a, b, torch.ones(3), valid).item() == pytest.approx((0 + 1 + 2) / 3, abs=1e-6)
    valid[2] = False
    assert cosine(a, b, torch.ones(3), valid).item() == pytest.approx((0 + 1) / 2, abs=1e-6)


def test_cosine_counts_rows_by_their_weight():
    a, b = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 1.0], [0.0, -1.0]])
    # angles of 45 and 180 degrees: 1 - 1 / sqrt(2) and 2
    expected = (0.5 * (1 - 0.5**0.5) + 1.5 * 2) / 2
    assert cosine(a, b, torch.tensor([0.5, 1.5]), ALL).item() == pytest.approx(expected)


def test_mse():
    a = torch.tensor([[1.0, 2.0], [0.0, 0.0], [5.0, 5.0]])
    b = torch.tensor([[0.0, 4.0], [2.0, 0.0], [5.0, 5.0]])
    # (1 + 4) / 2, (4 + 0) / 2 and 0
    valid = torch.tensor([True, True, True])
    assert mse(a, b, torch.ones(3), valid).item() == pytest.approx((2.5 + 2 + 0) / 3)
    weighted = mse(a, b, torch.tensor([2.0, 0.5, 0.5]), valid)
    assert weighted.item() == pytest.approx((2 * 2.5 + 0.5 * 2) / 3)
    valid[0] = False
    assert mse(a, b, torch.ones(3), valid).item() == pytest.approx((2 + 0) / 2)


def test_kl():
    # p = (3/4, 1/4) and q = (1/2, 1/2)
    p, q = torch.tensor([[math.log(3), 0.0], [0.0, 9.0]]), torch.tensor([[5.0, 5.0], [0.0, 9.0]])
    forward = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    backward = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
    assert kl(p, q, ONES, ALL).item() == pytest.approx(forward / 2, abs=1e-6)
    assert kl(q, p, ONES, ALL).item() == pytest.approx(backward / 2, abs=1e-6)
    weighted = kl(p, q, torch.tensor([1.5, 0.5]), torch.tensor([True, False]))
    assert weighted.item() == pytest.approx(1.5 * forward, abs=1e-6)


def test_kl_of_tasks():
    p, q = torch.tensor([[math.log(3), 0.0, 0.0]]), torch.tensor([[5.0, 5.0, math.log(3)]])
    tasks = [
        Task("multiclass", slice(0, 2), slice(0, 1), 0.25),
        Task("multilabel", slice(2, 3), slice(1, 2), 0.75),
    ]
    one = torch.ones(1)
    # a label with p = 1/2 against q = 3/4
    label = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
    expected = 0.25 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) + 0.75 * label
    assert task_kl(tasks, p, q, one, one > 0).item() == pytest.approx(expected, abs=1e-6)


def test_kl_moves_both():
    p = torch.tensor([[1.0, 0.0]], requires_grad=True)
    q = torch.tensor([[0.0, 0.0]], requires_grad=True)
    kl(p, q, torch.ones(1), torch.tensor([True])).backward()
    assert p.grad[0, 0] > 0
    assert q.grad[0, 0] < 0


def test_correlation():
    a = torch.tensor([1.0, -1.0, 1.0, -1.0])
    b = torch.tensor([1.0, 1.0, -1.0, -1.0])
    ones, everyone = torch.ones(4), torch.ones(4, dtype=torch.bool)
    f = torch.stack([a, b], dim=1)
    # the same units in other units of measurement: C is the identity
    assert correlation(f, 3 * f + 2, ones, everyone).item() == pytest.approx(0, abs=1e-6)
    # a with a and a, b with none: C = ((1, 1), (0, 0)), so ((1 - 1)^2 + (1 - 0)^2 + w 1^2) / 2
    twice = torch.stack([a, a], dim=1)
    expected = (1 + REDUNDANCY_WEIGHT) / 2
    assert correlation(f, twice, ones, everyone).item() == pytest.approx(expected, abs=1e-4)
    # against each other: C = -1
    against = correlation(a[:, None], -a[:, None], ones, everyone)
    assert against.item() == pytest.approx(4, abs=1e-4)


def test_correlation_counts_rows_by_their_weight_and_skips_those_without_a_pair():
    torch.manual_seed(0)
    f_1, f_2 = torch.randn(5, 3), torch.randn(5, 3)
    valid = torch.tensor([True, True, True, True, False])
    weighted = correlation(f_1, f_2, torch.tensor([2.0, 1.0, 1.0, 1.0, 5.0]), valid)
    copies = torch.tensor([0, 0, 1, 2, 3])
    expected = correlation(f_1[copies], f_2[copies], torch.ones(5), torch.ones(5) > 0)
    torch.testing.assert_close(weighted, expected)
    single = correlation(f_1, f_2, torch.ones(5), torch.arange(5) == 2)
    assert single.item() == 0  # one row has no correlation


def test_contrastive():
    # f_1 = e1, e2; f_2 = e1, e1: similarities over the temperature 0.1 are (10, 10), (0, 0)
    f_1 = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    f_2 = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert contrastive(f_1, f_2, ONES, ALL).item() == pytest.approx(LN2)
    # the other direction: (10, 0), (10, 0): ln(1 + e^-10) and ln(1 + e^10)
    expected = (math.log1p(math.exp(-10)) + math.log1p(math.exp(10))) / 2
    assert contrastive(f_2, f_1, ONES, ALL).item() == pytest.approx(expected, rel=1e-5)


def test_contrastive_of_three_weighted_rows():
    f_1 = torch.tensor([[5.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    f_2 = torch.tensor([[1.0, 0.0], [0.0, 3.0], [0.0, 2.0]])
    # similarities (1, 0, 0), (0, 1, 1), (.6, .8, .8), times 10: log of the sum less the pair
    losses = [
        math.log(math.exp(10) + 2) - 10,
        math.log(1 + 2 * math.exp(10)) - 10,
        math.log(math.exp(6) + 2 * math.exp(8)) - 8,
    ]
    valid = torch.tensor([True, True, True])
    plain = contrastive(f_1, f_2, torch.ones(3), valid)
    assert plain.item() == pytest.approx(sum(losses) / 3, rel=1e-5)
    weighted = contrastive(f_1, f_2, torch.tensor([0.5, 0.5, 2.0]), valid)
    expected = (0.5 * losses[0] + 0.5 * losses[1] + 2 * losses[2]) / 3
    assert weighted.item() == pytest.approx(expected, rel=1e-5)


def test_contrastive_leaves_out_rows_without_a_pair():
    f_1 = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], requires_grad=True)
    f_2 = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    valid = torch.tensor([True, True, False])
    loss = contrastive(f_1, f_2, torch.ones(3), valid)
    assert loss.item() == pytest.approx(LN2)  # as without the third row
    loss.backward()
    assert torch.isfinite(f_1.grad).all()
    assert torch.isfinite(f_2.grad).all()
    assert (f_1.grad[2] == 0).all()


def test_a_missing_pair_is_no_candidate_either():
    # with row 2 the first row would have a second candidate as good as its own: ln 2, not 0
    f_1 = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    valid = torch.tensor([True, True, False])
    loss = contrastive(f_1, f_1, torch.ones(3), valid)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-10)), abs=1e-6)
    everyone = contrastive(f_1, f_1, torch.ones(3), torch.ones(3, dtype=torch.bool))
    assert everyone.item() == pytest.approx((2 * LN2 + 0) / 3, abs=1e-3)


@pytest.mark.parametrize("loss", [*ALIGNMENT_LOSSES.values()])
def test_gradients_of_zero_vectors_are_finite(loss):
    f_1 = torch.tensor([[0.0, 0.0], [0.0, 1.0]], requires_grad=True)
    f_2 = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss(f_1, f_2, ONES, torch.tensor([False, True])).backward()
    for f in (f_1, f_2):
        assert torch.isfinite(f.grad).all()
        assert (f.grad[0] == 0).all()


def test_no_valid_row_gives_zero():
    nothing = torch.tensor([False, False])
    f = torch.eye(2, requires_grad=True)
    for loss in ALIGNMENT_LOSSES.values():
        value = loss(f, f, ONES, nothing)
        assert value.item() == 0
        value.backward()
    assert torch.isfinite(f.grad).all()


def test_supervised_loss_is_that_of_khosla():
    rng = np.random.default_rng(0)
    f_i, f_j = torch.tensor(rng.normal(size=(2, 6, 3)))
    classes = torch.tensor([0, 0, 1, 1, 1, 2])
    valid = torch.tensor([True, True, True, True, False, True])
    weight = torch.ones(6, dtype=torch.double)
    alike = classes[:, None] == classes
    loss = supervised_contrastive(f_i, f_j, weight, valid, 0.5, alike)
    z_i, z_j = (f / f.norm(dim=1, keepdim=True) for f in (f_i, f_j))
    rows, expected = [0, 1, 2, 3, 5], []
    for a in rows:
        scores = {p: np.exp(float(z_i[a] @ z_j[p]) / 0.5) for p in rows}
        positive = [p for p in rows if classes[p] == classes[a]]
        share = [-np.log(scores[p] / sum(scores.values())) for p in positive]
        expected.append(np.mean(share))
    assert float(loss) == pytest.approx(np.mean(expected))
