"""Which modality a column holds, inferred from its values."""

from __future__ import annotations

import datetime
import os
import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from .._data.cells import describe_cell, is_missing, shorten
from .._data.frames import as_pandas
from .._warnings import warn_user
from ._identifiers import are_identifiers, warn_of_identifiers
from ._media import (
    LISTS_OF_PATHS,
    advise,
    infer_file,
    infer_media,
    name_medium,
    name_strings,
    unwrap_values,
    warn_of_strings,
)
from ._numerals import (
    READ_SHARE,
    find_mixed_units,
    find_notation,
    is_float,
    is_placeholder,
    warn_of_units,
)
from ._roots import check_root, find_files, prepend_root

N_SAMPLED = 1000
N_COMPARED = 80  # rows among which values are looked for that occur again
REPEATED_SHARE = 0.15  # of them, at least, if the values are categories
PHRASE_LENGTH = 1.8  # words, on average
REPEATED_SHARE_OF_PHRASES = 0.75  # they resemble each other, unlike single words
MAX_CATEGORY_LENGTH = 60  # characters, on average
MAX_EMBEDDING_LENGTH = 4096  # a longer 1-D array may be a sound

NUMBERS_AS_TEXT = "numbers as text"
NUMBERS_IN_UNITS = "numbers in different units"
NUMBERS_AS_STRINGS = "strings, most of them numbers"
IDENTIFIERS = "identifiers, each of one row"
OTHER_DATES = "dates or times in a form that is not read"
_NUMBER = re.compile(r"\s*[€$£¥]?\s*[-+]?[€$£¥]?\d[\d.,]*(e[-+]?\d+)?\s*[€$£¥%]?\s*$", re.I)
_DAY = (
    r"\d{1,2}/\d{1,2}/(\d\d){1,2}|\d{1,2}\.\d{1,2}\.\d{4}|\d{4}(?P<mark>[/.])\d{1,2}(?P=mark)\d{1,2}"
    r"|\d{1,2}[ -][a-z]{3,9}\.?[ -](\d\d){1,2}|[a-z]{3,9}\.? \d{1,2},? \d{4}"
    r"|(19|20)\d\d(0[1-9]|1[0-2])[0-3]\d|(19|20)\d\d-(0?[1-9]|1[0-2])(-\d{1,2})?"
    r"|q[1-4][ -]?\d{4}|\d{4}[ -]?q[1-4]"
    r"|[a-z]{3}, \d{1,2} [a-z]{3} \d{4}|\d{1,2}\. [^\W\d_]{3,9} \d{4}"
)
_TIME = r"(\d{1,2}(:?\d{2}){0,2}(\.\d+)?)( ?[ap]m| ?(z|gmt|utc|[-+]\d{2}:?\d{2}))?"
_TIME_OF_DAY = re.compile(r"\s*\d{1,2}:\d{2}(?P<seconds>:\d{2})?(?:(?P<blank> ?)[ap]m)?\s*$", re.I)
_OTHER_DATE = re.compile(rf"\s*(({_DAY})([ T]+{_TIME})?)\s*$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}")
_ISO_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])([ T]\d{2}:\d{2}\S*)?$")


def infer_modalities(X, *, root=None):
    """Infer which modality each column of raw inputs holds.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_columns)
        Raw columns. Up to 1,000 values of each are looked at, and the first bytes of a few files.
    root : str or path-like, default=None
        The folder in which relative paths start.

    Returns
    -------
    DataFrame
        The schema, a row for each column: "modality" ("text", "image", "audio", "video",
        "embedding" or "tabular"), "kind" (what its values are), "reason" (what shows it),
        "n_missing", and "example", the first value. Edited or not, it can be the ``schema`` of a
        `ModalityTransformer`.

    Raises
    ------
    ValueError
        If a column fits no modality, or ``root`` is no folder.

    See Also
    --------
    ModalityTransformer : Encode the columns.

    Notes
    -----
    Numbers, booleans, dates and the pandas type "category" are tabular. Strings are paths if most
    of them end like names of image, audio or video files, or if the first of them are such files;
    dates, which are tabular, if 95 % have the form 2026-11-23, with or without a time; numbers,
    tabular too, if nearly all are like "45%", "$1,234.50", "1 lb. 5 oz." or "12 seats", in units
    that can be converted, and can be no codes, as "01234" is; categories, tabular again, if they
    repeat; and texts otherwise, with a warning if most of them are numbers.

    Values repeat if at least 15 % of those in 80 random rows are expected to occur in another of
    these rows too (75 % of phrases of two words or more), and if they have 60 characters at most,
    on average. In a table of 150, 1,000 or 100,000 rows this expectation is estimated without bias
    (rarefaction; Hurlbert, Ecology 52(4), 1971), so that the modality does not depend on the number
    of rows, but for chance. In a table of fewer than 80 rows, all of them are compared.

    Arrays of one dimension, or lists of numbers, all of one length up to 4,096, are embeddings.
    There is a warning of columns that only name the row: of integers or codes, all different.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmm import infer_modalities
    >>> X = pd.DataFrame({"photo": ["cat.jpg", "dog.jpg"], "says": ["Meow!", "Woof!"], "age": 3})
    >>> infer_modalities(X)["modality"].to_dict()
    {'photo': 'image', 'says': 'text', 'age': 'tabular'}
    """
    check_root(root)
    X = as_pandas(X)
    if root is not None:
        X = prepend_root(X, find_files(X, root), root)
    found = describe_columns(X)
    for position, (column, (modality, kind, _, n_missing, example)) in enumerate(found.iterrows()):
        values = X.iloc[:, position]
        if pd.isna(modality):
            shown = f", for example {example}" if n_missing < len(values) else ""
            if kind.startswith("a mixture"):
                shown += f", and {show_other_cell(values)}"
            shown += advise(kind)
            raise ValueError(
                f"Column {column!r} fits no modality: it holds {kind}{shown}. Fix or drop it, or "
                f'name an encoder: ModalityTransformer([("name", encoder, {column!r}), ...]).'
            )
        if kind == NUMBERS_IN_UNITS:
            warn_of_units(column, find_mixed_units([c for c in values if isinstance(c, str)]))
        if kind == NUMBERS_AS_STRINGS:
            warn_of_numbers(column, values, example)
        elif kind == OTHER_DATES:
            warn_of_dates(column, modality, example)
        elif kind == IDENTIFIERS:
            warn_of_identifiers(column, example)
        elif modality == "text" and advise(kind):
            warn_of_strings(column, kind, example)
    return found


class Finding(NamedTuple):
    """What a column was found to hold."""

    modality: str | None  # None where it fits nothing
    kind: str
    reason: str


def infer_column(values: pd.Series) -> Finding:
    """Infer the modality of one column from its type and up to 1,000 of its values."""
    return _infer_unwrapped(unwrap_values(values))


def _infer_unwrapped(values: pd.Series) -> Finding:
    kinds, of_type = pd.api.types, f"of type {values.dtype}"
    present = values[values.notna()]
    if len(present) == 0:
        return Finding(None, "nothing but missing values", f"{len(values)} missing")
    if kinds.is_bool_dtype(values.dtype):
        return Finding("tabular", "booleans", of_type)
    if kinds.is_numeric_dtype(values.dtype) and not kinds.is_complex_dtype(values.dtype):
        if are_identifiers(present):
            return Finding("tabular", IDENTIFIERS, f"{len(present)} different integers")
        return Finding("tabular", "numbers", of_type)
    if values.dtype.kind in "mM" or isinstance(values.dtype, pd.DatetimeTZDtype):
        kind = "durations" if values.dtype.kind == "m" else "dates"
        return Finding("tabular", kind, of_type)
    if isinstance(values.dtype, pd.CategoricalDtype):
        return Finding("tabular", "categories", of_type)
    sample = _sample([cell for cell in values if not is_missing(cell)])
    if all(isinstance(cell, str) for cell in sample):
        return _infer_strings(sample)
    found = Counter(infer_cell(cell) for cell in sample)
    modalities = {finding.modality for finding in found}
    if len(modalities) == 1 and (None not in modalities or len(found) == 1):
        finding = found.most_common(1)[0][0]
        if finding.modality == "embedding" and len({other.kind for other in found}) > 1:
            return Finding(None, "arrays of one dimension and of different lengths", finding.reason)
        return finding
    types = sorted({type(cell).__name__ for cell in sample})
    if len(types) == 1:
        types = sorted({finding.kind for finding in found})
    return Finding(None, "a mixture of " + ", ".join(types), f"{len(types)} types")


def _sample(cells: list) -> list:
    if len(cells) <= N_SAMPLED:
        return cells
    chosen = np.random.default_rng(0).choice(len(cells), N_SAMPLED, replace=False)
    return [cells[i] for i in np.sort(chosen)]


def _infer_strings(sample: list[str]) -> Finding:
    media = infer_media(sample)
    if media is not None:
        return Finding(*media)
    if are_dates(sample):
        return Finding("tabular", "dates", "they are like 2026-11-23")
    notation = find_notation(sample)
    if notation is not None:
        return Finding("tabular", NUMBERS_AS_TEXT, f"in {notation.unit}" if notation.unit else "")
    if find_mixed_units(sample):
        return Finding("text", NUMBERS_IN_UNITS, "in units that cannot be compared")
    return _infer_words(sample)


def _infer_words(sample: list[str]) -> Finding:
    """Distinguish categories, which repeat, from texts, whatever the number of rows."""
    counts = Counter(sample)
    share = measure_repeated(counts.values())
    length = np.mean([len(text) for text in sample])
    n_words = np.mean([len(_WORD.findall(text)) for text in sample])
    least = REPEATED_SHARE_OF_PHRASES if n_words >= PHRASE_LENGTH else REPEATED_SHARE
    reason = (
        f"{len(counts)} different of {len(sample)}; {share:.0%} occur again among "
        f"{min(N_COMPARED, len(sample))} (categories: {least:.0%}); {length:.0f} characters long"
    )
    are_categories = share >= least and length <= MAX_CATEGORY_LENGTH
    if sum(map(_is_other_date, sample)) > len(sample) / 2:
        return Finding("tabular" if are_categories else "text", OTHER_DATES, reason)
    if are_categories:
        return Finding("tabular", "categories", reason)
    kind = name_strings(sample)
    if kind == "strings" and are_identifiers(pd.Series(sample)):
        kind = IDENTIFIERS
    elif sum(map(is_number, sample)) > len(sample) / 2:
        kind = NUMBERS_AS_STRINGS
    return Finding("text", kind, reason)


def _is_other_date(text: str) -> bool:
    return _OTHER_DATE.match(text) is not None or _TIME_OF_DAY.match(text) is not None


def measure_repeated(counts: Iterable[int]) -> float:
    """Return the expected share of values in 80 of the rows that occur in these more than once."""
    n_each = np.array([*counts])
    n = n_each.sum()
    alone = hypergeom.pmf(0, n - 1, n_each - 1, min(N_COMPARED, n) - 1)
    return float(1 - n_each @ alone / n)


def is_number(text: Any) -> bool:
    """Return whether a text is a number, perhaps with a sign of currency or per cent."""
    return isinstance(text, str) and _NUMBER.match(text) is not None


def show_other_cell(values: pd.Series) -> str:
    """Represent a cell, and its row, that is of another kind than the first one: the rarest."""
    kinds = [None if is_missing(cell) else _name_kind(cell) for cell in values]
    counts = Counter(filter(None, kinds))
    others = [kind for kind in counts if kind != next(filter(None, kinds))]
    return describe_cell(values, kinds.index(min(others, key=counts.__getitem__)))


def _name_kind(cell: Any) -> str:
    """Name the type of a cell, and what it holds; of a text only the type."""
    is_text = isinstance(cell, str | os.PathLike)
    return type(cell).__name__ + ("" if is_text else f", {infer_cell(cell).kind}")


def warn_of_numbers(column, values: pd.Series, example: str) -> None:
    """Warn that a column of numbers, most of them, came as strings; show one that is none."""
    is_other = [not (is_missing(cell) or is_number(cell)) for cell in values]
    exception = f"; {describe_cell(values, is_other.index(True))} is none" if any(is_other) else ""
    unread = [cell for cell in values if is_number(cell) and not is_float(cell)]
    before = f" Before, rewrite those like {unread[0]!r}, which it cannot read." if unread else ""
    warn_user(
        f"Column {column!r} holds strings, most of which are numbers, for example {example}"
        f"{exception}. It counts as text. If it is numbers, make it so: X[{column!r}] = "
        f'pd.to_numeric(X[{column!r}], errors="coerce") makes everything else a missing value.'
        f"{before}"
    )


def warn_of_dates(column, modality: str, example: str) -> None:
    """Warn that a column holds dates, or times, in a form that may be read in several ways."""
    counted = "text" if modality == "text" else "categories"
    time = _TIME_OF_DAY.match(example.strip("'"))
    if time is None:
        kind, form, advice = "dates", "the form 2026-11-23", "dayfirst=...)"
    else:
        is_half_day = time["blank"] is not None  # 12 hours, with am or pm
        pattern = ("%I" if is_half_day else "%H") + ":%M" + (":%S" if time["seconds"] else "")
        pattern += f"{time['blank']}%p" if is_half_day else ""
        kind, form, advice = "times of the day", "datetime.time", f"format={pattern!r}).dt.time"
    warn_user(
        f"Column {column!r} seems to hold {kind}, for example {example}. It counts as {counted}, "
        f"for only {form} is read. Convert it: X[{column!r}] = pd.to_datetime(X[{column!r}], "
        f"{advice}."
    )


def are_dates(texts: Iterable[str]) -> bool:
    """Return whether nearly all texts are dates of the form 2026-11-23, with a time or without."""
    written = [text for text in texts if not is_placeholder(text)]
    return len(written) > 0 and sum(map(is_date, written)) >= READ_SHARE * len(written)


def is_date(text: str) -> bool:
    """Return whether a text is a date of the form 2026-11-23, with a time or without."""
    return _ISO_DATE.match(text) is not None


def infer_cell(cell: Any) -> Finding:
    """Infer the modality of one cell that is not missing, by itself."""
    modality, kind = _look_at(cell)
    return Finding(modality, kind, f"of type {type(cell).__name__}")


def _look_at(cell: Any) -> tuple[str | None, str]:
    if isinstance(cell, str | os.PathLike):
        path = os.fspath(cell)
        return infer_file(path) or name_medium(path), "paths"
    if isinstance(cell, bytes | bytearray | memoryview):
        return infer_file(cell), "encoded files"
    if isinstance(cell, bool | np.bool_):
        return "tabular", "booleans"
    if isinstance(cell, Real | Decimal):
        return "tabular", "numbers"
    if isinstance(cell, datetime.date | pd.Period | np.datetime64):  # a datetime is a date, too
        return "tabular", "dates"
    if isinstance(cell, datetime.timedelta | datetime.time | np.timedelta64):
        return "tabular", "durations"
    if isinstance(cell, pd.Interval):
        return "tabular", "categories"
    if getattr(cell, "ndim", 0) == 1 and hasattr(cell, "__array__"):  # a tensor, too
        cell = np.asarray(cell)
    if isinstance(cell, np.ndarray):
        kind = (
            f"vectors of {len(cell)} numbers"
            if cell.ndim == 1
            else f"arrays of {cell.ndim} dimensions"
        )
        return _infer_array(cell), kind
    if type(cell).__module__.startswith("PIL."):
        return "image", "PIL images"
    if isinstance(cell, list | tuple) and cell and all(map(_is_path, cell)):
        return None, LISTS_OF_PATHS
    if isinstance(cell, list) and len(cell) > 1 and all(isinstance(x, Real) for x in cell):
        return "embedding", f"vectors of {len(cell)} numbers"
    if isinstance(cell, list) and cell and all(_look_at(frame)[0] == "image" for frame in cell):
        return "video", "lists of frames"
    if isinstance(cell, tuple) and len(cell) == 2 and _is_clip(*cell):
        return "audio", "(array, sampling_rate) pairs"
    if isinstance(cell, dict) and {"array", "sampling_rate"} <= cell.keys():
        return "audio", "dicts of array and sampling_rate"
    return None, f"{type(cell).__name__} objects"


def _is_path(cell: Any) -> bool:
    is_text = isinstance(cell, str)
    return isinstance(cell, os.PathLike) or (is_text and name_medium(cell) is not None)


def _is_clip(samples: Any, sampling_rate: Any) -> bool:
    return isinstance(samples, list | np.ndarray) and isinstance(sampling_rate, Real)


def _infer_array(array: np.ndarray) -> str | None:
    if array.dtype.kind not in "ufbi":
        return None
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        return "image"
    if array.ndim == 1 and 1 < len(array) <= MAX_EMBEDDING_LENGTH:
        return "embedding"
    return "video" if array.ndim == 4 and array.shape[3] == 3 else None


def describe_columns(X: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each column: modality (None if unknown), kind, reason, and so on."""
    rows = []
    for position in range(X.shape[1]):
        values = unwrap_values(X.iloc[:, position])
        finding = _infer_unwrapped(values)
        first = next((cell for cell in values if not is_missing(cell)), None)
        rows.append((*finding, int(values.isna().sum()), shorten(first)))
    return pd.DataFrame(
        rows,
        columns=["modality", "kind", "reason", "n_missing", "example"],
        index=pd.Index(X.columns, name="column"),
    )
