"""Fitted estimators as plain data: numbers, strings, arrays, and lists and dicts of these."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._files import replace_file
from .._optional import import_optional
from ._modalities import ColumnScaler
from ._targets import Scale

FORMAT = "1"
KIND = "__skmm__"
INCIDENTAL = {"checkpoint", "device", "random_state", "verbose"}  # predict depends on none of them
OF_SCIKIT_LEARN = ("_sklearn", "_metadata_request")


def pack(state: Mapping[str, Any]) -> dict[str, Any]:
    """Put data in the place of networks, frames and scales: only the estimator has a type left."""
    packed = dict(state)
    for name, value in state.items():
        if isinstance(value, pd.DataFrame):
            packed[name] = {
                KIND: "frame",
                "values": value.to_numpy(),
                "columns": value.columns.tolist(),
                "index": value.index.tolist(),
                "names": [value.index.name, value.columns.name],
            }
        elif isinstance(value, ColumnScaler):
            packed[name] = {KIND: "column scaler", **vars(value)}
        elif isinstance(value, Scale):
            packed[name] = {KIND: "scale", **value._asdict()}
    if "network_" in state:
        from ._fitting import pack_network

        packed["network_"] = pack_network(state["network_"])
    return packed


def unpack(state: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `pack`."""
    unpacked = dict(state)
    for name, value in state.items():
        kind = value.get(KIND) if isinstance(value, dict) else None
        if kind == "frame":
            index, columns = value["names"]
            unpacked[name] = pd.DataFrame(
                value["values"],
                index=pd.Index(value["index"], name=index),
                columns=pd.Index(value["columns"], name=columns),
            )
        elif kind == "column scaler":
            unpacked[name] = ColumnScaler()
            vars(unpacked[name]).update(_without_kind(value))
        elif kind == "scale":
            unpacked[name] = Scale(**_without_kind(value))
        elif kind == "network":
            from ._fitting import unpack_network

            unpacked[name] = unpack_network(value)
    return unpacked


def _without_kind(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != KIND}


def save(estimator, path: str | os.PathLike) -> None:
    """Write what ``estimator`` has learned as safetensors, whole or not at all."""
    safetensors = _import_safetensors()
    parameters = estimator.get_params(deep=False)
    fitted = {
        name: value
        for name, value in vars(estimator).items()
        if name not in parameters and not name.startswith(OF_SCIKIT_LEARN)
    }
    arrays: dict[str, np.ndarray] = {}
    learned = {name: _encode(value, name, arrays) for name, value in pack(fitted).items()}
    header = {
        "skmm": FORMAT,
        "estimator": type(estimator).__name__,
        "parameters": json.dumps(_describe(parameters)),
        "learned": json.dumps(learned),
    }
    content = safetensors.numpy.save(arrays, metadata=header)
    replace_file(Path(path), lambda file: file.write(content))


def load(estimator, path: str | os.PathLike) -> dict[str, Any]:
    """Read what `save` wrote: the fitted attributes.

    Raises
    ------
    ValueError
        If the file is damaged, or another estimator or other parameters wrote it.
    """
    safetensors = _import_safetensors()
    path = os.fspath(path)
    with open(path, "rb"):  # a file that is not there is an error of its own
        pass
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    except safetensors.SafetensorError as e:
        raise ValueError(f"{path!r} is no safetensors file, or a damaged one ({e}).") from e
    if header.get("skmm") != FORMAT:
        raise ValueError(
            f"{path!r} was not written by save_weights of this version of skmm: its header says "
            f"skmm={header.get('skmm')!r}, expected {FORMAT!r}."
        )
    if header.get("estimator") != type(estimator).__name__:
        raise ValueError(
            f"{path!r} holds a {header.get('estimator')}; load it into one, not into a "
            f"{type(estimator).__name__}."
        )
    try:
        there, learned = json.loads(header["parameters"]), json.loads(header["learned"])
        here = _describe(estimator.get_params(deep=False))
        other = [name for name in {**here, **there} if here.get(name) != there.get(name)]
        if not other:
            return unpack({name: _decode(value, arrays) for name, value in learned.items()})
    except (KeyError, TypeError, AttributeError, RuntimeError, json.JSONDecodeError) as e:
        raise ValueError(f"{path!r} is damaged ({type(e).__name__}: {e}).") from e
    raise ValueError(
        f"{path!r} was saved with {other[0]}={there.get(other[0])}, and this estimator has "
        f"{here.get(other[0])}: set it to the same before loading."
    )


def _import_safetensors():
    purpose = "Saving and loading weights"
    import_optional("safetensors.numpy", extra="save", purpose=purpose)
    return import_optional("safetensors", extra="save", purpose=purpose)


def _describe(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in parameters.items() if name not in INCIDENTAL}


def _encode(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Make JSON of a value; numbers in arrays go to ``arrays`` under ``name``."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        arrays[name] = np.ascontiguousarray(value)
        return {"array": name, "shape": value.shape}
    if isinstance(value, np.ndarray):
        items = _encode(value.tolist(), name, arrays)
        return {"items": items, "dtype": value.dtype.str, "shape": value.shape}
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
        return {type(value).__name__ if type(value) is list else "tuple": items}
    if isinstance(value, dict):
        pairs = [
            [_encode(key, name, arrays), _encode(item, f"{name}.{key}", arrays)]
            for key, item in value.items()
        ]
        return {"dict": pairs}
    raise TypeError(
        f"save_weights cannot write {name}, a {type(value).__name__}. Use pickle, joblib or skops."
    )


def _decode(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]].reshape(value["shape"])
    if "items" in value:
        flat = np.array(_decode(value["items"], arrays), dtype=value["dtype"])
        return flat.reshape(value["shape"])
    if "list" in value:
        return [_decode(item, arrays) for item in value["list"]]
    if "tuple" in value:
        return tuple(_decode(item, arrays) for item in value["tuple"])
    return {_decode(key, arrays): _decode(item, arrays) for key, item in value["dict"]}
