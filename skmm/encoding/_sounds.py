"""One cell of an audio column, in any of its forms, as mono samples: whole, or window by window."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from .._optional import import_optional
from ._files import ENCODED_TYPES, BrokenItemError, expand_home, open_encoded

SAMPLES_PER_BLOCK = 2**18  # of all channels together
MAX_CHANNELS = 8  # of an array; more are taken for time
MAX_FLOAT = 100  # louder samples are integers that were made floats without scaling
MAX_RATIO = 1000  # of sampling rates, both ways; soxr crashes far beyond
INTEGERS = {("u", 1), ("i", 1), ("u", 2), ("i", 2), ("i", 4)}  # kinds and bytes of arrays
SHARE_THERE = 0.99  # of what a header promises: some are wrong by a few bytes
# Writers to pipes cannot go back to put in the length, and leave one of these or more.
UNKNOWN_BYTES, UNKNOWN_SAMPLES = 0x7FFF0000, 2**62

_FORMS = (
    "a path, the bytes of an encoded file, (array, sampling_rate), or a dict of array and "
    "sampling_rate, or of bytes or path"
)
# In what libsndfile says of the lengths it read in the headers of WAV, AIFF, AU, RF64 and W64.
_LENGTH = re.compile(
    r"^\s*(?:data|SSND|Data Size|Riff size|riff) +: (\d+) \(should be (\d+)\)", re.MULTILINE
)
_OGG_CUT = re.compile(r"^Ogg ?: (Last page lacks|Junk after the last page)", re.MULTILINE)


class Sound(NamedTuple):
    """Samples of one channel."""

    samples: np.ndarray  # (n,), float32
    sampling_rate: float


class _Source(NamedTuple):
    """A sound as it comes, in blocks."""

    blocks: Iterator[np.ndarray]  # of shape (n,), float32, one channel, finite
    sampling_rate: float
    n_samples: int | None  # as far as its header tells


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
        What to resample to; None is the sound's own.
    max_seconds : float or None, default=None
        Refuse longer sounds before they are in memory.
    filesystem : fsspec filesystem or None, default=None
        Where paths lead; None is this computer.

    Returns
    -------
    Sound
        At least one sample, of the mean of the channels, all finite.

    Raises
    ------
    TypeError
        If the cell is no sound, or an array whose sampling rate nobody gave.
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
    """Refuse one sound where a column is due."""
    if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "iuf":
        what = f"an array of {len(X)} numbers"
    elif isinstance(X, tuple) and len(X) == 2 and isinstance(X[1], Real):
        what = "a tuple (array, sampling_rate)"
    else:
        return
    raise ValueError(
        f"{estimator} expects a column of sounds; {what} looks like one sound. Pass [sound]."
    )


def unwrap(cell: Any) -> Any:
    """Take the path or the bytes out of a dict that holds nothing else of a sound."""
    if isinstance(cell, dict) and "array" not in cell and not {"bytes", "path"}.isdisjoint(cell):
        encoded = cell.get("bytes")
        return cell.get("path") if encoded is None else encoded
    return cell


def check_sound(cell: Any, *, sampling_rate: float | None = None, filesystem=None) -> None:
    """Refuse, as `read_sound` would, what can be seen to be no sound before any is decoded."""
    with _open_source(cell, sampling_rate, filesystem):
        pass


def estimate_samples(cell: Any) -> float:
    """Guess how many samples a sound has, from the size of its file where it is one."""
    cell = unwrap(cell)
    if isinstance(cell, str | os.PathLike):
        try:
            return os.stat(expand_home(cell)).st_size / 2
        except (OSError, ValueError):
            return 0.0
    if isinstance(cell, ENCODED_TYPES):
        return len(cell) / 2
    if isinstance(cell, dict | tuple):
        cell = cell["array"] if isinstance(cell, dict) else cell[0]
    return float(np.asarray(cell).size)  # np.size takes the method of a tensor


# From a cell to blocks


class _Samples(NamedTuple):
    array: np.ndarray  # (n_samples, n_channels), of any type that has a scale
    sampling_rate: float


def _sort(cell: Any, sampling_rate: float | None) -> Any:
    """Tell apart cells of ENCODED_TYPES, given back as they are, and samples in memory."""
    cell = unwrap(cell)
    if isinstance(cell, ENCODED_TYPES):
        return cell
    if isinstance(cell, dict) and "array" in cell:
        cell = (cell["array"], cell.get("sampling_rate"))
    elif _is_array(cell):
        if sampling_rate is None:
            raise TypeError(
                "an array of samples says nothing of its sampling rate: pass (array, "
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
def _open_source(cell: Any, sampling_rate: float | None, filesystem) -> Iterator[_Source]:
    cell = _sort(cell, sampling_rate)
    if isinstance(cell, _Samples):
        yield _Source(_slice(cell.array), cell.sampling_rate, len(cell.array))
        return
    with open_encoded(cell, filesystem) as file, _open_sound(file) as sound:
        n_samples = sound.frames if sound.frames < UNKNOWN_SAMPLES else None
        with closing(_decode(sound, n_samples)) as blocks:
            yield _Source(blocks, sound.samplerate, n_samples)


def _is_array(value: Any) -> bool:
    return isinstance(value, list) or (
        hasattr(value, "__array__") and not isinstance(value, np.generic)
    )


def _check_rate(rate: Any) -> float:
    if isinstance(rate, bool | np.bool_) or not isinstance(rate, Real):
        raise TypeError(f"a sampling rate must be a number, in Hz, got {type(rate).__name__}")
    if not 0 < rate < np.inf:
        raise BrokenItemError(f"the sampling rate must be above 0 Hz, got {rate}")
    return int(rate) if rate == int(rate) else float(rate)


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


def _slice(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Scale and mix (n_samples, n_channels), block by block."""
    step = max(1, SAMPLES_PER_BLOCK // samples.shape[1])
    for start in range(0, len(samples), step):
        block = np.ascontiguousarray(samples[start : start + step], dtype=np.float32)
        if samples.dtype.kind == "f":
            peak = np.abs(block).max()
            if peak > MAX_FLOAT and np.isfinite(peak):
                raise BrokenItemError(
                    f"samples that are floats must be about -1 to 1, got {peak:g}; divide them "
                    "by the largest that they can be, 32768 if they have 16 bits"
                )
        else:
            half = 2.0 ** (8 * samples.dtype.itemsize - 1)
            block = (block - half if samples.dtype.kind == "u" else block) / np.float32(half)
        yield _mix(block)


@contextmanager
def _open_sound(file) -> Iterator[Any]:
    """Open a file that holds a sound, as a soundfile.SoundFile."""
    soundfile = import_optional("soundfile", extra="audio", purpose="Reading sounds")
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError as e:
        if e.code == 1:
            raise BrokenItemError(
                "not a sound in a format that libsndfile knows, such as wav, flac, ogg, mp3 and "
                "aiff. Convert others: ffmpeg -i sound.m4a sound.wav"
            ) from e
        raise BrokenItemError(f"the sound does not decode: {e.error_string}") from e
    except Exception as e:  # soundfile takes some files for samples without a header
        raise BrokenItemError(f"the sound does not decode: {e}") from e
    with sound:
        try:
            yield sound
        except soundfile.LibsndfileError as e:
            raise BrokenItemError(f"the sound does not decode: {e.error_string}") from e


def _decode(sound, n_promised: int | None) -> Iterator[np.ndarray]:
    _check_length(sound.extra_info)
    # Else SoundFile seeks after each read, to where it is, and the decoder of MP3 loses its bits.
    sound.seekable = lambda: False
    step = max(1, SAMPLES_PER_BLOCK // sound.channels)
    n_read = 0
    while len(block := sound.read(step, dtype="float32", always_2d=True)):
        n_read += len(block)
        yield _mix(block)
    if n_read < SHARE_THERE * (n_promised or 0):
        raise BrokenItemError(
            f"the file is cut short: its header promises {n_promised} samples, {n_read} are there"
        )
    if n_read == 0:
        raise BrokenItemError("the sound has no samples")


def _check_length(log: str) -> None:
    """Look in the log of libsndfile for files that end too early: it reads what is there."""
    for promised, there in _LENGTH.findall(log):
        if int(there) < SHARE_THERE * int(promised) and int(promised) < UNKNOWN_BYTES:
            raise BrokenItemError(
                f"the file is cut short: its header promises {promised} bytes, {there} are there"
            )
    if _OGG_CUT.search(log):
        raise BrokenItemError("the file is cut short: its last page is not whole or not the last")


def _mix(block: np.ndarray) -> np.ndarray:
    """Take the mean of the channels of (n_samples, n_channels)."""
    mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
    if not np.isfinite(mono).all():
        raise BrokenItemError("the sound holds samples that are not finite")
    return mono


# From blocks to blocks


def _limit(source: _Source, max_seconds: float | None) -> Iterator[np.ndarray]:
    """Stop a sound that is too long, by what its header says, and by what comes."""
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
    first, n_out = None, 0
    for block in blocks:
        first = block[:1] if first is None else first
        for start in range(0, len(block), step):
            resampled = stream.resample_chunk(np.ascontiguousarray(block[start : start + step]))
            n_out += len(resampled)
            yield resampled
    rest = stream.resample_chunk(np.empty(0, dtype=np.float32), last=True)
    yield rest if n_out + len(rest) else first  # shorter than half a sample
