"""The release: its changes, and the versions that are promised and run."""

import re
import subprocess
import sys
import tomllib

import pytest
from fresh_process import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

sys.path.insert(0, str(ROOT / "tools"))
from cut_changelog import cite, cut_changelog
from list_docs import list_versions

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHIPPED = {"text", "image", "audio", "video", "plot", "ray", "faiss", "datasets", "save"}
SHIPPED |= {"generation", "finetune", "export"}


def read_pins(name):
    lines = (ROOT / name).read_text().splitlines()
    pins = [line.partition("#")[0].strip().split("==") for line in lines if "==" in line]
    return {canonicalize_name(package): Version(version) for package, version in pins}


def list_floors():
    """List the requirements that users get, with the version from which they are promised."""
    extras = PROJECT["optional-dependencies"]
    texts = {*PROJECT["dependencies"], *(need for name in SHIPPED for need in extras[name])}
    requirements = [r for r in map(Requirement, sorted(texts)) if r.name != PROJECT["name"]]
    return [
        pytest.param(r.name, [s.version for s in r.specifier if s.operator == ">="], id=str(r))
        for r in requirements
    ]


@pytest.mark.parametrize(("name", "floors"), list_floors())
def test_floor_is_the_version_that_the_oldest_run_has(name, floors):
    assert len(floors) == 1
    pin = read_pins("constraints-oldest.txt")[canonicalize_name(name)]
    assert pin.release[:3] == (*Version(floors[0]).release, 0, 0)[:3]


def test_changes_are_dated():
    text = "# Changes\n\n## 0.2.0 (unreleased)\n\n- more\n\n## 0.1.0 (2026-01-02)\n\n- all\n"
    dated = cut_changelog(text, "0.2.0", "2026-11-29")
    assert dated == text.replace("0.2.0 (unreleased)", "0.2.0 (2026-11-29)")


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0"])
def test_release_without_changes_is_an_error(version):
    text = "# Changes\n\n## 0.2.0 (unreleased)\n\n## 0.1.0 (2026-01-02)\n\n- all\n"
    with pytest.raises(ValueError, match=version):
        cut_changelog(text, version, "2026-11-29")


def test_unreleased_changes_are_there():
    assert re.search(r"^## \d+\.\d+\.\d+ \(", (ROOT / "CHANGES.md").read_text(), re.MULTILINE)


def test_citation_has_one_version():
    text = (ROOT / "CITATION.cff").read_text()
    cited = cite(cite(text, "0.1.0", "2026-01-02"), "0.2.0", "2026-11-29")
    assert re.findall(r"^version: (.*)$", cited, re.MULTILINE) == ["0.2.0"]
    assert re.findall(r"^date-released: (.*)$", cited, re.MULTILINE) == ["2026-11-29"]


def test_demo_names_what_it_needs(tmp_path):
    hide = "import sys; sys.modules['matplotlib'] = None; sys.argv = ['demo']"
    code = f"{hide}\nimport runpy\nrunpy.run_module('skmm.demo', run_name='__main__')"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "pip install 'skmm[examples]'" in result.stderr


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--unknown", 2)])
def test_demo_takes_no_arguments(argument, code, tmp_path):
    command = [sys.executable, "-m", "skmm.demo", argument]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == code
    assert "usage: python -m skmm.demo" in result.stdout + result.stderr
    assert not list(tmp_path.iterdir())


def test_versions_of_the_docs_are_listed_newest_first(tmp_path):
    for name in ["0.9.0", "dev", "0.10.0", "_static"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").touch()
    (tmp_path / "1.0.0").mkdir()  # nothing was built there
    listed = list_versions(tmp_path, "https://example.org/skmm")
    assert [entry["version"] for entry in listed] == ["dev", "0.10.0", "0.9.0"]
    assert [entry["version"] for entry in listed if entry.get("preferred")] == ["0.10.0"]
    assert listed[1]["url"] == "https://example.org/skmm/0.10.0/"


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
