"""Sounds in files, block by block: by libsndfile, or by FFmpeg what that does not know."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..._optional import import_optional
from ._containers import (
    MIN_SHARE,
    UnknownFormatError,
    check_end,
    check_nothing_follows,
    find_end,
    has_duration,
    open_container,
    read_packets,
)
from ._files import BrokenItemError

SAMPLES_PER_BLOCK = 2**18  # of all channels together
MAX_FLOAT = 100  # louder samples are integers that were made floats without scaling
# Writers to pipes cannot go back to put in the length, and leave one of these or more.
UNKNOWN_BYTES, UNKNOWN_SAMPLES = 0x7FFF0000, 2**62

# The lengths that libsndfile logs of the headers of WAV, AIFF, AU, RF64 and W64.
_LENGTH = re.compile(
    r"^\s*(?:data|SSND|Data Size|Riff size|riff) +: (\d+) \(should be (\d+)\)", re.MULTILINE
)
_OGG_CUT = re.compile(r"^Ogg ?: Last page lacks", re.MULTILINE)
_OGG_GOES_ON = re.compile(r"^Ogg ?: Junk after the last page", re.MULTILINE)
# The first frame of an MP3, if it holds a Xing header with the number of frames: its flags, and the
# number of bytes, which is there if they have _XING_BYTES.
_XING = re.compile(
    rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb].{11,36}(?:Xing|Info)"
    rb"\x00{3}([\x01\x03\x05\x07\x09\x0b\x0d\x0f]).{4}(.{4})",
    re.DOTALL,
)
_XING_BYTES = 2
_NEXT_MP3 = re.compile(rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")
_ID3_FOOTER = 0x10  # the flag of a tag that it ends as it starts
N_SEARCHED = 4096  # bytes behind the tags of an MP3, among which the first frame starts


class Source(NamedTuple):
    """A sound as it comes, in blocks."""

    blocks: Iterator[np.ndarray]  # of shape (n,), float32, one channel, finite
    sampling_rate: float
    n_samples: int | None  # by its header; None if unknown


@contextmanager
def open_sound_file(file: BinaryIO) -> Iterator[Source]:
    """Open a file that holds a sound, or a video with one."""
    with _open_sound(file) as sound:
        if sound is not None:
            n_samples = _count_promised(sound, file)
            if n_samples is not None or not _is_mpeg(sound) or not _has_ffmpeg():
                with closing(_decode(sound, n_samples, file)) as blocks:
                    yield Source(blocks, sound.samplerate, n_samples)
                return
            _check_length(sound.extra_info)
    file.seek(0)
    with _open_track(file) as container:
        stream = container.streams.audio[0]
        duration, rate = stream.duration, stream.codec_context.sample_rate
        if duration is None or not has_duration(container):
            n_samples = None
        else:
            n_samples = int(duration * stream.time_base * rate)
        with closing(_decode_track(container, file)) as blocks:
            yield Source(blocks, rate, n_samples)


def slice_samples(samples: np.ndarray) -> Generator[np.ndarray]:
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


def _mix(block: np.ndarray) -> np.ndarray:
    """Compute the mean of the channels of (n_samples, n_channels)."""
    mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
    if not np.isfinite(mono).all():
        raise BrokenItemError("the sound holds samples that are not finite")
    return mono


# By libsndfile


@contextmanager
def _open_sound(file: BinaryIO) -> Iterator[Any]:
    """Open a file as a soundfile.SoundFile; None if libsndfile does not know its format."""
    soundfile = import_optional("soundfile", extra="audio", purpose="Reading sounds")
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError as e:
        if e.code != 1:
            raise BrokenItemError(f"the sound does not decode: {e.error_string}") from e
        sound = None
    except Exception as e:  # soundfile reads some files as samples without a header
        raise BrokenItemError(f"the sound does not decode: {e}") from e
    if sound is None:
        yield None
        return
    with sound:
        try:
            yield sound
        except soundfile.LibsndfileError as e:
            raise BrokenItemError(f"the sound does not decode: {e.error_string}") from e


def _is_mpeg(sound) -> bool:
    return sound.subtype.startswith("MPEG")


def _count_promised(sound, file: BinaryIO) -> int | None:
    """Return how many samples a header promises; an estimate from the size of the file is none.

    All headers do, but those of streams, of MPEG audio in WAV, and of MP3s without a Xing header.
    """
    if sound.frames >= UNKNOWN_SAMPLES or (_is_mpeg(sound) and not _counts_frames(file)):
        return None
    return sound.frames


def _counts_frames(file: BinaryIO) -> bool:
    """Return whether the first frame of an MP3 says how many there are; the position stays."""
    position, start = file.tell(), 0
    file.seek(start)
    while (head := file.read(10)).startswith(b"ID3") and len(head) == 10:
        size = sum(byte << 7 * place for place, byte in enumerate(reversed(head[6:])))
        start += size + (20 if head[5] & _ID3_FOOTER else 10)
        file.seek(start)
    header = _XING.search(head + file.read(N_SEARCHED))
    counts_all = header is not None
    if header is not None and header[1][0] & _XING_BYTES:  # else another MP3 has been appended
        file.seek(start + header.start() + int.from_bytes(header[2], "big"))
        counts_all = _NEXT_MP3.match(file.read(4)) is None
    file.seek(position)
    return counts_all


def _has_ffmpeg() -> bool:
    try:
        import_optional("av", extra="video", purpose="Reading sounds")
    except ImportError:
        return False
    return True


def _decode(sound, n_promised: int | None, file: BinaryIO) -> Generator[np.ndarray]:
    _check_length(sound.extra_info)
    # Else SoundFile seeks after each read, to where it is, and the decoder of MP3 loses its bits.
    sound.seekable = lambda: False
    step = max(1, SAMPLES_PER_BLOCK // sound.channels)
    n_read = 0
    while len(block := _read(sound, min(step, sound.frames - n_read))):
        n_read += len(block)
        yield _mix(block)
    if n_read < MIN_SHARE * (n_promised or 0):
        raise BrokenItemError(
            f"the file is cut short: its header promises {n_promised} samples, {n_read} are there"
        )
    if n_promised is None and n_read == sound.frames and file.read(1):
        raise BrokenItemError(
            "libsndfile stops before the end of this MP3, of which no header says how long it is. "
            "pip install 'skmm[video]' reads such files; or convert it: ffmpeg -i sound.mp3 new.wav"
        )
    if n_read == 0:
        raise BrokenItemError("the sound has 0 samples")


def _read(sound, n_samples: int) -> np.ndarray:
    return sound.read(n_samples, dtype="float32", always_2d=True)


def _check_length(log: str) -> None:
    """Raise BrokenItemError if the log of libsndfile shows that a file ends too early."""
    for promised, present in _LENGTH.findall(log):
        if int(present) < MIN_SHARE * int(promised) and int(promised) < UNKNOWN_BYTES:
            raise BrokenItemError(
                f"the file is cut short: its header promises {promised} bytes, {present} are there"
            )
    if _OGG_CUT.search(log):
        raise BrokenItemError("the file is cut short: its last page is not whole")
    if _OGG_GOES_ON.search(log):
        raise BrokenItemError(
            "the file goes on after its last page, and would be read up to there: it may be of "
            "several that were joined. Make one of them: ffmpeg -i sound.ogg new.wav"
        )


# By FFmpeg


@contextmanager
def _open_track(file: BinaryIO) -> Iterator[Any]:
    """Open the container of a sound, or of a video with one, as an av.InputContainer."""
    with ExitStack() as stack:
        try:
            container = stack.enter_context(open_container(file))
        except ImportError as e:
            raise BrokenItemError(
                "not a sound in a format that libsndfile knows, such as wav, flac, ogg, mp3 and "
                "aiff. pip install 'skmm[video]' reads m4a, and the sound of videos, too; or "
                "convert it: ffmpeg -i sound.m4a sound.wav"
            ) from e
        except UnknownFormatError as e:
            raise BrokenItemError(
                "not a sound in a format that libsndfile or FFmpeg knows, such as wav, flac, ogg, "
                f"mp3, m4a and mp4 ({e}). Convert others: ffmpeg -i sound.xyz sound.wav"
            ) from e
        if not container.streams.audio:
            what = "a video without sound" if container.streams.video else "there is no sound in it"
            raise BrokenItemError(what)
        if container.streams.audio[0].codec_context is None:
            raise BrokenItemError("FFmpeg has no decoder for its sound")
        yield container


def _decode_track(container, file: BinaryIO) -> Generator[np.ndarray]:
    """Decode the first sound in a container."""
    stream = container.streams.audio[0]
    rate, end, position, n_read = stream.codec_context.sample_rate, 0.0, 0, 0
    for packet in read_packets(container):
        end, position = max(end, find_end(packet)), max(position, packet.pos or 0)
        if packet.stream_index != stream.index:
            continue
        for frame in packet.decode():
            if frame.sample_rate != rate:
                raise BrokenItemError(
                    f"its sampling rate changes from {rate} to {frame.sample_rate} Hz"
                )
            samples = frame.to_ndarray()  # (n_channels, n), or (1, n * n_channels)
            samples = samples.T if frame.format.is_planar else samples.reshape(frame.samples, -1)
            n_read += len(samples)
            yield from slice_samples(samples)
    check_end(container, end)
    check_nothing_follows(file, container, position, "audio")
    if n_read == 0:
        raise BrokenItemError("the sound has 0 samples")
