"""TabularEncoder: the default encoder of tabular columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from .._data.cells import describe_row
from .._data.frames import as_pandas
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
    """Encode tabular columns: impute and scale numbers and dates, one-hot encode categories.

    Numbers, booleans, durations and dates (also as text, such as "2026-11-23") are scaled to mean 0
    and variance 1; a missing one becomes the median. Numbers of which there are more than two
    different ones but at most 20, such as years or ratings, are one-hot encoded as well, for what
    depends on them need not rise or fall with them. Everything else is a category: of a column the
    50 most frequent are one-hot encoded; the rest, and those not seen in `fit`, are one. A missing
    category is one too.

    Attributes
    ----------
    kinds_ : dict of str to str
        What each column holds: "numbers", "dates", "durations" or "categories".
    columns_ : ColumnTransformer
        The fitted imputers, scalers and one-hot encoders.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns seen in `fit`, if all are strings.

    See Also
    --------
    ModalityTransformer : Encode a frame with columns of several modalities.

    Notes
    -----
    A row in which all columns are missing is a missing modality: it becomes NaN.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmm import TabularEncoder
    >>> X = pd.DataFrame({"age": [3.0, None, 5.0], "kind": ["cat", "dog", "cat"]})
    >>> encoder = TabularEncoder().set_output(transform="pandas")
    >>> encoder.fit_transform(X).columns.to_list()
    ['age', 'kind_cat', 'kind_dog']
    """

    def fit(self, X, y=None):
        """Learn what each column holds, its median and scale, or its categories.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Tabular columns.
        y : None
            Ignored.

        Returns
        -------
        TabularEncoder
            The fitted encoder.
        """
        X = self._validate(X, reset=True)
        self.kinds_ = {column: _find_kind(values) for column, values in X.items()}
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
        few = [c for c, values in prepared.items() if c in numeric and _has_few_levels(values)]
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
        """Encode columns.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Tabular columns.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
            The features; NaN in the rows in which all columns are missing.

        Raises
        ------
        ValueError
            If a column holds infinite values, or of another kind than in `fit`.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        encoded = self._encode(self._prepare(X))
        encoded[X.isna().to_numpy().all(axis=1)] = np.nan
        return encoded

    def get_feature_names_out(self, input_features=None):
        """Name the features.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
            The column for a number, ``COLUMN_VALUE`` for a category or a level; none twice.
        """
        check_is_fitted(self)
        names: dict[str, None] = {}
        for name in self.columns_.get_feature_names_out():
            name = name.partition("__")[2]
            while name in names:  # category "x" of column "a" beside a number "a_x"
                name += "_"
            names[name] = None
        return np.array(list(names), dtype=object)

    def _validate(self, X, *, reset: bool) -> pd.DataFrame:
        """Check the columns, against those of `fit` unless they are set, and name them by str."""
        frame = _as_frame(X)
        for n, unit in zip(frame.shape, ("sample", "feature"), strict=True):
            if n == 0:
                raise ValueError(
                    f"Found array with 0 {unit}(s) (shape={frame.shape}) while a minimum of 1 is "
                    "required by TabularEncoder."
                )
        checked: Any = frame  # scikit-learn's annotations leave frames out
        validate_data(self, checked, reset=reset, skip_check_array=True)
        if frame.dtypes.eq(object).any():
            frame = frame.infer_objects()
        names = frame.columns
        are_texts = names.inferred_type == "string" and not names.hasnans
        return frame if are_texts else frame.rename(columns=str)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _encode(self, prepared: pd.DataFrame) -> np.ndarray:
        """Transform by `columns_`, without what scikit-learn checks again at each step."""
        blocks = [np.empty((len(prepared), 0))]
        for name, transformer, columns in self.columns_.transformers_:
            if name == "remainder" or not len(columns):
                continue
            chosen = prepared if len(columns) == prepared.shape[1] else prepared[columns]
            if name == "numbers":
                imputer, scaler = transformer[0], transformer[1]
                numbers = chosen.to_numpy()
                imputed = np.where(np.isnan(numbers), imputer.statistics_, numbers)
                blocks.append((imputed - scaler.mean_) / scaler.scale_)
            else:
                blocks.append(transformer.transform(chosen))
        return np.hstack(blocks).astype(np.float32)

    def _prepare(self, X: pd.DataFrame) -> pd.DataFrame:
        """Convert numbers to float64 with NaN, dates to seconds, categories to strings and None."""
        plain = [self.kinds_[c] == "numbers" and _is_plain(dtype) for c, dtype in X.dtypes.items()]
        block = X.to_numpy(np.float64) if all(plain) else X.loc[:, plain].to_numpy(np.float64)
        if X.columns.has_duplicates or (np.abs(block) > LARGEST).any():
            plain = [False] * X.shape[1]  # column by column, to name the first that is wrong
        if all(plain):
            return pd.DataFrame(block, columns=X.columns, index=X.index, copy=False)
        prepared = {}
        numbers = iter(block.T)
        for is_plain, (column, values) in zip(plain, X.items(), strict=True):
            kind = self.kinds_[column]
            if is_plain:
                prepared[column] = next(numbers)
            elif kind == "categories":
                prepared[column] = values.astype(object).map(str).where(values.notna(), None)
            else:
                prepared[column] = _as_float(values, kind)
        return pd.DataFrame(prepared, index=X.index)


def _is_plain(dtype: Any) -> bool:
    """Return whether a column of this type is an array of numbers that needs no conversion."""
    return isinstance(dtype, np.dtype) and dtype.kind in "biuf"


def _has_few_levels(values: pd.Series) -> bool:
    """Return whether there are few different numbers, more than two, each in several rows."""
    counts = values.value_counts()
    return 2 < len(counts) <= MAX_LEVELS and counts.sum() >= ROWS_PER_LEVEL * len(counts)


def _as_frame(X) -> pd.DataFrame:
    """Convert a frame, or an array or list of rows, to a pandas frame."""
    if hasattr(X, "columns"):
        return X if isinstance(X, pd.DataFrame) else as_pandas(X)
    # As objects, for numpy makes strings of the numbers in a list that has both.
    rows = np.asarray(X, dtype=object) if isinstance(X, list | tuple) else X
    options: dict[str, Any] = {"dtype": None, "ensure_all_finite": False}
    return pd.DataFrame(check_array(rows, estimator="TabularEncoder", **options))


def _find_kind(values: pd.Series) -> str:
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
    present = values.dropna()
    if len(present) == 0:
        return floats
    found = _find_kind(present)
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
