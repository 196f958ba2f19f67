"""What a function or an object computes, described well enough to be part of a vector's key.

Where two descriptions are equal, the two compute the same, as far as installed packages stay what
they are: these are described by names, and what a user wrote by what it does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import blake2b
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from ._digests import digest_item
from ._models import digest_module

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), np.dtype, np.generic)
_BUILTIN = (BuiltinFunctionType, MethodWrapperType, WrapperDescriptorType, np.ufunc)
_MEMBERS = (FunctionType, staticmethod, classmethod, property, *_PLAIN)


def describe_callable(function: Callable) -> str:
    """Describe what a callable does, in any process alike.

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
        self._kept: list[Any] = []  # so that no id is given again

    def describe(self, value: Any) -> tuple:
        if isinstance(value, _PLAIN):
            return (type(value).__name__, repr(value))
        if isinstance(value, ModuleType):
            return ("module", value.__name__)
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
            return ("code", value.co_code.hex(), value.co_names, self.describe(value.co_consts))
        if isinstance(value, FunctionType):
            return self._describe_function(value)
        if isinstance(value, MethodType):
            return ("method", self.describe(value.__func__), self.describe(value.__self__))
        if isinstance(value, partial):
            parts = (value.func, value.args, value.keywords)
            return ("partial", *map(self.describe, parts))
        if isinstance(value, type):
            return self._describe_class(value)
        return self._describe_object(value)

    def _describe_function(self, function: FunctionType) -> tuple:
        name = (function.__module__, function.__qualname__)
        if _is_installed(function.__module__) and "<" not in function.__qualname__:
            return ("function", *name)
        closure = [cell.cell_contents for cell in function.__closure__ or ()]
        values = (function.__code__, function.__defaults__, function.__kwdefaults__, closure)
        used = [
            (name, self.describe(function.__globals__[name]))
            for name in _find_names(function.__code__)
            if name in function.__globals__
        ]
        return ("function", *map(self.describe, values), used)

    def _describe_class(self, cls: type) -> tuple:
        name = (cls.__module__, cls.__qualname__)
        if _is_installed(cls.__module__):
            return ("class", *name)
        members = {
            name: value
            for name, value in sorted(vars(cls).items())
            if isinstance(value, _MEMBERS)
            and name not in ("__doc__", "__module__", "__firstlineno__")
        }
        return ("class", *name, self.describe(members), self.describe(cls.__bases__))

    def _describe_object(self, value: Any) -> tuple:
        import torch

        if isinstance(value, torch.nn.Module):
            return ("module", digest_module(value, repr(value)), *self._describe_parts(value))
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().numpy()
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            return ("array", digest_item(value).hex())
        if isinstance(value, staticmethod | classmethod):
            return ("wrapped", self.describe(value.__func__))
        if isinstance(value, property):
            return ("property", *map(self.describe, (value.fget, value.fset)))
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as e:  # locks, files, generators: each refuses in its own way
            raise TypeError(f"a {type(value).__name__} cannot be told from another ({e})") from e
        if isinstance(reduced, str):
            return ("global", type(value).__module__, reduced)
        # (function, arguments, state, elements, pairs), of which the last two are iterators
        parts = [
            list(part) if i > 2 and part is not None else part for i, part in enumerate(reduced)
        ]
        return ("object", self.describe(type(value)), *map(self.describe, parts))

    def _describe_parts(self, module) -> Iterator[tuple]:
        """Describe what the weights of a module and its parts do not tell."""
        for name, part in module.named_modules():
            values = {key: value for key, value in vars(part).items() if not key.startswith("_")}
            yield (name, self.describe(type(part)), self.describe(values))


def _is_installed(module: str | None) -> bool:
    """Tell whether a module belongs to Python or to an installed package, not to the user."""
    if module is None or module.partition(".")[0] in sys.stdlib_module_names:
        return module != "__main__"
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    return "site-packages" in path or "dist-packages" in path


def _find_names(code: CodeType) -> list[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names.update(_find_names(constant))
    return sorted(names)
