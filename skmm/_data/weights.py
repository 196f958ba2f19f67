"""From what a user writes for alpha, lambda and gamma to arrays in the user's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np


def resolve_modality_weights(modality_weights, names: Sequence[str]) -> np.ndarray:
    """Convert ``modality_weights`` into alpha, of shape (n_modalities,), which sums to 1."""
    if modality_weights is None or isinstance(modality_weights, str):  # learned, or "uniform"
        return np.full(len(names), 1 / len(names))
    alpha = _per_modality("modality_weights", modality_weights, names)
    if not alpha.any():
        raise ValueError(
            f"modality_weights={dict(modality_weights)} gives every modality a weight of 0; "
            "at least one must be above 0."
        )
    alpha = alpha / alpha.max()  # so that no sum overflows
    return alpha / alpha.sum()


def resolve_modality_loss_weight(modality_loss_weight, names: Sequence[str]) -> np.ndarray:
    """Convert ``modality_loss_weight`` into lambda, of shape (n_modalities,)."""
    if isinstance(modality_loss_weight, Real):
        lambda_ = np.full(len(names), float(modality_loss_weight))
        _check_values("modality_loss_weight", lambda_)
        return lambda_
    return _per_modality("modality_loss_weight", modality_loss_weight, names)


def resolve_alignment_weight(alignment_weight, names: Sequence[str]) -> np.ndarray:
    """Convert ``alignment_weight`` into gamma (n_modalities, n_modalities) with a zero diagonal."""
    n = len(names)
    if isinstance(alignment_weight, Real):
        gamma = np.full((n, n), float(alignment_weight))
        _check_values("alignment_weight", gamma)
        np.fill_diagonal(gamma, 0.0)
        return gamma
    if isinstance(alignment_weight, Mapping):
        return _from_pairs(alignment_weight, names)
    try:
        gamma = np.asarray(alignment_weight, dtype=float)
    except (TypeError, ValueError) as e:
        raise ValueError(f"alignment_weight as a matrix must hold numbers: {e}.") from e
    if gamma.shape != (n, n):
        raise ValueError(
            f"alignment_weight as a matrix must have shape ({n}, {n}), a row and a column for each "
            f"of {list(names)}; got shape {gamma.shape}."
        )
    _check_values("alignment_weight", gamma)
    if np.diag(gamma).any():
        raise ValueError(
            "alignment_weight has values on its diagonal; a modality is not aligned with itself: "
            "set them to 0."
        )
    return gamma


def _per_modality(parameter: str, values: Mapping, names: Sequence[str]) -> np.ndarray:
    _check_names(parameter, values, names)
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(
            f"{parameter} has no value for {missing}; give every modality one, 0 to leave it out. "
            f"The modalities are {list(names)}."
        )
    wrong = [name for name in names if not isinstance(values[name], Real)]
    if wrong:
        raise ValueError(f"{parameter}[{wrong[0]!r}] must be a number, got {values[wrong[0]]!r}.")
    array = np.array([float(values[name]) for name in names])
    _check_values(parameter, array)
    return array


def _from_pairs(pairs: Mapping, names: Sequence[str]) -> np.ndarray:
    """Fill gamma; a pair stands for both directions, unless the other one is a key, too."""
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(
                "The keys of alignment_weight must be pairs of two modalities, such as "
                f'("text", "image"); got {pair!r}.'
            )
        _check_names("alignment_weight", pair, names)
        if not isinstance(pairs[pair], Real):
            raise ValueError(f"alignment_weight[{pair!r}] must be a number, got {pairs[pair]!r}.")
    gamma = np.zeros((len(names), len(names)))
    where = {name: i for i, name in enumerate(names)}
    for (a, b), value in pairs.items():
        gamma[where[a], where[b]] = value
        gamma[where[b], where[a]] = pairs.get((b, a), value)
    _check_values("alignment_weight", gamma)
    return gamma


def _check_names(parameter: str, keys, names: Sequence[str]) -> None:
    unknown = [name for name in keys if name not in names]
    if unknown:
        raise ValueError(
            f"{parameter} names {unknown[0]!r}, which is not a modality of X. "
            f"The modalities are {list(names)}."
        )


def _check_values(parameter: str, array: np.ndarray) -> None:
    if not np.isfinite(array).all() or (array < 0).any():
        wrong = array[~(np.isfinite(array) & (array >= 0))][0]
        raise ValueError(f"{parameter} must be finite and not negative, got {wrong}.")
