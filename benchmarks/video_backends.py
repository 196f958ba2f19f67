"""Would torchcodec read videos better than PyAV, which skmm uses?

The video of video_decoding.py: frames at even distances in time by skmm (PyAV) and by torchcodec,
"exact" (which reads the whole file for its index first) and "approximate". Processor time of one
thread, the best of three in turns, and by how much frames differ; then which formats each reads.

    python benchmarks/video_backends.py [seconds]

torchcodec (0.17 is for torch 2.15) brings no FFmpeg: the libraries of FFmpeg 4 to 9 have to be
installed.
"""

import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import torchcodec
from torchcodec.decoders import VideoDecoder
from video_decoding import RATE, by_skmm, write_video

FORMATS = {
    "h264 in mp4": ("libx264", "mp4"),
    "h265 in mp4": ("libx265", "mp4"),
    "vp9 in webm": ("libvpx-vp9", "webm"),
    "av1 in mkv": ("libsvtav1", "mkv"),
    "mpeg4 in avi": ("mpeg4", "avi"),
    "mpeg2 in ts": ("mpeg2video", "ts"),
    "mjpeg in mov": ("mjpeg", "mov"),
}


def by_torchcodec(path: str, n_frames: int, *, seek_mode: str) -> np.ndarray:
    """Take the frames that are shown in the middle of equal parts of the time."""
    decoder = VideoDecoder(path, seek_mode=seek_mode, num_ffmpeg_threads=1)
    duration = decoder.metadata.duration_seconds
    times = [(2 * i + 1) * duration / (2 * n_frames) for i in range(n_frames)]
    return decoder.get_frames_played_at(times).data.permute(0, 2, 3, 1).numpy()


def write_short(path: str, codec: str) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        if codec == "mjpeg":
            stream.pix_fmt = "yuvj420p"
        for i in range(50):
            picture = np.full((128, 160, 3), 5 * i, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def try_to_read(read, *arguments) -> str:
    try:
        return f"{len(read(*arguments))} frames"
    except Exception as e:
        return f"{type(e).__name__}: {str(e).splitlines()[0][:60]}"


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    readers = {
        "skmm (PyAV)": by_skmm,
        "torchcodec, exact": lambda path, n: by_torchcodec(path, n, seek_mode="exact"),
        "torchcodec, approximate": lambda path, n: by_torchcodec(path, n, seek_mode="approximate"),
    }
    print("torchcodec", torchcodec.__version__, "PyAV", av.__version__)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "video.mp4"))
        write_video(path, seconds * RATE)
        for n_frames in (8, 32, seconds):
            frames, best = {}, dict.fromkeys(readers, np.inf)
            for _ in range(3):
                for name, read in readers.items():
                    start = time.process_time()
                    frames[name] = read(path, n_frames)
                    best[name] = min(best[name], time.process_time() - start)
            for name, took in best.items():
                difference = np.abs(frames[name].astype(int) - frames["skmm (PyAV)"]).mean()
                print(
                    f"{n_frames:4d} frames  {name:24s} {took:7.2f} s  differs by {difference:.2f}"
                )
        for name, (codec, suffix) in FORMATS.items():
            path = str(Path(folder, f"{codec}.{suffix}"))
            write_short(path, codec)
            print(name, *(f"| {try_to_read(read, path, 4)}" for read in list(readers.values())[:2]))


if __name__ == "__main__":
    main()
