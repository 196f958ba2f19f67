"""The game whose players are the columns of a table, or the words of a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .._data.scripts import MARKS, UNSPACED, ZERO_WIDTH_SPACE
from ._tables import ignore_rows_without_modality

CHUNK_ROWS = 2048  # that are encoded at once

_find_words = re.compile(f"[{UNSPACED}][{MARKS}]*|[^\\s{ZERO_WIDTH_SPACE}{UNSPACED}]+").finditer


class Coalition(NamedTuple):
    """A row of which only some units are in."""

    row: int
    present: np.ndarray  # (n_units,), bool


class Assembled(NamedTuple):
    """Distinct rows of raw cells, and which of them each row is."""

    cells: pd.DataFrame
    inverse: np.ndarray  # (n,), int


class Columns:
    """Columns, which take the values of background rows where they are not in.

    Parameters
    ----------
    cells : DataFrame of shape (n_samples, n_units)
    background : DataFrame of shape (n_copies, n_units)
    """

    kind = "column"

    def __init__(self, cells: pd.DataFrame, background: pd.DataFrame):
        self.n_copies = len(background)
        self.units = [list(cells.columns)] * len(cells)
        self._names = cells.columns
        self._background = np.arange(len(background)) + len(cells)
        self._cells = [
            _append(cells.iloc[:, i], background.iloc[:, i]) for i in range(cells.shape[1])
        ]

    def assemble(self, coalitions: Sequence[Coalition]) -> Assembled:
        """Assemble ``n_copies`` rows for each coalition, one for each background row."""
        rows = np.array([coalition.row for coalition in coalitions])[:, None, None]
        present = np.stack([coalition.present for coalition in coalitions])[:, None, :]
        sources = np.where(present, rows, self._background[:, None])  # (n, n_copies, n_units)
        sources, inverse = np.unique(
            sources.reshape(-1, sources.shape[2]), axis=0, return_inverse=True
        )
        columns = [
            values.iloc[source].reset_index(drop=True)
            for values, source in zip(self._cells, sources.T, strict=True)
        ]
        cells = pd.concat(columns, axis=1)
        cells.columns = self._names
        return Assembled(cells, inverse.reshape(-1))


class Words:
    """Words, which are left out of the text where they are not in.

    Parameters
    ----------
    cells : DataFrame of shape (n_samples, 1)
    """

    kind = "word"
    n_copies = 1

    def __init__(self, cells: pd.DataFrame):
        self._name = cells.columns
        self._texts = cells.iloc[:, 0].tolist()
        found = [list(_find_words(text)) if isinstance(text, str) else [] for text in self._texts]
        self.units = [[match.group() for match in words] for words in found]
        self._starts = [[match.start() for match in words] for words in found]

    def assemble(self, coalitions: Sequence[Coalition]) -> Assembled:
        """Assemble one text for each coalition."""
        places: dict[Any, int] = {}
        inverse = [places.setdefault(self._join(c), len(places)) for c in coalitions]
        texts = pd.DataFrame({0: pd.Series(list(places), dtype=object)})
        texts.columns = self._name
        return Assembled(texts, np.array(inverse))

    def _join(self, coalition: Coalition) -> Any:
        text = self._texts[coalition.row]
        if coalition.present.all():
            return text
        starts = self._starts[coalition.row]
        ends = [*starts[1:], len(text)]
        pieces = zip(starts, ends, coalition.present, strict=True)
        return "".join(text[start:end] for start, end, kept in pieces if kept).rstrip()


class Game:
    """What a modality contributes to a row of which only some units are in.

    Parameters
    ----------
    players : Columns or Words
    encode : callable
        Computes the features (n, n_features) of raw cells.
    features : DataFrame or ndarray of shape (n_samples, n_columns)
        Those of all modalities, of the rows as they are.
    positions : ndarray of int
        The columns of ``features`` that hold what ``encode`` computes.
    read : callable
        Computes the contributions (n, k) of the modality from such features.
    """

    def __init__(
        self,
        players: Columns | Words,
        encode: Callable[[pd.DataFrame], Any],
        features: pd.DataFrame | np.ndarray,
        positions: np.ndarray,
        read: Callable[[Any], np.ndarray],
    ):
        self.players = players
        self._encode = encode
        self._read = read
        self._is_array = isinstance(features, np.ndarray)
        frame = pd.DataFrame(features)
        others = np.setdiff1d(np.arange(frame.shape[1]), positions)
        self._columns = frame.columns
        self._others = frame.iloc[:, others]
        self._order = np.argsort(np.concatenate([others, positions]))

    def evaluate(self, coalitions: Iterable[Coalition], bar: Any) -> Iterator[np.ndarray]:
        """Yield the contribution (k,) of each coalition, the mean over background rows."""
        n_copies, coalitions = self.players.n_copies, iter(coalitions)
        while chunk := list(islice(coalitions, max(1, CHUNK_ROWS // n_copies))):
            assembled = self.players.assemble(chunk)
            rows = np.repeat([coalition.row for coalition in chunk], n_copies)
            with ignore_rows_without_modality():
                values = self._read(self._insert(rows, assembled))
            yield from values.reshape(len(chunk), n_copies, -1).mean(axis=1)
            bar.update(len(chunk))

    def _insert(self, rows: np.ndarray, assembled: Assembled) -> pd.DataFrame | np.ndarray:
        """Return the features of rows, with those of other cells of the modality."""
        encoded = pd.DataFrame(self._encode(assembled.cells)).iloc[assembled.inverse]
        blocks = [self._others.iloc[rows], encoded]
        X = pd.concat([block.reset_index(drop=True) for block in blocks], axis=1)
        X = X.iloc[:, self._order]
        X.columns = self._columns
        return X.to_numpy() if self._is_array else X


def _append(cells: pd.Series, background: pd.Series) -> pd.Series:
    """Append values; of two types they stay what they are, and 1 does not become 1.0."""
    if cells.dtype != background.dtype:
        cells, background = cells.astype(object), background.astype(object)
    return pd.concat([cells, background], ignore_index=True)
