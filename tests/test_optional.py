import json

import pytest

from skmm._optional import import_optional


def test_returns_the_module_itself():
    assert import_optional("json", extra="text", purpose="A test") is json


def test_returns_the_submodule_of_a_dotted_name():
    assert import_optional("json.decoder", extra="text", purpose="A test") is json.decoder


@pytest.mark.parametrize("name", ["skmm_absent", "skmm_absent.part"])
def test_absent_package_is_named_with_its_pip_line(name):
    expected = r"^ImageDescriptor needs skmm_absent: pip install 'skmm\[image\]'$"
    with pytest.raises(ImportError, match=expected) as caught:
        import_optional(name, extra="image", purpose="ImageDescriptor")
    assert caught.value.name == "skmm_absent"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_installed_package_that_fails_keeps_its_error(tmp_path, monkeypatch):
    (tmp_path / "skmm_half_installed.py").write_text("import skmm_absent_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="skmm_absent_dependency"):
        import_optional("skmm_half_installed", extra="image", purpose="A test")


def test_absent_submodule_of_an_installed_package_is_not_called_uninstalled():
    with pytest.raises(ModuleNotFoundError, match=r"json\.absent_submodule"):
        import_optional("json.absent_submodule", extra="image", purpose="A test")
