"""Run numpydoc's validation on the public names of skmm, as pyproject.toml sets it.

``numpydoc lint`` reads files, so it cannot tell what is public when a public class stands in a
private module. Here a name is public if a public module of skmm lists it in ``__all__``; of a
class, its public methods and properties that skmm itself wrote count too.
"""

import importlib
import inspect
import pkgutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from numpydoc.validate import validate

import skmm

_SETTINGS = Path(__file__).resolve().parents[1] / "pyproject.toml"


def public_names() -> Iterator[tuple[str, bool]]:
    """Yield the dotted name of each public object, and whether it owes an example."""
    modules = ["skmm"] + [info.name for info in pkgutil.walk_packages(skmm.__path__, "skmm.")]
    for module_name in modules:
        if "._" in module_name:
            continue
        module = importlib.import_module(module_name)
        for name in module.__all__:
            member = getattr(module, name)
            if not (inspect.isclass(member) or inspect.isfunction(member)):
                continue
            yield f"{module_name}.{name}", True
            if inspect.isclass(member):
                for method in _own_members(member):
                    yield f"{module_name}.{name}.{method}", False


def _own_members(cls: type) -> Iterator[str]:
    """Yield the public methods and properties that `cls` or a base class of ours defines."""
    for name in dir(cls):
        if name.startswith("_"):
            continue
        owner = next((base for base in cls.__mro__ if name in vars(base)), None)
        if owner is None or not owner.__module__.startswith("skmm"):
            continue
        member = inspect.getattr_static(cls, name)
        if callable(member) or isinstance(member, (property, classmethod, staticmethod)):
            yield name


def main() -> int:
    """Print what is wrong with the docstrings and return the number of complaints."""
    checks = set(tomllib.loads(_SETTINGS.read_text())["tool"]["numpydoc_validation"]["checks"])
    complaints, n_names = [], 0
    for name, owes_example in public_names():
        n_names += 1
        result = validate(name)
        for code, message in result["errors"]:
            if code in checks and (owes_example or code != "EX01"):
                where = f"{result['file']}:{result['file_line']}"
                complaints.append(f"{where}: {name}: {code} {message}")
    print("\n".join([*complaints, f"numpydoc: {n_names} public names, {len(complaints)} errors"]))
    return len(complaints)


if __name__ == "__main__":
    sys.exit(main() > 0)
