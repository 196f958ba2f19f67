"""EmbeddingDisplay: the fused representation in two dimensions."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils._indexing import _safe_indexing
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from .._data.validation import check_known
from ._fitted import as_frame_or_array, unwrap
from ._style import COLORS, MARKERS, SHADES, draw_legend, make_axes, shorten_label

MAX_CLASSES = 30


class EmbeddingDisplay:
    """The fused representation of rows in two dimensions, each row a point.

    Each class has its colour and shape; numbers are shades on a colour bar.

    Parameters
    ----------
    coordinates : ndarray of shape (n_samples, 2)
        The positions of the rows.
    y : ndarray of shape (n_samples,), default=None
        Classes or numbers.
    axis_names : tuple of str, default=("", "")
        The labels of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    points_ : list of PathCollection
        The points: of each class, or all in one.

    See Also
    --------
    skmm.FusionClassifier.transform : Compute the fused representation.

    Examples
    --------
    >>> from skmm import MLP, AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.inspection import EmbeddingDisplay
    >>> X, y = make_multimodal_classification(modality_names=("text", "image"), random_state=0)
    >>> model = FusionClassifier("weighted", modality_model=MLP(8), solver=AdamW(max_iter=5))
    >>> EmbeddingDisplay.from_estimator(model.fit(X, y), X, y).coordinates.shape
    (100, 2)
    """

    def __init__(
        self,
        *,
        coordinates: np.ndarray,
        y: np.ndarray | None = None,
        axis_names: tuple[str, str] = ("", ""),
    ):
        self.coordinates = coordinates
        self.y = y
        self.axis_names = axis_names

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, reducer=None, subsample=2_000, random_state=None, ax=None
    ):
        """Fuse rows by a fitted estimator, and plot them in two dimensions.

        Parameters
        ----------
        estimator : estimator
            A fitted `FusionClassifier` or `FusionRegressor`, `LateFusionClassifier` (whose
            probabilities are taken for its representation), a Pipeline or search that ends in one,
            or anything else with `transform`.
        X : DataFrame or array-like of shape (n_samples, n_columns)
            The rows.
        y : array-like of shape (n_samples,), default=None
            Classes or numbers, by which the points are coloured.
        reducer : transformer, default=None
            Reduces many columns to two by `fit_transform`, such as `sklearn.manifold.TSNE`; a clone
            of it is fitted. None is `PCA`, whose axes say which share of the variance they hold.
        subsample : int, default=2000
            The largest number of rows to draw, chosen at random; None draws all.
        random_state : int, RandomState instance or None, default=None
            Determines which rows are drawn.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        EmbeddingDisplay
            The Display.

        Raises
        ------
        TypeError
            If the estimator has no representation, or the reducer no `fit_transform`.
        ValueError
            If the reducer does not return two columns, or y is not one number or class for each
            row, or a row has no representation, for it lacks all modalities.
        """
        check_is_fitted(estimator)
        X = as_frame_or_array(X)
        check_consistent_length(X, y)
        check_known(y, "y")
        y = None if y is None else column_or_1d(y)
        if subsample is not None and (not isinstance(subsample, Integral) or subsample < 1):
            raise ValueError(f"subsample must be None or a number of rows, got {subsample!r}.")
        if subsample is not None and len(X) > subsample:
            rng = check_random_state(random_state)
            rows = np.sort(rng.choice(len(X), subsample, replace=False))
            X = _safe_indexing(X, rows)
            y = None if y is None else y[rows]
        fused = _represent(unwrap(estimator), X)
        coordinates, axis_names = _reduce(fused, reducer)
        return cls(coordinates=coordinates, y=y, axis_names=axis_names).plot(ax)

    def plot(self, ax=None):
        """Plot the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        EmbeddingDisplay
            The Display itself.
        """
        ax = make_axes(ax, self, height=3.5)
        size = float(np.clip(6000 / len(self.coordinates), 6, 40))
        if self.y is None:
            self.points_ = [ax.scatter(*self.coordinates.T, s=size, color=COLORS[0])]
        elif _is_continuous(self.y):
            points = ax.scatter(*self.coordinates.T, s=size, c=self.y, cmap=SHADES)
            ax.figure.colorbar(points, ax=ax, label="y")
            self.points_ = [points]
        else:
            self.points_ = self._draw_classes(ax, size)
        across, up = self.axis_names
        ax.set(xlabel=across, ylabel=up, xticks=[], yticks=[])
        ax.spines[["top", "right"]].set_visible(False)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_classes(self, ax, size: float) -> list:
        classes = np.unique(np.asarray(self.y))
        if len(classes) > MAX_CLASSES:
            raise ValueError(
                f"y has {len(classes)} classes, and more than {MAX_CLASSES} cannot be told apart: "
                "give fewer, or numbers (floats)."
            )
        drawn = []
        for i, name in enumerate(classes):
            drawn.append(
                ax.scatter(
                    *self.coordinates[self.y == name].T,
                    s=size,
                    color=COLORS[i % len(COLORS)],
                    marker=MARKERS[i % len(MARKERS)],
                    edgecolors="white",
                    linewidths=0.3,
                )
            )
        legend = draw_legend(
            ax,
            drawn,
            [shorten_label(name) for name in classes],
            loc="upper left",
            bbox_to_anchor=(1, 1),
            fontsize="small",
            ncols=1 + len(classes) // 16,
        )
        for handle in legend.legend_handles:
            handle.set_sizes([36])
        return drawn


def _represent(estimator: Any, X: Any) -> np.ndarray:
    for method in ("transform", "predict_proba"):
        if hasattr(estimator, method):
            fused = np.asarray(getattr(estimator, method)(X))
            if fused.ndim == 2:
                return _check_represented(fused)
    raise TypeError(
        "EmbeddingDisplay needs an estimator with transform, such as FusionClassifier, got "
        f"{type(estimator).__name__}."
    )


def _check_represented(fused: np.ndarray) -> np.ndarray:
    unknown = np.isnan(fused).any(axis=1)
    if unknown.any():
        raise ValueError(
            f"{unknown.sum()} of {len(fused)} rows have no representation, for they lack all "
            f"modalities (the first of those drawn is row {unknown.argmax()}). Leave them out."
        )
    return fused


def _reduce(fused: np.ndarray, reducer: Any) -> tuple[np.ndarray, tuple[str, str]]:
    if reducer is not None:
        if not hasattr(reducer, "fit_transform"):
            raise TypeError(
                "reducer must be a transformer with fit_transform, such as "
                f"TSNE(n_components=2), got {reducer!r}."
            )
        points = np.asarray(clone(reducer).fit_transform(fused))
        if points.shape != (len(fused), 2):
            raise ValueError(
                f"reducer must return 2 columns, got shape {points.shape}: set n_components=2."
            )
        name = type(reducer).__name__
        return points, (f"{name} 1", f"{name} 2")
    if min(fused.shape) < 2:
        # One number for each row: the height means nothing, and keeps points apart.
        up = np.random.RandomState(0).uniform(-1, 1, len(fused))
        return np.column_stack([fused[:, 0], up]), ("fused representation", "")
    pca = PCA(n_components=2, svd_solver="full")
    points = pca.fit_transform(fused)
    shares = pca.explained_variance_ratio_
    across, up = (f"component {i + 1} ({share:.0%})" for i, share in enumerate(shares))
    return points, (across, up)


def _is_continuous(y: np.ndarray) -> bool:
    return type_of_target(y) == "continuous" or (y.dtype.kind == "f" and len(np.unique(y)) > 10)
