"""Rows and classes as users pass them: checked, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets

from .frames import check_no_records

FLOATS = [np.float64, np.float32]
FLOAT_DTYPES = {np.dtype(kind) for kind in FLOATS}


@contextmanager
def friendlier_errors(X, estimator) -> Iterator[None]:
    """Explain what to do with raw columns, or an array per modality, where validating X fails.

    Raises
    ------
    ValueError
        With the same cause, where ``X`` is one of these.
    """
    try:
        yield
    except (TypeError, ValueError) as e:
        name = type(estimator).__name__
        if _holds_tables(X):
            raise ValueError(
                f"{name} takes one table, got a {type(X).__name__} of arrays, one for each "
                "modality. Put them side by side, np.hstack([text, image]), and give their "
                f"widths: {name}(modalities={{'text': text.shape[1], 'image': image.shape[1]}})."
            ) from e
        check_no_records(X, name)
        column = _raw_column(X)
        if column is not None and str(e).startswith("The feature names should match"):
            raise ValueError(
                f"{name} was fitted to encoded columns, such as "
                f"{str(estimator.feature_names_in_[0])!r}, and got raw ones, such as {column!r}. "
                "Give it what the steps before it make of them, model[:-1].transform(X) in a "
                "pipeline."
            ) from e
        if column is not None:
            raise ValueError(
                f"{name} takes numbers, and column {column!r} does not hold them ({e}). Put the "
                f"step before it that encodes raw columns: make_pipeline(ModalityTransformer(), "
                f"{name}())."
            ) from e
        if _holds_text(X):
            raise ValueError(
                f"{name} takes numbers, and X does not hold them ({e}). Encode raw inputs first, "
                "by the step that encoded the rows of fit."
            ) from e
        raise


def _holds_tables(X) -> bool:
    if isinstance(X, dict) and not sparse.issparse(X):  # of which one kind is a dict
        X = [*X.values()]
    return isinstance(X, list | tuple) and any(getattr(part, "ndim", 0) == 2 for part in X)


def _holds_text(X) -> bool:
    if not isinstance(X, str | list | tuple | np.ndarray):
        return False
    values = np.asarray(X, dtype=object)
    try:
        values.astype(np.float64)
    except (TypeError, ValueError):
        return any(isinstance(value, str) for value in values.flat)
    return False


def _raw_column(X):
    """Return the first column of a frame that does not hold numbers, or None."""
    if not isinstance(X, pd.DataFrame):
        return None
    for i, column in enumerate(X.columns):
        try:
            X.iloc[:, i].astype(np.float64)
        except (TypeError, ValueError):
            return column
    return None


def find_classes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes in y, sorted, and the number of the class of each row.

    Raises
    ------
    ValueError
        If they have no order, as strings and numbers, or are no classes.
    """
    try:
        classes, codes = np.unique(y, return_inverse=True)
    except TypeError as e:
        kinds = [type(value).__name__ for value in y]
        row = next(i for i, kind in enumerate(kinds) if kind != kinds[0])
        raise ValueError(
            f"y mixes classes that have no order: {kinds[0]} ({y[0]!r} in row 0) and {kinds[row]} "
            f"({y[row]!r} in row {row}). Make them of one type, say all str."
        ) from e
    check_classification_targets(y)
    return classes, codes


def check_known(values, name: str) -> None:
    """Raise on None, NaN and NA in a column ``name`` of classes or of group labels.

    Raises
    ------
    ValueError
        If there are any.
    """
    if values is None:  # scikit-learn says so better
        return
    unknown = pd.isna(
        values if isinstance(values, np.ndarray) else np.asarray(values, dtype=object)
    )
    if np.ndim(unknown) == 1 and unknown.any():
        raise ValueError(
            f"Input {name} contains NaN or None (the first in row {unknown.argmax()}). Each row "
            "needs one; leave the others out."
        )
