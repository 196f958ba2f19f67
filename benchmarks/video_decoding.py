"""What does it take to get some frames out of a long video, and how much memory has an hour of it?

Frames at even distances in time, of a video in H.264 as x264 writes it (a key frame every 250, and
B-frames), by skmm, which seeks and leaves out what it need not decode; by a loop over all frames
with PyAV, which turns only the wanted ones into arrays; and by imageio, which turns all into
arrays. Processor time, of all threads, the best of three in turns: skmm decodes a video in one
thread, and several videos at once.

Then the peak of resident memory while an hour at 25 frames a second, one of which is taken each
second, is encoded in a separate process (Linux only), and that of a video of a minute.

    python benchmarks/video_decoding.py [minutes | memory]
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import imageio.v3 as iio
import numpy as np

from skmm.video import Sampling, VideoEncoder, _sampling, sample_frames

RATE = 30
SIZE = (640, 360)


class CountingReader(_sampling.Reader):
    """Count the frames that were decoded."""

    last: "CountingReader"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        CountingReader.last = self


def write_video(path: str, n_frames: int, *, size=SIZE, rate=RATE, preset="veryfast") -> None:
    """Write a camera that moves over a landscape of blurred noise."""
    width, height = size
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    scene = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(width * 2, height * 2)
    scene = scene.to_ndarray(format="rgb24")
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": preset})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size = 250
        for i in range(n_frames):
            x = round(width / 2 * (1 + np.sin(i / 97)))
            y = round(height / 2 * (1 + np.sin(i / 71)))
            view = np.ascontiguousarray(scene[y : y + height, x : x + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode())


def by_skmm(path: str, n_frames: int) -> np.ndarray:
    """Seek."""
    return np.stack(
        [shown.frame for shown in sample_frames(path, Sampling(n_frames), max_pixels=10**7)]
    )


def choose(path: str, n_frames: int) -> set[int]:
    """Choose the frames in the middle of equal parts, by their number."""
    with av.open(path) as container:
        n_all = container.streams.video[0].frames
    return {(2 * i + 1) * n_all // (2 * n_frames) for i in range(n_frames)}


def by_pyav(path: str, n_frames: int) -> np.ndarray:
    """Decode all frames, and turn some into arrays."""
    wanted = choose(path, n_frames)
    with av.open(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        frames = enumerate(container.decode(video=0))
        return np.stack([frame.to_ndarray(format="rgb24") for i, frame in frames if i in wanted])


def by_imageio(path: str, n_frames: int) -> np.ndarray:
    """Read all frames as arrays, one after the other."""
    wanted = choose(path, n_frames)
    frames = enumerate(iio.imiter(path, plugin="pyav", thread_type="AUTO"))
    return np.stack([frame for i, frame in frames if i in wanted])


def best_of_three(ways: list[Callable], *arguments) -> list[float]:
    """Return the shortest processor time of each, in seconds."""
    seconds = np.empty((3, len(ways)))
    for times in seconds:
        for i, way in enumerate(ways):
            start = time.process_time()
            way(*arguments)
            times[i] = time.process_time() - start
    return seconds.min(axis=0).tolist()


def compare(minutes: float) -> None:
    """Print times and ratios."""
    _sampling.Reader = CountingReader
    ways = [by_skmm, by_pyav, by_imageio]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/video.mp4"
        n_all = round(minutes * 60 * RATE)
        write_video(path, n_all)
        megabytes = Path(path).stat().st_size / 1e6
        print(f"{minutes:g} minutes, {SIZE[0]} x {SIZE[1]}, {n_all} frames, {megabytes:.0f} MB")
        for n_frames in (8, 32, round(minutes * 60)):
            expected = by_pyav(path, n_frames)
            assert all(np.array_equal(way(path, n_frames), expected) for way in ways)
            seconds = best_of_three(ways, path, n_frames)
            print(
                f"{n_frames} frames: skmm {seconds[0]:.2f} s, of {n_all} frames it decoded "
                f"{CountingReader.last.n_decoded}; PyAV, all frames: {seconds[1]:.2f} s, "
                f"{seconds[1] / seconds[0]:.1f} times as long; imageio: {seconds[2]:.2f} s, "
                f"{seconds[2] / seconds[0]:.1f} times"
            )


def encode(path: str) -> None:
    """Print the peak of memory beyond that of what is loaded, in megabytes."""
    encoder = VideoEncoder(fps=1, cache=None).fit([path])
    encoder.transform([path.replace("a.mp4", "a0.mp4")])
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = read_memory("VmRSS")
    encoder.transform([path])
    print(read_memory("VmHWM") - before)


def read_memory(name: str) -> float:
    """Return one of the sizes that Linux reports of this process, in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def remember() -> None:
    """Print the memory that an hour takes."""
    with tempfile.TemporaryDirectory() as folder:
        write_video(f"{folder}/a0.mp4", 50, size=(320, 240), rate=25, preset="ultrafast")
        for minutes in (1, 60):
            path = f"{folder}/a.mp4"
            write_video(path, minutes * 60 * 25, size=(320, 240), rate=25, preset="ultrafast")
            found = subprocess.run(
                [sys.executable, __file__, "encode", path],
                capture_output=True,
                text=True,
                check=True,
            )
            frames = minutes * 60 * 320 * 240 * 3 / 1e6
            print(
                f"{minutes} minutes, a frame a second: {float(found.stdout):.0f} MB more than a "
                f"video of two seconds; these frames have {frames:.0f} MB"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["encode"]:
        encode(sys.argv[2])
    else:
        if sys.argv[1:] != ["memory"]:
            compare(float(sys.argv[1]) if len(sys.argv) > 1 else 5)
        remember()
