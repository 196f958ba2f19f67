"""The rooms of the package: who may import what, and that no module needs itself."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import skmm

ROOT = Path(skmm.__file__).parent


def name_module(path):
    parts = ["skmm", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_module(path): path for path in sorted(ROOT.rglob("*.py"))}


def is_package(module):
    return MODULES[module].name == "__init__.py"


def find_package(module):
    return module if is_package(module) else module.rpartition(".")[0]


def is_for_type_checkers(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def iterate_nodes(node):
    """Yield the nodes of a tree, but for what only type checkers read."""
    yield node
    for child in [] if is_for_type_checkers(node) else ast.iter_child_nodes(node):
        yield from iterate_nodes(child)


def find_imports(module):
    """Return what a module imports of skmm: modules, and names in modules."""
    found = set()
    for node in iterate_nodes(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = find_package(module).split(".")
                base = ".".join(package[: len(package) - node.level + 1] + [base] * bool(base))
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return {name for name in found if name.partition(".")[0] == "skmm"}


def find_module(name):
    return name if name in MODULES else name.rpartition(".")[0]


def find_holder(name):
    """Return the package whose private name or file is part of this name; None if none is."""
    parts = name.split(".")
    for i, part in enumerate(parts):
        if part.startswith("_") and not part.startswith("__"):
            return ".".join(parts[:i])
    return None


def is_inside(module, package):
    return f"{module}.".startswith(f"{package}.")


def list_violations(room):
    """List the imports of private names from outside of the package that holds them.

    What is private to the root, such as `_data`, is for every room.
    """
    return sorted(
        f"{module} imports {name}"
        for module in MODULES
        if is_inside(module, room)
        for name in find_imports(module)
        if (holder := find_holder(name)) is not None and not is_inside(module, holder)
    )


ROOMS = sorted(f"skmm.{path.stem}" for path in ROOT.iterdir() if name_module(path) in MODULES)
ROOMS += sorted(f"skmm.{path.name}" for path in ROOT.iterdir() if (path / "__init__.py").exists())


@pytest.mark.parametrize("room", sorted(set(ROOMS) - {"skmm.__init__"}))
def test_no_room_imports_private_files_of_another(room):
    assert list_violations(room) == []


def test_violations_are_found():
    assert find_holder("skmm.fusion._network.FusionNetwork") == "skmm.fusion"
    assert find_holder("skmm.encoding.cache.digest_item") is None
    assert is_inside("skmm.encoding.cache._stores", "skmm.encoding")
    assert not is_inside("skmm.encoding_other", "skmm.encoding")


def test_no_module_imports_itself_by_a_circle():
    graph = {
        module: {find_module(name) for name in find_imports(module)} - {module, "skmm"}
        for module in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as e:
        pytest.fail(" -> ".join(e.args[1]))
