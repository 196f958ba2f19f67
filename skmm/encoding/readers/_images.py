"""One cell of an image column, in any of its forms, as an RGB array."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np

from ._files import ENCODED_TYPES, BrokenItemError, open_encoded

ROUNDING = 1e-5  # of float32, from which float64 often comes; 0.003 grey levels
# Tags of TIFF, and what they say
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _SIGNED = 0, 2
_ARRAY_FORMS = "an array (H, W), (H, W, 3) or (H, W, 4) of uint8, or of floats in [0, 1]"


def read_image(
    cell: Any, *, background: tuple[int, int, int], max_pixels: int, filesystem=None
) -> np.ndarray:
    """Read a path, bytes, PIL image or array into an array (H, W, 3) of uint8.

    Pillow warns of images that are larger than its own limit; `quiet_pillow` keeps it from that.

    Raises
    ------
    TypeError
        If the cell is none of these.
    BrokenItemError
        If it is but cannot be read.
    """
    if isinstance(cell, np.ndarray):
        cell = _image_from_array(cell)
    if isinstance(cell, ENCODED_TYPES):
        with _open_image(cell, filesystem) as image:
            _check_size(image, max_pixels)
            return _to_rgb(image, background)
    if not _is_image(cell):
        raise _make_type_error(cell)
    _check_size(cell, max_pixels)
    with _decoding():  # what was opened lazily is decoded only now
        return _to_rgb(cell, background)


def check_image(cell: Any, *, max_pixels: int, filesystem=None) -> None:
    """Raise what `read_image` would, as far as this shows before anything is decoded."""
    if isinstance(cell, ENCODED_TYPES):
        with _open_image(cell, filesystem) as image:
            _check_size(image, max_pixels)
    elif _is_image(cell):
        _check_size(cell, max_pixels)
    elif not isinstance(cell, np.ndarray):
        raise _make_type_error(cell)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warning of large images, whose size is checked before they are decoded.

    To be entered around, not in, the threads that read: filters of warnings are of the process.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _is_image(cell: Any) -> bool:
    from PIL import Image

    return isinstance(cell, Image.Image)


def _make_type_error(cell: Any) -> TypeError:
    return TypeError(
        f"an image must be a path, the bytes of an encoded image, a PIL image or {_ARRAY_FORMS}; "
        f"got {type(cell).__name__}"
        + ("; several images of a row need a column each" if isinstance(cell, list | tuple) else "")
    )


def check_background(background) -> None:
    """Raise ValueError if a background is no RGB colour."""
    colours = [c for c in background if isinstance(c, Integral) and 0 <= int(c) <= 255]
    if len(colours) != 3 or len(background) != 3:
        raise ValueError(f"background must be three integers from 0 to 255, got {background!r}.")


def check_not_one_image(X, *, estimator: str) -> None:
    """Raise ValueError for one colour image, which would be read as a grey image a row."""
    if isinstance(X, np.ndarray) and X.dtype != object and X.ndim == 3 and X.shape[2] in (3, 4):
        raise ValueError(
            f"{estimator} expects a column of images, samples first; an array of shape {X.shape} "
            "looks like one image. Pass [image]; grey images of this width go in a list."
        )


@contextmanager
def _open_image(cell: Any, filesystem) -> Iterator[Any]:
    from PIL import Image

    with open_encoded(cell, filesystem) as file, _decoding(), Image.open(file) as image:
        yield image


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn whatever goes wrong in Pillow into a BrokenItemError."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except (BrokenItemError, MemoryError):
        raise
    except UnidentifiedImageError as e:
        raise BrokenItemError("not an image in a format that Pillow knows") from e
    except Image.DecompressionBombError as e:
        raise BrokenItemError(
            f"too many pixels for Pillow (PIL.Image.MAX_IMAGE_PIXELS): {e}"
        ) from e
    except Exception as e:  # decoders raise anything: SyntaxError, struct.error, OSError
        raise BrokenItemError(f"the image does not decode: {e}") from e


def _check_size(image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise BrokenItemError(
            f"{width} x {height} pixels are more than max_pixels={max_pixels}; raise it if the "
            "image is what it should be"
        )
    if width * height == 0:
        raise BrokenItemError(f"the image has no pixels ({width} x {height})")


def _to_rgb(image, background) -> np.ndarray:
    """Convert the first frame: upright, 8 bits a channel, transparency over the background."""
    from PIL import Image, ImageOps

    white = _find_white(image)
    image = ImageOps.exif_transpose(image)
    if white is not None:
        image = Image.fromarray(_to_8_bits(np.asarray(image, dtype=np.float64), white))
    if image.mode == "La":  # which Pillow converts to this alone
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(canvas, image)
    return np.asarray(image.convert("RGB"))


def _find_white(image) -> float | None:
    """Return the value that is white, where Pillow has not brought it to 255.

    Pillow reads signed bytes as if they had no sign, and 0 as black where a TIFF says otherwise.
    """
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    is_sixteen = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
    if _SIGNED in tags.get(_SAMPLE_FORMAT, ()) or (image.mode == "I" and not is_sixteen):
        raise BrokenItemError(
            "the image holds integers with a sign or of 32 bits, of which nobody knows what is "
            "white: scale them to 0 to 255 and save uint8, or pass such an array"
        )
    if image.mode != "F" and not image.mode.startswith("I"):
        return None
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise BrokenItemError(
            "0 is white in this TIFF, which Pillow knows in images of 8 bits only: save it anew, "
            "with 0 as black"
        )
    return 1.0 if image.mode == "F" else 2.0 ** tags.get(_BITS_PER_SAMPLE, (16,))[0] - 1


def _to_8_bits(values: np.ndarray, white: float) -> np.ndarray:
    """Scale grey values from 0 to ``white``; with a white of 1, others are an error."""
    if white == 1:
        _check_floats(values)
    return np.rint(values.clip(0, white) * (255 / white)).astype(np.uint8)


def _check_floats(values: np.ndarray) -> None:
    """Raise BrokenItemError if values lie outside of [0, 1] by more than rounding explains."""
    low, high = values.min(), values.max()
    tolerance = max(ROUNDING, 4 * np.finfo(values.dtype).eps)
    if not (low >= -tolerance and high <= 1 + tolerance):  # NaN fails here too
        raise BrokenItemError(
            f"an image of floats must lie in [0, 1], got values from {low:.9g} to {high:.9g}; "
            "divide by the value that is white, such as 255, or pass uint8"
        )


def _image_from_array(array: np.ndarray):
    from PIL import Image

    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not shape_fits or array.dtype.kind not in "ufb":
        raise BrokenItemError(f"expected {_ARRAY_FORMS}, got shape {array.shape} of {array.dtype}")
    if array.size == 0:
        raise BrokenItemError(f"the array has no pixels (shape {array.shape})")
    if array.dtype.kind == "b":
        array = array.astype(np.float32)
    if array.dtype.kind == "f":
        array = _to_8_bits(array, 1.0)
    elif array.dtype != np.uint8:
        raise BrokenItemError(f"an array of integers must be uint8, got {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array))
