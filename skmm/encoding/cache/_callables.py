"""What a function or an object computes, described well enough to be part of a vector's key.

Where two descriptions are equal, the two compute the same, as far as installed packages stay what
they are: these are described by names, and what a user wrote by what it does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import _lru_cache_wrapper, cached_property, partial
from hashlib import blake2b
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from ._digests import digest_item
from ._weights import digest_module

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), np.dtype, np.generic)
_BUILTIN = (
    BuiltinFunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodWrapperType,
    WrapperDescriptorType,
    np.ufunc,
)
# The attributes of a class that Python sets itself.
_SET_BY_PYTHON = {
    "__abstractmethods__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__orig_bases__",
    "__parameters__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}


def describe_callable(function: Callable | tuple) -> str:
    """Describe what a callable, or some of them, does, in any process alike.

    Raises
    ------
    TypeError
        If it holds what cannot be described, such as an open file.
    """
    described = repr(_Describer().describe(function))
    return blake2b(described.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class _Describer:
    """Describe values by nested tuples; what was described before by the place where it was."""

    def __init__(self):
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no id is used again
        self._modules: set[tuple[ModuleType, frozenset[str]]] = set()

    def describe(self, value: Any) -> tuple:
        if isinstance(value, _PLAIN):
            return (type(value).__name__, repr(value))
        if isinstance(value, ModuleType):
            if _is_installed(value.__name__):
                return ("module", value.__name__)
            raise TypeError(
                f"the module {value.__name__!r} is held as a value, so that what is used of it "
                "cannot be told"
            )
        if isinstance(value, _BUILTIN):
            return ("builtin", getattr(value, "__module__", None), repr(value.__name__))
        if id(value) in self._seen:
            return ("seen", self._seen[id(value)])
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)
        if isinstance(value, tuple | list):
            return (type(value).__name__, *map(self.describe, value))
        if isinstance(value, dict):
            return ("dict", *(self.describe(pair) for pair in value.items()))
        if isinstance(value, set | frozenset):
            return ("set", *sorted((self.describe(element) for element in value), key=repr))
        if isinstance(value, CodeType):
            return self._describe_code(value)
        if isinstance(value, FunctionType):
            return self._describe_function(value)
        if isinstance(value, MethodType):
            return ("method", self.describe(value.__func__), self.describe(value.__self__))
        if isinstance(value, partial):
            values = (value.func, value.args, value.keywords)
            return ("partial", *map(self.describe, values))
        if isinstance(value, type):
            return self._describe_class(value)
        return self._describe_object(value)

    def _describe_function(self, function: FunctionType) -> tuple:
        name = (function.__module__, function.__qualname__)
        # A wrapper has the name of what it wraps, but the globals of where it was written.
        written_in = function.__globals__.get("__name__")
        if _is_installed(name[0]) and _is_installed(written_in) and "<" not in name[1]:
            return ("function", *name)
        closure = list(map(_get_content, function.__closure__ or ()))
        values = (function.__code__, function.__defaults__, function.__kwdefaults__, closure)
        used = self._describe_used(function.__globals__, _find_names(function.__code__))
        return ("function", *map(self.describe, values), used)

    def _describe_used(self, values: dict[str, Any], names: frozenset[str]) -> list[tuple]:
        """Describe what code that has these names in it may use of a namespace."""
        used: list[tuple] = []
        for name in sorted(names & values.keys()):
            value = values[name]
            if not isinstance(value, ModuleType) or _is_installed(value.__name__):
                used.append((name, self.describe(value)))
            elif (value, names) not in self._modules:
                self._modules.add((value, names))
                used.append((name, self._describe_used(vars(value), names)))
        return used

    def _describe_code(self, code: CodeType) -> tuple:
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        body = (code.co_code.hex(), code.co_exceptiontable.hex(), self.describe(code.co_consts))
        return ("code", *counts, *names, *body)

    def _describe_class(self, cls: type) -> tuple:
        name = (cls.__module__, cls.__qualname__)
        if _is_installed(cls.__module__):
            return ("class", *name)
        members = {
            name: value for name, value in sorted(vars(cls).items()) if name not in _SET_BY_PYTHON
        }
        return ("class", *name, self.describe(members), self.describe(cls.__bases__))

    def _describe_object(self, value: Any) -> tuple:
        import torch

        if isinstance(value, torch.nn.Module):
            return ("module", digest_module(value, repr(value)), *self._describe_submodules(value))
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().numpy()
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            return ("array", digest_item(value).hex())
        if isinstance(value, staticmethod | classmethod):
            return (type(value).__name__, self.describe(value.__func__))
        if isinstance(value, cached_property):
            return ("cached_property", self.describe(value.func))
        if isinstance(value, _lru_cache_wrapper):
            return ("lru_cache", self.describe(value.__wrapped__))
        if isinstance(value, property):
            return ("property", *map(self.describe, (value.fget, value.fset)))
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as e:  # locks, files, generators raise different errors
            raise TypeError(f"a {type(value).__name__} cannot be told from another ({e})") from e
        if isinstance(reduced, str):
            return ("global", type(value).__module__, reduced)
        # (function, arguments, state, elements, pairs), of which the last two are iterators
        fields = [
            list(field) if i > 2 and field is not None else field for i, field in enumerate(reduced)
        ]
        return ("object", self.describe(type(value)), *map(self.describe, fields))

    def _describe_submodules(self, module) -> Iterator[tuple]:
        """Describe a module and its submodules, but for their weights."""
        from torch.nn import Module

        for name, submodule in module.named_modules():
            hidden = {key for key in vars(submodule) if key.startswith("_")}
            if not _is_installed(type(submodule).__module__):
                hidden &= vars(Module()).keys()
            values = {key: value for key, value in vars(submodule).items() if key not in hidden}
            # by number in the order of all hooks of the process
            hooks = [
                *submodule._forward_pre_hooks.values(),
                *submodule._forward_hooks.values(),
            ]
            described = map(self.describe, (type(submodule), values, hooks))
            yield (name, submodule.training, *described)


def _is_installed(module: str | None) -> bool:
    """Return whether a module belongs to Python or an installed package, not to the user."""
    package = (module or "").partition(".")[0]
    if module is None or package in sys.stdlib_module_names or package == __name__.split(".")[0]:
        return module != "__main__"
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    return "site-packages" in path or "dist-packages" in path


def _find_names(code: CodeType) -> frozenset[str]:
    inner = [_find_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return frozenset(code.co_names).union(*inner)


def _get_content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the name is not bound yet, or was deleted
        return ("empty",)
