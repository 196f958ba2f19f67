"""Synthetic multimodal data whose generating model is known."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

_FRACTION = Interval(Real, 0, 1, closed="both")


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": ["array-like"],
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "informativeness": [_FRACTION, "array-like"],
        "redundancy": [_FRACTION],
        "missing_rate": [_FRACTION, "array-like"],
        "modality_names": ["array-like", None],
        "weights": ["array-like", None],
        "class_sep": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_multimodal_classification(
    n_samples: int = 100,
    *,
    n_features: Sequence[int] = (20, 20),
    n_classes: int = 2,
    informativeness: float | Sequence[float] = 1.0,
    redundancy: float = 0.0,
    missing_rate: float | Sequence[float] = 0.0,
    modality_names: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    class_sep: float = 1.0,
    random_state=None,
) -> tuple[pd.DataFrame, np.ndarray]:
    r"""Generate a classification problem seen by several modalities.

    The model is simple enough that the best possible accuracy is known, so that what a fusion
    model does with informative, useless, redundant or missing modalities can be checked.

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows.

    n_features : sequence of int, default=(20, 20)
        Number of columns of each modality; its length is the number of modalities. Each must
        be at least ``n_classes - 1``, the dimensions that the classes need.

    n_classes : int, default=2
        Number of classes.

    informativeness : float or sequence of float, default=1.0
        How much each modality reveals of the class, in [0, 1]: the distance between its class
        centroids as a share of ``2 * class_sep``. At 0 the modality is noise.

    redundancy : float, default=0.0
        How much of the noise the modalities share, in [0, 1]. At 0 their errors are independent
        given the class, so that each further modality helps. At 1 a modality that is no more
        informative than another adds nothing to it.

    missing_rate : float or sequence of float, default=0.0
        Share of the rows in which a modality is missing, in [0, 1]: all its columns are NaN in
        ``round(missing_rate * n_samples)`` rows, drawn for each modality on its own. With more
        than one, a row may lose all of them.

    modality_names : sequence of str, default=None
        Names of the modalities; None names them ``modality0``, ``modality1`` and so on.

    weights : sequence of float, default=None
        Share of each class, normalised to a sum of 1; None makes the classes equally frequent.

    class_sep : float, default=1.0
        Half the distance between the class centroids of a modality of informativeness 1, in
        standard deviations of the noise.

    random_state : int, RandomState instance or None, default=None
        Determines the data. Calls that differ only in `informativeness`, `redundancy`,
        `class_sep` or `missing_rate` use the same random numbers.

    Returns
    -------
    X : DataFrame of shape (n_samples, sum(n_features)), float32
        The columns are named ``<modality>__<number>``.

    y : ndarray of shape (n_samples,), int
        The classes, 0 to ``n_classes - 1``.

    Raises
    ------
    ValueError
        If a parameter that is given per modality or per class has the wrong length or a value
        out of its range, or if the names are not distinct.

    See Also
    --------
    load_openmoji : Real texts and pictures with a class.
    sklearn.datasets.make_classification : One modality, with more ways to shape it.

    Notes
    -----
    Let :math:`c_k` be the corners of a regular simplex in n_classes - 1 dimensions with edges of
    length 2, and :math:`s_m` the informativeness of modality m. In row i of class :math:`y_i`
    the modality's signal is

    .. math:: z_{im} = s_m \cdot class\_sep \cdot c_{y_i} + \varepsilon_{im}

    where every coordinate of :math:`\varepsilon_{im}` is standard normal, with correlation
    :math:`redundancy \cdot \min(s_m, s_n) / \max(s_m, s_n)` between modalities m and n
    (0 if either is 0) and none between rows or coordinates. The columns are
    :math:`x_{im} = Q_m [z_{im}, \eta_{im}]`, with :math:`\eta_{im}` standard normal and
    :math:`Q_m` a random rotation, so that within a class each column has variance 1.

    The ratio min/max makes a fully redundant modality of less information a noisier copy of the
    better one. Noise shared in full by signals of unequal strength would instead give the class
    away: it cancels in their difference.

    For two equally frequent classes the best possible accuracy is
    :math:`\Phi(class\_sep \cdot s_m)` from one modality and, if redundancy is 0,
    :math:`\Phi(class\_sep \cdot \sqrt{\sum_m s_m^2})` from all: .84 and .92 for the defaults.

    Examples
    --------
    >>> from skmm.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(
    ...     n_samples=200,
    ...     n_features=(2, 3),
    ...     modality_names=("text", "image"),
    ...     informativeness=(0.9, 0.0),
    ...     missing_rate=(0.0, 0.25),
    ...     random_state=0,
    ... )
    >>> list(X.columns)
    ['text__0', 'text__1', 'image__0', 'image__1', 'image__2']
    >>> int(X["image__0"].isna().sum())
    50
    >>> np.bincount(y).tolist()
    [100, 100]
    """
    widths = _check_widths(n_features, n_classes)
    names = _check_names(modality_names, n_modalities=len(widths))
    signal = _as_array_by_modality("informativeness", informativeness, n_modalities=len(widths))
    missing = _as_array_by_modality("missing_rate", missing_rate, n_modalities=len(widths))
    shares = _check_weights(weights, n_classes)
    rng = check_random_state(random_state)

    y = _draw_classes(n_samples, shares, rng)
    rotations = [_random_rotation(width, rng) for width in widths]
    noise = rng.standard_normal((n_samples, n_classes - 1, len(widths)))
    noise = noise @ _matrix_square_root(_noise_correlation(signal, redundancy))  # (n, k - 1, m)
    centroids = class_sep * _simplex(n_classes)[y]  # (n, k - 1)

    blocks = []
    for m, (width, rotation) in enumerate(zip(widths, rotations, strict=True)):
        latent = signal[m] * centroids + noise[:, :, m]
        filler = rng.standard_normal((n_samples, width - latent.shape[1]))
        blocks.append(np.hstack([latent, filler]) @ rotation)
    for block, rate in zip(blocks, missing, strict=True):
        block[rng.permutation(n_samples)[: round(rate * n_samples)]] = np.nan

    columns = [
        f"{name}__{j}" for name, width in zip(names, widths, strict=True) for j in range(width)
    ]
    return pd.DataFrame(np.hstack(blocks).astype(np.float32), columns=columns), y


def _check_widths(n_features, n_classes: int) -> list[int]:
    widths = list(n_features)
    if not widths:
        raise ValueError(
            "n_features must have one width for each modality, such as (20, 20), got ()."
        )
    for width in widths:
        if not isinstance(width, Integral) or width < n_classes - 1:
            raise ValueError(
                f"n_features must be integers of at least n_classes - 1 = {n_classes - 1}, "
                f"got {width!r} in {widths}."
            )
    return [int(width) for width in widths]


def _check_names(modality_names, *, n_modalities: int) -> list[str]:
    if modality_names is None:
        return [f"modality{m}" for m in range(n_modalities)]
    names = list(modality_names)
    if len(names) != n_modalities:
        raise ValueError(
            f"modality_names has {len(names)} names for the {n_modalities} modalities of "
            "n_features."
        )
    for name in names:
        if not isinstance(name, str) or not name or "__" in name:
            raise ValueError(
                "modality_names must be non-empty strings without '__', which separates the "
                f"modality from the feature in a column's name; got {name!r}."
            )
    if len(set(names)) < len(names):
        raise ValueError(f"modality_names must be distinct, got {names}.")
    return names


def _as_array_by_modality(parameter: str, value, *, n_modalities: int) -> np.ndarray:
    values = np.asarray(value, dtype=float)
    if values.ndim == 0:
        values = np.full(n_modalities, values)
    if values.shape != (n_modalities,):
        raise ValueError(
            f"{parameter} must be one number or one for each of the {n_modalities} modalities, "
            f"got an array of shape {values.shape}."
        )
    if not np.all((values >= 0) & (values <= 1)):
        raise ValueError(f"{parameter} must lie in [0, 1], got {values.tolist()}.")
    return values


def _check_weights(weights, n_classes: int) -> np.ndarray:
    if weights is None:
        return np.full(n_classes, 1 / n_classes)
    shares = np.asarray(weights, dtype=float)
    if shares.shape != (n_classes,):
        raise ValueError(
            f"weights must have one number for each of the {n_classes} classes, got an array of "
            f"shape {shares.shape}."
        )
    if not np.all(np.isfinite(shares) & (shares >= 0)) or shares.sum() == 0:
        raise ValueError(f"weights must be non-negative with a sum > 0, got {shares.tolist()}.")
    return shares / shares.sum()


def _draw_classes(n_samples: int, shares: np.ndarray, rng) -> np.ndarray:
    """Draw classes in random order; each count is within one of its share of the rows."""
    edges = np.round(np.cumsum(shares) * n_samples).astype(int)
    y = np.repeat(np.arange(len(shares)), np.diff(edges, prepend=0))
    return rng.permutation(y)


def _simplex(n_corners: int) -> np.ndarray:
    """Corners of a regular simplex with edges of length 2, (n_corners, n_corners - 1)."""
    # One-hot rows are sqrt(2) apart; a Helmert basis drops the direction they have in common.
    basis = np.tri(n_corners, k=0)[:-1]  # row j: j + 1 ones ...
    basis[np.arange(n_corners - 1), np.arange(1, n_corners)] = -np.arange(1, n_corners)
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    return np.sqrt(2) * basis.T


def _noise_correlation(signal: np.ndarray, redundancy: float) -> np.ndarray:
    """Correlation of the modalities' noise, (m, m)."""
    low = np.minimum.outer(signal, signal)
    high = np.maximum.outer(signal, signal)
    ratio = np.divide(low, high, out=np.zeros_like(low), where=high > 0)
    correlation = redundancy * ratio
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _matrix_square_root(symmetric: np.ndarray) -> np.ndarray:
    """Symmetric root of a positive semi-definite matrix, which may be singular."""
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def _random_rotation(n: int, rng) -> np.ndarray:
    """Orthogonal (n, n) matrix, uniformly distributed."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.sign(np.diag(r))
