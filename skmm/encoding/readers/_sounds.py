"""One cell of an audio column, in any of its forms, as mono samples: whole, or window by window."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from ..._optional import import_optional
from ._files import ENCODED_TYPES, BrokenItemError, expand_home, open_encoded, unwrap
from ._sound_files import SAMPLES_PER_BLOCK, Source, open_sound_file, slice_samples

MAX_CHANNELS = 8  # of an array; a longer axis is time
MAX_RATIO = 1000  # of sampling rates, both ways; soxr crashes far beyond
INTEGERS = {("u", 1), ("i", 1), ("u", 2), ("i", 2), ("i", 4)}  # kinds and bytes of arrays

_FORMS = (
    "a path, the bytes of an encoded file, (array, sampling_rate), or a dict of array and "
    "sampling_rate, or of bytes or path"
)


class Sound(NamedTuple):
    """Samples of one channel."""

    samples: np.ndarray  # (n,), float32
    sampling_rate: float


def read_sound(
    cell: Any,
    *,
    sampling_rate: float | None = None,
    target_sampling_rate: float | None = None,
    max_seconds: float | None = None,
    filesystem=None,
) -> Sound:
    """Read a sound of any form, all of it.

    Parameters
    ----------
    cell : object
        The sound.
    sampling_rate : float or None, default=None
        That of an array that comes without.
    target_sampling_rate : float or None, default=None
        The rate to resample to; None keeps that of the sound.
    max_seconds : float or None, default=None
        Longer sounds are broken items; no more of them is read.
    filesystem : fsspec filesystem or None, default=None
        Where paths lead; None is this computer.

    Returns
    -------
    Sound
        At least one sample, of the mean of the channels, all finite.

    Raises
    ------
    TypeError
        If the cell is no sound, or an array of unknown sampling rate.
    BrokenItemError
        If it is one but cannot be read.
    """
    with _open_source(cell, sampling_rate, filesystem) as source:
        rate = target_sampling_rate or source.sampling_rate
        blocks = _limit(source, max_seconds)
        samples = np.concatenate(list(_resample(blocks, source.sampling_rate, rate)))
    return Sound(samples, rate)


def read_windows(
    cell: Any,
    *,
    window_seconds: float,
    target_sampling_rate: float,
    sampling_rate: float | None = None,
    filesystem=None,
) -> Iterator[np.ndarray]:
    """Read a sound of any form and length, one window after the other.

    No more is in memory than a window and a block of what is decoded. One after the other, the
    windows are what `read_sound` reads; all but the last have the same length.
    """
    n_window = max(1, round(window_seconds * target_sampling_rate))
    with _open_source(cell, sampling_rate, filesystem) as source:
        waiting = np.empty(0, dtype=np.float32)
        for block in _resample(source.blocks, source.sampling_rate, target_sampling_rate):
            waiting = np.concatenate([waiting, block])
            n_whole = len(waiting) // n_window * n_window
            yield from waiting[:n_whole].reshape(-1, n_window)
            waiting = waiting[n_whole:]
        if len(waiting):
            yield waiting


def check_not_one_sound(X, *, estimator: str) -> None:
    """Raise ValueError for one sound where a column is expected."""
    if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "iuf":
        what = f"an array of {len(X)} numbers"
    elif isinstance(X, tuple) and len(X) == 2 and isinstance(X[1], Real):
        what = "a tuple (array, sampling_rate)"
    else:
        return
    raise ValueError(
        f"{estimator} expects a column of sounds; {what} looks like one sound. Pass [sound]."
    )


def check_sound(cell: Any, *, sampling_rate: float | None = None, filesystem=None) -> None:
    """Raise what `read_sound` would, as far as this shows before any sound is decoded."""
    with _open_source(cell, sampling_rate, filesystem):
        pass


def estimate_samples(cell: Any) -> float:
    """Estimate how many samples a sound has, from the size of its file if it is one."""
    cell = unwrap(cell)
    if isinstance(cell, str | os.PathLike):
        try:
            return os.stat(expand_home(cell)).st_size / 2
        except (OSError, ValueError):
            return 0.0
    if isinstance(cell, bytes | bytearray | memoryview):
        return len(cell) / 2
    if isinstance(cell, dict | tuple):
        cell = cell["array"] if isinstance(cell, dict) else cell[0]
    return float(np.asarray(cell).size)  # np.size takes the method of a tensor


# From a cell to blocks


class _Samples(NamedTuple):
    array: np.ndarray  # (n_samples, n_channels), of any type that has a scale
    sampling_rate: float


def _normalize_form(cell: Any, sampling_rate: float | None) -> Any:
    """Return a cell of ENCODED_TYPES as it is, and others as samples in memory."""
    cell = unwrap(cell)
    if isinstance(cell, ENCODED_TYPES):
        return cell
    if isinstance(cell, dict) and "array" in cell:
        cell = (cell["array"], cell.get("sampling_rate"))
    elif _is_array(cell):
        if sampling_rate is None:
            raise TypeError(
                "an array of samples has no sampling rate: pass (array, "
                "sampling_rate), or the parameter sampling_rate if all such arrays have the same"
            )
        cell = (cell, sampling_rate)
    if not isinstance(cell, tuple) or len(cell) != 2 or not _is_array(cell[0]):
        form = type(cell).__name__
        if isinstance(cell, tuple):
            form = f"({', '.join(type(part).__name__ for part in cell)})"
        raise TypeError(f"a sound must be {_FORMS}; got {form}")
    rate = _check_rate(cell[1])
    return _Samples(_as_columns(cell[0]), rate)


@contextmanager
def _open_source(cell: Any, sampling_rate: float | None, filesystem) -> Iterator[Source]:
    cell = _normalize_form(cell, sampling_rate)
    if isinstance(cell, _Samples):
        yield Source(slice_samples(cell.array), cell.sampling_rate, len(cell.array))
        return
    with open_encoded(cell, filesystem) as file, open_sound_file(file) as source:
        yield source


def _is_array(value: Any) -> bool:
    return isinstance(value, list) or (
        hasattr(value, "__array__") and not isinstance(value, np.generic)
    )


def _check_rate(rate: Any) -> float:
    if isinstance(rate, bool | np.bool_) or not isinstance(rate, Real):
        raise TypeError(f"a sampling rate must be a number, in Hz, got {type(rate).__name__}")
    hertz = float(rate)
    if not 0 < hertz < np.inf:
        raise BrokenItemError(f"the sampling rate must be above 0 Hz, got {rate}")
    return int(hertz) if hertz.is_integer() else hertz


def _as_columns(samples: Any) -> np.ndarray:
    """Bring samples of a known scale to the shape (n_samples, n_channels), without a copy."""
    try:
        array = np.asarray(samples)
    except ValueError as e:  # lists of several lengths
        raise BrokenItemError(f"the samples are no array: {e}") from e
    kind, n_bytes = array.dtype.kind, array.dtype.itemsize
    if kind != "f" and (kind, n_bytes) not in INTEGERS:
        raise BrokenItemError(
            "samples must be floats of about -1 to 1, or int8, uint8, int16, uint16 or int32, "
            f"which fill their range; got {array.dtype}. Cast them to the type of that range"
        )
    if array.size == 0:
        raise BrokenItemError(f"the array has no samples (shape {array.shape})")
    if array.ndim == 1:
        return array[:, None]
    if array.ndim == 2 and array.shape[0] != array.shape[1] and min(array.shape) <= MAX_CHANNELS:
        return array if array.shape[1] < array.shape[0] else array.T
    raise BrokenItemError(
        "expected samples of shape (n,), (n, channels) or (channels, n), with at most "
        f"{MAX_CHANNELS} channels and fewer channels than samples; got shape {array.shape}"
    )


# From blocks to blocks


def _limit(source: Source, max_seconds: float | None) -> Iterator[np.ndarray]:
    """Raise BrokenItemError where a sound is too long, by its header or by its samples."""
    n_samples = source.n_samples or 0
    n_read = 0
    for block in source.blocks:
        n_read += len(block)
        n_samples = max(n_samples, n_read)
        if max_seconds is not None and n_samples > max_seconds * source.sampling_rate:
            raise BrokenItemError(
                f"{n_samples / source.sampling_rate:.1f} seconds or more exceed "
                f"max_seconds={max_seconds}; raise it if the sound is what it should be"
            )
        yield block


def _resample(blocks: Iterator[np.ndarray], rate: float, target: float) -> Iterator[np.ndarray]:
    if rate == target:
        yield from blocks
        return
    if not 1 / MAX_RATIO <= target / rate <= MAX_RATIO:
        raise BrokenItemError(f"a sound of {rate} Hz cannot be resampled to {target} Hz")
    soxr = import_optional("soxr", extra="audio", purpose="Resampling sounds")
    stream = soxr.ResampleStream(rate, target, 1, dtype="float32")
    step = max(1, int(SAMPLES_PER_BLOCK * min(1, rate / target)))  # for blocks out as long as in
    first, n_out = np.empty(0, dtype=np.float32), 0
    for block in blocks:
        first = block[:1] if len(first) == 0 else first
        for start in range(0, len(block), step):
            resampled = stream.resample_chunk(np.ascontiguousarray(block[start : start + step]))
            n_out += len(resampled)
            yield resampled
    rest = stream.resample_chunk(np.empty(0, dtype=np.float32), last=True)
    yield rest if n_out + len(rest) else first  # shorter than half a sample
