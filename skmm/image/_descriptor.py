"""ImageDescriptor: images by edges and colours, without a pretrained model."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from .._optional import import_optional
from ..encoding.engine import describe_versions
from ._reading import ImageCellEncoder

if TYPE_CHECKING:
    from os import PathLike

    from fsspec import AbstractFileSystem

    from ..encoding.cache import EmbeddingCache

BLOCK = 2  # cells along the side of a block, in which gradients are normalised


class ImageDescriptor(ImageCellEncoder):
    """Describe images by their edges and colours, without a pretrained model.

    A histogram of oriented gradients (HOG) [1]_ and the square root of a joint colour histogram,
    each of length 1 (Euclidean), one after the other. Images are stretched to a square first.

    Parameters
    ----------
    image_size : int, default=64
        Side, in pixels, of the square that images are resized to.
    orientations : int, default=8
        Number of bins of the gradients' directions.
    pixels_per_cell : int, default=16
        Side, in pixels, of the cells in which gradients are counted. An image must hold at least
        2 x 2 cells.
    n_bins : int, default=4
        Bins of each of red, green and blue: the colour histogram has ``n_bins ** 3`` values.
    background : tuple of 3 int, default=(255, 255, 255)
        The RGB colour, from 0 to 255, behind what is transparent.
    cache : "memory", path, EmbeddingCache or None, default="memory"
        Where vectors are kept: in this process, or in a file that processes and runs share.
    filesystem : fsspec filesystem, default=None
        Where paths lead, such as ``s3fs.S3FileSystem()``. None: this machine.
    errors : {"raise", "missing"}, default="raise"
        What to do with an item that cannot be read: raise, or treat it as missing, with one
        warning. A cell that is no image at all, such as a number, is an error in any case.
    max_pixels : int, default=50_000_000
        Larger images are broken items; they are not decoded (decompression bombs).
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    method_ : str
        The versions of the method, scikit-image and Pillow that it was fitted with; with others,
        `transform` warns.
    n_features_in_ : int
        1, the column.

    See Also
    --------
    skmm.ModalityTransformer : Apply it to a column of a frame.

    Notes
    -----
    An item is a path, the bytes of an encoded image, a dict of "bytes" or "path", a PIL image or an
    array (H, W), (H, W, 3) or (H, W, 4) of uint8 or of floats in [0, 1]; None, NaN and pd.NA are
    missing, and become a row of NaN. EXIF orientation is applied, and the first frame of an
    animation is used. The same picture in any lossless form has the same features. URLs are not
    fetched.

    References
    ----------
    .. [1] N. Dalal, B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from skmm.image import ImageDescriptor
    >>> red = np.zeros((32, 32, 3), dtype=np.uint8)
    >>> red[..., 0] = 255
    >>> ImageDescriptor().fit_transform([red, None, red.astype(float) / 255]).shape
    (3, 352)
    """

    _parameter_constraints: ClassVar[dict] = {
        "image_size": [Interval(Integral, 8, None, closed="left")],
        "orientations": [Interval(Integral, 1, None, closed="left")],
        "pixels_per_cell": [Interval(Integral, 2, None, closed="left")],
        "n_bins": [Interval(Integral, 1, 64, closed="both")],
        **ImageCellEncoder._shared_constraints,
    }

    def __init__(
        self,
        *,
        image_size: int = 64,
        orientations: int = 8,
        pixels_per_cell: int = 16,
        n_bins: int = 4,
        background: tuple[int, int, int] = (255, 255, 255),
        cache: str | PathLike | EmbeddingCache | None = "memory",
        filesystem: AbstractFileSystem | None = None,
        errors: str = "raise",
        max_pixels: int = 50_000_000,
        verbose: bool = False,
    ):
        self.image_size = image_size
        self.orientations = orientations
        self.pixels_per_cell = pixels_per_cell
        self.n_bins = n_bins
        self.background = background
        self.cache = cache
        self.filesystem = filesystem
        self.errors = errors
        self.max_pixels = max_pixels
        self.verbose = verbose

    def _validate_params(self):
        super()._validate_params()
        if self.image_size // self.pixels_per_cell < BLOCK:
            raise ValueError(
                f"image_size={self.image_size} must be at least {BLOCK} times "
                f"pixels_per_cell={self.pixels_per_cell}."
            )

    def _describe_method(self) -> str:
        return describe_versions("scikit-image", "pillow")

    @property
    def _n_features_out(self) -> int:
        n_blocks = (self.image_size // self.pixels_per_cell - BLOCK + 1) ** 2
        return n_blocks * BLOCK**2 * self.orientations + self.n_bins**3

    def _read(self, cell: Any) -> np.ndarray:
        feature = import_optional("skimage.feature", extra="image", purpose="ImageDescriptor")
        square = self._read_picture(cell).resize((self.image_size, self.image_size))
        values = np.asarray(square, dtype=np.float32) / 255  # (size, size, 3)
        gradients = feature.hog(
            values,
            orientations=self.orientations,
            pixels_per_cell=(self.pixels_per_cell, self.pixels_per_cell),
            cells_per_block=(BLOCK, BLOCK),
            channel_axis=-1,
        )
        bins = np.minimum((values * self.n_bins).astype(np.intp), self.n_bins - 1)
        joint = bins.reshape(-1, 3) @ self.n_bins ** np.arange(2, -1, -1)
        colours = np.sqrt(np.bincount(joint, minlength=self.n_bins**3) / len(joint))
        length = np.linalg.norm(gradients)  # 0 for a picture of one colour
        return np.concatenate([gradients / (length if length > 0 else 1), colours])
