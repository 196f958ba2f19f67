"""Raw inputs of one row drawn: a picture, a text, a waveform, frames, cells of a table."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.utils._indexing import _get_column_indices

from .._data.cells import is_missing
from ..compose import infer_column
from ..encoding.readers import BrokenItemError, quiet_pillow, read_image, read_sound
from ..video import Sampling, sample_frames
from ._fitted import apply_steps, as_frame_or_array, name_columns, unwrap
from ._style import PLAIN, ink, shorten_label

WHITE = (255, 255, 255)
MAX_PIXELS = 10**8
MAX_SECONDS = 600
N_FRAMES = 3
N_CELLS = 4  # listed of a table; of more than MANY numbers, none
MANY = 12
TEXT_WIDTH, TEXT_LINES = 24, 5
N_POINTS = 1000  # of a waveform


def read_raw_inputs(estimator: Any, X: Any) -> dict[str, pd.Series]:
    """Read the cells of the first row by modality, before a `ColumnTransformer` encodes them.

    Parameters
    ----------
    estimator : estimator
        A fitted one, whose last step has ``modalities_``.
    X : DataFrame or array-like of shape (n_samples, n_columns)
        What it predicts from.

    Returns
    -------
    dict of str to Series
        The cells of each modality, in the order of ``modalities_``.
    """
    estimator, X, columns = unwrap(estimator), as_frame_or_array(X), None
    while isinstance(estimator, Pipeline):
        for name, step in estimator.steps[:-1]:
            if columns is None and isinstance(step, ColumnTransformer):
                columns = {modality: selected for modality, _, selected in step.transformers_}
            elif columns is None:
                X = apply_steps([(name, step)], X)
        estimator = unwrap(estimator.steps[-1][1])
    modalities = estimator.modalities_
    if columns is None:
        X = name_columns(X, estimator)
    if columns is None or not modalities.keys() <= columns.keys():
        columns = modalities
    row = pd.DataFrame(X).iloc[0].astype(object)
    inputs = {}
    for name in modalities:
        cells = row.iloc[_get_column_indices(X, columns[name])]
        cells.index = [str(column).removeprefix(f"{name}__") for column in cells.index]
        inputs[name] = cells
    return inputs


def draw_input(ax, cells: pd.Series) -> None:
    """Draw the cells of one modality, whose index names them, into axes that hold nothing else."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_anchor("W")
    if all(map(is_missing, cells)):
        _write_remark(ax, "(missing)")
    elif len(cells) > 1:
        _write_text(ax, _list_cells(cells))
    else:
        _draw_cell(ax, cells.iloc[0], cells.index[0])


def _draw_cell(ax, cell: Any, name: Any) -> None:
    column = pd.Series([None], dtype=object)
    column.iat[0] = cell
    kind = infer_column(column).modality
    try:
        if kind == "image":
            with quiet_pillow():
                ax.imshow(read_image(cell, background=WHITE, max_pixels=MAX_PIXELS))
        elif kind == "audio":
            _draw_sound(ax, cell)
        elif kind == "video":
            _draw_frames(ax, cell)
        elif kind == "text":
            _write_text(ax, _wrap(cell))
        else:
            _write_text(ax, _list_cells(pd.Series([cell], index=[name], dtype=object)))
    except (BrokenItemError, ImportError, OSError, TypeError) as e:
        _write_remark(ax, _wrap(e))


def _write_text(ax, text: str, **style: Any) -> None:
    place = {"transform": ax.transAxes, "va": "center", **PLAIN}
    ax.text(0, 0.5, text, fontsize="small", **place, **style)


def _write_remark(ax, text: str) -> None:
    _write_text(ax, text, style="italic", color=ink(ax, "#666666", "#AAAAAA"))


def _wrap(text: Any) -> str:
    return "\n".join(textwrap.wrap(str(text), TEXT_WIDTH, max_lines=TEXT_LINES, placeholder=" …"))


def _list_cells(cells: pd.Series) -> str:
    if len(cells) > MANY and pd.api.types.is_numeric_dtype(cells.infer_objects().dtype):
        return f"{len(cells)} numbers"
    n_shown = N_CELLS if len(cells) > N_CELLS + 1 else len(cells)
    lines = [
        f"{shorten_label(n, 20)}: {format_cell(cell)}" for n, cell in cells.iloc[:n_shown].items()
    ]
    return "\n".join(lines + [f"and {len(cells) - n_shown} more"] * (n_shown < len(cells)))


def format_cell(cell: Any) -> str:
    if is_missing(cell):
        return "(missing)"
    if isinstance(cell, float | np.floating):
        return f"{cell:.4g}"
    return shorten_label(cell, 20)


def _draw_sound(ax, cell: Any) -> None:
    sound = read_sound(cell, max_seconds=MAX_SECONDS)
    samples = sound.samples
    size = max(1, len(samples) // N_POINTS)
    windows = samples[: len(samples) // size * size].reshape(-1, size)
    seconds = np.arange(len(windows)) * size / sound.sampling_rate
    grey = ink(ax, "#444444", "#BBBBBB")
    ax.fill_between(seconds, windows.min(1), windows.max(1), color=grey, linewidth=0.5)
    ax.set_xlim(0, len(samples) / sound.sampling_rate)
    ax.set_xticks([0, len(samples) / sound.sampling_rate])
    ax.xaxis.set_major_formatter("{x:.2g} s")
    ax.tick_params(axis="x", labelsize="x-small", length=2)


def _draw_frames(ax, cell: Any) -> None:
    shown = sample_frames(cell, Sampling(N_FRAMES), max_pixels=MAX_PIXELS)
    with quiet_pillow():
        frames = [read_image(s.frame, background=WHITE, max_pixels=MAX_PIXELS) for s in shown]
    height = min(len(frame) for frame in frames)
    gap = np.full((height, max(1, height // 20), 3), 255, dtype=np.uint8)
    strips = [strip for frame in frames for strip in (frame[:height], gap)][:-1]
    ax.imshow(np.concatenate(strips, axis=1))
