"""What the encoders of images share: which cells they read, and how."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from .._data.cells import Column
from ..encoding.cache import EmbeddingCache
from ..encoding.engine import CellEncoder
from ..encoding.readers import (
    check_background,
    check_image,
    check_not_one_image,
    quiet_pillow,
    read_image,
    unwrap_cells,
)


class ImageCellEncoder(CellEncoder):
    """An encoder of images; it has the parameters of `_shared_constraints`."""

    background: tuple[int, int, int]
    filesystem: Any
    max_pixels: int

    _neutral = CellEncoder._neutral | {"max_pixels"}
    _shared_constraints: ClassVar[dict] = {
        "background": [tuple, list],
        "cache": [str, os.PathLike, EmbeddingCache, None],
        "errors": [StrOptions({"raise", "missing"})],
        "filesystem": [HasMethods(["open", "ukey"]), None],
        "max_pixels": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    }

    def _validate_params(self):
        super()._validate_params()
        check_background(self.background)

    def _read_column(self, X) -> Column:
        check_not_one_image(X, estimator=type(self).__name__)
        return unwrap_cells(super()._read_column(X))

    def _check_cell(self, cell: Any) -> None:
        check_image(cell, max_pixels=self.max_pixels, filesystem=self.filesystem)

    def _reading(self) -> AbstractContextManager:
        return quiet_pillow()

    def _read_picture(self, cell: Any):
        """Read a cell into a PIL image in RGB."""
        from PIL import Image

        red, green, blue = self.background
        rgb = read_image(
            cell,
            background=(red, green, blue),
            max_pixels=self.max_pixels,
            filesystem=self.filesystem,
        )
        return Image.fromarray(rgb)
