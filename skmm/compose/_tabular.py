"""The default encoder of tabular columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

from .._data.cells import describe_row
from ._inference import are_dates

MAX_CATEGORIES = 50
MAX_LEVELS = 20  # of numbers such as years, months, ratings
ROWS_PER_LEVEL = 10
LARGEST = 1e150  # the sum of squares of larger numbers overflows
SECOND = np.timedelta64(1, "s")
OBJECTS = {  # in the words of pandas' infer_dtype
    **dict.fromkeys(
        ["integer", "floating", "mixed-integer-float", "decimal", "boolean"], "numbers"
    ),
    **dict.fromkeys(["date", "datetime"], "dates"),
}


class TabularEncoder(TransformerMixin, BaseEstimator):
    """Impute and scale numbers, booleans and dates (2026-11-23); one-hot encode everything else.

    Numbers of which there are few different ones, such as years or ratings, are both: a scaled
    number, and one-hot, since what they say need not go up or down with them.

    A value that is missing becomes the median, or a category of its own; a row in which all are
    missing becomes NaN, a missing modality. Of a column's categories the 50 most frequent count,
    the rest, and those not seen in training, are one.
    """

    def fit(self, X, y=None):
        X = _as_frame(X)
        self.kinds_ = {column: _kind(X[column]) for column in X}
        categories = [column for column, kind in self.kinds_.items() if kind == "categories"]
        numeric = [column for column in X if column not in categories]
        numbers = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
        )
        one_hot = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            max_categories=MAX_CATEGORIES,
            sparse_output=False,
        )
        levels = OneHotEncoder(
            handle_unknown="infrequent_if_exist", min_frequency=ROWS_PER_LEVEL, sparse_output=False
        )
        prepared = self._prepare(X)
        few = [column for column in numeric if _has_few_levels(prepared[column])]
        self.columns_ = ColumnTransformer(
            [
                ("numbers", numbers, numeric),
                ("levels", levels, few),
                ("categories", one_hot, categories),
            ]
        )
        self.columns_.set_output(transform="default").fit(prepared)
        return self

    def transform(self, X):
        check_is_fitted(self)
        X = _as_frame(X)
        encoded = self.columns_.transform(self._prepare(X)).astype(np.float32)
        encoded[X.isna().all(axis=1).to_numpy()] = np.nan
        return encoded

    def get_feature_names_out(self, input_features=None):
        """Name numbers by their column, and categories and levels COLUMN_VALUE, each once."""
        names: dict[str, None] = {}
        for name in self.columns_.get_feature_names_out():
            name = name.partition("__")[2]
            while name in names:  # category "x" of column "a" beside a number "a_x"
                name += "_"
            names[name] = None
        return np.array(list(names), dtype=object)

    def _prepare(self, X: pd.DataFrame) -> pd.DataFrame:
        """Convert numbers to float64 with NaN, dates to seconds, categories to strings and None."""
        prepared = {}
        for column in X:
            values = X[column]
            kind = self.kinds_[column]
            if kind == "categories":
                prepared[column] = values.astype(object).map(str).where(values.notna(), None)
            else:
                prepared[column] = _as_float(values, kind)
        return pd.DataFrame(prepared, index=X.index)


def _has_few_levels(values: pd.Series) -> bool:
    """Return whether there are few different numbers, more than two, each in several rows."""
    counts = values.value_counts()
    return 2 < len(counts) <= MAX_LEVELS and counts.sum() >= ROWS_PER_LEVEL * len(counts)


def _as_frame(X) -> pd.DataFrame:
    frame = pd.DataFrame(X).infer_objects()
    return frame.rename(columns=str)


def _kind(values: pd.Series) -> str:
    """Return "numbers" (booleans too), "dates", "durations" or "categories", as text too."""
    kinds = pd.api.types
    if _are_strings(values):
        return "dates" if are_dates(values.dropna()) else "categories"
    if values.dtype == object:
        return OBJECTS.get(kinds.infer_dtype(values, skipna=True), "categories")
    if kinds.is_datetime64_any_dtype(values.dtype):
        return "dates"
    if kinds.is_timedelta64_dtype(values.dtype):
        return "durations"
    arrow_booleans = isinstance(values.dtype, pd.ArrowDtype) and values.dtype.kind == "b"
    return "numbers" if kinds.is_numeric_dtype(values.dtype) or arrow_booleans else "categories"


def _are_strings(values: pd.Series) -> bool:
    strings = isinstance(values.dtype, pd.StringDtype) or values.dtype == object
    return strings and pd.api.types.infer_dtype(values, skipna=True) == "string"


def _as_float(values: pd.Series, kind: str) -> np.ndarray:
    """Convert numbers, dates (seconds since 1970) or durations (seconds); NaN if missing."""
    floats = np.full(len(values), np.nan)
    present = values[values.notna().to_numpy()]
    if len(present) == 0:
        return floats
    found = _kind(present)
    if kind != found != "categories":  # what looks like a category may still be a number as text
        raise ValueError(f"Column {values.name!r} held {kind} in fit, and now {found}.")
    try:
        floats[values.notna()] = _CONVERTERS[kind](present)
    except (TypeError, ValueError) as e:
        raise ValueError(
            f"Column {values.name!r} held {kind} in fit, and now something else: {e}."
        ) from e
    _check_finite(floats, values)
    return floats


def _seconds_of_dates(values: pd.Series) -> np.ndarray:
    if _are_strings(values):
        others = [text for text in values if not are_dates([text])]
        if others:
            raise ValueError(f"{others[0]!r} is no date like 2026-11-23")
        values = pd.to_datetime(values, format="ISO8601", utc=True)
    stamps = pd.to_datetime(values, utc=True).dt.tz_localize(None)
    return (stamps.to_numpy(dtype="datetime64[us]") - np.datetime64(0, "us")) / SECOND


_CONVERTERS = {
    "numbers": lambda values: values.to_numpy(dtype=np.float64),
    "dates": _seconds_of_dates,
    "durations": lambda values: values.to_numpy(dtype="timedelta64[us]") / SECOND,
}


def _check_finite(floats: np.ndarray, values: pd.Series) -> None:
    too_large = np.flatnonzero(np.abs(floats) > LARGEST)
    if len(too_large):
        row = too_large[0]
        what = "infinite values" if np.isinf(floats[row]) else f"values beyond {LARGEST:g}"
        labels = None if isinstance(values.index, pd.RangeIndex) else values.index.tolist()
        raise ValueError(
            f"Column {values.name!r} holds {what}, the first ({floats[row]:g}) in "
            f"{describe_row(row, labels)}. Replace them by NaN if they stand for missing ones."
        )
