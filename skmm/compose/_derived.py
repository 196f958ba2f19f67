"""Columns made of others: where values are missing or zero, logarithms, cycles, frequencies.

A recipe is a tuple (column, part, statistics): of which column what is made, and what that needs to
know of the rows of `fit`, as plain numbers and dicts, which pickle and skops save.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

MAX_LEVELS = 20  # of numbers such as years, months, ratings
ROWS_PER_LEVEL = 10
ROWS_PER_WEEKDAY = 20  # a date is one number, of which a small table shows no more
ZERO_SHARE = 0.05  # of numbers that are zero, from which on zeros may mean something
TAIL_RATIO = 1.5  # of the standard deviation to that of a normal distribution of equal quartiles
NORMAL_IQR = 1.349  # the quartiles of a normal distribution, in standard deviations
MIN_SCALE = 1e-150  # by which 1e150, the largest number, can be divided
DAY = 86_400.0
CYCLES = {"year": 365.2425 * DAY, "day": DAY}  # in seconds, as dates are
MIN_AMPLITUDE = 0.1  # of a cycle: dates that are all at one time of the day have none
WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
FIRST_WEEKDAY = WEEKDAYS.index("Thu")  # of 1970

SCALED = {"log", "count"}  # parts that are scaled as numbers are; others lie between -1 and 1

Recipe = tuple[str, str, tuple]


def find_recipes(
    prepared: pd.DataFrame, kinds: dict[str, str], frequent: list[str]
) -> dict[str, Recipe]:
    """Find what to make of prepared columns, by the name of the new column, of which none is twice.

    Parameters
    ----------
    prepared : DataFrame
        Numbers and seconds, NaN where missing, and strings or None.
    kinds : dict of str to str
        What each column holds.
    frequent : list of str
        Columns of many categories.
    """
    recipes: dict[str, Recipe] = {}
    for recipe in _list_recipes(prepared, kinds, frequent):
        name = f"{recipe[0]}_{recipe[1]}"
        while name in prepared or name in recipes:
            name += "_"
        recipes[name] = recipe
    return recipes


def derive(prepared: pd.DataFrame, recipes: dict[str, Recipe]) -> pd.DataFrame:
    """Add the columns that recipes make."""
    groups: dict[str, list[str]] = {}
    for name, (_, part, _) in recipes.items():
        groups.setdefault(part, []).append(name)
    frames = [prepared]
    for part, names in groups.items():
        chosen = prepared[[recipes[name][0] for name in names]]
        values = _make(part, chosen, [recipes[name][2] for name in names])
        frames.append(pd.DataFrame(values, columns=names, index=prepared.index, copy=False))
    return pd.concat(frames, axis=1) if len(frames) > 1 else prepared


def has_few_levels(
    values: pd.Series, at_least: int = 3, rows_per_level: int = ROWS_PER_LEVEL
) -> bool:
    """Return whether there are few different values, each in several rows on average."""
    counts = values.value_counts()
    few = at_least <= len(counts) <= MAX_LEVELS
    return few and counts.sum() >= rows_per_level * len(counts)


def _list_recipes(
    prepared: pd.DataFrame, kinds: dict[str, str], frequent: list[str]
) -> Iterator[Recipe]:
    missing = prepared.isna().to_numpy()
    missing = missing[~missing.all(axis=1)]
    patterns = set()
    for position, column in enumerate(prepared):
        is_missing, values = missing[:, position], prepared[column].dropna()
        if kinds[column] == "categories":
            if column in frequent:
                yield from _frequency_of_categories(prepared[column])
            continue
        pattern = is_missing.tobytes()
        if is_missing.any() and not is_missing.all() and pattern not in patterns:
            patterns.add(pattern)  # columns that are missing together have one indicator
            yield column, "missing", ()
        if kinds[column] == "dates":
            yield from _cycles(values)
        elif values.nunique() > MAX_LEVELS:
            yield from _zeros_and_tails(values)


def _frequency_of_categories(values: pd.Series) -> Iterator[Recipe]:
    counts = np.log1p(values.value_counts(dropna=True))
    n_missing = float(np.log1p(values.isna().sum()))
    if len({*counts, *([n_missing] if n_missing else [])}) > 1:
        yield str(values.name), "count", (counts.to_dict(), n_missing)


def _cycles(dates: pd.Series) -> Iterator[Recipe]:
    """List the cycles that are shorter than the span of the dates, and in which they vary."""
    column, seconds = str(dates.name), dates.to_numpy()
    span = np.ptp(seconds) if len(seconds) else 0
    for cycle, period in CYCLES.items():
        angles = _angles(seconds, cycle)
        amplitude = max(np.ptp(np.sin(angles)), np.ptp(np.cos(angles))) if span >= period else 0
        if amplitude > MIN_AMPLITUDE:
            yield column, f"{cycle}_sin", ()
            yield column, f"{cycle}_cos", ()
    weekdays = pd.Series(_weekdays(seconds))
    if span >= 7 * DAY and has_few_levels(weekdays, 2, ROWS_PER_WEEKDAY):
        for weekday in sorted(weekdays.unique()):
            yield column, f"weekday_{WEEKDAYS[int(weekday)]}", ()


def _zeros_and_tails(numbers: pd.Series) -> Iterator[Recipe]:
    column, x = str(numbers.name), numbers.to_numpy()
    if np.mean(x == 0) >= ZERO_SHARE:
        yield column, "zero", ()
    low, center, high = np.quantile(x, [0.25, 0.5, 0.75])
    scale = high - low
    if np.std(x) * NORMAL_IQR > TAIL_RATIO * scale:
        if scale == 0:  # more than half are one number, such as zero
            scale = np.median(np.abs(x - center)[x != center])
        if scale > MIN_SCALE:
            yield column, "log", (float(center), float(scale))


def _make(part: str, chosen: pd.DataFrame, statistics: list[tuple]) -> Any:
    """Make one column of each that was chosen."""
    if part == "count":
        pairs = zip(chosen.items(), statistics, strict=True)
        return np.column_stack(
            [
                values.map(counts).mask(values.isna(), n).fillna(0)
                for (_, values), (counts, n) in pairs
            ]
        ).astype(np.float64)
    values = chosen.to_numpy(np.float64)
    if part == "missing":
        return np.isnan(values).astype(np.float64)
    if part == "zero":
        return (values == 0).astype(np.float64)
    if part.startswith("weekday"):
        return (_weekdays(values) == WEEKDAYS.index(part[-3:])).astype(np.float64)
    if part == "log":
        center, scale = np.array(statistics).T
        return np.arcsinh((values - center) / scale)
    cycle, _, function = part.rpartition("_")
    wave = np.sin if function == "sin" else np.cos
    return np.nan_to_num(wave(_angles(values, cycle)))


def _angles(seconds: np.ndarray, cycle: str) -> np.ndarray:
    return 2 * np.pi * seconds / CYCLES[cycle]


def _weekdays(seconds: np.ndarray) -> np.ndarray:
    return (seconds // DAY + FIRST_WEEKDAY) % len(WEEKDAYS)
