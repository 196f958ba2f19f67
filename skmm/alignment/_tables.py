"""Rows in which all modalities stand side by side, or only some of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from ..fusion._base import FLOATS
from ..fusion._modalities import ColumnScaler, as_slice, find_present


class Table:
    """Rows, which columns of them each modality has, and where it is missing."""

    def __init__(self, values: np.ndarray, groups: Mapping[str, np.ndarray], present: np.ndarray):
        self.values, self.groups, self.present = values, groups, present

    def has(self, name: str) -> np.ndarray:
        """Mark the rows (n,) that have a modality."""
        if name not in self.groups:
            return np.zeros(len(self.values), dtype=bool)
        return self.present[:, list(self.groups).index(name)]

    def scale(
        self, name: str, rows: slice, scaler: ColumnScaler, columns: np.ndarray
    ) -> np.ndarray:
        """Scale a modality of some rows; ``columns`` are its columns where ``scaler`` learned."""
        values = self.values[rows][:, as_slice(self.groups[name])]
        return scaler.take(columns).transform(values, slice(None), np.arange(len(columns)))


def read_table(
    estimator, X, groups: Mapping[str, np.ndarray], modality: str | None = None
) -> Table:
    """Validate rows that have the columns of all modalities, or of some.

    Parameters
    ----------
    estimator : estimator
        Fitted to rows with all columns.
    X : array-like
        An array may have the columns of ``modality`` alone; a frame those of any modalities.
    groups : dict of str to ndarray of int
        The columns of each modality in `fit`.
    modality : str, default=None
        The one that must be there.

    Raises
    ------
    ValueError
        If some columns of a modality are there and some are not, or others are.
    """
    options = {"dtype": FLOATS, "ensure_all_finite": "allow-nan"}
    names = getattr(estimator, "feature_names_in_", None)
    given = list(getattr(X, "columns", []))
    labels = np.arange(estimator.n_features_in_) if names is None else names
    if names is not None and given and set(given) != set(names):
        held = _held(given, labels, groups, modality, type(estimator).__name__)
        wanted = [column for name in held for column in labels[groups[name]]]
        values, labels = check_array(X[wanted], **options), np.array(wanted)
        ends = np.cumsum([len(groups[name]) for name in held])
        groups = {
            name: np.arange(end - len(groups[name]), end)
            for name, end in zip(held, ends, strict=True)
        }
    elif modality is not None and len(groups) > 1 and _width(X) == len(groups[modality]):
        values, labels = check_array(X, **options), labels[groups[modality]]
        groups = {modality: np.arange(len(labels))}
    elif modality is not None and not given and _width(X) not in (None, len(labels)):
        raise ValueError(
            f"X has {_width(X)} columns. An array needs the {len(groups[modality])} columns of "
            f"modality {modality!r}, or all {len(labels)} that {type(estimator).__name__} was "
            "fitted with."
        )
    else:
        values = validate_data(estimator, X, reset=False, **options)
    return Table(values, groups, find_present(values, groups, labels.tolist()))


def _width(X) -> int | None:
    shape = np.shape(X)
    return shape[1] if len(shape) == 2 else None


def _held(given, labels, groups, modality: str | None, estimator: str) -> list[str]:
    """Name the modalities all of whose columns are ``given``; the others must have none there."""
    columns, held = set(given), []
    for name, own in groups.items():
        missing = [column for column in labels[own] if column not in columns]
        if not missing:
            held.append(name)
        elif len(missing) < len(own):
            raise ValueError(
                f"X has {len(own) - len(missing)} of the {len(own)} columns of modality {name!r}, "
                f"and {missing[0]!r} is not among them. Give all columns of a modality, or none."
            )
    known = set(labels)
    unknown = [column for column in given if column not in known]
    if unknown:
        raise ValueError(
            f"X has a column {unknown[0]!r} that {estimator} was not fitted with; the modalities "
            f"of fit are {list(groups)}."
        )
    if modality is not None and modality not in held:
        raise ValueError(
            f"X has no columns of modality {modality!r}, only those of {held or 'none'}; "
            f"{labels[groups[modality]][0]!r} would be the first of them."
        )
    return held
