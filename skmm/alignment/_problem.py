"""What is to be aligned: X as an array, with the rows that have modalities to compare."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._data.columns import ModalityColumns, find_present


class AlignmentProblem(NamedTuple):
    """Rows of X as validated, before any is selected or scaled; they live for one fit.

    Modalities are in the user's order, which is that of the aligner's network too.
    """

    X: np.ndarray  # (n, n_columns), NaN where a modality is missing
    present: np.ndarray  # (n, m) which modalities each row has
    is_paired: np.ndarray  # (n,) which rows are trained on
    codes: np.ndarray | None  # (n,) numbers of classes, where rows of a class are brought together
    columns: ModalityColumns

    @property
    def widths(self) -> list[int]:
        """How many columns each modality has."""
        return [len(positions) for positions in self.columns.groups.values()]


def make_problem(
    X: np.ndarray, codes: np.ndarray | None, columns: ModalityColumns
) -> AlignmentProblem:
    """Find out which modalities each row has, and which rows have modalities to compare.

    Raises
    ------
    ValueError
        If there are too few of these, none that has a certain modality, or a modality is NaN in
        some of its columns only.
    """
    present = find_present(X, columns.groups, columns.labels)
    return AlignmentProblem(X, present, _find_paired(present, columns.names), codes, columns)


def _find_paired(present: np.ndarray, names: list[str]) -> np.ndarray:
    """Mark the rows that have two modalities; of one modality alone, those that have it."""
    is_paired = present.sum(1) >= min(2, len(names))
    if is_paired.sum() < 2:
        raise ValueError(
            f"{is_paired.sum()} of {len(is_paired)} rows have two modalities; at least 2 are "
            f"needed to learn from. The modalities are {names}, and one is missing from a row if "
            "all of its columns are NaN there."
        )
    absent = [
        name for name, rows in zip(names, present[is_paired].T, strict=True) if not rows.any()
    ]
    if absent:
        raise ValueError(
            f"No row has modality {absent[0]!r} together with another one, so that its place in "
            "the shared space is not known. Leave its columns out, or check the step that makes "
            "them."
        )
    return is_paired
