"""ContributionsWithinDisplay: what each column or word added to the contribution of a modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier

from ._attribution import OF_PROBABILITY, TO_LOG_ODDS, TO_LOGIT
from ._fitted import fusion_step
from ._inputs import format_cell
from ._style import PLAIN, bar_style, draw_spreads, ink, label_rows, make_axes, shorten_label
from ._within import contributions_within

if TYPE_CHECKING:
    import pandas as pd

N_SHOWN = 15  # columns or words


class ContributionsWithinDisplay:
    """What each column of a table, or word of a text, added to the contribution of its modality.

    One row: a bar for each column or word, with its standard error if it is estimated; below, in
    grey, the base, which is the contribution without any of them, and the sum. Of more than 15 the
    largest are shown, in their order, and what the others add up to. Many rows: for each of the 15
    columns or words that add the most on average, up or down, the distribution over the rows that
    have it. The box holds the middle half of them, the line those from 5 to 95 %, and the mark is
    the median.

    Contributions to logits are centred over the classes: only differences between classes change
    a prediction.

    Parameters
    ----------
    contributions : DataFrame of shape (n_units, n_outputs)
        What each column or word of each row contributes, indexed by row and unit.
    base : DataFrame of shape (n_samples, n_outputs)
        The contribution of the modality without any of them.
    standard_error : DataFrame of shape (n_units, n_outputs)
        The standard errors of contributions that are estimated, 0 elsewhere.
    modality : str
        The modality.
    output : object
        The class, label or target to draw, one of the columns.
    cells : dict of str to object, default=None
        Of one row, the raw cells of the columns.
    unit : str, default="contribution"
        What contributions are to.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    bars_ : BarContainer
        The bars of one row, those of base and sum last; the boxes of many.

    See Also
    --------
    contributions_within : Compute the contributions.
    ContributionsDisplay : Plot the contributions of the modalities.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmm import AdamW, FusionRegressor, ModalityTransformer
    >>> from skmm.inspection import ContributionsWithinDisplay
    >>> X = pd.DataFrame({"price": [1.0, 4.0, 2.0, 3.0] * 20, "brand": ["Acme", "Bolt"] * 40})
    >>> X["review"] = ["good", "bad", "good", "plain", "plain"] * 16
    >>> y = X["price"] + 5 * (X["brand"] == "Bolt")
    >>> encoder = ModalityTransformer(overrides={"review": "text"})
    >>> fusion = FusionRegressor(modality_model=Ridge(), interaction=None, solver=AdamW(max_iter=2))
    >>> model = make_pipeline(encoder, fusion).fit(X, y)
    >>> display = ContributionsWithinDisplay.from_estimator(
    ...     model, X[:1], "tabular", background=X[:4]
    ... )
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['price: 1', 'brand: Acme', 'base', 'sum']
    """

    def __init__(
        self,
        *,
        contributions: pd.DataFrame,
        base: pd.DataFrame,
        standard_error: pd.DataFrame,
        modality: str,
        output: Any,
        cells: dict[str, Any] | None = None,
        unit: str = "contribution",
    ):
        self.contributions = contributions
        self.base = base
        self.standard_error = standard_error
        self.modality = modality
        self.output = output
        self.cells = cells
        self.unit = unit

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        modality,
        *,
        output=None,
        background=None,
        n_permutations=10,
        random_state=None,
        ax=None,
    ):
        """Split the contribution of one modality of a fitted estimator, and plot the parts.

        Parameters
        ----------
        estimator : estimator
            A fitted one, as in `contributions_within`.
        X : DataFrame or array-like of shape (n_samples, n_columns)
            The rows to explain, raw ones of a Pipeline; one or many.
        modality : str
            The modality to split: of columns, or a text.
        output : object, default=None
            The class, label or target to draw, as the columns of `contributions_within` name them.
            None is the class that is predicted most often, or the first label or target.
        background : DataFrame or array-like of shape (n_background, n_columns), default=None
            Rows from which a column that is not in takes its values, as in `contributions_within`.
        n_permutations : int, default=10
            How many orders are drawn, as in `contributions_within`.
        random_state : int, RandomState instance or None, default=None
            Determines the orders, and the background.
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.

        Returns
        -------
        ContributionsWithinDisplay
            The Display.

        Raises
        ------
        ValueError
            If there is no such output; if the modality cannot be split; if ``X`` is a single row of
            columns, and there is no ``background``.
        """
        result = contributions_within(
            estimator,
            X,
            modality,
            background=background,
            n_permutations=n_permutations,
            random_state=random_state,
        )
        model = fusion_step(estimator, cls.__name__)
        contributions, base = result.contributions, result.base
        is_of_logits = is_classifier(model) and hasattr(model, "network_")
        is_class = contributions.columns.names[-1] == "class"
        if is_of_logits and is_class:
            contributions, base = _centre(contributions), _centre(base)
        if output is None:
            output = contributions.columns[0]
            if is_class and contributions.columns.nlevels == 1:
                classes, counts = np.unique(estimator.predict(X), return_counts=True)
                output = classes[counts.argmax()]
        return cls(
            contributions=contributions,
            base=base,
            standard_error=result.standard_error,
            modality=modality,
            output=output,
            cells=_read_cells(X, contributions) if len(base) == 1 else None,
            unit=_name_unit(model, is_of_logits, is_class),
        ).plot(ax)

    def plot(self, ax=None, *, output=None):
        """Plot the contributions.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; None makes a figure.
        output : object, default=None
            The class, label or target to draw; None is the Display's.

        Returns
        -------
        ContributionsWithinDisplay
            The Display itself.

        Raises
        ------
        ValueError
            If there is no such output.
        """
        output = self.output if output is None else output
        known = self.contributions.columns.tolist()
        if output not in known:
            raise ValueError(f"There is no output {output!r}; take one of {known}.")
        position = known.index(output)
        units = self.contributions.index.get_level_values(-1)
        values = self.contributions.iloc[:, position].to_numpy()
        if len(self.base) == 1:
            error = self.standard_error.iloc[:, position].to_numpy()
            ax = self._draw_row(ax, units, values, error, self.base.iloc[0, position])
        else:
            ax = self._draw_distribution(ax, units, values)
        ax.axvline(0, color=ink(ax), linewidth=0.8)
        ax.use_sticky_edges = False  # else boxes end where the axes do
        ax.margins(x=0.08)
        ax.set_xlabel(self.unit)
        title = self.modality if len(known) == 1 else f"{self.modality}, {_name_output(output)}"
        heading = {"loc": "left", "fontsize": "medium", "fontweight": "bold", **PLAIN}
        ax.set_title(shorten_label(title, 60), **heading)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_row(
        self, ax, units: pd.Index, values: np.ndarray, error: np.ndarray, base: float
    ) -> Any:
        chosen = np.arange(len(values))
        if len(values) > N_SHOWN:
            chosen = np.sort(np.argsort(-np.abs(values), kind="stable")[: N_SHOWN - 1])
        labels = [self._label(unit) for unit in units[chosen]]
        widths, errors = [*values[chosen]], [*error[chosen]]
        if len(chosen) < len(values):
            labels.append(f"the other {len(values) - len(chosen)}")
            widths.append(values.sum() - values[chosen].sum())
            errors.append(0.0)
        n_bars = len(widths)
        labels += ["base", "sum"]
        widths += [base, base + values.sum()]
        errors += [0.0, 0.0]
        ax = make_axes(ax, self, height=1.0 + 0.26 * len(labels))
        self.bars_ = ax.barh(range(len(labels)), widths, height=0.7, **bar_style(0))
        for bar in self.bars_[n_bars:]:
            bar.set_facecolor(ink(ax, "#444444", "#BBBBBB"))
        if any(errors):
            shown = [row for row, value in enumerate(errors) if value]
            ax.errorbar(
                [widths[row] for row in shown],
                shown,
                xerr=[errors[row] for row in shown],
                fmt="none",
                ecolor=ink(ax),
                elinewidth=0.8,
            )
        label_rows(ax, labels)
        ax.axhline(n_bars - 0.5, color=ink(ax), linewidth=0.5, linestyle=":")
        return ax

    def _draw_distribution(self, ax, units: pd.Index, values: np.ndarray) -> Any:
        names = units.unique()
        of_each = {name: values[units == name] for name in names}
        sizes = np.array([np.abs(of_each[name]).mean() for name in names])
        chosen = names[np.sort(np.argsort(-sizes, kind="stable")[:N_SHOWN])]
        ax = make_axes(ax, self, height=1.0 + 0.3 * len(chosen))
        spreads = [of_each[name] for name in chosen]
        self.bars_ = draw_spreads(ax, np.arange(len(chosen)), spreads, 0.65, **bar_style(0))
        label_rows(ax, chosen)
        return ax

    def _label(self, unit: Any) -> str:
        if self.cells is None or unit not in self.cells:
            return str(unit)
        return f"{shorten_label(unit, 14)}: {format_cell(self.cells[unit])}"


def _centre(contributions: pd.DataFrame) -> pd.DataFrame:
    """Subtract the mean over the classes, of each target."""
    columns = contributions.columns
    if columns.nlevels == 1:
        return contributions.sub(contributions.mean(axis=1), axis=0)
    targets = columns.get_level_values(0)
    centred = contributions.copy()
    for target in targets.unique():
        of_target = contributions.loc[:, targets == target]
        centred.loc[:, targets == target] = of_target.sub(of_target.mean(axis=1), axis=0)
    return centred


def _read_cells(X: Any, contributions: pd.DataFrame) -> dict[str, Any] | None:
    """Return the raw cells of the columns of a single row; None where units are words."""
    if contributions.index.names[-1] == "word" or not hasattr(X, "columns"):
        return None
    units = contributions.index.get_level_values(-1)
    return {unit: next(iter(X[unit])) for unit in units if unit in X.columns}


def _name_unit(model: Any, is_of_logits: bool, is_class: bool) -> str:
    if not is_classifier(model):
        return "contribution"
    if not is_of_logits:
        return OF_PROBABILITY
    return TO_LOGIT if is_class else TO_LOG_ODDS


def _name_output(output: Any) -> str:
    return ", ".join(map(str, output)) if isinstance(output, tuple) else str(output)
