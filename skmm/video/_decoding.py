"""The frames of a file that are shown at some times, decoded from the key frame before each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..encoding.readers import BrokenItemError, check_end, find_end, open_container, read_packets

SKIPPING = {"h264", "hevc", "mpeg2video", "mpeg4"}  # decoders that can leave out frames
NO_SEEKING = {"mpeg"}  # containers whose packets have times by what comes before them
NO_REORDERING = {"avi"}  # whose packets have times in the order in which they are decoded


class Packets(NamedTuple):
    """The packets of a stream, in the order in which they are decoded."""

    times: np.ndarray  # (n_packets,), in ticks: when what is in them is shown
    keys: np.ndarray  # (n_packets,), of bool: whether decoding may start there
    shown: np.ndarray  # (n_shown,), ascending: the times of those that are shown at all
    end: int  # in ticks: when the last frame is gone
    time_base: float  # seconds a tick
    has_times: bool  # else they are counted


def scan(container, stream) -> Packets:
    """Read all packets, and decode none: no header has the times of all frames."""
    times, keys, shown = array("q"), array("b"), array("b")
    end, last, duration = 0.0, 0, 0
    has_times = not (stream.codec_context.has_b_frames and _is_of(container, NO_REORDERING))
    for packet in read_packets(container):
        end = max(end, find_end(packet))
        if packet.stream_index != stream.index or packet.size == 0:
            continue
        has_times = has_times and packet.pts is not None
        if has_times and not (keys or packet.is_keyframe):
            continue  # the stream starts in the middle
        time = packet.pts if has_times else None
        times.append(len(times) if time is None else time)
        keys.append(packet.is_keyframe)
        shown.append(not packet.is_discard)  # what was cut away may still be needed to decode
        if len(times) == 1 or times[-1] >= last:
            last, duration = times[-1], packet.duration or 0
    check_end(container, end)
    if not any(shown):
        raise BrokenItemError("the video has 0 frames")
    keys = np.array(keys, dtype=bool)
    if not has_times:
        counted = np.arange(len(keys))
        second = float(stream.average_rate or 25)
        return Packets(counted, keys, counted, len(keys), 1 / second, False)
    times = np.array(times)
    shown = np.unique(times[np.array(shown, dtype=bool)])
    if not duration:  # the duration of the last frame is unknown
        duration = int(np.median(np.diff(shown))) if len(shown) > 1 else 1
    return Packets(times, keys, shown, last + duration, float(stream.time_base), True)


def _is_of(container, formats: set[str]) -> bool:
    return not formats.isdisjoint(container.format.name.split(","))


class Reader:
    """Decodes the frames that begin at ``targets``, times that ascend."""

    def __init__(
        self,
        stack: ExitStack,
        file: BinaryIO,
        container,
        stream,
        packets: Packets,
        targets: np.ndarray,
    ):
        self._stack = stack
        self._file = file
        self._container = container
        self._stream = stream
        self._packets = packets
        self._targets = set(targets.tolist())
        self._place = {time: place for place, time in enumerate(packets.times.tolist())}
        self._can_seek = packets.has_times and not _is_of(container, NO_SEEKING)
        self._keys = np.flatnonzero(packets.keys)  # their places
        self._skips = packets.has_times and stream.codec_context.name in SKIPPING
        self._position = -1  # of the last packet that went to the decoder
        self._frames: Iterator[tuple[int, Any]] = iter(())  # and their times
        self._is_started = False
        self._shown: tuple[int, Any] | None = None  # the last of these
        self._following: tuple[int, Any] | None = None  # decoded before it was asked for
        self._is_rewound = self._is_damaged = False
        self.n_decoded = 0  # frames

    def read(self, target: int) -> Any:
        """Return the frame that begins at a time."""
        key = self._find_key(target)
        if not self._is_started or (self._can_seek and key > self._position):
            self._seek(key)
        found = self._find(target)
        if found is None and not self._is_rewound:
            # Not where it should be, or there is none in its packet: look at all, from the start.
            self._can_seek = self._skips = False
            self._is_rewound = True
            self._rewind()
            found = self._find(target)
        if found is None:
            seconds = (target - self._packets.shown[0]) * self._packets.time_base
            raise BrokenItemError(f"the frame at {seconds:.2f} seconds does not decode")
        return found

    def _find(self, target: int) -> Any:
        while self._shown is None or self._shown[0] < target:
            self._following = self._following or next(self._frames, None)
            if self._following is None:
                return None
            if self._following[0] > target:
                break
            self._shown, self._following = self._following, None
        if self._shown is None:
            return None
        time, frame = self._shown
        # Some packets hold nothing to be shown, which at first looks like damage.
        is_target = time == target or (self._is_rewound and not self._is_damaged)
        return frame if is_target and not frame.is_corrupt else None

    def _find_key(self, target: int) -> int:
        """Find the packet from which on to decode."""
        last = np.searchsorted(self._keys, self._place[target], side="right") - 1
        # Frames may come after a key frame and yet be shown before it: they need the one before.
        while last > 0 and self._packets.times[self._keys[last]] > target:
            last -= 1
        return int(self._keys[last]) if last >= 0 else 0

    def _seek(self, key: int) -> None:
        """Go on from a key frame, or from one before it."""
        last = np.searchsorted(self._keys, key)
        for n_before in (0, 1, 3, 7):
            if not self._can_seek or n_before > last:
                break
            packets = self._land(int(self._packets.times[self._keys[last - n_before]]))
            place = self._place.get(packets[0].pts) if packets else None
            if place is not None and place <= key:
                # Where seeking leads back to what has been decoded, it is better not to.
                self._can_seek = place > self._position
                self._start(chain(packets, self._demuxed))
                return
        self._rewind()

    def _land(self, time: int) -> list:
        """Seek, and return the first packet from which decoding may start, if there is one."""
        from av.error import FFmpegError

        try:
            self._container.seek(time, stream=self._stream)
            self._demuxed = read_packets(self._container, self._stream)
            for packet in self._demuxed:
                place = self._place.get(packet.pts)
                if place is not None and self._packets.keys[place]:
                    return [packet]
        except FFmpegError:  # a format in which there is no seeking
            pass
        return []

    def _rewind(self) -> None:
        index, options = self._stream.index, self._stream.codec_context.options
        self._stack.close()
        self._file.seek(0)
        self._container = self._stack.enter_context(open_container(self._file))
        self._stream = self._container.streams[index]
        self._stream.codec_context.options = options
        self._start(read_packets(self._container, self._stream))

    def _start(self, packets: Iterable) -> None:
        self._shown = self._following = None
        self._frames = self._decode(packets)
        self._is_started = True

    def _decode(self, packets: Iterable) -> Iterator[tuple[int, Any]]:
        from av.error import InvalidDataError

        n_before = self.n_decoded
        context = self._stream.codec_context
        if not context.is_open:
            # Several videos are read at once. With several threads, decoders run ahead of what is
            # read, lose the frames beside a damaged one, and some wait for ever after it.
            context.thread_count = 1
        for packet in packets:
            self._position = self._place.get(packet.pts, self._position)
            if self._skips:  # what is not looked at, and no other frame is made from
                context.skip_frame = "DEFAULT" if packet.pts in self._targets else "NONREF"
            try:
                frames = packet.decode()
            except InvalidDataError:  # if it is one that is looked for, it will be missing
                self._is_damaged = True
                continue
            for frame in frames:
                time = frame.pts if self._packets.has_times else self.n_decoded - n_before
                self.n_decoded += 1
                if time is not None:
                    yield time, frame
