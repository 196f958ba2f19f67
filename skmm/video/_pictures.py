"""From a decoded frame to the picture that a viewer sees."""

from __future__ import annotations

import numpy as np

from ..encoding.readers import BrokenItemError

MAX_ASPECT = 10  # of a pixel; headers with more are wrong


class PictureMaker:
    """Makes arrays of the frames of one video, that are as a viewer sees them.

    Parameters
    ----------
    pixel_aspect : float
        How many times as wide as high a pixel is; it becomes square.
    max_pixels : int
        Refuse larger frames.
    """

    def __init__(self, *, pixel_aspect: float, max_pixels: int):
        from av.video.reformatter import VideoReformatter

        is_right = 1 / MAX_ASPECT <= pixel_aspect <= MAX_ASPECT
        self._pixel_aspect = pixel_aspect if is_right else 1.0
        self._max_pixels = max_pixels
        self._reformatter = VideoReformatter()

    def make(self, frame) -> np.ndarray:
        """Return an av.VideoFrame as (H, W, 3), or (H, W, 4) with transparency, of uint8."""
        width, height = max(1, round(frame.width * self._pixel_aspect)), frame.height
        if width * height > self._max_pixels:
            raise BrokenItemError(
                f"a frame of {width} x {height} pixels is more than max_pixels="
                f"{self._max_pixels}; raise it if the video is what it should be"
            )
        has_alpha = any(component.is_alpha for component in frame.format.components)
        target = {"width": width, "height": height, "format": "rgba" if has_alpha else "rgb24"}
        # one thread, for many videos are read at once
        pixels = self._reformatter.reformat(frame, **target, threads=1).to_ndarray()
        matrix = frame.side_data.get("DISPLAYMATRIX")
        return pixels if matrix is None else _turn(pixels, np.frombuffer(matrix, dtype="=i4"))


def _turn(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn by the nearest quarter, and mirror: a point (x, y) goes to (ax + cy, bx + dy)."""
    a, b, _, c, d = matrix[:5].tolist()
    if abs(a) < abs(b):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
