import pytest
import torch
from torch import nn

from skmm._torch.generators import Generators, use_generators
from skmm._torch.lora import AdapterSpec, add_adapters, find_dropout

SPEC = AdapterSpec(rank=2, alpha=4.0, dropout=0.0, target_modules=None, seed=0)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.narrow, self.wide = nn.Linear(8, 3), nn.Linear(3, 8)
        self.grouped = nn.Conv2d(4, 4, 1, groups=4)

    def forward(self, x):
        return self.attention(x, x, x)[0] + self.wide(self.narrow(x))


def make_layers():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(Layer(), Layer())
    return model.requires_grad_(False)


def add(model, **options):
    return add_adapters(model, {"1": model[1]}, SPEC._replace(**options))


def test_adapters_change_nothing_at_first_and_are_all_that_is_trained():
    model, x = make_layers(), torch.randn(3, 5, 8)
    before = model(x)
    adapters = add(model)
    torch.testing.assert_close(model(x), before, rtol=0, atol=0)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {*adapters}
    names = [name.split(".lora_")[0] for name in adapters]
    assert {*names} == {"1.narrow", "1.wide"}  # neither attention nor what is grouped
    assert sum(p.numel() for p in adapters.values()) == 2 * (2 * 8 + 2 * 3)
    with torch.no_grad():
        adapters["1.wide.lora_B.default.weight"].fill_(1.0)
    assert (model(x) - before).abs().max() > 1e-3


def test_first_weights_come_from_the_seed_alone():
    state = torch.random.get_rng_state()
    first, again, other = (add(make_layers(), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    name = "1.wide.lora_A.default.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_modules_by_name():
    assert len(add(make_layers(), target_modules=["wide"])) == 2
    assert len(add(make_layers(), target_modules=["1.wide", "narrow"])) == 4
    with pytest.raises(ValueError, match=r"\['query'\].*The layers have \['narrow', 'wide'\]"):
        add(make_layers(), target_modules=["wide", "query"])
    with pytest.raises(ValueError, match=r"names nothing\. The layers have .*'wide'"):
        add(make_layers(), target_modules=[])


def test_what_is_dropped_out_comes_from_the_generators_of_the_fit():
    model, x = make_layers(), torch.randn(3, 5, 8)
    adapters = add(model, dropout=0.5)
    for parameter in adapters.values():
        nn.init.ones_(parameter)
    assert len(find_dropout(model)) == 2
    with use_generators(Generators.seeded(torch.device("cpu"), 0)):
        first, other = model(x), model(x)
    with use_generators(Generators.seeded(torch.device("cpu"), 0)):
        torch.testing.assert_close(model(x), first, rtol=0, atol=0)
    assert not torch.equal(first, other)
    model.eval()
    torch.testing.assert_close(model(x), model(x), rtol=0, atol=0)
