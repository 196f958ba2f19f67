"""Layers that networks are built of, against values worked out by hand."""

import copy

import pytest
import torch
from torch import nn

from skmm._torch.layers import (
    Calibration,
    Dropout,
    IdentityNormalizer,
    MemberLinear,
    ModalityNormalizer,
    bernoulli_dropout,
    first_member,
    make_linear,
    scale_per_output,
)


def test_normalizer_uses_the_rows_that_are_present():
    normalizer = ModalityNormalizer(2, 1).train()
    values = torch.tensor([[[1.0], [5.0]], [[3.0], [7.0]], [[100.0], [9.0]]])  # (n, m, q)
    weights = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 2.0]])
    normalised = normalizer(values, weights)
    # Two rows more, of mean 0 and variance 1, as stored at first.
    # modality 0: mean (1 + 3 + 2 * 0) / 4 = 1, variance (0 + 4 + 2 * (1 + 1)) / 4 = 2
    assert normalised[:2, 0, 0].tolist() == pytest.approx([0, 2 / 2**0.5], abs=1e-5)
    # modality 1, its rows' weights times 3/4: mean (.75 * 30 + 2 * 0) / 5 = 4.5,
    # variance (.75 * (.25 + 6.25 + 2 * 20.25) + 2 * (1 + 20.25)) / 5 = 15.55
    assert normalised[:, 1, 0].tolist() == pytest.approx(
        [0.5 / 15.55**0.5, 2.5 / 15.55**0.5, 4.5 / 15.55**0.5], abs=1e-5
    )
    assert normalizer.mean.flatten().tolist() == pytest.approx([0.1, 0.45])
    assert normalizer.rms[0].item() == pytest.approx(1 + 0.1 * (2**0.5 - 1))


def test_normalizer_keeps_the_only_row_of_a_modality():
    normalizer = ModalityNormalizer(1, 2).train()
    normalizer.store(torch.tensor([[4.0, 4.0]]), torch.tensor([4.0]))
    values = torch.tensor([[[6.0, 7.0]], [[0.0, 0.0]]])
    out = normalizer(values, torch.tensor([[1.0], [0.0]]))[0, 0]
    # mean (6 + 2 * 4) / 3, (7 + 2 * 4) / 3; variance of the three, averaged over both values
    mean = torch.tensor([14 / 3, 5.0])
    variance = (((values[0, 0] - mean) ** 2).mean() + 2 * (4 + ((4 - mean) ** 2).mean())) / 3
    torch.testing.assert_close(out, (values[0, 0] - mean) / variance.sqrt())
    nothing = normalizer(values, torch.zeros(2, 1))
    assert torch.isfinite(nothing).all()


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_dropout_keeps_the_mean_and_drops_its_share(rate):
    torch.manual_seed(0)
    values = torch.ones(1000, 333)
    dropped = Dropout(rate).train()(values)
    assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(Dropout(rate).eval()(values), values)


def test_bernoulli_dropout_keeps_the_mean_and_drops_its_share():
    torch.manual_seed(0)
    dropped = bernoulli_dropout(torch.ones(1000, 333), 0.3)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)


def test_identity_normalizer_stores_and_changes_nothing():
    normalizer = IdentityNormalizer(2, 3).train()
    values, weights = torch.randn(4, 2, 3), torch.ones(4, 2)
    assert normalizer(values, weights) is values
    normalizer.store(torch.ones(2, 3), torch.tensor([4.0, 0.0]))
    assert normalizer.rms.tolist() == [2, 0]
    assert (normalizer.mean == 1).all()
    assert normalizer.eval()(values, weights) is values


def test_scales_of_tasks_are_repeated_for_their_outputs():
    scale, sizes = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([2, 3])
    assert scale_per_output(scale, sizes).tolist() == [[1, 1, 2, 2, 2], [3, 3, 4, 4, 4]]
    assert scale_per_output(torch.tensor([3.0]), torch.tensor([4])).tolist() == [3]


def test_calibration_scales_each_task_after_training():
    calibration, logits = Calibration([2, 1]), torch.ones(1, 3)
    assert calibration.eval()(logits).tolist() == [[1, 1, 1]]
    calibration.log_scale.copy_(torch.tensor([2.0, 0.5]).log())
    torch.testing.assert_close(calibration(logits), torch.tensor([[2, 2, 0.5]]))
    assert calibration.train()(logits) is logits


# Linear layers


def test_linear_layers_begin_as_those_of_torch():
    torch.manual_seed(0)
    expected = nn.Linear(5, 3)
    torch.manual_seed(0)
    linear = make_linear(1, 5, 3)
    assert type(linear) is nn.Linear
    assert torch.equal(linear.weight, expected.weight)
    assert torch.equal(linear.bias, expected.bias)
    assert all(p.requires_grad for p in linear.parameters())


@pytest.mark.parametrize("shape", [(6, 5), (6, 2, 5)])
def test_members_of_a_linear_layer_read_their_own_rows(shape):
    torch.manual_seed(0)
    linear, values = make_linear(3, 5, 4), torch.randn(shape)
    assert linear.weight.abs().max() <= 5**-0.5
    assert (linear.weight[0] != linear.weight[1]).all()
    output = linear(values)
    assert output.shape == (*shape[:-1], 4)
    for i in range(3):  # two rows each, member by member
        rows = slice(2 * i, 2 * i + 2)
        expected = values[rows] @ linear.weight[i] + linear.bias[i]
        torch.testing.assert_close(output[rows], expected)


def test_the_first_member_is_a_copy():
    torch.manual_seed(0)
    linear = MemberLinear(2, 3, 4)
    network = nn.ModuleDict({"a": nn.Sequential(nn.ReLU(), linear), "b": linear})
    before = copy.deepcopy(network.state_dict())
    single, values = first_member(network), torch.randn(5, 3)
    assert type(single["b"]) is nn.Linear
    assert single["a"][1] is single["b"]  # a layer that stands in two places stays one
    torch.testing.assert_close(single["b"](values), linear(values.repeat(2, 1))[:5])
    with torch.no_grad():
        single["b"].weight.zero_()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
