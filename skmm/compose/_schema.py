"""The modality of each column, and the encoders that "auto" stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from .._data.cells import shorten
from .._warnings import warn_user
from ..audio import AudioDescriptor
from ..image import ImageDescriptor
from ..text import TextDescriptor
from ..video import VideoEncoder
from ._inference import infer_column, infer_modalities
from ._tabular import TabularEncoder
from ._vectors import VectorEncoder

DEFAULT_ENCODERS = {
    "text": TextDescriptor,
    "image": ImageDescriptor,
    "audio": AudioDescriptor,
    "video": VideoEncoder,
    "embedding": VectorEncoder,
    "tabular": TabularEncoder,
}
OF_FILES = ("image", "audio", "video")
DROP = "drop"


def find_schema(X: pd.DataFrame, schema: Any, overrides: Mapping) -> dict:
    """Return the modality of each column: by overrides, by the schema, or as inferred.

    That of a column with an encoder in ``overrides`` is inferred, or None.
    """
    if not isinstance(overrides, Mapping):
        raise TypeError(
            "overrides must be a dict of column to modality or transformer, such as "
            f'{{"brand": "tabular"}}, got {type(overrides).__name__}.'
        )
    _check_present(overrides, X, "overrides")
    if schema is not None:
        found = read_schema(schema)
        _check_present(found, X, "schema")
        ignored = [column for column in X.columns if column not in {*found, *overrides}]
        if ignored:
            warn_user(
                f"Columns {shorten(ignored)} are not in schema, and are left out. To say that they "
                f'shall be, give them the modality "{DROP}".'
            )
    elif len(overrides) < X.shape[1]:
        found = infer_modalities(X.drop(columns=[*overrides]))["modality"].to_dict()
    else:
        found = {}
    for column, override in overrides.items():
        if isinstance(override, str):
            found[column] = _check_modality(override, column, "overrides")
            continue
        if not hasattr(override, "get_params"):
            raise TypeError(
                f"overrides has {shorten(override)} for column {column!r}; it must be one of "
                f"{[*DEFAULT_ENCODERS, DROP]}, or a transformer."
            )
        if column not in found:
            found[column] = infer_column(X[column]).modality
    return {column: found[column] for column in X.columns if column in found}


def make_steps(
    schema: Mapping, overrides: Mapping, columns: Mapping, *, errors: str, verbose: bool
) -> list[tuple]:
    """Make a list of (modality, encoder, columns) for ColumnTransformer.

    ``columns`` maps the name of a column to what ColumnTransformer calls it; ``errors`` and
    ``verbose`` are parameters of the encoders that have them.
    """
    encoders = {c: encoder for c, encoder in overrides.items() if not isinstance(encoder, str)}
    steps = []
    for modality in dict.fromkeys(schema.values()):
        chosen = [column for column in schema if schema[column] == modality]
        if modality == DROP:
            continue
        if modality == "tabular":
            together = [column for column in chosen if column not in encoders]
            if together:
                steps.append((modality, TabularEncoder(), [columns[c] for c in together]))
                chosen = [column for column in chosen if column in encoders]
            names = _name_modalities(modality, chosen, one=not together)
        else:
            names = _name_modalities(modality, chosen, one=True)
        for name, column in zip(names, chosen, strict=True):
            if column in encoders:
                options = {"errors": errors} if errors == "missing" else {}
                encoder = _copy_encoder(encoders[column], options)
                takes_frame = _takes_frame(encoder, modality)
            else:
                options = {"errors": errors, "verbose": verbose}
                encoder = _copy_encoder(DEFAULT_ENCODERS[modality](), options)
                takes_frame = modality == "tabular"
            steps.append((name, encoder, [columns[column]] if takes_frame else columns[column]))
    return steps


def read_schema(schema: Any) -> dict:
    """Return the modality of each column of a schema: a frame, a series or a dict."""
    if isinstance(schema, pd.DataFrame):
        if "modality" not in schema:
            raise ValueError(
                "schema must have a column 'modality', and the names of the columns of X as its "
                f"index, as infer_modalities returns it; got the columns {list(schema.columns)}."
            )
        if "column" in schema and isinstance(schema.index, pd.RangeIndex):  # read from a CSV file
            schema = schema.set_index("column")
        schema = schema["modality"]
    if not isinstance(schema, Mapping | pd.Series):
        raise TypeError(
            "schema must be a frame as infer_modalities returns it, or a dict of column to "
            f"modality, got {type(schema).__name__}."
        )
    if isinstance(schema, pd.Series) and schema.index.has_duplicates:
        twice = schema.index[schema.index.duplicated()].tolist()
        raise ValueError(f"schema has more than one row for the columns {shorten(twice)}.")
    return {c: _check_modality(modality, c, "schema") for c, modality in dict(schema).items()}


def _check_modality(modality: Any, column: Any, parameter: str) -> str:
    known = [*DEFAULT_ENCODERS, DROP]
    if modality not in known:
        raise ValueError(
            f"{parameter} has the modality {modality!r} for column {column!r}; it must be one of "
            f"{known}" + ("." if parameter == "schema" else ", or a transformer.")
        )
    return modality


def _check_present(named: Mapping, X: pd.DataFrame, parameter: str) -> None:
    unknown = [column for column in named if column not in X.columns]
    if unknown:
        raise ValueError(
            f"{parameter} names columns that X does not have: {shorten(unknown)}. X has "
            f"{shorten(list(X.columns))}."
        )


def _copy_encoder(encoder: Any, options: Mapping) -> Any:
    """Clone an encoder, and set those options that are parameters of it."""
    encoder = clone(encoder)
    known = encoder.get_params(deep=False)
    return encoder.set_params(**{name: v for name, v in options.items() if name in known})


def _takes_frame(encoder: Any, modality: str | None) -> bool:
    """Return whether an encoder is given a frame of one column, or the column."""
    while isinstance(encoder, Pipeline):
        encoder = encoder.steps[0][1]
    tags = get_tags(encoder)
    if tags.no_validation:  # it may take either
        return modality == "tabular"
    return tags.input_tags.two_d_array


def _name_modalities(modality: str | None, columns: list, *, one: bool) -> list[str]:
    """Name a modality for each column, none twice and none with "__", which separates."""
    if one and modality is not None and len(columns) == 1:
        return [modality]
    names: list[str] = []
    for column in columns:
        name = str(column) if modality is None else f"{modality}_{column}"
        name = re.sub("_{2,}", "_", name).rstrip("_")
        equal = [known for known in names if known == name or known.startswith(f"{name}_no")]
        names.append(f"{name}_no{len(equal) + 1}" if name in names else name)
    return names
