"""Which columns a modality has, and in which rows it is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Integral

import numpy as np

SINGLE_MODALITY = "all"
INTERACTION = "interaction"  # the name of f_inter among those of the modalities
CHUNK_VALUES = 2**18  # values worked on at a time: what fits a processor's cache


class ModalityColumns:
    """The columns of each modality, in the user's order of modalities and in the network's.

    A network knows the modalities in alphabetical order, so that their order in X changes nothing.
    The two orders are crossed by `to_network` and `to_user`, and nowhere else.

    Parameters
    ----------
    groups : dict of str to ndarray of int
        The positions of each modality's columns, in the user's order.
    labels : list
        What the columns of X are called: their names, or their positions.
    """

    def __init__(self, groups: Mapping[str, np.ndarray], labels: list):
        self.groups = dict(groups)
        self.labels = labels
        self.names = list(groups)
        self._order = sorted(range(len(self.names)), key=self.names.__getitem__)
        self.network_names = [self.names[i] for i in self._order]

    @property
    def network_groups(self) -> dict[str, np.ndarray]:
        """The columns of each modality, in the network's order."""
        return {name: self.groups[name] for name in self.network_names}

    @property
    def named(self) -> dict[str, list]:
        """The labels of each modality's columns, in the user's order."""
        return {
            name: [self.labels[i] for i in positions] for name, positions in self.groups.items()
        }

    def to_network(self, values: np.ndarray, axis: int = 0) -> np.ndarray:
        """Reorder modalities, along ``axis``, from the user's order to the network's."""
        return np.take(values, self._order, axis=axis)

    def to_user(self, values: np.ndarray, axis: int = 0) -> np.ndarray:
        """Reorder modalities, along ``axis``, from the network's order to the user's."""
        return np.take(values, np.argsort(self._order), axis=axis)


def group_columns(modalities, feature_names, n_features: int) -> dict[str, np.ndarray]:
    """Find the columns of each modality.

    Parameters
    ----------
    modalities : None, "prefix" or dict
        As in `FusionClassifier`.
    feature_names : ndarray of str or None
    n_features : int

    Returns
    -------
    dict of str to ndarray of int
        In the order in which the modalities first stand in the data, or in the dict.
    """
    if isinstance(modalities, Mapping):
        return _from_mapping(modalities, feature_names, n_features)
    names = [] if feature_names is None else list(feature_names)
    prefixes = [_prefix(name) for name in names]
    without = [name for name, prefix in zip(names, prefixes, strict=True) if prefix is None]
    if modalities is None and len(without) == len(prefixes):
        return {SINGLE_MODALITY: np.arange(n_features)}
    if not prefixes:
        raise ValueError(
            'modalities="prefix" reads the modalities from column names such as "text__0", but X '
            "has no column names. Pass a DataFrame, or modalities as a dict such as "
            '{"text": 384, "image": 512} (widths, in the order of the columns).'
        )
    if without:
        raise ValueError(
            f'Columns are named "modality__feature", but {len(without)} have no such prefix, the '
            f"first being {without[0]!r}. Rename them (say tabular__{without[0]}) or pass "
            "modalities as a dict of name -> columns."
        )
    groups: dict[str, list[int]] = {}
    for position, prefix in enumerate(prefixes):
        if prefix is not None:
            groups.setdefault(prefix, []).append(position)
    return {name: np.array(positions) for name, positions in groups.items()}


def _prefix(name: str) -> str | None:
    head, separator, _ = name.partition("__")
    return head if separator and head else None


def _from_mapping(modalities: Mapping, feature_names, n_features: int) -> dict[str, np.ndarray]:
    if not modalities:
        raise ValueError("modalities is an empty dict: name at least one modality.")
    if not all(isinstance(name, str) for name in modalities):
        raise ValueError(f"The names in modalities must be strings, got {list(modalities)}.")
    groups = {}
    if all(isinstance(width, Integral) for width in modalities.values()):
        ends = np.cumsum(list(modalities.values()))
        if min(modalities.values()) < 1 or ends[-1] != n_features:
            raise ValueError(
                f"The widths in modalities={dict(modalities)} must be positive and add up to the "
                f"{n_features} columns of X; they add up to {ends[-1]}."
            )
        starts = np.concatenate([[0], ends[:-1]])
        for name, start, end in zip(modalities, starts, ends, strict=True):
            groups[name] = np.arange(start, end)
    else:
        for name, columns in modalities.items():
            groups[name] = _positions(name, columns, feature_names, n_features)
    used, counts = np.unique(np.concatenate(list(groups.values())), return_counts=True)
    if counts.max() > 1:
        twice = used[counts.argmax()]
        column = int(twice) if feature_names is None else feature_names[twice]
        raise ValueError(
            f"modalities assigns a column to two modalities, {column!r}; each belongs to one."
        )
    return groups


def _positions(name: str, columns, feature_names, n_features: int) -> np.ndarray:
    """Convert a slice, positions or column names into positions."""
    if isinstance(columns, slice):
        if not all(isinstance(end, Integral | None) for end in (columns.start, columns.stop)):
            raise ValueError(
                f"modalities[{name!r}] must be a slice of positions, or a list of names, got "
                f"{columns}."
            )
        positions = np.arange(n_features)[columns]
    else:
        columns = np.atleast_1d(np.asarray(columns))
        if columns.dtype.kind in "iu":
            positions = columns
        else:
            where = {} if feature_names is None else {c: i for i, c in enumerate(feature_names)}
            unknown = [column for column in columns.tolist() if column not in where]
            if unknown:
                known = "no column names" if feature_names is None else list(feature_names[:10])
                raise ValueError(
                    f"modalities[{name!r}] names the column {unknown[0]!r}, but X has {known}."
                )
            positions = np.array([where[column] for column in columns.tolist()])
    if len(positions) == 0 or positions.min() < -n_features or positions.max() >= n_features:
        raise ValueError(
            f"modalities[{name!r}] must give at least one of the {n_features} columns of X, "
            f"got {columns}."
        )
    return positions % n_features


def find_present(X: np.ndarray, groups: Mapping[str, np.ndarray], labels) -> np.ndarray:
    """Mark the rows in which each modality is present.

    A modality is missing from a row if all of its columns are NaN there. ``labels`` are the names
    of all columns, for the message.

    Returns
    -------
    ndarray of bool, shape (n_samples, n_modalities)

    Raises
    ------
    ValueError
        If some of a modality's columns are NaN in a row and some are not.
    """
    present = np.ones((len(X), len(groups)), dtype=bool)
    for i, (name, columns) in enumerate(groups.items()):
        for rows in row_chunks(len(X), len(columns)):
            missing = np.isnan(X[rows, as_slice(columns)])
            n_missing = missing.sum(1)
            partial = np.flatnonzero((n_missing > 0) & (n_missing < len(columns)))
            if len(partial):
                first = partial[0]
                raise ValueError(
                    f"Row {rows.start + first} has NaN in {n_missing[first]} of the {len(columns)} "
                    f"columns of modality {name!r}, the first being column "
                    f"{labels[columns[missing[first].argmax()]]!r}. A modality is missing from a "
                    "row if all of its columns are NaN; impute single values first (SimpleImputer, "
                    "or ModalityTransformer, which does it for tabular columns)."
                )
            present[rows, i] = n_missing == 0
    return present


def number_features(n_features: int) -> np.ndarray:
    """Name features by their numbers, from "0" on."""
    return np.arange(n_features).astype(str).astype(object)


def as_slice(columns: np.ndarray) -> np.ndarray | slice:
    """Return a run of columns as a slice, which is read without a copy."""
    if len(columns) == columns[-1] - columns[0] + 1 and (np.diff(columns) == 1).all():
        return slice(columns[0], columns[-1] + 1)
    return columns


def row_chunks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Iterate over slices of rows that fit a processor's cache."""
    size = max(1, CHUNK_VALUES // max(n_columns, 1))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))
