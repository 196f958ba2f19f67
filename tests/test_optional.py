"""Packages that are not installed: ftfy, a part of skimage, what README's line does not bring."""

import importlib.metadata
import re
import sys
import tomllib

import numpy as np
import pytest
from fresh_process import ROOT, run
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def find_required(requirements):
    """Return the distributions that requirements lead to, by canonical name."""
    found, left = set(), [Requirement(text) for text in requirements]
    while left:
        requirement = left.pop()
        for extra in ["", *requirement.extras]:
            name = canonicalize_name(requirement.name)
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                needs = importlib.metadata.requires(name) or []
            except importlib.metadata.PackageNotFoundError:
                continue  # of another platform, or of a build of torch that does without
            for need in map(Requirement, needs):
                if need.marker is None or need.marker.evaluate({"extra": extra}):
                    left.append(need)
    return {name for name, _ in found}


@pytest.mark.slow
def test_readme_install_line_brings_what_the_example_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    readme = (ROOT / "README.md").read_text()
    extras = re.search(r"`pip install '\.\[([\w,]+)\]'`", readme).group(1).split(",")
    requirements = [
        *project["dependencies"],
        *(need for extra in extras for need in project["optional-dependencies"][extra]),
    ]
    installed = find_required(requirements)
    absent = [
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if module not in {"skmm", *sys.stdlib_module_names}
        and not installed & {canonicalize_name(name) for name in names}
    ]
    example = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    for slow, quick in {
        "\nX_train, ": "\nX, y = X[::6], y[::6]\nX_train, ",
        "FusionClassifier(random_state=0)": "FusionClassifier(solver=solver, interaction=None)",
    }.items():
        assert slow in example
        example = example.replace(slow, quick)
    code = f"""
import sys
from importlib.machinery import PathFinder

class Installed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in {absent!r}:
            return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Installed
from skmm import AdamW
solver = AdamW(max_iter=2)
{example}
print(len(contributions))
"""
    assert int(run(code)) == 80
