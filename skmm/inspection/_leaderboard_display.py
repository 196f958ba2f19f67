"""LeaderboardDisplay: a leaderboard drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._fitted import name_score
from ._leaderboard import MODEL, leaderboard
from ._style import COLORS, ink, label_rows, make_axes, shorten_label

if TYPE_CHECKING:
    import pandas as pd

N_STANDARD_ERRORS = 2
SUFFIX = " alone"


class LeaderboardDisplay:
    """A `leaderboard` drawn: the mean score of each model, the best on top.

    A bar reaches two standard errors of the difference to "model" to both sides: where it does not
    meet the line at the score of "model", the difference is more than chance makes it.

    Parameters
    ----------
    board : DataFrame
        A `leaderboard`.
    score_name : str, default="score"
        The label of the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    points_ : Line2D
        The scores of the models that "model" is compared with.
    errors_ : LineCollection
        The bars around them.
    model_ : Line2D
        The score of "model".
    line_ : Line2D
        The line at it.

    See Also
    --------
    leaderboard : Compute it, and explain it.

    Examples
    --------
    >>> from skmm import AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.inspection import LeaderboardDisplay
    >>> X, y = make_multimodal_classification(modality_names=("text", "image"), random_state=0)
    >>> model = FusionClassifier(interaction=None, solver=AdamW(max_iter=5), random_state=0)
    >>> display = LeaderboardDisplay.from_estimator(
    ...     model, X, y, cv=2, models={"boosting": "drop"}
    ... )
    >>> sorted(display.board.index)
    ['image alone', 'linear', 'model', 'prior', 'text alone']
    """

    def __init__(
        self,
        *,
        board: pd.DataFrame,
        score_name: str = "score",
    ):
        self.board = board
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        model,
        X,
        y,
        *,
        cv=5,
        scoring=None,
        models=None,
        groups=None,
        n_jobs=None,
        verbose=False,
        ax=None,
    ):
        """Make the leaderboard of a model, and plot it.

        Parameters
        ----------
        model : FusionClassifier, FusionRegressor or Pipeline
            Fitted or not, as in `leaderboard`.
        X : DataFrame or array-like of shape (n_samples, n_columns)
            What ``model`` is fitted to.
        y : array-like of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_targets)
            What is to be predicted.
        cv : int, splitter or iterable, default=5
            The folds, as in `leaderboard`.
        scoring : str, callable or None, default=None
            The score, as in `leaderboard`.
        models : dict of str to estimator or None, default=None
            More models, as in `leaderboard`.
        groups : array-like of shape (n_samples,), default=None
            Group labels; held-out rows are whole groups.
        n_jobs : int or None, default=None
            How many models are fitted at once.
        verbose : bool, default=False
            Whether to show a progress bar.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        LeaderboardDisplay
            The Display.
        """
        board = leaderboard(
            model,
            X,
            y,
            cv=cv,
            scoring=scoring,
            models=models,
            groups=groups,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        return cls(board=board, score_name=name_score(model, scoring)).plot(ax)

    def plot(self, ax=None):
        """Plot the leaderboard.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        LeaderboardDisplay
            The Display itself.
        """
        n_models = len(self.board)
        ax = make_axes(ax, self, height=max(1.9, 1.2 + 0.3 * n_models))
        rows = np.arange(n_models)
        scores = self.board["score"].to_numpy()
        is_model = self.board.index == MODEL
        others = ~is_model
        self.line_ = ax.axvline(scores[is_model][0], color=COLORS[0], linestyle="--", linewidth=1)
        errors = ax.errorbar(
            scores[others],
            rows[others],
            xerr=N_STANDARD_ERRORS * self.board["standard_error"].to_numpy()[others],
            fmt="o",
            color=ink(ax, "#555555", "#AAAAAA"),
            markersize=6,
            capsize=3,
            label=f"others, ± {N_STANDARD_ERRORS} standard errors of the difference",
        )
        self.points_, _, (self.errors_,) = errors.lines
        (self.model_,) = ax.plot(
            scores[is_model],
            rows[is_model],
            "D",
            color=COLORS[0],
            markersize=9,
            markeredgecolor="black",
            label="model",
        )
        label_rows(ax, [_shorten_name(name) for name in self.board.index])
        ax.get_yticklabels()[int(is_model.argmax())].set_fontweight("bold")
        ax.set_xlabel(self.score_name, loc="right")  # in narrow axes it has room on the left
        ax.legend(
            handles=[self.model_, errors],
            loc="lower right",
            bbox_to_anchor=(1, 1),
            frameon=False,
            fontsize="small",
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _shorten_name(name: str) -> str:
    """Shorten the name of a modality, but not what says that it is alone."""
    if not name.endswith(SUFFIX):
        return shorten_label(name)
    return shorten_label(name.removesuffix(SUFFIX), 24 - len(SUFFIX)) + SUFFIX
