"""Grids to search: the weights of modalities."""

from __future__ import annotations

import numpy as np

__all__ = ["simplex_grid"]


def simplex_grid(names, step=0.1, *, min_weight=0.0):
    """List the modality weights on a grid, for `GridSearchCV` to choose from.

    Parameters
    ----------
    names : sequence of str
        The modalities.
    step : float, default=0.1
        The distance of the grid's points; 1 must be a multiple of it.
    min_weight : float, default=0.0
        Leave out points at which a modality has less.

    Returns
    -------
    list of dict
        Weights that add up to 1, for the parameter ``modality_weights``.

    Raises
    ------
    ValueError
        If 1 is no multiple of ``step``, or no point gives every modality ``min_weight``.

    Examples
    --------
    >>> from skmm.model_selection import simplex_grid
    >>> simplex_grid(["text", "image"], 0.5)
    [{'text': 0.0, 'image': 1.0}, {'text': 0.5, 'image': 0.5}, {'text': 1.0, 'image': 0.0}]
    """
    names = list(names)
    n_steps = round(1 / step) if 0 < step <= 1 else 0
    if n_steps == 0 or abs(n_steps * step - 1) > 1e-6:
        raise ValueError(
            f"step must divide 1 without a remainder, such as 0.25 or 0.1, got {step}."
        )
    if not names or len(set(names)) < len(names):
        raise ValueError(f"names must be different modalities, at least one; got {names}.")
    least = max(0, int(np.ceil(min_weight * n_steps - 1e-6)))
    points = list(_compositions(n_steps - least * len(names), len(names)))
    if not points:
        raise ValueError(
            f"min_weight={min_weight} for each of {len(names)} modalities is more than 1 in all, "
            f"in steps of {step}."
        )
    return [
        {name: (part + least) / n_steps for name, part in zip(names, point, strict=True)}
        for point in points
    ]


def _compositions(total: int, n_parts: int):
    """Yield the ways to write a total as a sum of parts of 0 or more, in order."""
    if n_parts == 1:
        if total >= 0:
            yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, n_parts - 1):
            yield (first, *rest)
