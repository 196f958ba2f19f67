"""What retrieval has learned as plain data: numbers, strings, arrays, and lists and dicts of these.

Named tuples, sets, and sparse arrays are dicts that say what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from scipy import sparse

from ._candidates import Pieces
from ._choice import Choice
from ._chrf import NgramVocabulary
from ._evidence import Copying, TrainingTexts
from ._fitted_retrieval import FittedRetrieval
from ._likelihood import TextLikelihood
from ._neighbors import Inputs, InputSpace
from ._ranking import MatchModel, Ranker
from ._smoothing import Kernel

KIND = "__kind__"
SET, SPARSE, ARRAYS = "set", "csr_array", ("data", "indices", "indptr")
TUPLES = {
    cls.__name__: cls
    for cls in (
        Choice,
        Copying,
        InputSpace,
        Inputs,
        Kernel,
        MatchModel,
        NgramVocabulary,
        Pieces,
        Ranker,
        TextLikelihood,
        TrainingTexts,
    )
}


def retrieval_to_plain(retrieval: FittedRetrieval) -> dict[str, Any]:
    """Return plain data."""
    return {field.name: to_plain(getattr(retrieval, field.name)) for field in fields(retrieval)}


def retrieval_from_plain(plain: Mapping[str, Any]) -> FittedRetrieval:
    """Undo `retrieval_to_plain`."""
    return FittedRetrieval(**{name: from_plain(value) for name, value in plain.items()})


def to_plain(value: Any) -> Any:
    """Convert a value and all in it.

    Raises
    ------
    TypeError
        If there is something that is not known here.
    """
    if isinstance(value, tuple) and type(value).__name__ in TUPLES:
        names = type(value)._fields  # type: ignore[attr-defined]
        plain = {name: to_plain(part) for name, part in zip(names, value, strict=True)}
        return {KIND: type(value).__name__, **plain}
    if isinstance(value, set | frozenset):
        return {KIND: SET, "items": sorted(value)}
    if sparse.issparse(value):
        matrix = sparse.csr_array(value)
        arrays = {name: getattr(matrix, name) for name in ARRAYS}
        return {KIND: SPARSE, "shape": list(matrix.shape), **arrays}
    if isinstance(value, list):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | bool | int | float | np.ndarray):
        return value
    raise TypeError(f"{type(value).__name__} is no plain data, nor known here.")


def from_plain(value: Any) -> Any:
    """Undo `to_plain`."""
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    parts = {name: from_plain(part) for name, part in value.items() if name != KIND}
    kind = value.get(KIND)
    if kind == SET:
        return set(parts["items"])
    if kind == SPARSE:
        arrays = tuple(parts[name] for name in ARRAYS)
        return sparse.csr_array(arrays, shape=tuple(parts["shape"]))
    return parts if kind is None else TUPLES[kind](**parts)
