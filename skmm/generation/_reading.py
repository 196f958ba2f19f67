"""X as users pass it: validated, through the transformer if there is one, and its source texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import check_array
from sklearn.utils.validation import _check_feature_names, _check_n_features, validate_data

from .._data.columns import ModalityColumns, find_present, group_columns
from .._data.validation import FLOATS, friendlier_errors
from ._problem import InputRows, read_source, split_source
from ._settings import PRIOR, SOURCE

if TYPE_CHECKING:
    from ._generator import FusionTextGenerator


def read_training_rows(generator: FusionTextGenerator, X) -> tuple[InputRows, ModalityColumns]:
    """Validate the rows of `fit`, and fit the transformer to them; also return the modalities."""
    if generator.transformer is None:
        features, source = _read_table(generator, X, reset=True)
        names = getattr(generator, "feature_names_in_", None)
    else:
        _check_feature_names(generator, X, reset=True)
        _check_n_features(generator, X, reset=True)
        source = None if generator.source is None else read_source(X, generator.source)
        generator.transformer_ = clone(generator.transformer)
        features, names = _read_features(generator.transformer_.fit_transform(X))
    groups = group_columns(generator.modalities, names, features.shape[1])
    taken = {PRIOR, SOURCE} & {*groups}
    if taken:
        raise ValueError(
            f"X has a modality called {min(taken)!r}, a name that contributions has for "
            "something else: rename it."
        )
    labels = np.arange(features.shape[1]) if names is None else names
    columns = ModalityColumns(groups, labels.tolist())
    return _make_rows(features, source, columns), columns


def read_rows(generator: FusionTextGenerator, X, columns: ModalityColumns) -> InputRows:
    """Validate rows to generate texts for."""
    if generator.transformer is None:
        features, source = _read_table(generator, X, reset=False)
    else:
        source = None if generator.source is None else read_source(X, generator.source)
        features, _ = _read_features(generator.transformer_.transform(X))
    return _make_rows(features, source, columns)


def _read_table(
    generator: FusionTextGenerator, X, reset: bool
) -> tuple[np.ndarray, list[str] | None]:
    """Validate a table of features, and a column of source texts among them."""
    X, source = split_source(X, generator.source)
    with friendlier_errors(X, generator):
        X = validate_data(generator, X, dtype=FLOATS, ensure_all_finite="allow-nan", reset=reset)
    return np.asarray(X), source


def _read_features(features) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what a transformer gave as an array, with the names of its columns."""
    names = None
    if isinstance(features, pd.DataFrame):
        names = np.array(features.columns, dtype=object)
        features = features.to_numpy()
    return check_array(features, dtype=FLOATS, ensure_all_finite="allow-nan"), names


def _make_rows(
    features: np.ndarray, source: list[str] | None, columns: ModalityColumns
) -> InputRows:
    present = find_present(features, columns.network_groups, columns.labels)
    return InputRows(features, present, source)
