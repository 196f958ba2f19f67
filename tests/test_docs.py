"""The reference names everything public, and only that."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import skmm

DOCS = Path(__file__).resolve().parents[1] / "docs"


def documented_names():
    """List the names in the tables of docs/api.rst."""
    text = (DOCS / "api.rst").read_text()
    blocks = re.findall(r"^\.\. autosummary::\n((?: {3}.*\n|\n)+)", text, re.MULTILINE)
    return [name for block in blocks for name in re.findall(r"^ {3}(\w[\w.]*)$", block, re.M)]


def documented_objects():
    """Map the names in the tables of docs/api.rst to what they name."""
    return {name: pkgutil.resolve_name(f"skmm.{name}") for name in documented_names()}


def public_objects():
    """Map dotted names to the classes and functions that public modules list in `__all__`."""
    modules = ["skmm", *(info.name for info in pkgutil.walk_packages(skmm.__path__, "skmm."))]
    public = {}
    for module in map(importlib.import_module, (name for name in modules if "._" not in name)):
        public |= {f"{module.__name__}.{name}": getattr(module, name) for name in module.__all__}
    return {name: member for name, member in public.items() if callable(member)}


def test_reference_names_everything_public():
    documented, public = documented_objects(), public_objects()
    assert len(documented) >= 19
    missing = [name for name, member in public.items() if member not in documented.values()]
    assert not missing, f"add to docs/api.rst: {missing}"
    unknown = [name for name, member in documented.items() if member not in public.values()]
    assert not unknown, f"not public: {unknown}"


def test_reference_names_nothing_twice():
    members = [pkgutil.resolve_name(f"skmm.{name}") for name in documented_names()]
    assert len(set(members)) == len(members)


def test_parameters_of_public_classes_have_types():
    untyped = [
        f"{name}.{parameter}"
        for name, member in public_objects().items()
        if inspect.isclass(member) and "__init__" in vars(member)
        for parameter in inspect.signature(member).parameters.values()
        if parameter.annotation is inspect.Parameter.empty
    ]
    assert not untyped
