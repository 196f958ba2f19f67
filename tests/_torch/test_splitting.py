import numpy as np
import pytest
import torch
from tiny_text_encoders import make_encoder_model
from tiny_text_models import make_model
from torch import nn

from skmm._torch.splitting import (
    Split,
    UpperLayers,
    check_split,
    find_split,
    pack_hidden,
    pad_hidden,
    run_lower,
)

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


def call(model):
    return model(input_ids=IDS, attention_mask=MASK)[0] * MASK[:, :, None]


@pytest.fixture(scope="module", params=["bert", "mpnet"])
def bare(request):
    return make_encoder_model(kind=request.param)[0].eval()


@pytest.mark.parametrize("n_layers", [1, 2, 3, 9])
@torch.no_grad()
def test_two_parts_are_the_whole(bare, n_layers):
    split = find_split(bare, n_layers)
    assert split == Split("encoder.layer", max(0, 3 - n_layers))
    hidden = run_lower(bare, split, call)
    items = pack_hidden(hidden, MASK)
    assert [item.shape for item in items] == [(4, 16), (2, 16)]
    upper = UpperLayers(bare, split)
    vectors = upper.run(call, pad_hidden(items, MASK, hidden.device))
    torch.testing.assert_close(vectors, call(bare), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(check_split(bare, split, call, MASK), hidden)
    assert [*upper.layers] == [f"encoder.layer.{i}" for i in range(split.first, 3)]


@torch.no_grad()
def test_lower_layers_of_the_copy_do_not_run(bare):
    split = find_split(bare, 1)
    calls = []
    handles = [
        layer.register_forward_hook(lambda *_, i=i: calls.append(i))
        for i, layer in enumerate(bare.encoder.layer)
    ]
    hidden = run_lower(bare, split, call)
    assert calls == [0, 1]
    UpperLayers(bare, split).run(call, hidden)
    assert calls == [0, 1, 2]
    for handle in handles:
        handle.remove()


def test_copy_shares_the_weights_and_trains_none(bare):
    upper = UpperLayers(bare, find_split(bare, 1))
    own = dict(bare.named_parameters())
    for name, parameter in upper.model.named_parameters():
        assert parameter.data_ptr() == own[name].data_ptr()
        assert not parameter.requires_grad
        assert own[name].requires_grad


def test_other_threads_run_the_whole_model_meanwhile(bare):
    from threading import Thread

    split = find_split(bare, 1)
    found = []

    def forward(model):
        thread = Thread(target=lambda: found.append(call(model)))
        thread.start()
        thread.join()
        return call(model)

    with torch.no_grad():
        run_lower(bare, split, forward)
    torch.testing.assert_close(found[0], call(bare))


def test_model_whose_layers_hand_on_more_is_refused():
    """The first layer of a T5 gives a bias of positions to the others."""
    model = make_model("t5").encoder
    with pytest.raises(ValueError, match=r"finetune cannot split .* before layer 1 of block"):
        check_split(model, find_split(model, 1), call, MASK)


def test_model_without_a_sequence_of_layers_says_what_it_has():
    model = nn.ModuleDict({"first": nn.Linear(8, 8), "second": nn.Conv2d(3, 8, 3)})
    with pytest.raises(ValueError, match=r"this ModuleDict consists of first, second"):
        find_split(model, 1)


def test_stages_of_one_kind_of_block_are_not_one_sequence():
    """As in a ResNet: the stages before the last one would run again in each epoch."""
    stages = {f"layer{i}": nn.Sequential(nn.Linear(i, i), nn.Linear(i, i)) for i in (1, 2)}
    with pytest.raises(ValueError, match=r"consists of layer1, layer2"):
        find_split(nn.ModuleDict(stages), 1)


def test_layers_are_those_of_the_named_part():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.text = nn.ModuleList([nn.Linear(30, 30), nn.Linear(30, 30)])
            blocks = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
            self.visual = nn.ModuleDict({"blocks": blocks})

    assert find_split(Both(), 1, "visual") == Split("visual.blocks", 1)


def test_padding_at_either_side_is_left_out():
    hidden = torch.arange(12.0).reshape(2, 3, 2)
    for mask in (torch.tensor([[1, 1, 1], [0, 0, 1]]), torch.tensor([[1, 1, 0], [1, 0, 0]])):
        items = pack_hidden(hidden, mask)
        assert [len(item) for item in items] == mask.sum(1).tolist()
        again = pad_hidden(items, mask, hidden.device)
        torch.testing.assert_close(again, hidden * mask[:, :, None])
    images = pack_hidden(hidden, None)
    np.testing.assert_array_equal(pad_hidden(images, None, hidden.device), hidden)
