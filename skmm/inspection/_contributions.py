"""ContributionsDisplay: what each modality added to predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._attribution import (
    OF_PROBABILITY,
    TO_LOG_ODDS,
    TO_LOGIT,
    attribute_predictions,
    check_splits,
    name_contributions,
)
from ._fitted import fusion_step, split_pipeline
from ._inputs import draw_input, read_raw_inputs
from ._style import (
    PLAIN,
    bar_style,
    count_legend_rows,
    divide_axes,
    draw_spreads,
    ink,
    label_rows,
    make_axes,
    place_legend_above,
    shorten_label,
)

if TYPE_CHECKING:
    import pandas as pd

N_SHOWN = 3  # classes of one row, the most probable ones


class ContributionsDisplay:
    """What each modality added to the prediction of one row, or of many.

    One row: for each modality its raw input (the picture, the text, the waveform, frames of the
    video, cells of the table) and what it added to the most probable classes; below, their sums
    and the probabilities. Many rows: for each class, the distribution of the modalities'
    contributions to it over the rows of that class. The box holds the middle half of them, the line
    those from 5 to 95 %, and the black mark is the median.

    Contributions to logits are centred over the classes, for each modality: only differences
    between classes change a prediction.

    Parameters
    ----------
    contributions : ndarray of shape (n_samples, n_modalities, n_outputs)
        What each modality adds to each output (a class, a label, or a number).
    predictions : ndarray of shape (n_samples, n_outputs)
        Probabilities, or predicted numbers.
    members : ndarray of bool, shape (n_samples, n_outputs)
        Which rows count for the distribution of which output.
    modalities : list of str
        The modalities.
    outputs : list
        The names of the outputs.
    inputs : dict of str to Series, default=None
        Of one row, the raw cells of each modality.
    unit : str, default="contribution"
        What contributions are to.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes; with one row the axes around all others.
    axes_ : ndarray of Axes
        With one row (n_modalities + 1, 2): inputs and contributions of each modality, and below
        them the sums; without inputs (n_modalities + 1, 1). With many rows (1, 1).
    figure_ : matplotlib Figure
        The figure.
    bars_ : list of BarContainer
        With one row the bars of each modality and then of the sums; with many the boxes of each
        modality.

    See Also
    --------
    ModalityWeightsDisplay : How much each modality counts in all rows.
    modality_report : How much of the score each modality brings, for any model.

    Examples
    --------
    >>> from skmm import MLP, AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.inspection import ContributionsDisplay
    >>> X, y = make_multimodal_classification(modality_names=("text", "image"), random_state=0)
    >>> model = FusionClassifier(modality_model=MLP(8), solver=AdamW(max_iter=5), random_state=0)
    >>> model = model.fit(X, y)
    >>> ContributionsDisplay.from_estimator(model, X[:1]).contributions.shape
    (1, 3, 2)
    >>> ContributionsDisplay.from_estimator(model, X, y).members.sum(axis=0)
    array([50, 50])
    """

    def __init__(
        self,
        *,
        contributions: np.ndarray,
        predictions: np.ndarray,
        members: np.ndarray,
        modalities: list[str],
        outputs: list,
        inputs: dict[str, pd.Series] | None = None,
        unit: str = "contribution",
    ):
        self.contributions = contributions
        self.predictions = predictions
        self.members = members
        self.modalities = modalities
        self.outputs = outputs
        self.inputs = inputs
        self.unit = unit

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, target=0, outputs=None, ax=None):
        """Split the predictions of a fitted estimator by modality, and plot the contributions.

        Parameters
        ----------
        estimator : estimator
            Fitted: `FusionClassifier` or `FusionRegressor`, with a ``fusion`` whose predictions are
            sums ("late", "weighted", "gated", "additive"), `LateFusionClassifier`, or a Pipeline
            or search that ends in one.
        X : DataFrame or array-like of shape (n_samples, n_columns)
            The rows, raw ones of a Pipeline; with one row, its raw inputs are drawn.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            The classes of the rows, for many rows; None takes the predicted ones. Labels are
            called after the columns of a frame, else "label 0" and so on.
        target : int, default=0
            Which one, of an estimator with several targets of classes.
        outputs : list, default=None
            Which classes, labels or targets to draw, by name; None is all of them, of one row the
            three most probable ones.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        ContributionsDisplay
            The Display.

        Raises
        ------
        ValueError
            If the estimator's predictions are no sums, as with "concat", "attention" and
            "bilinear" fusion.
        """
        model = fusion_step(estimator, "ContributionsDisplay")
        check_splits(model, "ModalityAblationDisplay and modality_report, which take any model")
        rows = split_pipeline(estimator, X).table.X
        attribution = attribute_predictions(model, rows, y, target)
        return cls(
            contributions=attribution.contributions,
            predictions=attribution.predictions,
            members=attribution.members,
            modalities=name_contributions(model, attribution.contributions),
            outputs=attribution.outputs,
            inputs=read_raw_inputs(estimator, X) if len(rows) == 1 else None,
            unit=attribution.unit,
        ).plot(ax, outputs=outputs)

    def plot(self, ax=None, *, outputs=None):
        """Plot the contributions.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure. With one row it is divided, so that it has to be
            made by `subplots` or the like.
        outputs : list, default=None
            Which classes, labels or targets to draw, by name; None is all of them, of one row the
            three most probable ones.

        Returns
        -------
        ContributionsDisplay
            The Display itself.

        Raises
        ------
        ValueError
            If ``outputs`` is no list of known names.
        """
        one_row = len(self.contributions) == 1
        shown = self._choose(outputs, one_row)
        if one_row:
            self._draw_row(ax, shown)
        else:
            self._draw_distribution(ax, shown)
        return self

    def _choose(self, outputs, one_row: bool) -> np.ndarray:
        if outputs is None:
            if not one_row or self.contributions.shape[2] <= N_SHOWN:
                return np.arange(self.contributions.shape[2])
            return np.argsort(-self.predictions[0], kind="stable")[:N_SHOWN]
        known = list(self.outputs)
        if isinstance(outputs, str) or not np.iterable(outputs) or not list(outputs):
            raise ValueError(f"outputs must be a list of some of {known}, got {outputs!r}.")
        unknown = [name for name in outputs if name not in known]
        if unknown:
            raise ValueError(f"There is no output {unknown[0]!r}; take some of {known}.")
        return np.array([known.index(name) for name in outputs])

    def _draw_row(self, ax, shown: np.ndarray) -> None:
        axes = self._divide(ax, len(shown))
        contributions = self.contributions[0][:, shown]  # (m, k)
        total = contributions.sum(axis=0)
        values = self.predictions[0, shown]
        is_probability = self.unit in (TO_LOGIT, TO_LOG_ODDS, OF_PROBABILITY)
        show = ("{:.0%}" if is_probability else "{:.4g}").format
        names = [shorten_label(self.outputs[i], 17) for i in shown]  # and room for a number
        sums = [f"{name}: {show(value)}" for name, value in zip(names, values, strict=True)]
        titles, n_modalities = [*self.modalities, "sum"], len(self.modalities)
        grey = ink(axes[0, -1], "#444444", "#BBBBBB")
        styles = [bar_style(i) for i in range(n_modalities)] + [{"color": grey}]
        self.bars_ = []
        for i, (title, widths, style) in enumerate(
            zip(titles, [*contributions, total], styles, strict=True)
        ):
            bar_ax = axes[i, -1]
            self.bars_.append(bar_ax.barh(np.arange(len(shown)), widths, height=0.7, **style))
            label_rows(bar_ax, names if i < n_modalities else sums)
            bar_ax.axvline(0, color=ink(bar_ax), linewidth=0.8)
            bar_ax.sharex(axes[0, -1])
            bar_ax.tick_params(axis="x", labelbottom=i == n_modalities)
            heading = {"loc": "left", "fontsize": "medium", "fontweight": "bold", **PLAIN}
            axes[i, 0].set_title(shorten_label(title, 40), **heading)
            if self.inputs is None:
                continue
            if title in self.inputs:
                draw_input(axes[i, 0], self.inputs[title])
            else:  # the interaction, and the sum
                axes[i, 0].set_axis_off()
        axes[-1, -1].set_xlabel(self.unit)
        axes[0, -1].margins(x=0.08)

    def _divide(self, ax, n_shown: int) -> np.ndarray:
        """Make axes for each modality and for the sums, with those of inputs on their left."""
        n_rows = len(self.modalities) + 1
        with_inputs = self.inputs is not None
        min_height = 1.15 if with_inputs else 0.9  # a name and five lines of text
        ax = make_axes(ax, self, height=max(min_height, 0.55 + 0.2 * n_shown) * n_rows)
        self.ax_, self.figure_ = ax, ax.figure
        self.axes_ = divide_axes(ax, n_rows, 1 + with_inputs, [2, 3] if with_inputs else None)
        return self.axes_

    def _draw_distribution(self, ax, shown: np.ndarray) -> None:
        n_modalities = len(self.modalities)
        height = max(2.0, 0.9 + (0.15 * n_modalities + 0.12) * len(shown))
        ax = make_axes(ax, self, height + 0.2 * (count_legend_rows(self.modalities) - 1))
        height = 0.8 / n_modalities
        self.bars_ = []
        for i in range(n_modalities):
            rows = np.arange(len(shown)) - 0.4 + height * (i + 0.5)
            spreads = [self.contributions[self.members[:, k], i, k] for k in shown]
            style = {**bar_style(i), "edgecolor": "white"}
            bars = draw_spreads(ax, rows, spreads, 0.84 * height, **style)
            self.bars_.append(bars)
        label_rows(ax, [self.outputs[i] for i in shown])
        ax.axvline(0, color=ink(ax), linewidth=0.8)
        ax.set_xlabel(self.unit)
        place_legend_above(ax, self.bars_, self.modalities)
        self.ax_, self.figure_, self.axes_ = ax, ax.figure, np.array([[ax]], dtype=object)
