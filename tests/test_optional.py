"""Packages that are not installed, by transformers that need one: ftfy, and a part of skimage."""

import sys

import numpy as np
import pytest

from skmm.image import ImageDescriptor
from skmm.text import TextCleaner


def clean():
    """Use ftfy."""
    return TextCleaner(fix_encoding=True).fit_transform(["cafÃ©"])


def describe():
    """Use skimage.feature."""
    return ImageDescriptor(cache=None).fit_transform([np.zeros((64, 64, 3), dtype=np.uint8)])


@pytest.fixture
def forget(monkeypatch):
    """Return a function that makes Python look for a package again."""

    def forget(package):
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)

    return forget


def test_packages_that_are_installed():
    assert clean().tolist() == ["café"]
    assert np.isfinite(describe()).all()


@pytest.mark.parametrize(
    ("use", "package", "match"),
    [
        (clean, "ftfy", r"^TextCleaner.* ftfy: pip install 'skmm\[text\]'$"),
        (describe, "skimage", r"^ImageDescriptor.* skimage: pip install 'skmm\[image\]'$"),
    ],
)
def test_absent_package_is_named_with_its_pip_line(use, package, match, forget, monkeypatch):
    class Absent:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == package:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    forget(package)
    monkeypatch.setattr(sys, "meta_path", [Absent, *sys.meta_path])
    with pytest.raises(ImportError, match=match) as caught:
        use()
    assert caught.value.name == package
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_installed_package_that_fails_keeps_its_error(forget, tmp_path, monkeypatch):
    (tmp_path / "ftfy.py").write_text("import skmm_absent_dependency\n")
    forget("ftfy")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="skmm_absent_dependency"):
        clean()


def test_absent_submodule_of_an_installed_package_is_not_called_uninstalled(
    forget, tmp_path, monkeypatch
):
    (tmp_path / "skimage").mkdir()
    (tmp_path / "skimage" / "__init__.py").touch()
    forget("skimage")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"'skimage\.feature'"):
        describe()
    sys.modules.pop("skimage")
