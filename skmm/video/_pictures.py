"""From a decoded frame to the picture that a viewer sees."""

from __future__ import annotations

import numpy as np

from ..encoding._files import BrokenItemError

MAX_ASPECT = 10  # of a pixel; headers with more are wrong


def make_picture(frame, *, max_pixels: int, pixel_aspect: float = 1.0) -> np.ndarray:
    """Give an av.VideoFrame as an array (H, W, 3), or (H, W, 4) with transparency, of uint8.

    Pixels become square, and it is turned and mirrored as its display matrix says.
    """
    width, height = frame.width, frame.height
    if 1 / MAX_ASPECT <= pixel_aspect <= MAX_ASPECT:
        width = max(1, round(width * pixel_aspect))
    if width * height > max_pixels:
        raise BrokenItemError(
            f"a frame of {width} x {height} pixels is more than max_pixels={max_pixels}; raise it "
            "if the video is what it should be"
        )
    has_alpha = any(component.is_alpha for component in frame.format.components)
    pixels = frame.to_ndarray(width=width, format="rgba" if has_alpha else "rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return pixels if matrix is None else _turn(pixels, np.frombuffer(matrix, dtype="=i4"))


def _turn(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn by the nearest quarter, and mirror: a point (x, y) goes to (ax + cy, bx + dy)."""
    a, b, _, c, d = matrix[:5].tolist()
    if abs(a) < abs(b):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
