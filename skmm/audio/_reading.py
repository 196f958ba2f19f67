"""What the encoders of sounds share: which cells they read, and how."""

from __future__ import annotations

import os
from numbers import Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from .._data.cells import Column
from ..encoding.cache import EmbeddingCache
from ..encoding.engine import CellEncoder
from ..encoding.readers import check_not_one_sound, check_sound, estimate_samples, unwrap_cells


class AudioCellEncoder(CellEncoder):
    """An encoder of sounds; it has the parameters of `_shared_constraints`."""

    filesystem: Any
    sampling_rate: float | None

    _shared_constraints: ClassVar[dict] = {
        "cache": [str, os.PathLike, EmbeddingCache, None],
        "errors": [StrOptions({"raise", "missing"})],
        "filesystem": [HasMethods(["open", "ukey"]), None],
        "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "verbose": ["verbose"],
    }

    def _read_column(self, X) -> Column:
        check_not_one_sound(X, estimator=type(self).__name__)
        return unwrap_cells(super()._read_column(X))

    def _check_cell(self, cell: Any) -> None:
        check_sound(cell, sampling_rate=self.sampling_rate, filesystem=self.filesystem)

    def _cost(self, cell: Any) -> float:
        return estimate_samples(cell)
