"""The frames of one cell of a video column at sampled times, decoding as few as that needs."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..encoding.readers import (
    ENCODED_TYPES,
    BrokenItemError,
    UnknownFormatError,
    check_nothing_follows,
    find_pictures,
    open_container,
    open_encoded,
)
from ._decoding import Packets, Reader, scan
from ._pictures import PictureMaker

_FORMS = "a path, the bytes of an encoded video, a list of frames, or an array (T, H, W, 3)"
ROUNDING = 1e-6  # 29 frames of 1 / 25 s, in ticks of 1 / 12800 s, are 28.999... at 25 a second


class SampledFrame(NamedTuple):
    """A frame, and how many of the sampled times, one after the other, show it."""

    frame: Any  # (H, W, 3) or (H, W, 4) of uint8, or an item of a list
    n_times: int


class Sampling(NamedTuple):
    """At which times a video is sampled: ``n_frames``, equally far apart, or ``fps`` a second."""

    n_frames: int
    fps: float | None = None
    max_frames: int | None = None

    def sample_times(self, duration: float | None) -> np.ndarray:
        """Compute the times, from 0 to 1, in a video of ``duration`` seconds (None: unknown)."""
        n_times = self.n_frames
        n_expected = None  # at fps, not rounded
        if self.fps is not None:
            if duration is None:
                raise TypeError(
                    "fps needs to know the time, and frames in memory have none: use n_frames"
                )
            n_expected = self.fps * duration
            n_times = max(1, int(n_expected + ROUNDING))
        if self.max_frames is not None and n_times > self.max_frames:
            raise BrokenItemError(
                f"{n_times} frames are more than max_frames={self.max_frames}; raise it if the "
                f"video is what it should be, or lower {'n_frames' if self.fps is None else 'fps'}"
            )
        if n_expected is None or n_expected < 1:
            n_expected = n_times
        return (np.arange(n_times) + 0.5) / n_expected


def sample_frames(
    cell: Any, sampling: Sampling, *, max_pixels: int, filesystem=None
) -> Generator[SampledFrame]:
    """Yield the frames that are shown at the times of a sampling, each once, in their order.

    Raises
    ------
    TypeError
        If the cell is no video, or has no time that ``fps`` could be of.
    BrokenItemError
        If it is one but cannot be read.
    """
    if isinstance(cell, ENCODED_TYPES):
        with open_encoded(cell, filesystem) as file:
            yield from _sample_file(file, sampling, max_pixels)
        return
    check_frames(cell)
    sample_times = sampling.sample_times(None)
    indices, counts = np.unique((sample_times * len(cell)).astype(np.intp), return_counts=True)
    for index, count in zip(indices, counts, strict=True):
        yield SampledFrame(cell[index], int(count))


def check_video(cell: Any, *, max_pixels: int, filesystem=None) -> None:
    """Raise what `sample_frames` would, as far as this shows before anything is decoded."""
    if not isinstance(cell, ENCODED_TYPES):
        check_frames(cell)
        return
    with open_encoded(cell, filesystem) as file, _open_video(file) as container:
        _find_stream(container, max_pixels)


def check_frames(cell: Any) -> None:
    """Raise TypeError or BrokenItemError if a cell is neither a list of frames nor an array."""
    if isinstance(cell, np.ndarray) and (cell.dtype != object or cell.ndim != 1):
        if cell.ndim == 3:
            raise TypeError(
                f"a video must be {_FORMS}; an array of shape {cell.shape} looks like one frame. A "
                "column of one video is a list with it: [video]"
            )
        if cell.ndim != 4 or cell.shape[3] not in (1, 3, 4):
            raise BrokenItemError(f"expected {_FORMS}, got shape {cell.shape}")
    elif isinstance(cell, list | tuple | np.ndarray):
        from PIL import Image

        for frame in cell:
            if not isinstance(frame, np.ndarray | Image.Image):
                raise TypeError(
                    f"the frames in a list must be PIL images or arrays, got {type(frame).__name__}"
                )
    else:
        raise TypeError(f"a video must be {_FORMS}; got {type(cell).__name__}")
    if len(cell) == 0:
        raise BrokenItemError("the video has 0 frames")


# Files


@contextmanager
def _open_video(file: BinaryIO) -> Iterator[Any]:
    with ExitStack() as stack:
        try:
            container = stack.enter_context(open_container(file))
        except UnknownFormatError as e:
            raise BrokenItemError(
                "not a video in a format that FFmpeg knows, such as mp4, mov, mkv, webm and avi, "
                f"or cut short ({e})"
            ) from e
        yield container


def _find_stream(container, max_pixels: int):
    from av.stream import Disposition

    streams = find_pictures(container)
    if not streams:
        has_sound = len(container.streams.audio) > 0
        raise BrokenItemError(
            "there is sound but no picture in it: encode such a column with skmm.audio"
            if has_sound
            else "there is no picture in it"
        )
    stream = max(streams, key=lambda s: bool(s.disposition & Disposition.default))
    context = stream.codec_context
    if context is None:
        raise BrokenItemError("FFmpeg has no decoder for it")
    if context.width * context.height > max_pixels:
        raise BrokenItemError(
            f"frames of {context.width} x {context.height} pixels are more than "
            f"max_pixels={max_pixels}; raise it if the video is what it should be"
        )
    context.options = {"max_pixels": str(max_pixels)}  # for sizes that come later
    return stream


def _sample_file(file: BinaryIO, sampling: Sampling, max_pixels: int) -> Iterator[SampledFrame]:
    with ExitStack() as stack:
        container = stack.enter_context(_open_video(file))
        stream = _find_stream(container, max_pixels)
        packets = scan(container, stream)
        check_nothing_follows(file, container, packets.position, "video")
        targets, counts = _find_shown(packets, sampling)
        reader = Reader(stack, file, container, stream, packets, targets)
        aspect = float(stream.sample_aspect_ratio or 1)
        pictures = PictureMaker(pixel_aspect=aspect, max_pixels=max_pixels)
        for target, count in zip(targets.tolist(), counts.tolist(), strict=True):
            yield SampledFrame(pictures.make(reader.read(target)), count)


def _find_shown(packets: Packets, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """Find when the sampled frames begin, and how many of the sampled times show each."""
    start = int(packets.shown[0])
    duration = packets.end - start
    times = start + sampling.sample_times(duration * packets.time_base) * duration
    # Where a frame begins at one of the times, rounding does not make it the frame before.
    indices = np.searchsorted(packets.shown, times + 1e-4, side="right") - 1
    indices, counts = np.unique(indices, return_counts=True)
    return packets.shown[indices], counts
