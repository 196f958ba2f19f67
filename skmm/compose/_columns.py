"""Tabular columns as numbers: what they hold, and its conversion to float64."""

from __future__ import annotations

import datetime
import math
import os
import re
from bisect import bisect_left
from collections.abc import Hashable
from decimal import Decimal
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from .._data.cells import describe_cell, describe_row, find_labels, is_missing
from .._warnings import warn_user
from ._inference import are_dates, infer_cell, is_date
from ._numerals import CONVERTED, Notation, is_placeholder, read_number

LARGEST = 1e150  # the sum of squares of larger numbers overflows
SECOND = np.timedelta64(1, "s")
_BOOLEANS = {"True": "1", "False": "0"}
_LIKE_INTEGERS = re.compile(r"-?(?:0|[1-9]\d*)\.0")
OBJECTS = {  # in the words of pandas' infer_dtype
    **dict.fromkeys(
        ["integer", "floating", "mixed-integer-float", "decimal", "boolean"], "numbers"
    ),
    **dict.fromkeys(["date", "datetime", "datetime64", "period"], "dates"),
    **dict.fromkeys(["timedelta", "timedelta64", "time"], "durations"),
}


def find_kind(values: pd.Series) -> str:
    """Return "numbers" (booleans too), "dates", "durations" or "categories", as text too."""
    kinds = pd.api.types
    if are_strings(values):
        return "dates" if are_dates(values.dropna()) else "categories"
    if values.dtype == object:
        return OBJECTS.get(kinds.infer_dtype(values, skipna=True), "categories")
    if kinds.is_datetime64_any_dtype(values.dtype) or isinstance(values.dtype, pd.PeriodDtype):
        return "dates"
    if kinds.is_timedelta64_dtype(values.dtype):
        return "durations"
    arrow_booleans = isinstance(values.dtype, pd.ArrowDtype) and values.dtype.kind == "b"
    return "numbers" if kinds.is_numeric_dtype(values.dtype) or arrow_booleans else "categories"


def are_strings(values: pd.Series) -> bool:
    strings = isinstance(values.dtype, pd.StringDtype) or values.dtype == object
    return strings and pd.api.types.infer_dtype(values, skipna=True) == "string"


def check_categories(values: pd.Series) -> None:
    """Raise ValueError if there is a vector, a picture or the like, which no other row may equal.

    Of each type the first cell is looked at.
    """
    rows = {type(cell): row for row, cell in reversed([*enumerate(values)])}
    for row in rows.values():
        cell = values.iloc[row]
        if isinstance(cell, str | Real | os.PathLike) or is_missing(cell):
            continue
        modality, held, _ = infer_cell(cell)
        if isinstance(cell, Hashable) and modality in (None, "tabular"):
            continue
        advice = "Make columns of numbers or of texts of it"
        if modality not in (None, "tabular"):
            advice = f'Its modality is "{modality}": say so in schema or overrides'
        raise ValueError(
            f"Column {values.name!r} holds {held}, which are no numbers, dates or categories: "
            f"{describe_cell(values, row)}. {advice}."
        )


def to_float(values: pd.Series, kind: str) -> np.ndarray:
    """Convert numbers, dates (seconds since 1970) or durations (seconds); NaN if missing."""
    floats = np.full(len(values), np.nan)
    present = values.dropna()
    if len(present) == 0:
        return floats
    found = find_kind(present)
    if kind != found != "categories":  # what looks like a category may still be a number as text
        raise ValueError(f"Column {values.name!r} held {kind} in fit, and now {found}.")
    try:
        floats[values.notna()] = _CONVERTERS[kind](present)
    except (TypeError, ValueError) as e:
        raise ValueError(
            f"Column {values.name!r} holds {kind}, and {_describe_unlike(values, kind)} is none. "
            "Fix it, or make it None if it is missing."
        ) from e
    check_finite(floats, values)
    return floats


def _describe_unlike(values: pd.Series, kind: str) -> str:
    """Describe the first cell that is not of a kind, if there is one."""

    def is_unlike(row: int) -> bool:
        try:
            _CONVERTERS[kind](values.iloc[: row + 1].dropna())
        except (TypeError, ValueError):
            return True
        return False

    row = bisect_left(range(len(values)), True, key=is_unlike)
    return describe_cell(values, row)


def name_category(value: Any) -> str:
    """Name a category; those that are equal, such as 1, 1.0 and True, have one name.

    So have those that are written so: "1.0" and "True".
    """
    if isinstance(value, str):
        text = _BOOLEANS.get(value, value)
        is_integer = text.endswith(".0") and _LIKE_INTEGERS.fullmatch(text)
        return text[:-2] if is_integer else text
    if isinstance(value, tuple):
        return str(tuple(map(name_category, value)))
    if isinstance(value, pd.Interval):
        left, right = name_category(value.left), name_category(value.right)
        return f"{'(['[value.closed_left]}{left}, {right}{')]'[value.closed_right]}"
    if isinstance(value, datetime.date | np.datetime64):
        value = pd.Timestamp(value)
        return str(value if value.tz is None else value.tz_convert("UTC"))
    if isinstance(value, Real | Decimal | np.bool_):
        number: Any = value
        if math.isfinite(number) and number == int(number):  # exact, unlike its float
            return str(int(number))
        return str(float(value)) if isinstance(value, Decimal | Fraction) else str(value)
    return str(value)


def read_texts(values: pd.Series, notation: Notation) -> np.ndarray:
    """Read numbers that are text; NaN if missing, and with a warning if unreadable."""
    if not are_strings(values):
        numbers = to_float(values, "numbers")
        if notation.unit in CONVERTED and not np.isnan(numbers).all():
            raise ValueError(
                f"Column {values.name!r} held texts such as '3 {notation.unit}' in fit, and now "
                "numbers, of which nobody knows the unit. Write it behind them."
            )
        return numbers
    cells = values.astype(object)
    read = {text: read_number(text, notation) for text in cells.dropna().unique()}
    numbers = cells.map(read).to_numpy(np.float64)
    unread = [text for text in read if np.isnan(read[text]) and not is_placeholder(text)]
    if unread:
        cell = describe_cell(values, cells.to_list().index(unread[0]))
        unit = f" in {notation.unit}" if notation.unit else ""
        warn_user(
            f"Column {values.name!r} holds numbers{unit} as text; {cell} "
            "is none: it counts as missing. Rewrite it, or turn the column into numbers before."
        )
    check_finite(numbers, values)
    return numbers


def _seconds_of_dates(values: pd.Series) -> np.ndarray:
    if are_strings(values):
        values = values.mask(values.map(is_placeholder))
        if not values.dropna().map(is_date).all():
            raise ValueError("not all are dates like 2026-11-23")
        values = pd.to_datetime(values, format="ISO8601", utc=True)
    if isinstance(values.iloc[0], pd.Period):
        values = pd.PeriodIndex(values).to_timestamp().to_series()
    stamps = pd.to_datetime(values, utc=True).dt.tz_localize(None)
    return (stamps.to_numpy(dtype="datetime64[us]") - np.datetime64(0, "us")) / SECOND


def _seconds(values: pd.Series) -> np.ndarray:
    """Convert durations, and times of the day to those since midnight."""
    if isinstance(values.iloc[0], datetime.time):
        values = pd.to_timedelta(values.map(datetime.time.isoformat))
    return values.to_numpy(dtype="timedelta64[us]") / SECOND


_CONVERTERS = {
    "numbers": lambda values: values.to_numpy(dtype=np.float64),
    "dates": _seconds_of_dates,
    "durations": _seconds,
}


def check_finite(floats: np.ndarray, values: pd.Series) -> None:
    """Raise ValueError if a number is infinite, or so large that its square overflows."""
    too_large = np.flatnonzero(np.abs(floats) > LARGEST)
    if len(too_large):
        row = too_large[0]
        what = "infinite values" if np.isinf(floats[row]) else f"values beyond {LARGEST:g}"
        where = describe_row(row, find_labels(values))
        raise ValueError(
            f"Column {values.name!r} holds {what}, the first ({floats[row]:g}) in {where}. "
            "Replace them by NaN if they stand for missing ones."
        )
