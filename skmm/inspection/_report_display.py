"""ModalityReportDisplay: a modality_report drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._report import modality_report
from ._style import COLORS, HATCHES, divide_axes, ink, label_rows, make_axes

if TYPE_CHECKING:
    from sklearn.utils import Bunch

LINES = [
    ("all", "all", "-", None),  # that of the axes
    ("none", "none", ":", None),
    ("emap", "all, less interaction (EMAP)", "--", COLORS[1]),  # visible on top of "all"
]


class ModalityReportDisplay:
    """A `modality_report` drawn: scores on the left, what each modality adds on the right.

    On the left the score with each modality alone and without it, between lines at the score with
    all, with none, and with all less the gap to EMAP, the additive function nearest to the model.
    On the right the Shapley value of each modality, and by how much the score falls when it is
    permuted, with one standard deviation to both sides.

    Parameters
    ----------
    report : Bunch
        A `modality_report`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes around the others.
    axes_ : ndarray of Axes, shape (2,)
        The axes on the left and on the right.
    figure_ : matplotlib Figure
        The figure.
    lines_ : dict of str to Line2D
        The lines at "all", "none" and "emap".
    points_ : dict of str to Line2D
        The points "alone" and "without".
    bars_ : dict of str to BarContainer
        The bars "shapley" and "permutation".

    See Also
    --------
    modality_report : Measure the numbers, and explain them.
    ModalityAblationDisplay : The score with each subset of the modalities.

    Examples
    --------
    >>> from skmm import MLP, AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.inspection import ModalityReportDisplay
    >>> X, y = make_multimodal_classification(modality_names=("text", "image"), random_state=0)
    >>> model = FusionClassifier(modality_model=MLP(8), solver=AdamW(max_iter=5), random_state=0)
    >>> model = model.fit(X, y)
    >>> display = ModalityReportDisplay.from_estimator(model, X, y, emap_samples=20)
    >>> sorted(display.lines_)
    ['all', 'emap', 'none']
    """

    def __init__(
        self,
        *,
        report: Bunch,
    ):
        self.report = report

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        scoring=None,
        modalities=None,
        missing="auto",
        n_repeats=5,
        emap_samples=200,
        random_state=None,
        ax=None,
    ):
        """Make the report of a fitted estimator, and plot it.

        Parameters
        ----------
        estimator : estimator
            A fitted one, as in `modality_report`.
        X : DataFrame or array-like of shape (n_samples, n_columns)
            What it predicts from.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            What is to be predicted.
        scoring : str, callable or None, default=None
            The score, as in `modality_report`.
        modalities : dict or None, default=None
            The columns of each modality, as in `modality_report`.
        missing : {"auto", "nan", "mean"}, default="auto"
            What a modality that is removed is filled with, as in `modality_report`.
        n_repeats : int, default=5
            How many times each modality is permuted.
        emap_samples : int, default=200
            How many rows EMAP pairs; 0 skips it.
        random_state : int, RandomState instance or None, default=None
            Determines permutations and the rows for EMAP.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        ModalityReportDisplay
            The Display.
        """
        report = modality_report(
            estimator,
            X,
            y,
            scoring=scoring,
            modalities=modalities,
            missing=missing,
            n_repeats=n_repeats,
            emap_samples=emap_samples,
            random_state=random_state,
        )
        return cls(report=report).plot(ax)

    def plot(self, ax=None):
        """Plot the report.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; it is divided, so that it has to be made by `subplots` or the like. None
            makes a figure.

        Returns
        -------
        ModalityReportDisplay
            The Display itself.
        """
        n_modalities = len(self.report.modalities)
        ax = make_axes(ax, self, height=1.5 + 0.5 * n_modalities, width=7.0)
        self.axes_ = divide_axes(ax, 1, 2)[0]
        self.ax_, self.figure_ = ax, ax.figure
        self._draw_scores(self.axes_[0])
        self._draw_shares(self.axes_[1])
        label_rows(self.axes_[0], self.report.modalities.index)
        label_rows(self.axes_[1], self.report.modalities.index)
        self.axes_[1].set_yticklabels([])
        return self

    def _draw_scores(self, ax) -> None:
        overall, scores = self.report.overall, self.report.modalities
        rows = np.arange(len(scores))
        places = {name: overall[name] for name in ("all", "none")}
        if "emap_gap" in overall:  # measured on fewer rows than "all"
            places["emap"] = overall["all"] - overall["emap_gap"]
        self.lines_ = {
            name: ax.axvline(
                places[name], color=color or ink(ax), linestyle=style, linewidth=1.6, label=label
            )
            for name, label, style, color in LINES
            if name in places
        }
        ax.hlines(rows, scores["alone"], scores["without"], color="#BBBBBB", linewidth=1, zorder=0)
        self.points_ = {}
        for name, marker, color in (("alone", "o", COLORS[0]), ("without", "X", COLORS[1])):
            (self.points_[name],) = ax.plot(
                scores[name],
                rows,
                marker,
                color=color,
                markersize=8,
                markeredgecolor="black",
                markeredgewidth=0.5,
                label=name,
            )
        ax.set_xlabel(self.report.score_name)
        ax.margins(x=0.08)
        _place_legend(ax, n_columns=2)

    def _draw_shares(self, ax) -> None:
        shares = self.report.modalities
        rows = np.arange(len(shares))
        style = {"height": 0.36, "edgecolor": "white", "linewidth": 0.5}
        self.bars_ = {
            "shapley": ax.barh(
                rows - 0.2, shares["shapley"], color=COLORS[0], label="Shapley value", **style
            ),
            "permutation": ax.barh(
                rows + 0.2,
                shares["permutation"],
                xerr=shares["permutation_std"],
                ecolor=ink(ax),
                color=COLORS[1],
                hatch=HATCHES[1],
                label="fall when permuted",
                **style,
            ),
        }
        ax.axvline(0, color=ink(ax), linewidth=0.8)
        ax.set_xlabel(self.report.score_name)
        _place_legend(ax, n_columns=1)


def _place_legend(ax, n_columns: int) -> None:
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=n_columns, frameon=False, fontsize="small"
    )
