import subprocess
import sys

import pytest

LOADED_WHERE_USED = ["torch", "PIL", "matplotlib", "skimage", "sentence_transformers"]
LOADED_WHERE_USED += ["transformers", "librosa", "soundfile", "soxr", "numba"]


@pytest.mark.parametrize("module", ["skmm", "skmm.datasets", "skmm.inspection"])
def test_import_leaves_the_heavy_packages_alone(module):
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({LOADED_WHERE_USED})))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []


def test_every_exported_name_exists():
    import skmm

    assert skmm.__version__
    for name in skmm.__all__:
        assert getattr(skmm, name) is not None
