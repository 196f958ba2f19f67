"""Progress bars, where there is something to draw them on."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or find_spec("ipywidgets") is None:  # for which tqdm.auto asks in a notebook
    from tqdm.std import tqdm
else:
    from tqdm.auto import tqdm


def progress_bar(
    items: Iterable[Any] | None = None,
    *,
    desc: str,
    total: int | None = None,
    verbose: bool = True,
    leave: bool = True,
    delay: float = 0,
    unit: str = "it",
) -> tqdm:
    """Make a progress bar; it draws nothing without a stderr, as in a program without a window."""
    is_closed = sys.stderr is None or getattr(sys.stderr, "closed", False)
    # Else it is left to tqdm, which reads TQDM_DISABLE.
    silence: dict[str, Any] = {"disable": True} if not verbose or is_closed else {}
    return tqdm(items, desc=desc, total=total, leave=leave, delay=delay, unit=unit, **silence)


def shorten(bar: tqdm, n_steps: int) -> None:
    """Take steps that are not needed off the total."""
    if bar.total is not None and n_steps:
        bar.total -= n_steps
        bar.refresh()
