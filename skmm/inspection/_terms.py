"""LossTermsDisplay: the terms of the loss in each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.utils.validation import check_is_fitted

from ._fitted import fusion_step, last_step
from ._style import COLORS, LINES, MARKERS, draw_legend, ink, make_axes, shorten_label

if TYPE_CHECKING:
    import pandas as pd

OF_ALL = {"loss": "weighted sum", "validation_loss": "rows held out"}


class LossTermsDisplay:
    """Each term of the loss in each epoch of training.

    The loss of the fused prediction, of each modality alone, and of each pair that is aligned,
    before they are multiplied by their weights; and their weighted sum.

    Parameters
    ----------
    history : DataFrame of shape (n_epochs, n_terms)
        The terms in each epoch, as `FusionClassifier` and `CrossModalAligner` keep them in
        ``history_``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    lines_ : dict of str to Line2D
        The line of each column of ``history``.

    See Also
    --------
    skmm.FusionClassifier : Explains the terms.

    Examples
    --------
    >>> from skmm import MLP, AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.inspection import LossTermsDisplay
    >>> X, y = make_multimodal_classification(modality_names=("text", "image"), random_state=0)
    >>> model = FusionClassifier(modality_model=MLP(8), solver=AdamW(max_iter=5), random_state=0)
    >>> model = model.fit(X, y)
    >>> list(LossTermsDisplay.from_estimator(model).lines_)
    ['loss', 'fused', 'modality__image', 'modality__text']
    """

    def __init__(
        self,
        *,
        history: pd.DataFrame,
    ):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Plot the terms of the loss that an estimator was trained by.

        Parameters
        ----------
        estimator : estimator
            A fitted `FusionClassifier`, `FusionRegressor` or `CrossModalAligner`, or a Pipeline or
            search that ends in one.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        LossTermsDisplay
            The Display.

        Raises
        ------
        ValueError
            If the estimator was not trained in epochs: a `LateFusionClassifier`, or an aligner in
            closed form.
        """
        model = last_step(estimator)
        if hasattr(model, "alignment"):  # CrossModalAligner, too, which has no modality_weights
            check_is_fitted(model)
            advice = f"alignment={model.alignment!r} is solved in closed form."
        else:
            model = fusion_step(model, "LossTermsDisplay")
            advice = (
                "Look at its classifiers, named_estimators_, one by one; ModalityWeightsDisplay "
                "shows their weights."
            )
        if not hasattr(model, "history_"):
            raise ValueError(
                f"{type(model).__name__} was not trained in epochs, and has no terms of a "
                f"loss. {advice}"
            )
        return cls(history=model.history_).plot(ax)

    def plot(self, ax=None):
        """Plot the terms of the loss.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        LossTermsDisplay
            The Display itself.
        """
        ax = make_axes(ax, self, height=3.5)
        epochs = range(1, len(self.history) + 1)
        every = max(1, len(self.history) // 8)
        self.lines_ = {}
        terms = [name for name in self.history if name not in OF_ALL]
        for i, name in enumerate(terms):
            # markers of two equal lines are side by side
            start = i * every // max(len(terms), 1)
            (self.lines_[name],) = ax.plot(
                epochs,
                self.history[name],
                color=COLORS[i % len(COLORS)],
                linestyle=LINES[i % len(LINES)],
                marker=MARKERS[i % len(MARKERS)],
                markevery=(min(start, len(self.history) - 1), every),
                markersize=4,
                linewidth=1.3,
                label=_label_term(name),
            )
        for name, style in zip(OF_ALL, ("-", (0, (2, 1))), strict=True):
            if name in self.history:
                (self.lines_[name],) = ax.plot(
                    epochs,
                    self.history[name],
                    color=ink(ax),
                    linestyle=style,
                    linewidth=2.2,
                    label=_label_term(name),
                )
        self.lines_ = {name: self.lines_[name] for name in self.history}
        ax.set(xlabel="epoch", ylabel="loss")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.spines[["top", "right"]].set_visible(False)
        draw_legend(
            ax,
            list(self.lines_.values()),
            [_label_term(name) for name in self.lines_],
            loc="upper left",
            bbox_to_anchor=(1, 1),
            fontsize="small",
            handlelength=3.5,
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _label_term(name: str) -> str:
    if name in OF_ALL:
        return OF_ALL[name]
    kind, _, modalities = name.partition("__")
    if kind == "modality":
        return f"{shorten_label(modalities)} alone"
    if kind == "alignment":
        names = [shorten_label(name, 16) for name in modalities.split("__")]
        return "alignment " + " → ".join(names)
    return "fused prediction"
