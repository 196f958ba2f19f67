"""ModalityAblationDisplay: the score where modalities are missing."""

from __future__ import annotations

import numpy as np

from ._fitted import find_scorer, name_score, split_pipeline
from ._scores import all_subsets, prepare_missing, score_subsets
from ._style import COLORS, HATCHES, PLAIN, ink, label_rows, make_axes, shorten_label

NOTHING = "(none)"


class ModalityAblationDisplay:
    """The score of one fitted model with each subset of the modalities, without fitting again.

    Modalities are removed from the rows, and the model predicts them as any rows that lack a
    modality. One bar for each subset, the best on top.

    Parameters
    ----------
    subsets : list of tuple of str
        The modalities of each subset.
    scores : ndarray of shape (n_subsets,)
        The score with each subset.
    modalities : list of str
        All modalities.
    score_name : str, default="score"
        What the score is called.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    bars_ : BarContainer
        A bar for each subset, from the highest score to the lowest.

    See Also
    --------
    modality_report : Shapley values of the modalities, from these scores, and more.

    Examples
    --------
    >>> from skmm import MLP, AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.inspection import ModalityAblationDisplay
    >>> X, y = make_multimodal_classification(
    ...     300, informativeness=(0.9, 0.3), modality_names=("text", "image"), random_state=0
    ... )
    >>> model = FusionClassifier(modality_model=MLP(8), solver=AdamW(max_iter=9), random_state=0)
    >>> display = ModalityAblationDisplay.from_estimator(model.fit(X[:200], y[:200]), X, y)
    >>> display.subsets
    [(), ('text',), ('image',), ('text', 'image')]
    >>> bool(display.scores[1] > display.scores[2])
    True
    """

    def __init__(
        self,
        *,
        subsets: list[tuple[str, ...]],
        scores: np.ndarray,
        modalities: list[str],
        score_name: str = "score",
    ):
        self.subsets = subsets
        self.scores = scores
        self.modalities = modalities
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, scoring=None, modalities=None, missing="auto", ax=None
    ):
        """Score a fitted estimator with each subset of the modalities, and plot the scores.

        Parameters
        ----------
        estimator : estimator
            A fitted one: of skmm, a Pipeline or search that ends in one, a Pipeline with a
            `ColumnTransformer`, or any other.
        X : DataFrame or array-like of shape (n_samples, n_columns)
            What it predicts from; best rows that it was not trained on.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            What is to be predicted.
        scoring : str, callable or None, default=None
            As elsewhere in scikit-learn. None is the score of a search, or else the estimator's
            own.
        modalities : dict or None, default=None
            The columns of X (names, positions or a slice) for each name. None finds them: of
            skmm's models and of a `ColumnTransformer` those that they were fitted with, otherwise
            from columns named ``modality__feature``.
        missing : {"auto", "nan", "mean"}, default="auto"
            What the columns of a modality that is removed are filled with: NaN, or the mean of each
            column in X. "auto" is NaN where the estimator takes it, as skmm's do.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        ModalityAblationDisplay
            The Display.

        Raises
        ------
        ValueError
            If the modalities cannot be found, or are more than 10.
        """
        scorer = find_scorer(estimator, scoring)
        model, table = split_pipeline(estimator, X, modalities)
        subsets = all_subsets(table.names)
        prepare_missing(model, table, missing)
        scores = score_subsets(model, table, y, scorer, subsets)
        return cls(
            subsets=subsets,
            scores=scores,
            modalities=table.names,
            score_name=name_score(estimator, scoring),
        ).plot(ax)

    def plot(self, ax=None):
        """Plot the scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        ModalityAblationDisplay
            The Display itself.
        """
        ax = make_axes(ax, self, height=max(1.6, 0.8 + 0.3 * len(self.scores)))
        order = np.argsort(-self.scores, kind="stable")
        scores = self.scores[order]
        rows = np.arange(len(order))
        self.bars_ = ax.barh(rows, scores, height=0.7, edgecolor="white", linewidth=0.5)
        for bar, i in zip(self.bars_, order, strict=True):
            kind = 0 if len(self.subsets[i]) == len(self.modalities) else 1
            kind = 2 if not self.subsets[i] else kind
            bar.set(facecolor=(COLORS[0], COLORS[4], "#BBBBBB")[kind], hatch=HATCHES[kind])
        ax.bar_label(self.bars_, fmt="%.3f", padding=4)
        label_rows(ax, [])
        width = max(10, 40 // max(len(self.modalities), 1))
        short = {name: shorten_label(name, width) for name in self.modalities}
        labels = [" + ".join(short[name] for name in self.subsets[i]) or NOTHING for i in order]
        ax.set_yticks(rows, labels, **PLAIN)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        low, high = min(scores.min(), 0), max(scores.max(), 0)
        margin = 0.15 * (high - low or 1)
        ax.set_xlim(low - margin if low < 0 else 0, high + margin if high > 0 else 0)
        ax.axvline(0, color=ink(ax), linewidth=0.8)
        ax.set_xlabel(self.score_name)
        self.ax_, self.figure_ = ax, ax.figure
        return self
