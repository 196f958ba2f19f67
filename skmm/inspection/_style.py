"""The look of Displays: shape and shade differ, never colour alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._optional import import_optional

# Okabe and Ito (2008): seven colours that colour-blind people tell apart; first those that differ
# most in grey.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")
LEGEND_WIDTH = 16
PLAIN = {"parse_math": False}  # of texts with names of the user's: "$" begins no formula
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3)))
SPREAD = (5, 25, 50, 75, 95)  # per cent of rows
SHADES = "cividis"  # its lightness alone shows the order


def bar_style(position: int) -> dict[str, Any]:
    """Return the colour and hatch of the bars of a modality."""
    return {
        "facecolor": COLORS[position % len(COLORS)],
        "hatch": HATCHES[position % len(HATCHES)],
        "edgecolor": "white",
        "linewidth": 0.5,
    }


def import_pyplot(purpose: str) -> Any:
    """Import matplotlib, which is optional; ``purpose`` is what needs it."""
    return import_optional("matplotlib.pyplot", extra="plot", purpose=purpose)


def make_axes(ax, display: object, height: float, width: float = 6.0) -> Any:
    """Return ``ax``, or where it is None new axes in a figure of this size in inches."""
    plt = import_pyplot(f"{type(display).__name__}.plot")
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def divide_axes(
    ax, n_rows: int, n_columns: int, width_ratios: Sequence[float] | None = None
) -> Any:
    """Make axes (n_rows, n_columns) in the place of ``ax``, which is hidden.

    Raises
    ------
    ValueError
        If ``ax`` was not made by `subplots` or `add_subplot`.
    """
    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError("ax must be made by subplots or add_subplot, for it is divided.")
    ax.set_axis_off()
    grid = spec.subgridspec(n_rows, n_columns, width_ratios=width_ratios)
    axes = np.empty((n_rows, n_columns), dtype=object)
    for cell in np.ndindex(axes.shape):
        axes[cell] = ax.figure.add_subplot(grid[cell])
    return axes


def ink(ax, on_light: str = "black", on_dark: str = "white") -> str:
    """Return the colour of lines and texts that is seen on the axes' background."""
    from matplotlib.colors import to_rgba

    red, green, blue, alpha = to_rgba(ax.get_facecolor())
    if alpha < 0.5:
        red, green, blue, _ = to_rgba(ax.figure.get_facecolor())
    return on_light if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else on_dark


def shorten_label(text: object, width: int = 24) -> str:
    """Shorten a label to one line that leaves room for the axes; blank ones are quoted."""
    text = "".join(" " if c.isspace() else c for c in str(text))
    if not text.strip():
        return repr(text)
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def count_legend_columns(names: Sequence[object]) -> int:
    """Count the columns of a legend of modalities that fit above axes with row labels."""
    widest = max(len(shorten_label(name, LEGEND_WIDTH)) for name in names)
    return min(len(names), 44 // (widest + 6))  # characters; 6 for a patch and its margins


def count_legend_rows(names: Sequence[object]) -> int:
    """Count the rows that `place_legend_above` needs."""
    return -(-len(names) // count_legend_columns(names))


def draw_legend(ax, handles: Sequence[Any], names: Sequence[str], **options: Any) -> Any:
    """Draw a legend of names as they are: "$" begins no formula, and "_" hides none."""
    legend = ax.legend(handles, ["?"] * len(handles), frameon=False, **options)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, **PLAIN)
    return legend


def place_legend_above(ax, handles: Sequence[Any], names: Sequence[object]) -> None:
    """Put the legend of modalities above the axes, in as many rows as their names need."""
    n_columns = count_legend_columns(names)
    short = [shorten_label(name, LEGEND_WIDTH) for name in names]
    draw_legend(ax, handles, short, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=n_columns)


def draw_spreads(ax, rows: np.ndarray, values: Sequence[Any], height: float, **style: Any) -> Any:
    """Draw the distribution of values in each row: 5 to 95 %, the middle half, and the median."""
    marks = [np.percentile(v, SPREAD) if len(v) else np.full(len(SPREAD), np.nan) for v in values]
    low, left, middle, right, high = np.array(marks).T
    bars = ax.barh(rows, right - left, left=left, height=height, **style)
    ax.hlines(rows, low, high, color=ink(ax), linewidth=0.8, zorder=0)
    ax.vlines(middle, rows - height / 2, rows + height / 2, color=ink(ax), linewidth=2)
    return bars


def label_rows(ax, labels: Sequence[object]) -> None:
    """Write one label at each of y = 0, 1, ..., the first on top."""
    ax.set_yticks(range(len(labels)), [shorten_label(label) for label in labels], **PLAIN)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
