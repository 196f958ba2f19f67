"""The device that torch computes on."""

import numpy as np
import pytest
import torch

from skmm._torch.device import choose_device


def test_auto_is_a_gpu_where_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu") == torch.device("cpu")


def test_devices(data, small):
    X, y = data
    for device in ("nope", "meta"):
        with pytest.raises(ValueError, match=f"device='{device}'"):
            small(device=device).fit(X, y)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device='cuda'"):
            small(device="cuda").fit(X, y)
        auto, cpu = small().fit(X, y), small(device="cpu").fit(X, y)
        np.testing.assert_array_equal(auto.predict_proba(X), cpu.predict_proba(X))
