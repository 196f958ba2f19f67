"""What the examples in docstrings rely on, beside the tests."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def importable_torchvision():
    """Let examples import transformers first, beside a torchvision built for other hardware."""
    from skmm.encoding.engine import patch_torchvision

    patch_torchvision()
