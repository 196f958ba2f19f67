"""FusionPathDisplay: the score over the weights that a search has tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._fitted import name_score
from ._style import COLORS, PLAIN, SHADES, draw_legend, ink, make_axes, shorten_label

HEIGHT = np.sqrt(3) / 2  # of a triangle with sides of 1


class _Candidate(NamedTuple):
    """A candidate of a search."""

    weights: Any  # the value of modality_weights
    mean: float
    std: float


class FusionPathDisplay:
    """The score of a search over the simplex of modality weights.

    A line for two modalities, with one standard deviation over the folds to both sides. A triangle
    for three, in which a ring marks the points whose score is within one standard deviation of the
    best score, over its folds. A star marks the best. Where other parameters were searched too,
    each point is the best candidate with its weights.

    Parameters
    ----------
    weights : ndarray of shape (n_points, n_modalities)
        The weights that were tried; each row adds up to 1.
    mean_scores : ndarray of shape (n_points,)
        The mean score over the folds.
    std_scores : ndarray of shape (n_points,)
        The standard deviation over the folds.
    modalities : list of str
        The modalities.
    learned : tuple of float, default=None
        Mean and standard deviation of the score with weights that are learned, if the search tried
        ``modality_weights=None`` too.
    score_name : str, default="score"
        What the score is called.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    line_ : Line2D or None
        The line for two modalities.
    points_ : PathCollection or None
        The points of the triangle for three.
    best_ : Line2D
        The star at the best.

    See Also
    --------
    skmm.model_selection.simplex_grid : List weights to search.
    ModalityWeightsDisplay : Weights that were learned.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skmm import MLP, AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.inspection import FusionPathDisplay
    >>> from skmm.model_selection import simplex_grid
    >>> X, y = make_multimodal_classification(modality_names=("text", "image"), random_state=0)
    >>> model = FusionClassifier(modality_model=MLP(8), solver=AdamW(max_iter=5), random_state=0)
    >>> grid = {"modality_weights": simplex_grid(["text", "image"], 0.5)}
    >>> search = GridSearchCV(model, grid, cv=3).fit(X, y)
    >>> FusionPathDisplay.from_estimator(search).weights
    array([[0. , 1. ],
           [0.5, 0.5],
           [1. , 0. ]])
    """

    def __init__(
        self,
        *,
        weights: np.ndarray,
        mean_scores: np.ndarray,
        std_scores: np.ndarray,
        modalities: list[str],
        learned: tuple[float, ...] | None = None,
        score_name: str = "score",
    ):
        self.weights = weights
        self.mean_scores = mean_scores
        self.std_scores = std_scores
        self.modalities = modalities
        self.learned = learned
        self.score_name = score_name

    @classmethod
    def from_estimator(cls, estimator, *, scoring=None, ax=None):
        """Plot the scores of a fitted search.

        Parameters
        ----------
        estimator : estimator
            A fitted search of scikit-learn, such as `GridSearchCV`, over a parameter
            ``modality_weights``.
        scoring : str, default=None
            Which score, for a search with several; None is the one named by its ``refit``.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        FusionPathDisplay
            The Display.

        Raises
        ------
        TypeError
            If the estimator is no search.
        ValueError
            If the search tried no dicts of two or three modality weights.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "cv_results_"):
            raise TypeError(
                "FusionPathDisplay needs a fitted search, such as GridSearchCV over "
                f"simplex_grid, got {type(estimator).__name__}."
            )
        if scoring is None and isinstance(estimator.refit, str):
            scoring = estimator.refit
        name = name_score(estimator.estimator, scoring or estimator.scoring)
        return cls.from_cv_results(estimator.cv_results_, scoring=scoring, score_name=name, ax=ax)

    @classmethod
    def from_cv_results(cls, cv_results, *, scoring=None, score_name=None, ax=None):
        """Plot the scores in the ``cv_results_`` of a search.

        Parameters
        ----------
        cv_results : dict
            The ``cv_results_`` of a fitted search over a parameter ``modality_weights``.
        scoring : str, default=None
            Which score, for a search with several.
        score_name : str, default=None
            What the score is called; None is ``scoring``.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        FusionPathDisplay
            The Display.

        Raises
        ------
        ValueError
            If there are no dicts of two or three modality weights, or no such score.
        """
        points = _read_points(cv_results, scoring)
        tried = [point for point in points if isinstance(point.weights, Mapping)]
        if not tried:
            raise ValueError(
                "The search tried no dicts as modality_weights: search over "
                "skmm.model_selection.simplex_grid."
            )
        modalities = list(tried[0].weights)
        if len(modalities) not in (2, 3):
            raise ValueError(
                f"A path is drawn for two or three modalities, got {len(modalities)}: "
                f"{modalities}. ModalityAblationDisplay takes more."
            )
        weights, means, stds = _find_best(tried, points, modalities)
        learned = [point for point in points if point.weights is None]
        best = max(learned, key=lambda point: point.mean, default=None)
        name = score_name or (scoring.replace("_", " ") if scoring else "score")
        return cls(
            weights=weights,
            mean_scores=means,
            std_scores=stds,
            modalities=modalities,
            learned=best and (best.mean, best.std),
            score_name=name,
        ).plot(ax)

    def plot(self, ax=None):
        """Plot the scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        FusionPathDisplay
            The Display itself.
        """
        ax = make_axes(ax, self, height=3.5)
        self.line_ = self.points_ = None
        best = int(np.argmax(self.mean_scores))
        draw = self._draw_line if len(self.modalities) == 2 else self._draw_triangle
        draw(ax, best)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _label(self, best: int) -> str:
        shares = ", ".join(
            f"{shorten_label(name, 12)} {weight:.2g}"
            for name, weight in zip(self.modalities, self.weights[best], strict=True)
        )
        return f"best: {self.mean_scores[best]:.3f} ± {self.std_scores[best]:.3f}\n{shares}"

    def _mark_best(self, ax, x: float, y: float, best: int) -> None:
        (self.best_,) = ax.plot(
            x,
            y,
            "*",
            color=COLORS[5],
            markersize=15,
            markeredgecolor="black",
            linestyle="none",
            label=self._label(best),
            zorder=4,
        )

    def _draw_line(self, ax, best: int) -> None:
        x = self.weights[:, 0]
        low, high = self.mean_scores - self.std_scores, self.mean_scores + self.std_scores
        ax.fill_between(x, low, high, color=COLORS[0], alpha=0.2, linewidth=0, label="± 1 sd")
        (self.line_,) = ax.plot(x, self.mean_scores, "o-", color=COLORS[0], markersize=4)
        if self.learned:
            mean, std = self.learned
            label = f"learned weights: {mean:.3f} ± {std:.3f}"
            ax.axhline(mean, color=ink(ax), linestyle="--", linewidth=1.2, label=label)
        self._mark_best(ax, x[best], self.mean_scores[best], best)
        first, second = (shorten_label(name) for name in self.modalities)
        ax.set_xlabel(f"weight of {first} (the rest: {second})", **PLAIN)
        ax.set_ylabel(self.score_name)
        ax.spines[["top", "right"]].set_visible(False)
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
        draw_legend(ax, *ax.get_legend_handles_labels(), **place, ncols=3, fontsize="small")

    def _draw_triangle(self, ax, best: int) -> None:
        x, y = _in_triangle(self.weights).T
        corners = _in_triangle(np.eye(3))
        ax.fill(*corners.T, facecolor="none", edgecolor=ink(ax), linewidth=0.8, zorder=0)
        size = _marker_size(self.weights)
        self.points_ = ax.scatter(
            x, y, c=self.mean_scores, s=size, cmap=SHADES, marker="h", clip_on=False
        )
        near = self.mean_scores >= self.mean_scores[best] - self.std_scores[best]
        near[best] = False
        if near.any():
            ax.scatter(
                x[near],
                y[near],
                s=size / 5,
                facecolors="white",
                edgecolors="black",
                label="within 1 sd of the best",
            )
        self._mark_best(ax, x[best], y[best], best)
        if self.learned:
            mean, std = self.learned
            ax.plot([], [], " ", label=f"learned weights: {mean:.3f} ± {std:.3f}")
        names = [shorten_label(name) for name in self.modalities]
        gap = 3 + np.sqrt(size) / 2
        places = [
            ((0, -gap), "center", "top"),
            ((0, -gap), "center", "top"),
            ((0, gap), "center", "bottom"),
        ]
        for name, corner, (offset, across, up) in zip(names, corners, places, strict=True):
            place = {"textcoords": "offset points", "ha": across, "va": up, **PLAIN}
            ax.annotate(f"{name} = 1", corner, offset, **place)
        ax.set_aspect("equal")
        ax.set_axis_off()
        ax.margins(0.06)
        ax.figure.colorbar(self.points_, ax=ax, label=self.score_name, shrink=0.8)
        place = {"loc": "upper right", "bbox_to_anchor": (0, 1)}
        draw_legend(ax, *ax.get_legend_handles_labels(), **place, fontsize="small")


def _read_points(cv_results: Mapping[str, Any], scoring: str | None) -> list[_Candidate]:
    suffix = f"test_{scoring}" if scoring else "test_score"
    if f"mean_{suffix}" not in cv_results:
        known = [key[len("mean_test_") :] for key in cv_results if key.startswith("mean_test_")]
        raise ValueError(f"cv_results has no score {scoring or 'score'!r}; take one of {known}.")
    keys = sorted(
        {
            key
            for candidate in cv_results["params"]
            for key in candidate
            if key.rpartition("__")[2] == "modality_weights"
        }
    )
    if len(keys) != 1:
        raise ValueError(
            "The search must have one parameter that ends in modality_weights, such as "
            f"fusionclassifier__modality_weights; found {keys or 'none'}."
        )
    scores = zip(
        cv_results["params"], cv_results[f"mean_{suffix}"], cv_results[f"std_{suffix}"], strict=True
    )
    return [
        _Candidate(candidate[keys[0]], float(mean), float(std))
        for candidate, mean, std in scores
        if keys[0] in candidate and np.isfinite(mean)
    ]


def _find_best(
    tried: list[_Candidate], points: list[_Candidate], modalities: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the best candidate at each point of the simplex, in the order of the first weight."""
    equal = dict.fromkeys(modalities, 1.0)
    best: dict[tuple[float, ...], _Candidate] = {}
    for point in tried + [p._replace(weights=equal) for p in points if p.weights == "uniform"]:
        if set(point.weights) != set(modalities):
            raise ValueError(
                f"The weights are of different modalities: {modalities} and {list(point.weights)}."
            )
        weights = np.array([point.weights[name] for name in modalities], dtype=float)
        place = tuple(np.round(weights / weights.sum(), 9).tolist())
        if place not in best or point.mean > best[place].mean:
            best[place] = point
    places = sorted(best)
    found = [best[place] for place in places]
    means, stds = (np.array([getattr(p, key) for p in found]) for key in ("mean", "std"))
    return np.array(places), means, stds


def _in_triangle(weights: np.ndarray) -> np.ndarray:
    """Place weights (n, 3) in a triangle: left, right, top (n, 2)."""
    return weights @ np.array([[0, 0], [1, 0], [0.5, HEIGHT]])


def _marker_size(weights: np.ndarray) -> float:
    """Choose the area of a marker so that those of a grid nearly touch."""
    places = np.unique(weights[:, 0])
    step = np.diff(places).min() if len(places) > 1 else 0.5
    return float(np.clip((150 * step) ** 2, 12, 500))
