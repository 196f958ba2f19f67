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

MAX_CATEGORIES = 50


class TabularEncoder(TransformerMixin, BaseEstimator):
    """Impute and scale numbers, booleans and dates; one-hot encode everything else.

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
            [("numbers", numbers, self.numeric_), ("categories", one_hot, categories)],
            verbose_feature_names_out=False,
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
        return self.columns_.get_feature_names_out()

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
    kinds = pd.api.types
    return (
        kinds.is_numeric_dtype(values.dtype)
        or kinds.is_datetime64_any_dtype(values.dtype)
        or kinds.is_timedelta64_dtype(values.dtype)
    )


def _as_float(values: pd.Series) -> np.ndarray:
    if values.dtype.kind in "mM" or hasattr(values.dtype, "tz"):
        origin = pd.Timestamp(0, tz=getattr(values.dtype, "tz", None))
        if values.dtype.kind == "m":
            return values.dt.total_seconds().to_numpy(dtype=np.float64)
        return (values - origin).dt.total_seconds().to_numpy(dtype=np.float64)
    return pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan)
