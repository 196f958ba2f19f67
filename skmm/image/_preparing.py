"""ImagePreprocessor: a column of images to a column of images, before any encoder."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .._data.cells import Column
from ..encoding.engine import CellPreparer
from ..encoding.readers import (
    check_background,
    check_not_one_image,
    quiet_pillow,
    read_image,
    unwrap_cells,
)
from ._pixels import average_segments, enhance_contrast, find_foreground, find_superpixels


class ImagePreprocessor(CellPreparer, auto_wrap_output_keys=None):  # pyright: ignore (untyped keyword of scikit-learn)
    """Prepare images, one by one: mode, size, contrast and segmentation, in this order.

    Parameters
    ----------
    mode : {"RGB", "L"}, default="RGB"
        In colour, or in grey.
    size : int, tuple of 2 int or None, default=None
        Side of the square, or width and height, in pixels, that images are resized to; None leaves
        each as large as it is.
    resize : {"stretch", "contain", "cover"}, default="stretch"
        How an image of other proportions comes to `size`: stretched; scaled so that all of it can
        be seen, with `background` around it; or scaled so that it fills all, with what is too much
        cut away on both sides.
    contrast : {"stretch", "equalize", "clahe"} or None, default=None
        What to do with the lightness: stretch it so that its percentiles 1 and 99 become black and
        white; equalize its histogram; or equalize it place by place, within limits [1]_. Of
        colours, hue and saturation stay. An image of one lightness stays as it is.
    segmentation : {"foreground", "superpixels"} or None, default=None
        What to make of the parts of an image. "foreground" puts `background` in the place of all
        that looks like the border: a pixel is foreground if its colour differs from the median of
        the border by more than Otsu's threshold [2]_ (both after smoothing), or if it is enclosed
        by such. "superpixels" paints each superpixel [3]_ in its mean colour.
    n_segments : int, default=100
        About how many superpixels an image has.
    background : tuple of 3 int, default=(255, 255, 255)
        The RGB colour, from 0 to 255, behind what is transparent, around what `resize` contains,
        and in the place of what is not foreground.
    errors : {"raise", "missing"}, default="raise"
        What to do with an item that cannot be read: raise, or make it None, with one warning. A
        cell that is no image at all, such as a number, is an error in any case.
    max_pixels : int, default=50_000_000
        Larger images are broken items; they are not decoded (decompression bombs).
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    n_features_in_ : int
        1, the column.

    See Also
    --------
    ImageDescriptor : Turn images into numbers.

    Notes
    -----
    An item is a path, the bytes of an encoded image, a dict of "bytes" or "path", a PIL image or an
    array (H, W), (H, W, 3) or (H, W, 4) of uint8 or of floats in [0, 1]; None, NaN and pd.NA are
    missing, and stay as they are. EXIF orientation is applied, and the first frame of an animation
    is used. URLs are not fetched.

    What comes out are PIL images, all in memory at once: with `size` None that may be much. An item
    that comes twice, as the same path, bytes or object, is one image object in the output.

    References
    ----------
    .. [1] K. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV,
       1994.
    .. [2] N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on
       Systems, Man, and Cybernetics 9(1), 1979.
    .. [3] R. Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods",
       IEEE Transactions on Pattern Analysis and Machine Intelligence 34(11), 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from skmm.image import ImagePreprocessor
    >>> photo = np.zeros((20, 40, 3), dtype=np.uint8)
    >>> image, missing = ImagePreprocessor(size=32, resize="contain").transform([photo, None])
    >>> image.size, image.getpixel((16, 16)), image.getpixel((0, 0)), missing
    ((32, 32), (0, 0, 0), (255, 255, 255), None)
    """

    _parameter_constraints: ClassVar[dict] = {
        "mode": [StrOptions({"RGB", "L"})],
        "size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "resize": [StrOptions({"stretch", "contain", "cover"})],
        "contrast": [StrOptions({"stretch", "equalize", "clahe"}), None],
        "segmentation": [StrOptions({"foreground", "superpixels"}), None],
        "n_segments": [Interval(Integral, 1, None, closed="left")],
        "background": [tuple, list],
        "errors": [StrOptions({"raise", "missing"})],
        "max_pixels": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        mode: str = "RGB",
        size: int | tuple[int, int] | None = None,
        resize: str = "stretch",
        contrast: str | None = None,
        segmentation: str | None = None,
        n_segments: int = 100,
        background: tuple[int, int, int] = (255, 255, 255),
        errors: str = "raise",
        max_pixels: int = 50_000_000,
        verbose: bool = False,
    ):
        self.mode = mode
        self.size = size
        self.resize = resize
        self.contrast = contrast
        self.segmentation = segmentation
        self.n_segments = n_segments
        self.background = background
        self.errors = errors
        self.max_pixels = max_pixels
        self.verbose = verbose

    def _validate_params(self):
        super()._validate_params()
        check_background(self.background)
        if isinstance(self.size, tuple | list):
            sides = [side for side in self.size if isinstance(side, Integral) and int(side) >= 1]
            if len(sides) != 2 or len(self.size) != 2:
                raise ValueError(
                    "size must be an integer or (width, height), from 1 pixel on, got "
                    f"{self.size!r}."
                )

    def _read_column(self, X) -> Column:
        check_not_one_image(X, estimator="ImagePreprocessor")
        return unwrap_cells(super()._read_column(X))

    def _prepare(self, cell: Any):
        from PIL import Image

        red, green, blue = self.background
        background = (red, green, blue)  # which may come as a list
        with quiet_pillow():
            rgb = read_image(cell, background=background, max_pixels=self.max_pixels)
        image = self._scale(Image.fromarray(rgb).convert(self.mode))
        background = Image.new("RGB", (1, 1), background).convert(self.mode).getpixel((0, 0))
        if self.contrast is not None:
            image = Image.fromarray(enhance_contrast(np.asarray(image), self.contrast))
        if self.segmentation == "foreground":
            values = np.array(image)
            values[~find_foreground(np.asarray(image.convert("RGB")))] = background
            image = Image.fromarray(values)
        elif self.segmentation == "superpixels":
            segments = find_superpixels(np.asarray(image.convert("RGB")), self.n_segments)
            image = Image.fromarray(average_segments(np.asarray(image), segments))
        return self._pad(image, background)

    def _target_size(self, size: Any) -> tuple[int, int]:
        width, height = size if isinstance(size, tuple | list) else (size, size)
        return width, height

    def _scale(self, image):
        from PIL import ImageOps

        if self.size is None:
            return image
        target = self._target_size(self.size)
        if self.resize == "cover":
            return ImageOps.fit(image, target)
        if self.resize == "contain":
            factor = min(new / old for new, old in zip(target, image.size, strict=True))
            target = tuple(max(1, round(old * factor)) for old in image.size)
        return image.resize(target)

    def _pad(self, image, background):
        """Put what was scaled to be contained in the middle of an image of the right size."""
        from PIL import Image

        if self.size is None or image.size == self._target_size(self.size):
            return image
        canvas = Image.new(self.mode, self._target_size(self.size), background)
        corner = [(new - old) // 2 for new, old in zip(canvas.size, image.size, strict=True)]
        canvas.paste(image, tuple(corner))
        return canvas
