"""Categories: their one-hot encoding, and those that `fit` did not see."""

from __future__ import annotations

import datetime
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import OneHotEncoder

from .._data.cells import describe_cell, is_missing, shorten
from .._warnings import warn_user

FEW_ROWS = 16  # of more, pandas and scikit-learn take less time
MANY_UNKNOWN = 20  # rows in which each category is unknown, by no chance
_DATES = datetime.date | datetime.timedelta | np.datetime64 | np.timedelta64 | pd.Period
_FAMILIES = {str: "texts", Real | Decimal | np.bool_: "numbers", _DATES: "dates"}


def one_hot_of_few(encoder: OneHotEncoder, columns: np.ndarray) -> np.ndarray:
    """Encode columns of a few rows by a fitted encoder, by looking categories up.

    What `fit` did not see is an infrequent category, where there are such.
    """
    infrequent = getattr(encoder, "infrequent_categories_", [None] * columns.shape[1])
    blocks = []
    for position, categories in enumerate(encoder.categories_):
        rare = {*map(_key, [] if infrequent[position] is None else infrequent[position])}
        kept = [category for category in map(_key, categories) if category not in rare]
        places: dict[Any, int] = {category: place for place, category in enumerate(kept)}
        block = np.zeros((len(columns), len(kept) + 1))  # the last: infrequent, or nothing
        for row, value in enumerate(columns[:, position]):
            block[row, places.get(_key(value), -1)] = 1
        blocks.append(block if rare else block[:, :-1])
    return np.hstack(blocks)


def _key(category: Any) -> Any:
    return None if is_missing(category) else category


def name_types(values: pd.Series) -> list[str]:
    """Name the types of values: "texts", "numbers", "dates", or as Python does."""
    return sorted({_name_type(value) for value in values.dropna().unique()})


def _name_type(value: Any) -> str:
    names = (name for types, name in _FAMILIES.items() if isinstance(value, types))
    return next(names, type(value).__name__)


def warn_of_unknown(
    values: pd.Series, names: pd.Series, categories: np.ndarray, types: list[str]
) -> None:
    """Warn where all categories are unknown, of many rows or of another type than in `fit`.

    ``names`` are those of ``values``, ``types`` what `name_types` returned in `fit`.
    """
    known = categories.tolist()
    unknown = {*names.dropna()}
    if not unknown or not unknown.isdisjoint(known):
        return
    found = name_types(values)
    is_other_type = not {*found} <= {*types}
    if names.notna().sum() < MANY_UNKNOWN and not is_other_type:
        return
    cell = describe_cell(values, int(names.notna().to_numpy().argmax()))
    examples = shorten([category for category in known if not is_missing(category)][:3])
    advice = "Are they written as in fit?"
    if is_other_type:
        advice = f"In fit they were {' and '.join(types)}, and now {' and '.join(found)}."
    warn_user(
        f"Column {values.name!r} holds no category that fit saw: its first is {cell}, and those of "
        f"fit are like {examples}. All count as unknown. {advice}"
    )
