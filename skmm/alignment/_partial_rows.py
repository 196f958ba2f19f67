"""Rows in which all modalities stand side by side, or only some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from .._data.columns import ModalityColumns, as_slice, find_present
from .._data.rows import number_equal_rows
from .._data.validation import FLOATS


class PartialRows:
    """Validated rows that may lack the columns of some modalities; they live for one call.

    Parameters
    ----------
    values : ndarray of shape (n, n_columns)
        NaN where a modality is missing.
    groups : dict of str to ndarray of int
        The positions of the columns of each modality that ``values`` has.
    present : ndarray of bool, shape (n, len(groups))
        Which of these each row has.
    """

    def __init__(self, values: np.ndarray, groups: Mapping[str, np.ndarray], present: np.ndarray):
        self.values, self.groups, self.present = values, groups, present

    def __len__(self) -> int:
        return len(self.values)

    def has(self, name: str) -> np.ndarray:
        """Mark the rows (n,) that have a modality."""
        if name not in self.groups:
            return np.zeros(len(self), dtype=bool)
        return self.present[:, list(self.groups).index(name)]

    def number_items(self, names: Sequence[str]) -> np.ndarray:
        """Number the distinct values of each modality (n, m): equal rows have equal numbers."""
        items = np.zeros((len(self), len(names)), dtype=int)
        for i, name in enumerate(names):
            if name in self.groups:
                items[:, i] = number_equal_rows(self.values, self.groups[name])
        return items


def check_queries(rows: PartialRows, modality: str | None) -> None:
    """Raise if no query has anything to search by, or one has nothing but zeros."""
    names = list(rows.groups) if modality is None else [modality]
    present = np.stack([rows.has(name) for name in names])
    if not present.any():
        raise ValueError(
            f"X_query has no row to search by: {' and '.join(map(repr, names))} "
            "missing from all (None or NaN)."
        )
    blank = np.stack([~rows.values[:, as_slice(rows.groups[name])].any(1) for name in names])
    wide = np.array([[len(rows.groups[name]) > 1] for name in names])
    empty = present.any(0) & (~present | (blank & wide)).all(0)
    if empty.any():
        raise ValueError(
            f"Row {empty.argmax()} of X_query is 0 in all columns of "
            f"{' and '.join(map(repr, names))}, as an empty text is, or one without any word that "
            "TextDescriptor knows: there is nothing to search by. Leave it out, or ask in other "
            "words."
        )


def read_partial_rows(
    estimator, X, columns: ModalityColumns, modality: str | None = None
) -> PartialRows:
    """Validate rows that have the columns of all modalities, or of some.

    Parameters
    ----------
    estimator : estimator
        Fitted to rows with all columns.
    X : array-like
        An array may have the columns of ``modality`` alone; a frame those of any modalities.
    columns : ModalityColumns
        Those of `fit`.
    modality : str, default=None
        The one whose columns X needs.

    Raises
    ------
    ValueError
        If X has some columns of a modality and lacks others, or has columns of no modality.
    """
    options = {"dtype": FLOATS, "ensure_all_finite": "allow-nan"}
    estimator_name, groups = type(estimator).__name__, columns.groups
    labels = np.array(columns.labels, dtype=object)
    x_names = list(getattr(X, "columns", []))
    has_names = hasattr(estimator, "feature_names_in_")
    if has_names and x_names and set(x_names) != set(columns.labels):
        held = _find_held(x_names, columns, modality, estimator_name)
        labels = np.concatenate([labels[groups[name]] for name in held])
        values, groups = check_array(X[labels.tolist()], **options), _renumber(groups, held)
    elif modality is not None and len(groups) > 1 and _width(X) == len(groups[modality]):
        labels = labels[groups[modality]]
        values, groups = check_array(X, **options), _renumber(groups, [modality])
    elif modality is not None and not x_names and _width(X) not in (None, len(labels)):
        raise ValueError(
            f"X has {_width(X)} columns. An array needs the {len(groups[modality])} columns of "
            f"modality {modality!r}, or all {len(labels)} that {estimator_name} was fitted with."
        )
    else:
        values = np.asarray(validate_data(estimator, X, reset=False, **options))
    return PartialRows(values, groups, find_present(values, groups, labels.tolist()))


def _renumber(groups: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the positions of some modalities' columns where these stand side by side."""
    ends = np.cumsum([len(groups[name]) for name in names])
    return {
        name: np.arange(end - len(groups[name]), end) for name, end in zip(names, ends, strict=True)
    }


def _width(X) -> int | None:
    shape = np.shape(X)
    return shape[1] if len(shape) == 2 else None


def _find_held(
    x_names: Sequence, columns: ModalityColumns, modality: str | None, estimator: str
) -> list[str]:
    """Find the modalities all of whose columns X has; of the others it may have none."""
    found, held = set(x_names), []
    for name, labels in columns.named.items():
        missing = [label for label in labels if label not in found]
        if not missing:
            held.append(name)
        elif len(missing) < len(labels):
            raise ValueError(
                f"X has {len(labels) - len(missing)} of the {len(labels)} columns of modality "
                f"{name!r}, and {missing[0]!r} is not among them. Give all columns of a modality, "
                "or none."
            )
    known = set(columns.labels)
    unknown = [column for column in x_names if column not in known]
    if unknown:
        raise ValueError(
            f"X has a column {unknown[0]!r} that {estimator} was not fitted with; the modalities "
            f"of fit are {columns.names}."
        )
    if not held:
        raise ValueError(
            f"X has columns of no modality; those of fit are {columns.names}, and "
            f"{columns.named[columns.names[0]][0]!r} is the first column of the first of them."
        )
    if modality is not None and modality not in held:
        raise ValueError(
            f"X has no columns of modality {modality!r}, only those of {held or 'none'}; "
            f"{columns.named[modality][0]!r} would be the first of them."
        )
    return held
