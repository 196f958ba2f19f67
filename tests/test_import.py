import pkgutil
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


def test_submodules_are_there_where_they_are_first_used():
    code = """
import sys, skmm
assert "skmm.inspection" not in sys.modules
assert skmm.inspection.modality_report
names = ["alignment", "audio", "compose", "datasets", "distributed", "encoding", "export", "fusion",
         "image", "inspection", "model_selection", "text", "video"]
assert {*names} <= {*dir(skmm)}
assert [name for name in names if getattr(skmm, name).__name__ != f"skmm.{name}"] == []
try:
    skmm.nonsense
except AttributeError as e:
    print(e)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "'nonsense'" in result.stdout


def test_every_public_package_is_an_attribute():
    import skmm

    packages = {m.name for m in pkgutil.iter_modules(skmm.__path__) if not m.name.startswith("_")}
    assert packages <= {*dir(skmm)}
