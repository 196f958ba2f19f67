"""Numbers written as text, such as "45%", "$1,234.50", "1 lb. 5 oz." or "12 seats"."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .._data.cells import shorten
from .._warnings import warn_user
from ._identifiers import MIN_VALUES, are_dense

MAX_LENGTH = 40  # of a number and its unit
READ_SHARE = 0.95  # of the texts of a column that must be numbers in one unit
MAX_CODES = 20  # different plain numbers, each twice, that may be names of categories
MIN_CODE_LENGTH = 4  # of integers that are all as long: years, postcodes, ids
MIN_SEPARATED = 10  # different numbers with three places, to be thousands and no decimals
MAX_INTEGER_LENGTH = 8  # longer ones are ids and phone numbers
_WORDS = "- -- ? . n/a na n.a. nan null none nil unknown missing unavailable tbd tba \u2013 \u2014"
PLACEHOLDERS = {*_WORDS.split(), "", "not available", "not applicable", "0000-00-00"}

_CURRENCIES = {
    name: code
    for code, names in {
        "USD": "$ us$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹ rs rs.", "CHF": "", "CNY": "",
        "AUD": "a$ au$", "CAD": "c$ ca$", "NZD": "nz$", "HKD": "hk$", "SGD": "s$", "BRL": "r$",
        "MXN": "mx$", "KRW": "₩", "RUB": "₽", "TRY": "₺", "VND": "₫", "THB": "฿", "PLN": "zł",
        "SEK": "", "NOK": "", "DKK": "", "CZK": "kč", "HUF": "", "ZAR": "",
    }.items()
    for name in [code.lower(), *names.split()]
}  # fmt: skip
CURRENCIES = {*_CURRENCIES.values()}
_THOUSANDS = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "bn": 1e9}  # behind an amount of money
_SIZES = {  # the unit that stands for all that can be converted to it, and their sizes
    "g": {"mg": 1e-3, "g gram": 1, "kg kilogram": 1e3, "oz ounce": 28.349523125,
          "lb pound": 453.59237},
    "cm": {"mm": 0.1, "cm": 1, "m meter metre": 100, "km": 1e5, "mi mile": 160_934.4,
           "in inch inche \" \u2033 ''": 2.54, "ft foot feet ' \u2032": 30.48, "yd yard": 91.44},
    "ml": {"ml": 1, "cl": 10, "l liter litre": 1e3},
    "MB": {"kb": 1e-3, "mb": 1, "gb": 1e3, "tb": 1e6},
    "day": {"ms": 1 / 86_400_000, "s sec second": 1 / 86_400, "min minute": 1 / 1_440,
            "h hr hour": 1 / 24, "day": 1, "wk week": 7, "month": 30.436875, "yr year": 365.2425},
}  # fmt: skip
CONVERTED = {*_SIZES, "K"}
# Units that are known and are not converted; any other word behind a number may be no unit.
_OTHER_UNITS = (
    "°c °f c f degc degf celsiu fahrenheit kelvin km/h kmh kph mph m/s knot w kw hp bhp v kv mv ma "
    "mah ah wh kwh mwh j kj mj cal kcal hz khz mhz ghz db pa hpa kpa mpa bar mbar psi atm nm rpm "
    "m² cm² km² mm² ft² in² sqft sqm ha hectare acre m³ cm³ ft³ cuft cc gal gallon floz pint quart "
    "cup tbsp tsp ton tonne ct carat mcg \u00b5g \u03bcg iu mg/l g/l mg/dl mmol/l l/100km lm lumen "
    "lux kbps mbps gbps px pixel dpi mp fps mpg ‰ kr"
)
_NOT_CONVERTED = {*_OTHER_UNITS.split()}
_UNITS = {
    name: (unit, size)
    for unit, sizes in _SIZES.items()
    for names, size in sizes.items()
    for name in names.split()
}
_BLANKS = "' \u00a0\u202f\u2009"
_NUMBER = {
    mark: rf"(?:(?:[1-9]\d{{0,2}}(?:{other}\d{{3}})+|[1-9]\d{{0,2}}(?:[{_BLANKS}]\d{{3}})+|\d+)"
    rf"(?:{mark_}\d*)?|{mark_}\d+)"
    for mark, mark_, other in ((".", r"\.", ","), (",", ",", r"\."))
}
_CURRENCY = "|".join(
    re.escape(name) + (r"\b" if name[-1].isalpha() else "")
    for name in sorted(_CURRENCIES, key=len, reverse=True)
)
_UNIT = (
    r"(?:(?:sq|fl|cu)\.? ?[a-z]{1,2}\b|l/100 ?km|[%‰\u2033\u2032]|''|[\"']"
    r"|°?[^\W\d_]{1,12}(?:/[^\W\d_]{1,8})?[²³]?)"
)
_AMOUNT = {
    mark: re.compile(
        rf"(?P<sign>[-+\u2212]?)\s*(?P<before>(?:{_CURRENCY})?)\s*(?P<inner>[-+]?)(?P<number>{number}"
        rf"(?:e[-+]?\d+)?)\s*(?:(?P<after>{_CURRENCY})|(?P<unit>{_UNIT}))?[.,;]?",
        re.IGNORECASE,
    )
    for mark, number in _NUMBER.items()
}
_PART = {mark: re.compile(rf"({n})\s*({_UNIT})[.,]?\s*") for mark, n in _NUMBER.items()}
_POINTS = re.compile(r"[\d.]*\d")
_LEADING_ZERO = re.compile(r"\+?0\d")


class Notation(NamedTuple):
    """How the numbers of a column are written."""

    mark: str  # of decimals, "." or ","
    unit: str  # all have, or can be converted to; "" without one


class Amount(NamedTuple):
    """A number that was read."""

    value: float
    unit: str


def read_amount(text: str, mark: str = ".") -> Amount | None:
    """Read a number with its unit or currency, if the text is one; None if it is something else."""
    if len(text) > MAX_LENGTH:
        return None
    text = text.strip()
    match = _AMOUNT[mark].fullmatch(text)
    if match is None:
        return _read_parts(text, mark)
    if (match["before"] and match["after"]) or _LEADING_ZERO.match(match["number"]):
        return None
    value = _to_float(match["number"], mark)
    if "-" in match["inner"] or match["sign"] in ("-", "\u2212"):
        value = -value
    unit, currency = match["unit"] or "", match["before"] or match["after"]
    if unit and match["number"].endswith(mark):  # "83.pdf"
        return None
    if currency:
        if unit and unit not in _THOUSANDS:
            return None
        return Amount(value * _THOUSANDS.get(unit, 1), _CURRENCIES[currency.lower()])
    unit, size = _convert(unit)
    return Amount(value * size, unit)


def is_placeholder(text: str) -> bool:
    """Return whether a text says that there is no value, such as "N/A"."""
    return len(text) <= MAX_LENGTH and text.strip().lower() in PLACEHOLDERS


def find_notation(texts: Iterable[str]) -> Notation | None:
    """Find how numbers are written, if the texts are numbers, nearly all; None in doubt.

    Doubtful are integers with leading zeros, all of one length or all different, which may be
    codes (of 50 or more only if they lie dense), and few different ones, which may be categories.
    """
    counts = Counter(text for text in texts if not is_placeholder(text))
    n = counts.total()
    n_short = sum(count for text, count in counts.items() if len(text) <= MAX_LENGTH)
    if len(counts) < 2 or n_short < READ_SHARE * n or _are_codes(counts):
        return None
    best, n_best = None, 0
    for mark in ",." if _have_points_for_thousands(counts) else ".,":
        for unit, n_read in count_units(counts, mark).most_common(1):
            if n_read > n_best:
                best, n_best = Notation(mark, unit), n_read
    return best if n_best >= READ_SHARE * n else None


def _have_points_for_thousands(texts: Iterable[str]) -> bool:
    """Return whether points separate thousands: "1.234 €" among "540 €".

    Of decimals some would have fewer places than three, or more, or numbers below 1.
    """
    parts = [match[0].split(".") for text in texts if (match := _POINTS.search(text))]
    n_whole = sum(len(groups) == 1 and len(groups[0]) <= 3 for groups in parts)
    separated = [groups for groups in parts if len(groups) > 1]
    return (
        n_whole > 0
        and len(separated) >= MIN_SEPARATED
        and all(
            groups[0][:1] not in ("", "0") and all(len(group) == 3 for group in groups[1:])
            for groups in separated
        )
    )


def find_mixed_units(texts: Iterable[str]) -> list[str]:
    """Return an example of each unit if the texts are numbers in units that do not convert.

    Nothing if some of the units are words that may be anything, as in "12 Monkeys".
    """
    counts = Counter(text for text in texts if not is_placeholder(text))
    units = count_units(counts)
    known = units.keys() <= {*CONVERTED, *CURRENCIES, *_NOT_CONVERTED, "%", ""}
    if len(units) < 2 or not known or units.total() < READ_SHARE * counts.total():
        return []
    read = {amount.unit: text for text in reversed(counts) if (amount := read_amount(text))}
    return [read[unit] for unit in units]


def warn_of_units(column, examples: list[str]) -> None:
    """Warn that a column of numbers in several units is not read as numbers."""
    warn_user(
        f"Column {column!r} holds numbers in different units, for example "
        f"{' and '.join(map(shorten, examples[:2]))}. They are not read as numbers. If they can be "
        "compared, write all in one unit, or turn the column into numbers before."
    )


def count_units(counts: Counter[str], mark: str = ".") -> Counter[str]:
    """Count the units of the texts that are numbers."""
    units: Counter[str] = Counter()
    for text, count in counts.items():
        amount = read_amount(text, mark)
        if amount is not None:
            units[amount.unit] += count
    currencies = units.keys() & CURRENCIES
    if len(currencies) == 1:  # some amounts of money may lack it
        units[currencies.pop()] += units.pop("", 0)
    return units


def read_number(text: str, notation: Notation) -> float:
    """Read a number; NaN for what is none, or is in another unit."""
    amount = read_amount(text, notation.mark)
    if amount is None:
        return math.nan
    lacks_currency = amount.unit == "" and notation.unit in CURRENCIES
    return amount.value if lacks_currency or amount.unit == notation.unit else math.nan


def _are_codes(counts: Counter[str]) -> bool:
    """Return whether plain numbers may be ids, postcodes, phone numbers or names of categories."""
    texts = [text.strip() for text in counts]
    if any(map(_LEADING_ZERO.match, texts)):
        return True
    plain = [text for text in texts if is_float(text)]
    if len(plain) < READ_SHARE * len(texts):
        plain = [text.replace(" ", "") for text in texts]  # phone numbers in groups
    integers = [text for text in plain if text.lstrip("+").isdigit()]
    if len(integers) >= READ_SHARE * len(texts):
        lengths = set(map(len, integers))
        if len(lengths) == 1 and lengths.pop() >= MIN_CODE_LENGTH:
            return True
        if max(map(len, integers)) > MAX_INTEGER_LENGTH:
            return True
        if len(counts) == counts.total():
            return len(counts) < MIN_VALUES or are_dense(np.array(integers, dtype=np.float64))
    elif not all(map(is_float, texts)):
        return False
    return len(counts) <= min(MAX_CODES, counts.total() / 2)


def is_float(text: str) -> bool:
    """Return whether Python reads a text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parts(text: str, mark: str) -> Amount | None:
    """Read "1 lb. 5 oz.": the parts are of one kind, and get smaller."""
    total, position, sizes, units = 0.0, 0, [], set()
    while position < len(text):
        part = _PART[mark].match(text, position)
        if part is None:
            return None
        unit, size = _convert(part[2])
        if unit not in _SIZES:
            return None
        total, position = total + _to_float(part[1], mark) * size, part.end()
        sizes.append(size)
        units.add(unit)
    if len(units) != 1 or sizes != sorted(set(sizes), reverse=True):
        return None
    return Amount(total, units.pop())


def _convert(unit: str) -> tuple[str, float]:
    """Return the unit that stands for all of its kind, and the size in it."""
    if unit in _THOUSANDS:
        return "K", _THOUSANDS[unit] / 1e3
    name = re.sub("[ .]", "", unit.lower())
    if name in _UNITS:
        return _UNITS[name]
    if name[-2:-1].isalpha():  # not "m/s"
        name = name.removesuffix("s")
    return _UNITS.get(name, (name, 1.0))


def _to_float(number: str, mark: str) -> float:
    digits = re.sub(rf"[{_BLANKS}]", "", number)
    if mark == ",":
        digits = digits.replace(".", "").replace(",", ".")
    return float(digits.replace(",", ""))
