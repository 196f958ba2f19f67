"""ModalityWeightsDisplay: how much each modality counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ._fitted import fusion_step, last_step
from ._style import (
    bar_style,
    count_legend_rows,
    ink,
    label_rows,
    make_axes,
    place_legend_above,
)


class ModalityWeightsDisplay:
    """How much each modality counts: the weights alpha, with their spread over several fits.

    A bar for each modality. With several estimators, such as those of cross-validation or of
    several seeds, the bar is their mean, the line on it one standard deviation to both sides, and
    each estimator a dot. Weights for each class (``fusion=Late(per_class=True)``) are one bar for
    each class, stacked by modality.

    Parameters
    ----------
    weights : ndarray of shape (n_estimators, n_modalities) or \
            (n_estimators, n_modalities, n_classes)
        The weights of each estimator; NaN for a modality that it does not have.
    modalities : list of str
        The modalities.
    classes : ndarray of shape (n_classes,), default=None
        The classes, if the weights are for each class.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    bars_ : BarContainer or list of BarContainer
        The bars; with weights for each class one container for each modality.
    dots_ : Line2D or None
        A dot for each estimator, if there are several.

    See Also
    --------
    ModalityAblationDisplay : The score without a modality, also for models without weights.
    ContributionsDisplay : What each modality adds to single predictions.

    Examples
    --------
    >>> from sklearn.model_selection import cross_validate
    >>> from skmm import MLP, AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.inspection import ModalityWeightsDisplay
    >>> X, y = make_multimodal_classification(
    ...     200, informativeness=(0.9, 0.1), modality_names=("text", "image"), random_state=0
    ... )
    >>> model = FusionClassifier(modality_model=MLP(8), solver=AdamW(max_iter=5), random_state=0)
    >>> ModalityWeightsDisplay.from_estimator(model.fit(X, y)).modalities
    ['text', 'image', 'interaction']
    >>> results = cross_validate(model, X, y, cv=2, return_estimator=True)
    >>> ModalityWeightsDisplay.from_cv_results(results).weights.shape
    (2, 3)
    """

    def __init__(
        self,
        *,
        weights: np.ndarray,
        modalities: list[str],
        classes: np.ndarray | None = None,
    ):
        self.weights = weights
        self.modalities = modalities
        self.classes: Any = classes

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Plot the weights of one fitted estimator, or of several.

        Parameters
        ----------
        estimator : estimator or list of estimator
            Fitted: `FusionClassifier`, `FusionRegressor`, `LateFusionClassifier`, or a Pipeline or
            search that ends in one; an ensemble of these (`BaggingClassifier`,
            `VotingClassifier`); or a list, say of fits with several seeds.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        ModalityWeightsDisplay
            The Display.

        Raises
        ------
        ValueError
            If an estimator has no weights, as with "attention" and "bilinear" fusion.
        """
        fitted = estimator if isinstance(estimator, list | tuple) else _list_members(estimator)
        if len(fitted) == 0:
            raise ValueError("estimator must hold at least one fitted estimator, got [].")
        weights, modalities, classes = _stack_weights([_read_weights(model) for model in fitted])
        return cls(weights=weights, modalities=modalities, classes=classes).plot(ax)

    @classmethod
    def from_cv_results(cls, cv_results, *, ax=None):
        """Plot the weights of the estimators of a cross-validation.

        Parameters
        ----------
        cv_results : dict
            The result of `cross_validate` with ``return_estimator=True``.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        ModalityWeightsDisplay
            The Display.

        Raises
        ------
        ValueError
            If there are no estimators, or they have no weights.
        """
        if "estimator" not in cv_results:
            raise ValueError(
                "cv_results must have the key 'estimator': set return_estimator=True in "
                "cross_validate. The cv_results_ of a search hold no estimators; give "
                "from_estimator the search."
            )
        return cls.from_estimator(list(cv_results["estimator"]), ax=ax)

    def plot(self, ax=None):
        """Plot the weights.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        ModalityWeightsDisplay
            The Display itself.
        """
        n_rows = len(self.modalities if self.classes is None else self.classes)
        n_above = 0 if self.classes is None else count_legend_rows(self.modalities) - 1
        ax = make_axes(ax, self, height=max(1.6, 0.8 + 0.4 * n_rows) + 0.2 * n_above)
        self.dots_ = None
        draw = self._draw_modalities if self.classes is None else self._draw_classes
        draw(ax)
        ax.set_xlabel("weight")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_modalities(self, ax) -> None:
        mean = np.nanmean(self.weights, axis=0)
        several = len(self.weights) > 1
        spread = np.nanstd(self.weights, axis=0)
        rows = np.arange(len(mean))
        error_bars = {"xerr": spread, "ecolor": ink(ax), "capsize": 3} if several else {}
        self.bars_ = ax.barh(rows, mean, height=0.65, **error_bars)
        for i, bar in enumerate(self.bars_):
            bar.set(**bar_style(i))
        right = np.nanmax(np.vstack([self.weights, mean + spread]), axis=0)
        for row in rows:
            text = f"{mean[row]:.2f}" + (f" ± {spread[row]:.2f}" if several else "")
            ax.annotate(text, (right[row], row), (5, 0), textcoords="offset points", va="center")
        if several:
            x, y = self.weights.T.ravel(), np.repeat(rows + 0.2, len(self.weights))
            (self.dots_,) = ax.plot(x, y, "o", color=ink(ax), markersize=3, alpha=0.6)
        label_rows(ax, self.modalities)
        ax.set_xlim(0, 1.25 * max(right.max(), 1e-9))

    def _draw_classes(self, ax) -> None:
        mean = np.nanmean(self.weights, axis=0)  # (m, k)
        rows, left = np.arange(len(self.classes)), np.zeros(len(self.classes))
        self.bars_ = []
        for i in range(len(self.modalities)):
            bars = ax.barh(rows, mean[i], left=left, height=0.75, **bar_style(i))
            texts = [f"{share:.2f}" if share >= 0.08 else "" for share in mean[i]]
            box = {"facecolor": ink(ax, "white", "black"), "edgecolor": "none", "pad": 1}
            for text in ax.bar_label(bars, texts, label_type="center", fontsize="small"):
                if text.get_text():
                    text.set(bbox={**box, "alpha": 0.85}, color=ink(ax))
            self.bars_.append(bars)
            left += mean[i]
        label_rows(ax, self.classes)
        ax.set_xlim(0, 1)
        place_legend_above(ax, self.bars_, self.modalities)


def _list_members(estimator: Any) -> Sequence[Any]:
    """List the estimators of an ensemble of scikit-learn, or the estimator alone."""
    model = last_step(estimator)
    if not hasattr(model, "modality_weights") and hasattr(model, "estimators_"):
        return list(np.ravel(np.asarray(model.estimators_, dtype=object)))
    return [estimator]


def _read_weights(estimator: Any) -> Mapping[str, float] | pd.DataFrame:
    model = fusion_step(estimator, "ModalityWeightsDisplay")
    if not hasattr(model, "modality_weights_"):
        raise ValueError(
            f"{type(model).__name__}(fusion={model.fusion!r}) has no modality_weights_: no number "
            "says how much a modality counts there. ModalityAblationDisplay and modality_report "
            "measure it by the score, for any model."
        )
    return model.modality_weights_


def _stack_weights(
    all_weights: list[Any],  # dicts, or frames with a row for each class
) -> tuple[np.ndarray, list[str], np.ndarray | None]:
    """Stack the weights of estimators, matched by the names of modalities and classes."""
    modalities = list(dict.fromkeys(name for weights in all_weights for name in weights))
    per_class = [isinstance(weights, pd.DataFrame) for weights in all_weights]
    if not any(per_class):
        rows = [[weights.get(name, np.nan) for name in modalities] for weights in all_weights]
        return np.array(rows), modalities, None
    if not all(per_class):
        raise ValueError(
            "Some estimators have weights for each class, such as those with "
            "fusion=Late(per_class=True), and some have not: plot them apart."
        )
    classes = all_weights[0].index.to_numpy()
    frames = [weights.reindex(index=classes, columns=modalities) for weights in all_weights]
    return np.stack([frame.to_numpy().T for frame in frames]), modalities, classes
