"""Files that hold videos, or sounds that libsndfile does not know, opened with PyAV (FFmpeg)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from ..._optional import import_optional
from ._files import BrokenItemError

# Demuxers that read one file and nothing else: others, such as those of playlists, open what a
# file names, be it on the network.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,gif,nut,mxf,dv,rm,"
    "wtv,ivf,obu,av1,h264,hevc,m4v,mjpeg,vc1,aac,ac3,eac3,amr,amrnb,amrwb,ape,tta,wv,mp3,aiff,wav"
)
WITH_DURATION = {"mov", "matroska", "avi"}  # containers whose headers hold the duration
MIN_SHARE = 0.99  # of the length in a header: less means that the file is cut short
TOLERANCE = 0.1  # seconds, too: some headers are wrong by a frame, or by what a codec adds
BUFFER_SIZE = 2**18
# What a file starts with that may have been appended to another one, by container.
MARKS = {
    "mov": re.compile(rb"\x00{3}[\x08-\x40]ftyp(?:iso|mp4|M4|qt|avc|3g|dash|MSNV)"),
    "matroska": re.compile(rb"\x1a\x45\xdf\xa3"),  # of which FFmpeg reads two
    "flv": re.compile(rb"FLV\x01"),
    "asf": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
}
# A packet of MPEG-TS in which a sound or a picture starts, with its stream's id; behind its third
# byte there may be a field of the length that it starts with.
_START = re.compile(rb"G([\x40-\x7f].)(?:[\x10-\x1f]|[\x30-\x3f](.))", re.DOTALL)
_PES = {
    "audio": re.compile(rb"\x00\x00\x01[\xc0-\xdf]"),
    "video": re.compile(rb"\x00\x00\x01[\xe0-\xef]"),
}
TS_PACKETS = (188, 192)  # bytes, with 4 for a time before each
MAX_INDEX = 2**26  # bytes behind the last packet of a file in which it is looked for


class UnknownFormatError(BrokenItemError):
    """A file that FFmpeg cannot open, for its format is another, or its header is missing."""


@contextmanager
def open_container(file: BinaryIO) -> Iterator[Any]:
    """Open a file as an av.InputContainer; what goes wrong with it is a BrokenItemError."""
    av = import_optional("av", extra="video", purpose="Reading videos")
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
    # Tags that are no UTF-8 were an error in PyAV before 19, which has no such argument any more.
    is_strict = int(av.__version__.partition(".")[0]) < 19
    tags: dict[str, Any] = {"metadata_errors": "replace"} if is_strict else {}
    try:
        container = av.open(
            file,
            format="mpegts" if _is_short_ts(file) else None,
            container_options=options,
            buffer_size=BUFFER_SIZE,
            **tags,
        )
    except MemoryError:
        raise
    except av.FFmpegError as e:
        raise UnknownFormatError(_quote(e)) from e
    with container:
        try:
            yield container
        except MemoryError:
            raise
        except av.FFmpegError as e:
            raise BrokenItemError(f"it does not decode ({_quote(e)})") from e


def _is_short_ts(file: BinaryIO) -> bool:
    """Return whether a file is MPEG-TS of too few packets for FFmpeg to know it by itself."""
    position = file.tell()
    head = file.read(20 * TS_PACKETS[1])
    file.seek(position)
    return any(
        len(head) < 20 * size
        and len(head) % size == 0
        and {*head[size - 188 :: size]} == {ord("G")}
        for size in TS_PACKETS
    )


def _quote(error) -> str:
    return f"FFmpeg says: {error.strerror or error}"


def find_pictures(container) -> list:
    """Return the streams of pictures that move: not the cover of an album."""
    from av.stream import Disposition

    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def read_packets(container, *streams) -> Iterator[Any]:
    """Yield the packets of some streams, or of all."""
    try:
        yield from container.demux(*streams)
    except IndexError:  # PyAV's, at the end of a file in which a stream came up after it was opened
        return


def find_end(packet) -> float:
    """Return the time, in seconds, at which what is in a packet ends."""
    if packet.pts is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)


def check_end(container, end: float) -> None:
    """Raise BrokenItemError if the last packet ends, in seconds, too early for the header."""
    promised = _find_duration(container)
    # Matroska promises the time of the end, whenever the first frame is shown; mov how long it is.
    start = 0 if "matroska" in container.format.name else (container.start_time or 0) / 1e6
    present = end - start
    if present < MIN_SHARE * promised - TOLERANCE:
        raise BrokenItemError(
            f"the file is cut short: its header promises {promised:.2f} seconds, {present:.2f} are "
            "there. To go on with these: ffmpeg -i broken.mp4 -c copy fixed.mp4"
        )


def check_nothing_follows(file: BinaryIO, container, position: int, kind: str) -> None:
    """Raise BrokenItemError if another file has been appended to one, and FFmpeg leaves it out.

    ``position`` is that of the last packet in the file; ``kind``, "audio" or "video", is read.
    """
    if container.format.name == "mpegts":
        ids = {stream.id for stream in container.streams}
        if not _list_streams(file, kind) <= ids:
            raise make_joined_error("with streams that FFmpeg does not read")
    for name, mark in MARKS.items():
        if name in container.format.name.split(","):
            before = file.tell()
            file.seek(position)
            if mark.search(file.read(MAX_INDEX)):
                raise make_joined_error("of which FFmpeg does not read the last")
            file.seek(before)


def _list_streams(file: BinaryIO, kind: str) -> set[int]:
    """List the ids of all streams of a kind in a file of MPEG-TS."""
    before, ids, chunk = file.tell(), set(), b""
    file.seek(0)
    while more := file.read(BUFFER_SIZE):
        chunk = chunk[-2 * TS_PACKETS[0] :] + more
        for start in _START.finditer(chunk):
            length = 0 if start[2] is None else 1 + start[2][0]
            if _PES[kind].match(chunk, start.start() + 4 + length):
                ids.add(int.from_bytes(start[1], "big") & 0x1FFF)
    file.seek(before)
    return ids


def make_joined_error(why: str) -> BrokenItemError:
    """Make the error for files that were joined so that not all can be read."""
    return BrokenItemError(
        f"several files were joined in it byte by byte, {why}. To join them so that all can be "
        "read: ffmpeg -f concat -i list.txt -c copy joined.mp4"
    )


def has_duration(container) -> bool:
    """Return whether the header of a file holds its duration, or else FFmpeg estimates it."""
    return not WITH_DURATION.isdisjoint(container.format.name.split(","))


def _find_duration(container) -> float:
    """Return the seconds that a header promises; what FFmpeg estimates from the size is none."""
    if not has_duration(container):
        return 0.0
    if container.format.name == "avi":  # of which FFmpeg shortens the duration to what is there
        streams = [*container.streams.video, *container.streams.audio]
        return max((float(s.frames * s.time_base) for s in streams), default=0.0)
    return (container.duration or 0) / 1e6
