"""The frames of a file that are shown at some times, decoded from the key frame before each."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..encoding.readers import (
    BrokenItemError,
    check_end,
    find_end,
    find_pictures,
    make_joined_error,
    open_container,
    read_packets,
)

SKIPPING = {"h264", "hevc", "mpeg2video", "mpeg4"}  # decoders that can leave out frames
NO_SEEKING = {"mpeg"}  # containers whose packets have times by what comes before them
NO_REORDERING = {"avi"}  # whose packets have times in the order in which they are decoded
DISCONTINUOUS = {"mpegts", "mpeg"}  # containers of which several may be joined to one
STEP_BACK, STEP_AHEAD = 0.25, 10.0  # seconds between two time stamps where another video begins


class Packets(NamedTuple):
    """The packets of a stream, in the order in which they are decoded."""

    times: np.ndarray  # (n_packets,), in ticks: when what is in them is shown
    keys: np.ndarray  # (n_packets,), of bool: whether decoding may start there
    shown: np.ndarray  # (n_shown,), ascending: the times of those that are shown at all
    end: int  # in ticks: when the last frame is gone
    time_base: float  # seconds a tick
    has_times: bool  # else they are counted
    offsets: np.ndarray  # (n_videos,), in ticks, of the time stamps of videos that were joined
    position: int  # in the file, of the last packet of this stream or of another


class VideoCounter:
    """Counts the videos that were joined, by packets of a stream as they are decoded.

    The time stamps of the next one start again, or far ahead.

    Parameters
    ----------
    container : av.InputContainer
        Only in some formats may time stamps do so at all.
    """

    def __init__(self, container):
        self.number = 0  # of videos that have ended
        self._may_jump = _is_of(container, DISCONTINUOUS)
        self._decoded: int | None = None  # the last time of decoding
        self._shown: int | None = None  # the latest time in the video

    def count(self, packet) -> int:
        """Return how many videos have ended before a packet."""
        if packet.pts is None:
            return self.number
        step = 0.0
        if packet.dts is not None:
            if self._decoded is not None:
                step = float((packet.dts - self._decoded) * packet.time_base)
            self._decoded = packet.dts
        is_earlier = packet.is_keyframe and self._shown is not None and packet.pts < self._shown
        if (
            step < -STEP_BACK
            or (is_earlier and (step < 0 or self._may_jump))
            or (step > STEP_AHEAD and self._may_jump)
        ):
            self.number += 1
            self._shown = None
        self._shown = packet.pts if self._shown is None else max(self._shown, packet.pts)
        return self.number


def scan(container, stream) -> Packets:
    """Read all packets, and decode none: no header has the times of all frames."""
    times, durations, videos = array("q"), array("q"), array("q")
    keys, shown = array("b"), array("b")
    positions = defaultdict(lambda: array("q"))  # in the file, by stream
    end, counter = 0.0, VideoCounter(container)
    has_times = not (stream.codec_context.has_b_frames and _is_of(container, NO_REORDERING))
    for packet in read_packets(container):
        end = max(end, find_end(packet))
        if packet.pos is not None:
            positions[packet.stream_index].append(packet.pos)
        if packet.stream_index != stream.index or packet.size == 0:
            continue
        has_times = has_times and packet.pts is not None
        video = counter.count(packet)
        is_first = not videos or video > videos[-1]
        if has_times and is_first and not packet.is_keyframe:
            continue  # the video starts in the middle
        time = packet.pts if has_times else None
        times.append(len(times) if time is None else time)
        durations.append(packet.duration or 0)
        videos.append(video)
        keys.append(packet.is_keyframe)
        shown.append(not packet.is_discard)  # what was cut away may still be needed to decode
    check_end(container, end)
    _check_streams(container, stream, positions)
    if not any(shown):
        raise BrokenItemError("the video has 0 frames")
    position = max(map(max, positions.values()), default=0)
    keys, is_shown = np.array(keys, dtype=bool), np.array(shown, dtype=bool)
    if not has_times:
        counted = np.arange(len(keys))
        second = float(stream.average_rate or 25)
        no_offset = np.zeros(1, dtype=np.int64)
        return Packets(counted, keys, counted, len(keys), 1 / second, False, no_offset, position)
    times, offsets = np.array(times), np.zeros(counter.number + 1, dtype=np.int64)
    end_of_last = _join(times, np.array(durations), is_shown, np.array(videos), offsets)
    shown = np.unique(times[is_shown])
    return Packets(
        times, keys, shown, end_of_last, float(stream.time_base), True, offsets, position
    )


def _join(
    times: np.ndarray,
    durations: np.ndarray,
    is_shown: np.ndarray,
    videos: np.ndarray,
    offsets: np.ndarray,
) -> int:
    """Have videos, by their numbers, follow one another, and return when the last one ends.

    ``times`` are changed, and ``offsets`` become what has been added for each video.
    """
    end = 0
    for video in np.unique(videos):
        is_of_video = videos == video
        if video > 0:
            offsets[video] = end - times[is_of_video].min()
            times[is_of_video] += offsets[video]
        last = times[is_of_video].max()
        duration = durations[is_of_video & (times == last)][-1]
        if not duration:  # the duration of the last frame is unknown
            shown = np.unique(times[is_of_video & is_shown])
            duration = np.median(np.diff(shown)) if len(shown) > 1 else 1
        end = int(last) + int(duration)
    return end


def _check_streams(container, stream, positions: Mapping[int, Sequence[int]]) -> None:
    """Raise BrokenItemError if there are other pictures before or after those of a stream."""
    present = positions.get(stream.index)
    if not present or not _is_of(container, DISCONTINUOUS):
        return
    others = [positions[s.index] for s in find_pictures(container) if s.index in positions]
    if any(max(present) < min(other) or max(other) < min(present) for other in others):
        raise make_joined_error("whose pictures are in different streams")


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
        self._is_joined = len(packets.offsets) > 1
        self._can_seek = (
            packets.has_times and not self._is_joined and not _is_of(container, NO_SEEKING)
        )
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
        self._frames = self._decode(self._continue_times(packets) if self._is_joined else packets)
        self._is_started = True

    def _continue_times(self, packets: Iterable) -> Iterator:
        """Set the times of packets of joined videos to those of `scan`; None between them."""
        counter = VideoCounter(self._container)
        for packet in packets:
            n_before = counter.number
            offset = int(self._packets.offsets[counter.count(packet)])
            if counter.number > n_before:
                yield None
            if packet.pts is not None:
                packet.pts += offset
            if packet.dts is not None:
                packet.dts += offset
            yield packet

    def _decode(self, packets: Iterable) -> Iterator[tuple[int, Any]]:
        from av.error import InvalidDataError

        n_before = self.n_decoded
        context = self._stream.codec_context
        if not context.is_open:
            # Several videos are read at once. With several threads, decoders run ahead of what is
            # read, lose the frames beside a damaged one, and some wait for ever after it.
            context.thread_count = 1
        for packet in packets:
            if packet is None:  # or a decoder may lose its last frames where the size changes
                yield from self._drain(context)
                continue
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

    def _drain(self, context) -> list[tuple[int, Any]]:
        frames = context.decode(None)
        context.flush_buffers()
        self.n_decoded += len(frames)
        return [(frame.pts, frame) for frame in frames if frame.pts is not None]
