"""Fitted objects as plain data, and plain data as safetensors.

Plain data are numbers, strings, arrays, and lists and dicts of these. Estimators of scikit-learn
among them are written as skops does, whose types are checked before any of them is built.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from numbers import Integral, Real
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .._files import replace_file
from .._optional import import_optional
from .._trusted_types import trusted_types

FORMAT = "5"
FRAME = "__skmm_frame__"


def frame_to_plain(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a frame of numbers as plain data."""
    return {
        FRAME: True,
        "values": frame.to_numpy(),
        "columns": frame.columns.tolist(),
        "index": frame.index.tolist(),
        "names": [frame.index.name, frame.columns.name],
    }


def frame_from_plain(plain: Mapping[str, Any]) -> pd.DataFrame:
    """Undo `frame_to_plain`."""
    index, columns = plain["names"]
    return pd.DataFrame(
        plain["values"],
        index=pd.Index(plain["index"], name=index),
        columns=pd.Index(plain["columns"], name=columns),
    )


def is_plain_frame(value: Any) -> bool:
    """Return whether a value comes from `frame_to_plain`."""
    return isinstance(value, dict) and FRAME in value


def digest_arrays(arrays: Iterable[Any]) -> str:
    """Digest types, shapes and values of arrays, so that other data are not taken for them."""
    digest = blake2b(digest_size=16)
    for array in map(np.asarray, arrays):
        digest.update(str((array.dtype, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def describe_value(value: Any) -> str:
    """Return a parameter as a string; equal values, as 8 and 8.0, are equal strings."""
    if hasattr(value, "get_params") and not isinstance(value, type):  # kernels have it, too
        parameters = value.get_params(deep=False).items()
        described = ", ".join(f"{name}={describe_value(v)}" for name, v in sorted(parameters))
        return f"{type(value).__name__}({described})"
    if isinstance(value, Mapping):
        pairs = (f"{describe_value(k)}: {describe_value(v)}" for k, v in value.items())
        return "{" + ", ".join(sorted(pairs)) + "}"
    if isinstance(value, slice):
        return f"slice{describe_value([value.start, value.stop, value.step])}"
    if isinstance(value, np.random.RandomState):
        return f"RandomState({describe_value(value.get_state(legacy=False))})"
    if isinstance(value, FunctionType) and value.__name__ != "<lambda>":
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "__array__"):
        value = np.asarray(value).tolist()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(describe_value, value)) + "]"
    if isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        return repr(str(value))
    if isinstance(value, Integral):
        return repr(int(value))
    if isinstance(value, Real):
        number = float(value)
        return repr(int(number)) if number.is_integer() else repr(number)
    return repr(value)


def write_weights(
    path: str | os.PathLike,
    estimator: str,
    parameters: Mapping[str, str],
    learned: Mapping[str, Any],
) -> None:
    """Write what an estimator has learned as safetensors, whole or not at all.

    Parameters
    ----------
    path : str or path-like
    estimator : str
        The name of its class.
    parameters : dict of str to str
        Its parameters, as `describe_value` returns them.
    learned : dict
        Its fitted attributes, as plain data.
    """
    safetensors = _import_safetensors()
    arrays: dict[str, np.ndarray] = {}
    header = {
        "skmm": FORMAT,
        "estimator": estimator,
        "parameters": json.dumps(dict(parameters)),
        "learned": json.dumps({n: _encode(value, n, arrays) for n, value in learned.items()}),
    }
    header["digest"] = _digest(header, arrays)
    content = safetensors.numpy.save(arrays, metadata=header)
    replace_file(Path(path), lambda file: file.write(content))


class Weights(NamedTuple):
    """What `write_weights` wrote."""

    parameters: dict[str, str]
    learned: dict[str, Any]


def read_weights(path: str | os.PathLike, estimator: str) -> Weights:
    """Read what `write_weights` wrote: the parameters and, as plain data, the fitted attributes.

    Raises
    ------
    ValueError
        If the file is damaged or altered, or another estimator wrote it.
    """
    safetensors = _import_safetensors()
    path = os.fspath(path)
    with open(path, "rb"):  # a missing file is an error of its own
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
    if header.get("estimator") != estimator:
        raise ValueError(
            f"{path!r} holds a {header.get('estimator')}; load it into one, not into a {estimator}."
        )
    if header.pop("digest", None) != _digest(header, arrays):
        raise ValueError(
            f"{path!r} is damaged or was altered: its content is not what save_weights wrote. Take "
            "another copy, or save the weights again."
        )
    try:
        saved, learned = json.loads(header["parameters"]), json.loads(header["learned"])
        return Weights({**saved}, {n: _decode(value, arrays) for n, value in learned.items()})
    except (KeyError, TypeError, AttributeError, RuntimeError, json.JSONDecodeError) as e:
        raise damaged(path, e) from e


def check_same_parameters(
    path: str | os.PathLike, saved: Mapping[str, str], parameters: Mapping[str, str]
) -> None:
    """Raise ValueError if a file was written with other parameters than an estimator has."""
    for name in {**parameters, **saved}:
        if parameters.get(name) != saved.get(name):
            raise ValueError(
                f"{os.fspath(path)!r} was saved with {name}={saved.get(name)}, and this estimator "
                f"has {parameters.get(name)}: set it to the same before loading."
            )


def _digest(header: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    """Digest all that a file holds."""
    whole = blake2b(json.dumps(dict(header), sort_keys=True).encode(), digest_size=16)
    for name, array in sorted(arrays.items()):
        whole.update(f"{name} {array.dtype.str} {array.shape}".encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


def damaged(path: str | os.PathLike, cause: Exception) -> ValueError:
    """Return the error of a file whose content is not as it was written."""
    return ValueError(f"{os.fspath(path)!r} is damaged ({type(cause).__name__}: {cause}).")


def _import_safetensors():
    purpose = "Saving and loading weights"
    import_optional("safetensors.numpy", extra="save", purpose=purpose)
    return import_optional("safetensors", extra="save", purpose=purpose)


def _encode(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Convert a value to JSON; numbers in arrays go to ``arrays`` under ``name``."""
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
    if isinstance(value, Mapping):
        pairs = [
            [_encode(key, name, arrays), _encode(item, f"{name}.{key}", arrays)]
            for key, item in value.items()
        ]
        return {"dict": pairs}
    if hasattr(value, "get_params"):
        arrays[name] = _dump_estimator(value)
        return {"estimator": name}
    raise TypeError(f"save_weights cannot write {name}, a {type(value).__name__}. Pickle it.")


def _dump_estimator(estimator: Any) -> np.ndarray:
    """Return an estimator of scikit-learn as bytes, an array of uint8."""
    skops = _import_skops()
    content = skops.dumps(estimator)
    untrusted = set(skops.get_untrusted_types(data=content)) - set(trusted_types)
    if untrusted:
        raise TypeError(
            f"save_weights cannot write {type(estimator).__name__}: loading it would run code of "
            f"{sorted(untrusted)}. Pickle it, or name these to skops: "
            "skops.io.load(file, trusted=[*skmm.trusted_types, ...])."
        )
    return np.frombuffer(content, dtype=np.uint8)


def _load_estimator(content: np.ndarray) -> Any:
    """Undo `_dump_estimator`, building nothing but types that are trusted."""
    return _import_skops().loads(content.tobytes(), trusted=trusted_types)


def _import_skops():
    return import_optional("skops.io", extra="save", purpose="Saving estimators with the weights")


def _decode(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    if "estimator" in value:
        return _load_estimator(arrays[value["estimator"]])
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
