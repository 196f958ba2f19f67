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

from .._data.frames import as_pandas, check_no_records, check_not_empty, without_arrow_types
from ._categories import FEW_ROWS, name_types, one_hot_of_few, warn_of_unknown
from ._columns import (
    LARGEST,
    are_strings,
    check_categories,
    check_finite,
    find_kind,
    name_category,
    read_texts,
    to_float,
)
from ._derived import ROWS_PER_LEVEL, SCALED, derive, find_recipes, has_few_levels
from ._numerals import Notation, find_mixed_units, find_notation, warn_of_units
from ._targets import find_target, fit_target_statistics, name_target_statistics

MAX_CATEGORIES = 50


class TabularEncoder(TransformerMixin, BaseEstimator):
    """Encode tabular columns: impute and scale numbers and dates, one-hot encode categories.

    Numbers, booleans, durations and dates (also as text, such as "2026-11-23") are scaled to mean 0
    and variance 1; a missing one becomes the median. Numbers of which there are more than two
    different ones but at most 20, such as years or ratings, are one-hot encoded as well, for what
    depends on them need not rise or fall with them. Everything else is a category: of a column the
    50 most frequent are one-hot encoded; the rest, and those not seen in `fit`, are one. A missing
    category is one too.

    Some columns become more features than these; see the Notes.

    Attributes
    ----------
    kinds_ : dict of str to str
        What each column holds: "numbers", "dates", "durations" or "categories".
    notations_ : dict of str to tuple
        Of each column of numbers as text the decimal mark, and the unit to which it is converted.
    derived_ : dict of str to tuple
        Of each column that was made of another: that column, which part of it this is, and what
        `fit` measured.
    columns_ : ColumnTransformer
        The fitted imputers, scalers and one-hot encoders, of columns and of derived columns.
    target_encoder_ : Pipeline or None
        The `TargetEncoder` and `StandardScaler` of columns of many categories, fitted on all rows.
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

    What the rows of `fit` hold decides which features there are beside those above. In a column X,

    - of numbers, durations or dates of which some are missing: "X_missing", 0 or 1. Columns that
      are missing in the same rows have one, that of the first;
    - of more than 20 different numbers: "X_zero", 0 or 1, if 5 % are zero; and "X_log", the inverse
      hyperbolic sine of the distance from the median in interquartile ranges, if the standard
      deviation is 1.5 times what the quartiles of a normal distribution would let expect;
    - of dates: "X_year_sin" and "X_year_cos", the position in the year; "X_day_sin" and
      "X_day_cos", the time of the day, in UTC; "X_weekday_Mon" and so on. A cycle that is longer
      than the span of the dates is left out, as is one in which they do not vary, and weekdays of
      fewer than 20 rows each, on average;
    - of more than 50 categories: "X_count", the logarithm of how often the category was in `fit`,
      and "X_target", a statistic of the target by `sklearn.preprocessing.TargetEncoder`, one for
      each of more than two classes. It needs a y of numbers, or of at most 20 classes in two rows
      each. In `fit_transform` it is cross-fitted.

    Text is numbers if 95 % of it can be read as numbers in one unit, or in units that can be
    converted, such as "45%", "1,234", "$12.50", "1 lb. 5 oz." or "12 seats". "N/A" and the like
    are missing values; so is what cannot be read, with a warning. What may be codes remains
    categories: integers with leading zeros, of equal length, or all different.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmm import TabularEncoder
    >>> X = pd.DataFrame({"age": [3.0, None, 5.0], "kind": ["cat", "dog", "cat"]})
    >>> encoder = TabularEncoder().set_output(transform="pandas")
    >>> encoder.fit_transform(X).columns.to_list()
    ['age', 'kind_cat', 'kind_dog', 'age_missing']
    >>> encoder.fit_transform(pd.DataFrame({"weight": ["1 lb. 5 oz.", "1.2 kg", "800 g"]}))
         weight
    0 -1.074330
    1  1.333633
    2 -0.259304
    """

    def fit(self, X, y=None):
        """Learn what each column holds, its median and scale, or its categories.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Tabular columns.
        y : array-like of shape (n_samples,), default=None
            Targets, for statistics of columns of many categories.

        Returns
        -------
        TabularEncoder
            The fitted encoder.
        """
        self._fit(X, y)
        return self

    def fit_transform(self, X, y=None):
        """Fit, and encode the columns, with statistics of the targets of other rows.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Tabular columns.
        y : array-like of shape (n_samples,), default=None
            Targets, for statistics of columns of many categories. They are cross-fitted: those of
            a row come from folds that it is not in, so that what learns from them does not see
            its target. ``fit(X, y).transform(X)`` does.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
            The features; NaN in the rows in which all columns are missing.
        """
        X, columns, statistics = self._fit(X, y)
        return self._finish(self._encode(columns), statistics, columns.iloc[:, : X.shape[1]])

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
        prepared = self._prepare(X)
        self._warn_of_unknown(X, prepared)
        columns = derive(prepared, self.derived_)
        statistics = None
        if self.target_encoder_ is not None:
            chosen = columns[self.target_encoder_.feature_names_in_]
            statistics = self.target_encoder_.transform(chosen)
        return self._finish(self._encode(columns), statistics, columns.iloc[:, : X.shape[1]])

    def get_feature_names_out(self, input_features=None):
        """Name the features.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
            The column for a number, ``COLUMN_VALUE`` for a category or a level, ``COLUMN_missing``
            and so on for what is made of it; none twice.
        """
        check_is_fitted(self)
        given = [name.partition("__")[2] for name in self.columns_.get_feature_names_out()]
        if self.target_encoder_ is not None:
            given += name_target_statistics(self.target_encoder_)
        names: dict[str, None] = {}
        for name in given:
            while name in names:  # category "x" of column "a" beside a number "a_x"
                name += "_"
            names[name] = None
        return np.array(list(names), dtype=object)

    def _fit(self, X, y) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray | None]:
        """Fit; return the checked and the prepared columns, and the statistics of the target."""
        X = self._validate(X, reset=True)
        self.notations_: dict[str, tuple[str, str]] = {}
        self.kinds_ = {column: self._inspect(values) for column, values in X.items()}
        prepared = self._prepare(X)
        self._category_types = {
            column: name_types(values)
            for column, values in X.items()
            if self.kinds_[column] == "categories"
        }
        categories = [column for column, kind in self.kinds_.items() if kind == "categories"]
        many = [c for c in categories if prepared[c].nunique(dropna=False) > MAX_CATEGORIES]
        self.derived_ = find_recipes(prepared, self.kinds_, many)
        columns = derive(prepared, self.derived_)
        self.columns_ = self._make_transformer(prepared, categories)
        self.columns_.set_output(transform="default").fit(columns)
        self.target_encoder_, statistics = None, None
        target = find_target(y) if many and y is not None else None
        if target is not None:
            self.target_encoder_, statistics = fit_target_statistics(columns[many], target)
        return X, columns, statistics

    def _inspect(self, values: pd.Series) -> str:
        """Find what a column holds, and how its numbers are written if they are text."""
        kind = find_kind(values)
        if kind == "categories" and are_strings(values):
            texts = values.dropna()
            notation = find_notation(texts)
            if notation is not None:
                self.notations_[str(values.name)] = notation.mark, notation.unit
                return "numbers"
            if units := find_mixed_units(texts):
                warn_of_units(values.name, units)
        elif kind == "categories" and values.dtype == object:
            check_categories(values)
        return kind

    def _warn_of_unknown(self, X: pd.DataFrame, prepared: pd.DataFrame) -> None:
        if not self._category_types:
            return
        seen = self.columns_.named_transformers_["categories"].categories_
        categories = dict(zip(self._category_types, seen, strict=True))
        for column, values in X.items():
            if column in categories:
                types = self._category_types[str(column)]
                warn_of_unknown(values, prepared[column], categories[str(column)], types)

    def _make_transformer(self, prepared: pd.DataFrame, categories: list[str]) -> ColumnTransformer:
        numeric = [column for column in prepared if column not in categories]
        few = [column for column in numeric if has_few_levels(prepared[column])]
        scaled = [name for name, (_, part, _) in self.derived_.items() if part in SCALED]
        bounded = [name for name in self.derived_ if name not in scaled]
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
        return ColumnTransformer(
            [
                ("numbers", numbers, numeric + scaled),
                ("levels", levels, few),
                ("categories", one_hot, categories),
                ("bounded", "passthrough", bounded),
            ]
        )

    def _validate(self, X, *, reset: bool) -> pd.DataFrame:
        """Check the columns, against those of `fit` unless they are set, and name them by str."""
        frame = _as_frame(X)
        check_not_empty(frame, "TabularEncoder")
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
        names = prepared.columns.to_list()
        place = {name: position for position, name in enumerate(names)}
        # Of a few rows, pandas takes longer to select columns than all else takes.
        cells = prepared.to_numpy() if len(prepared) <= FEW_ROWS else None
        blocks = [np.empty((len(prepared), 0))]
        for name, transformer, columns in self.columns_.transformers_:
            if name == "remainder" or not len(columns):
                continue
            if cells is not None:
                chosen = cells[:, [place[column] for column in columns]]
            else:
                is_all = len(columns) == len(names) and columns == names
                chosen = prepared if is_all else prepared[columns]
            if name == "numbers":
                imputer, scaler = transformer[0], transformer[1]
                numbers = np.asarray(chosen, dtype=np.float64)
                imputed = np.where(np.isnan(numbers), imputer.statistics_, numbers)
                blocks.append((imputed - scaler.mean_) / scaler.scale_)
            elif name == "bounded":
                blocks.append(np.asarray(chosen, dtype=np.float64))
            elif isinstance(chosen, np.ndarray):
                blocks.append(one_hot_of_few(transformer, chosen))
            else:
                blocks.append(transformer.transform(chosen))
        return np.hstack(blocks).astype(np.float32)

    def _finish(self, encoded: np.ndarray, statistics: np.ndarray | None, prepared: pd.DataFrame):
        """Add the statistics of the target, and make rows without a value rows of NaN."""
        if statistics is not None:
            encoded = np.hstack([encoded, statistics.astype(np.float32)])
        encoded[prepared.isna().to_numpy().all(axis=1)] = np.nan
        return encoded

    def _prepare(self, X: pd.DataFrame) -> pd.DataFrame:
        """Convert numbers to float64 with NaN, dates to seconds, categories to strings and None."""
        numbers = {c for c, kind in self.kinds_.items() if kind == "numbers"} - {*self.notations_}
        columns = zip(X.columns.to_list(), X.dtypes.to_list(), strict=True)
        plain = [column in numbers and _is_plain(dtype) for column, dtype in columns]
        if all(plain) and not X.columns.has_duplicates:
            block = X.to_numpy(np.float64)
            if not (np.abs(block) > LARGEST).any():  # else column by column, to name the first
                return pd.DataFrame(block, columns=X.columns, index=X.index, copy=False)
        prepared = {}
        for is_plain, (column, values) in zip(plain, X.items(), strict=True):
            kind = self.kinds_[column]
            if is_plain:
                prepared[column] = values.to_numpy(np.float64)
                check_finite(prepared[column], values)
            elif column in self.notations_:
                prepared[column] = read_texts(values, Notation(*self.notations_[column]))
            elif kind == "categories":
                names = values.astype(object).map(name_category)
                prepared[column] = names.where(values.notna(), None)
            else:
                prepared[column] = to_float(values, kind)
        return pd.DataFrame(prepared, index=X.index)


def _is_plain(dtype: Any) -> bool:
    """Return whether a column of this type is an array of numbers that needs no conversion."""
    return isinstance(dtype, np.dtype) and dtype.kind in "biuf"


def _as_frame(X) -> pd.DataFrame:
    """Convert a frame, or an array or list of rows, to a pandas frame."""
    if hasattr(X, "columns"):
        return without_arrow_types(X) if isinstance(X, pd.DataFrame) else as_pandas(X)
    check_no_records(X, "TabularEncoder")
    # As objects, for numpy makes strings of the numbers in a list that has both.
    rows = np.asarray(X, dtype=object) if isinstance(X, list | tuple) else X
    options: dict[str, Any] = {"dtype": None, "ensure_all_finite": False}
    return pd.DataFrame(check_array(rows, estimator="TabularEncoder", **options))
