"""The device that torch computes on."""

import numpy as np
import pytest
import torch


def test_devices(data, small):
    X, y = data
    for device in ("nope", "meta"):
        with pytest.raises(ValueError, match=f"device='{device}'"):
            small(device=device).fit(X, y)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device='cuda'"):
            small(device="cuda").fit(X, y)


def test_auto_is_a_gpu_where_there_is_one(data, small):
    X, y = data
    cpu, auto = small(device="cpu").fit(X, y), small(device="auto")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.max_memory_allocated()
        auto.fit(X, y)
        assert torch.cuda.max_memory_allocated() > before
    else:
        np.testing.assert_array_equal(auto.fit(X, y).predict_proba(X), cpu.predict_proba(X))
