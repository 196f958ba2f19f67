"""Digests of torch modules."""

import pickle

import torch

from skmm.encoding.cache import digest_model, digest_module


def test_digest_of_a_model():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    digest = digest_model(model, "a")
    assert digest == digest_model(pickle.loads(pickle.dumps(model)), "a")
    assert digest != digest_model(model, "b")
    assert digest != digest_model(model, "a", "")
    model[1].running_mean += 1
    assert digest != digest_model(model, "a")
    half = pickle.loads(pickle.dumps(model)).to(torch.bfloat16)
    assert digest_model(half) != digest_model(model)


def test_digest_of_a_module_follows_its_weights():
    module = torch.nn.Linear(2, 3)
    digest = digest_module(module)
    assert digest == digest_module(module) == digest_model(module)
    with torch.no_grad():
        module.weight[0, 0] += 1
    changed = digest_module(module)
    assert changed == digest_model(module) != digest
    module.bias = torch.nn.Parameter(torch.ones(3))
    assert digest_module(module) == digest_model(module) != changed
    assert digest_module(module, "a") != digest_module(module, "b")


def test_digest_of_buffers_that_are_not_saved():
    module = torch.nn.Linear(2, 3)
    module.register_buffer("scale", torch.ones(1), persistent=False)
    digest = digest_model(module)
    module.scale += 1
    assert digest_model(module) != digest


def test_module_of_tensors_that_count_no_changes():
    with torch.inference_mode():
        module = torch.nn.Linear(2, 3)
        digest = digest_module(module)
        module.weight += 1
        assert digest_module(module) != digest
