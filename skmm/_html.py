"""The diagram of an estimator in a notebook: its modalities, by name."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

N_NAMED = 3


def name_modality(name: str, columns: Any) -> str:
    """Return the heading of a modality: its name and columns, of many the first ones.

    Examples
    --------
    >>> from skmm._html import name_modality
    >>> name_modality("tabular", ["price", "year", "colour", "size"])
    'tabular: price, year, colour and 1 more'
    """
    named = [columns] if np.ndim(columns) == 0 else list(columns)
    if isinstance(columns, slice) or callable(columns) or np.asarray(named).dtype == bool:
        return name
    more = f" and {len(named) - N_NAMED} more" if len(named) > N_NAMED else ""
    return f"{name}: {', '.join(map(str, named[:N_NAMED]))}{more}"


def describe_width(columns: Sequence[Any]) -> str:
    """Return how many columns a modality has, in words.

    Examples
    --------
    >>> from skmm._html import describe_width
    >>> describe_width(["price", "year"])
    '2 columns'
    """
    return f"{len(columns)} column" + "s" * (len(columns) > 1)


def block_of_modalities(
    headings: Sequence[str], contents: Sequence[Any], details: Sequence[Any]
) -> SimpleNamespace:
    """Make what scikit-learn draws side by side, with the attributes of its `_VisualBlock`.

    Parameters
    ----------
    headings : list of str
        The heading of each modality; up to a colon it is the prefix of nested parameters.
    contents : list of estimator or str
        The content of its box.
    details : list
        Shown on a click on the heading.

    Returns
    -------
    SimpleNamespace
    """
    return SimpleNamespace(
        kind="parallel",
        estimators=list(contents),
        names=list(headings),
        name_details=list(details),
        name_caption=None,
        doc_link_label=None,
        dash_wrapped=True,
    )
