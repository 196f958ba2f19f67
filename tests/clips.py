"""Video clips that tests make: each frame says in black and white bars which one it is."""

from fractions import Fraction
from itertools import chain

import av
import numpy as np

N_BITS = 16  # of a frame's number: 8 bars in the upper half, 8 in the lower
# By name: container, codec, and a pixel format that it takes.
KINDS = {
    "h264.mp4": ("mp4", "libx264", "yuv420p"),
    "h264.mov": ("mov", "libx264", "yuv444p"),
    "h264.ts": ("mpegts", "libx264", "yuv420p"),
    "h264.avi": ("avi", "libx264", "yuv420p"),
    "raw.h264": ("h264", "libx264", "yuv420p"),
    "h265.mkv": ("matroska", "libx265", "yuv420p10le"),
    "mpeg4.avi": ("avi", "mpeg4", "yuv420p"),
    "mjpeg.avi": ("avi", "mjpeg", "yuvj420p"),
    "ffv1.mkv": ("matroska", "ffv1", "bgr0"),
    "vp8.webm": ("webm", "libvpx", "yuv420p"),
    "vp9.webm": ("webm", "libvpx-vp9", "yuv420p"),
    "av1.webm": ("webm", "libsvtav1", "yuv420p"),
    "mpeg2.ts": ("mpegts", "mpeg2video", "yuv420p"),
    "mpeg2.mpg": ("mpeg", "mpeg2video", "yuv420p"),
    "mpeg2.vob": ("vob", "mpeg2video", "yuv420p"),
    "wmv2.wmv": ("asf", "wmv2", "yuv420p"),
    "flv1.flv": ("flv", "flv", "yuv420p"),
    "moving.gif": ("gif", "gif", "rgb8"),
}
QUIET = {"libx265": {"x265-params": "log-level=none"}, "libsvtav1": {"preset": "12"}}


def number_frame(number, width=64, height=48):
    """Draw a number in bars."""
    bits = (number >> np.arange(N_BITS)) & 1
    bars = bits.reshape(2, 8).repeat(height // 2, axis=0).repeat(width // 8, axis=1)
    return np.repeat(np.uint8(bars * 255)[..., None], 3, axis=2)


def read_number(frame):
    """Read the number from the bars of an array (H, W, 3 or 4)."""
    height, width = frame.shape[:2]
    rows, columns = height // 4 * np.array([1, 3]), (np.arange(8) * 2 + 1) * width // 16
    bits = frame[np.ix_(rows, columns)][..., :3].mean(axis=-1).ravel() > 127
    return int((bits * 2 ** np.arange(N_BITS)).sum())


def number_frames(n_frames):
    """Draw the numbers from 0 on."""
    return [number_frame(number) for number in range(n_frames)]


def write_clip(
    file,
    frames,
    *,
    kind="h264.mp4",
    rate=25,
    gop=12,
    times=None,
    sound=None,
    sound_rate=16_000,
    sound_codec="aac",
    pix_fmt=None,
    options=None,
    container_options=None,
    prepare=None,
    shift=0,
):
    """Write frames (H, W, 3) as a video, with a sound (n,) or (channels, n) beside them if given.

    ``times`` are the milliseconds at which frames are shown, if not at an even rate; ``prepare``
    may change the stream first, and ``shift`` is how many frames are cut away by an edit list.
    """
    container_name, codec, default_format = KINDS[kind]
    options = {**QUIET.get(codec, {}), **(options or {})}
    frames = iter(frames)
    first = next(frames)
    with av.open(file, "w", format=container_name, options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = pix_fmt or default_format
        stream.gop_size = gop
        base = Fraction(1, rate) if times is None else Fraction(1, 1000)
        stream.codec_context.time_base = stream.time_base = base
        if prepare is not None:
            prepare(stream)
        if sound is not None:
            layout = "mono" if np.ndim(sound) == 1 else "stereo"
            audio = container.add_stream(sound_codec, rate=sound_rate, layout=layout)
            audio.bit_rate = 64_000
        for number, array in enumerate(chain([first], frames)):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = base
            _mux(container, stream.encode(frame), shift, rate)
        _mux(container, stream.encode(), shift, rate)
        if sound is not None:
            _mux_sound(container, audio, np.atleast_2d(sound), sound_rate)
    return file


def _mux(container, packets, shift, rate):
    for packet in packets:
        ticks = round(shift / (rate * packet.time_base))
        packet.pts -= ticks
        packet.dts -= ticks
        container.mux(packet)


def _mux_sound(container, stream, sound, rate):
    layout = "mono" if len(sound) == 1 else "stereo"
    for start in range(0, sound.shape[1], rate):  # all at once may be more than a file interleaves
        part = np.ascontiguousarray(sound[:, start : start + rate], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
        frame.sample_rate = rate
        frame.pts = start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def decode_all(path):
    """Return (seconds, number) of each frame, decoded from the first to the last."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
    return [(frame.time, read_number(frame.to_ndarray(format="rgb24"))) for frame in frames]
