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

from ._cells import describe_row
from ._inference import are_dates

MAX_CATEGORIES = 50
NUMERIC_OBJECTS = {  # in the words of pandas' infer_dtype
    "integer", "floating", "mixed-integer-float", "decimal", "boolean", "date", "datetime",
}  # fmt: skip


class TabularEncoder(TransformerMixin, BaseEstimator):
    """Impute and scale numbers, booleans and dates (2026-11-23); one-hot encode everything else.

    A value that is missing becomes the median, or a category of its own; a row in which all are
    missing becomes NaN, a missing modality. Of a column's categories the 50 most frequent count,
    the rest, and those not seen in training, are one.
    """

    def fit(self, X, y=None):
        X = _as_frame(X)
        self.numeric_ = [column for column in X if _is_numeric(X[column])]
        categories = [column for column in X if column not in self.numeric_]
        numbers = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
        )
        one_hot = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            max_categories=MAX_CATEGORIES,
            sparse_output=False,
        )
        self.columns_ = ColumnTransformer(
            [("numbers", numbers, self.numeric_), ("categories", one_hot, categories)]
        )
        self.columns_.set_output(transform="default").fit(self._prepare(X))
        return self

    def transform(self, X):
        check_is_fitted(self)
        X = _as_frame(X)
        encoded = self.columns_.transform(self._prepare(X)).astype(np.float32)
        encoded[X.isna().all(axis=1).to_numpy()] = np.nan
        return encoded

    def get_feature_names_out(self, input_features=None):
        """Name numbers by their column and categories COLUMN_CATEGORY, each once."""
        names: dict[str, None] = {}
        for name in self.columns_.get_feature_names_out():
            name = name.partition("__")[2]
            while name in names:  # category "x" of column "a" beside a number "a_x"
                name += "_"
            names[name] = None
        return np.array(list(names), dtype=object)

    def _prepare(self, X: pd.DataFrame) -> pd.DataFrame:
        """Numbers as float64 with NaN, dates as seconds, categories as strings with None."""
        prepared = {}
        for column in X:
            values = X[column]
            if column in self.numeric_:
                prepared[column] = _as_float(values)
            else:
                prepared[column] = values.astype(object).map(str).where(values.notna(), None)
        return pd.DataFrame(prepared, index=X.index)


def _as_frame(X) -> pd.DataFrame:
    frame = pd.DataFrame(X).infer_objects()
    return frame.rename(columns=str)


def _is_numeric(values: pd.Series) -> bool:
    """Tell numbers, booleans, dates and durations from categories, in objects and strings too."""
    kinds = pd.api.types
    if _are_strings(values):
        return are_dates(values.dropna())
    if values.dtype == object:
        return kinds.infer_dtype(values, skipna=True) in NUMERIC_OBJECTS
    return (
        kinds.is_numeric_dtype(values.dtype)
        or kinds.is_datetime64_any_dtype(values.dtype)
        or kinds.is_timedelta64_dtype(values.dtype)
    )


def _are_strings(values: pd.Series) -> bool:
    strings = isinstance(values.dtype, pd.StringDtype) or values.dtype == object
    return strings and pd.api.types.infer_dtype(values, skipna=True) == "string"


def _as_float(values: pd.Series) -> np.ndarray:
    """Numbers as they are, dates as seconds since 1970, durations as seconds; NaN if missing."""
    seconds = np.timedelta64(1, "s")
    kinds = pd.api.types
    if kinds.is_timedelta64_dtype(values.dtype):
        return values.to_numpy(dtype="timedelta64[us]") / seconds
    if _are_strings(values):
        others = [text for text in values.dropna() if not are_dates([text])]
        if 0 < len(others) < values.notna().sum():
            raise ValueError(f"Column {values.name!r} holds dates, and {others[0]!r} is none.")
        if not others:
            values = pd.to_datetime(values, format="ISO8601", utc=True)
    if kinds.is_datetime64_any_dtype(values.dtype) or (
        values.dtype == object and kinds.infer_dtype(values, skipna=True) in ("date", "datetime")
    ):
        stamps = pd.to_datetime(values, utc=True).dt.tz_localize(None)
        return (stamps.to_numpy(dtype="datetime64[us]") - np.datetime64(0, "us")) / seconds
    floats = np.full(len(values), np.nan)
    present = values.notna().to_numpy()
    try:
        floats[present] = values[present].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise ValueError(
            f"Column {values.name!r} held numbers or dates in fit, and now something else: {e}."
        ) from e
    _check_finite(floats, values)
    return floats


def _check_finite(floats: np.ndarray, values: pd.Series) -> None:
    infinite = np.flatnonzero(np.isinf(floats))
    if len(infinite):
        row = infinite[0]
        labels = None if isinstance(values.index, pd.RangeIndex) else values.index.tolist()
        raise ValueError(
            f"Column {values.name!r} holds infinite values, the first in "
            f"{describe_row(row, labels)}. Replace them by NaN if they stand for missing ones."
        )
