"""Rows to generate texts for, and texts that may be theirs: plain data that parts exchange."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class GenerationRows(NamedTuple):
    """Rows of several modalities, scaled, with the source text of each if they have one."""

    blocks: dict[str, np.ndarray]  # modality -> (n, d_i) float32, zeros where it is missing
    present: np.ndarray  # bool (n, m), columns in the order of the blocks
    source: list[str] | None = None  # "" where a row has none

    @property
    def n_rows(self) -> int:  # the length of a NamedTuple is that of its fields
        return len(self.present)

    def take(self, index: np.ndarray | slice) -> GenerationRows:
        """Select rows by their positions, or by a slice."""
        blocks = {name: block[index] for name, block in self.blocks.items()}
        source = self.source
        if source is not None:
            positions = np.arange(self.n_rows)[index]
            source = [source[i] for i in positions.tolist()]
        return GenerationRows(blocks, self.present[index], source)


class Candidate(NamedTuple):
    """A text that may be a row's."""

    text: str
    score: float  # the higher the better, comparable within a row


class RetrievalSettings(NamedTuple):
    """How candidates are found and ranked."""

    n_neighbors: int = 16  # training rows whose texts, and their edits, are candidates; 0: none
    modality_weights: np.ndarray | None = None  # (m,) fixed, sum to 1; None: they are learned
