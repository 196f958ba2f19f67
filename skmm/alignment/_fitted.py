"""What is fitted: the network with all that it needs to map rows into the shared space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from .._data.columns import ModalityColumns
from .._data.persistence import frame_from_plain, frame_to_plain
from .._data.scaling import ColumnScaler
from .._torch.device import choose_device
from .._torch.float64 import float64_network
from .._torch.tensors import to_float64
from ._architecture import AlignmentSpec, pack_network, unpack_network
from ._network import AlignmentNetwork
from ._partial_rows import PartialRows
from ._retrieval import mean_direction

EMBEDDING_ROWS = 8192


@dataclass
class FittedAligner:
    """A trained network, and how rows of X become its input; made by `fit`.

    An estimator holds it in one attribute, and all vectors come from `embed`. Modalities are in the
    user's order.
    """

    network: AlignmentNetwork
    spec: AlignmentSpec
    columns: ModalityColumns
    scaler: ColumnScaler
    correlations: np.ndarray | None = None  # (q,); None where training started at random
    history: pd.DataFrame | None = None  # None where nothing was trained
    embeddings: np.ndarray | None = None  # (n, m, q) of the training rows, if they are kept

    @property
    def n_components(self) -> int:
        """The dimensions of the shared space."""
        return self.spec.n_components

    def embed(self, rows: PartialRows, modality: str | None, device: str) -> np.ndarray:
        """Map rows to unit vectors (n, q), float32.

        Those of one modality, or the mean of those of the modalities that a row has. NaN where
        ``modality``, or every one, is missing.
        """
        place = choose_device(device)
        network = float64_network(self.network, place)
        names = list(rows.groups) if modality is None else [modality]
        vectors = np.empty((len(rows), self.n_components), dtype=np.float32)
        for start in range(0, len(rows), EMBEDDING_ROWS):
            chunk = slice(start, min(start + EMBEDDING_ROWS, len(rows)))
            of_each = [self._embed_chunk(network, rows, chunk, name, place) for name in names]
            vectors[chunk] = mean_direction(of_each) if modality is None else of_each[0]
        return vectors

    def embed_each(self, rows: PartialRows, device: str) -> np.ndarray:
        """Map rows to unit vectors of each modality (n, m, q), float32; NaN where it is missing."""
        names = self.columns.names
        vectors = np.full((len(rows), len(names), self.n_components), np.nan, dtype=np.float32)
        for i, name in enumerate(names):
            if name in rows.groups:
                vectors[:, i] = self.embed(rows, name, device)
        return vectors

    def _embed_chunk(
        self, network, rows: PartialRows, chunk: slice, name: str, device: torch.device
    ) -> np.ndarray:
        """Map a modality of some rows to unit vectors, float64; NaN where it is missing."""
        scaled = self.scaler.transform_block(
            rows.values, chunk, rows.groups[name], self.columns.groups[name]
        )
        with torch.inference_mode():
            x = to_float64(torch.from_numpy(scaled).to(device))
            mapped = network.represent(self.columns.names.index(name), x)
            vectors = F.normalize(mapped, dim=-1).cpu().double().numpy()
        vectors[~rows.has(name)[chunk]] = np.nan
        return vectors

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, arrays, and lists and dicts of these."""
        return {
            "network": pack_network(self.network, self.spec),
            "spec": self.spec.to_plain(),
            "columns": {"groups": self.columns.groups, "labels": self.columns.labels},
            "scaler": self.scaler.state,
            "correlations": self.correlations,
            "history": None if self.history is None else frame_to_plain(self.history),
            "embeddings": self.embeddings,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> FittedAligner:
        """Undo `to_plain`."""
        spec, history = AlignmentSpec.from_plain(plain["spec"]), plain["history"]
        return cls(
            network=unpack_network(plain["network"], spec),
            spec=spec,
            columns=ModalityColumns(**plain["columns"]),
            scaler=ColumnScaler.from_state(plain["scaler"]),
            correlations=plain["correlations"],
            history=None if history is None else frame_from_plain(history),
            embeddings=plain["embeddings"],
        )
