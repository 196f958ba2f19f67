"""One cell of a video column: which frames are taken, and what is refused."""

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from clips import number_frame, number_frames, read_number, write_clip
from PIL import Image

from skmm.encoding.readers import BrokenItemError
from skmm.video._sampling import Sampling, check_video, sample_frames


def sample(cell, sampling, **options):
    """Return the number of the frame that is shown at each moment."""
    shown = sample_frames(cell, sampling, max_pixels=10**6, **options)
    return [number for frame, n in shown for number in [read_number(np.asarray(frame))] * n]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Return the path of a clip of 60 frames, 25 a second."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return write_clip(str(path), number_frames(60))


@pytest.mark.parametrize("n_frames", [1, 2, 3, 8, 60, 100])
def test_middles_of_equal_parts(n_frames, clip):
    expected = [int((i + 0.5) * 60 / n_frames) for i in range(n_frames)]
    assert sample(clip, Sampling(n_frames)) == expected
    content = Path(clip).read_bytes()
    assert sample(content, Sampling(n_frames)) == expected
    assert sample(bytearray(content), Sampling(n_frames)) == expected
    frames = number_frames(60)
    in_memory = [frames, tuple(frames), [Image.fromarray(frame) for frame in frames]]
    array = np.empty(60, dtype=object)
    array[:] = frames
    for cell in (*in_memory, np.stack(frames), array):
        assert sample(cell, Sampling(n_frames)) == expected


@pytest.mark.parametrize("fps", [0.1, 1, 4, 10, 25, 50])
def test_frames_a_second(fps, clip):
    n_frames = max(1, int(2.4 * fps))
    expected = [int(25 * (i + 0.5) / fps) for i in range(n_frames)] if fps > 0.1 else [30]
    assert sample(clip, Sampling(8, fps=fps)) == expected


def test_rounding_leaves_no_frame_out(tmp_path):
    path = write_clip(str(tmp_path / "clip.mp4"), number_frames(29))  # 29 / 25 * 25 = 28.999...
    assert sample(path, Sampling(8, fps=25)) == list(range(29))


@pytest.mark.parametrize("kind", ["h264.mp4", "h264.ts", "ffv1.mkv", "vp9.webm", "flv1.flv"])
def test_a_video_may_start_late(kind, tmp_path):
    times = (5000 + 40 * np.arange(50)).tolist()  # milliseconds
    path = write_clip(str(tmp_path / kind), number_frames(50), kind=kind, times=times)
    assert sample(path, Sampling(5)) == [5, 15, 25, 35, 45]
    assert sample(path, Sampling(1, fps=2.5)) == [5, 15, 25, 35, 45]


@pytest.mark.parametrize("kind", ["h264.mp4", "ffv1.mkv", "vp9.webm"])
def test_variable_frame_rate(kind, tmp_path):
    times = np.r_[0:1000:100, 1000:1200:10, 1200:5200:400]  # milliseconds
    frames = number_frames(len(times))
    path = write_clip(str(tmp_path / kind), frames, kind=kind, times=times.tolist())
    moments = (np.arange(48) + 0.5) * 100
    expected = np.searchsorted(times, moments, side="right") - 1
    assert sample(path, Sampling(1, fps=10))[:48] == expected.tolist()
    if kind != "h264.mp4":  # which says something else of the last frame
        moments = (np.arange(14) + 0.5) / 14 * (4800 + 40)  # it is written to last 1 / 25 second
        expected = np.searchsorted(times, moments, side="right") - 1
        assert sample(path, Sampling(14)) == expected.tolist()


@pytest.mark.parametrize("kind", ["h264.mp4", "vp9.webm", "moving.gif", "mpeg2.ts"])
def test_a_video_of_one_frame(kind, tmp_path):
    path = write_clip(str(tmp_path / kind), number_frames(1), kind=kind)
    assert sample(path, Sampling(3)) == [0, 0, 0]
    assert sample(path, Sampling(1, fps=2)) == [0]


def test_an_hour_is_sampled(tmp_path):
    path = write_clip(
        str(tmp_path / "hour.mp4"),
        (frame for frame in number_frames(3600)),
        rate=1,
        gop=250,
        options={"preset": "ultrafast"},
    )
    assert sample(path, Sampling(4)) == [450, 1350, 2250, 3150]
    assert sample(path, Sampling(1, fps=1 / 600)) == [300, 900, 1500, 2100, 2700, 3300]
    with pytest.raises(BrokenItemError, match=r"3600 .*max_frames=1000\b"):
        sample(path, Sampling(1, fps=1, max_frames=1000))


def test_no_length_in_the_header(tmp_path):
    for kind in ("mkv", "mp4"):
        path = tmp_path / f"stream.{kind}"
        options = {"live": "1"} if kind == "mkv" else {"movflags": "frag_keyframe+empty_moov"}
        kind = "ffv1.mkv" if kind == "mkv" else "h264.mp4"
        write_clip(str(path), number_frames(60), kind=kind, container_options=options)
        assert sample(path, Sampling(6)) == [5, 15, 25, 35, 45, 55]


# Joined byte by byte, as in: cat a.ts b.ts

FIRST, SECOND = number_frames(30), [number_frame(100 + i) for i in range(30)]
LARGE = [number_frame(100 + i, 128, 96) for i in range(30)]
BOTH = [*range(30), *range(100, 130)]


def write(frames, kind, **options):
    return write_clip(io.BytesIO(), frames, kind=kind, **options).getvalue()


@pytest.mark.parametrize(
    "kind", ["h264.ts", "mpeg2.ts", "mpeg2.mpg", "mpeg2.vob", "ffv1.mkv", "vp9.webm", "mjpeg.avi"]
)
def test_joined_videos_follow_one_another(kind):
    """Their time stamps start again."""
    first, second = write(FIRST, kind), write(SECOND, kind)
    assert sample(first + second, Sampling(60)) == BOTH
    assert sample(first + second, Sampling(6)) == [5, 15, 25, 105, 115, 125]
    assert sample(first + second, Sampling(1, fps=5)) == [
        *(2, 7, 12, 17, 22, 27),
        *(102, 107, 112, 117, 122, 127),
    ]
    assert sample(second + first, Sampling(3)) == [110, 0, 20]
    assert sample(first * 2, Sampling(4)) == [7, 22, 7, 22]
    if kind not in ("ffv1.mkv", "vp9.webm"):
        assert sample(second + first + second, Sampling(90)) == [*BOTH[30:], *BOTH]


@pytest.mark.parametrize("kind", ["h264.ts", "mpeg2.ts", "mpeg2.mpg"])
def test_joined_videos_of_other_sizes_and_rates(kind):
    assert sample(write(FIRST, kind) + write(LARGE, kind), Sampling(60)) == BOTH
    fast = write(SECOND, kind, rate=50)  # takes half the time, and so half the sampled frames
    found = sample(write(FIRST, kind) + fast, Sampling(9))
    assert found == [2, 7, 12, 17, 22, 27, 105, 115, 125]


@pytest.mark.parametrize("start", [0, 0.6, 1.12, 50])
def test_joined_videos_whose_times_overlap_or_jump(start):
    times = 40 * np.arange(30)
    first = write(FIRST, "h264.ts", times=times.tolist())
    second = write(SECOND, "h264.ts", times=(1000 * start + times).astype(int).tolist())
    assert sample(first + second, Sampling(60)) == BOTH


@pytest.mark.parametrize("in_first", [True, False])
@pytest.mark.parametrize("in_second", [True, False])
def test_joined_videos_with_sound(in_first, in_second):
    sound = np.random.default_rng(0).uniform(-1, 1, 19_200)
    first = write(FIRST, "h264.ts", sound=sound if in_first else None)
    second = write(SECOND, "h264.ts", sound=sound if in_second else None)
    assert sample(first + second, Sampling(60)) == BOTH


@pytest.mark.parametrize("options", ["bframes=0", "open-gop=1:bframes=3:keyint=12"])
def test_joined_videos_of_other_orders_of_decoding(options):
    first = write(FIRST, "h264.ts")
    second = write(SECOND, "h264.ts", options={"x264-params": options})
    assert sample(first + second, Sampling(60)) == BOTH
    assert sample(second + first, Sampling(60)) == [*BOTH[30:], *BOTH[:30]]


def test_a_joined_video_that_starts_in_the_middle():
    first, second = write(FIRST, "mpeg2.ts"), write(SECOND, "mpeg2.ts")
    found = np.unique(sample(first + second[188 * 20 :], Sampling(60))).tolist()
    assert found[:30] == BOTH[:30]
    assert found[30:] == list(range(found[30], 130))
    assert found[30] <= 124


@pytest.mark.parametrize("kind", ["h264.mp4", "flv1.flv", "wmv2.wmv", "ffv1.mkv"])
def test_joined_videos_of_which_not_all_are_read_are_broken(kind):
    n_first = 2 if kind == "ffv1.mkv" else 1
    for n_frames in (1, 4):
        with pytest.raises(BrokenItemError, match=r"joined.*not read the last.*ffmpeg -f concat"):
            sample(n_first * write(FIRST, kind) + write(SECOND, kind), Sampling(n_frames))


def test_joined_videos_in_different_streams_are_broken():
    first = write(FIRST, "h264.ts")
    second = write(SECOND, "h264.ts", container_options={"mpegts_start_pid": "512"})
    for joined in (first + second, second + first):
        with pytest.raises(BrokenItemError, match=r"joined.*different streams.*ffmpeg -f concat"):
            sample(joined, Sampling(4))
    with pytest.raises(BrokenItemError, match="does not decode"):
        sample(first + write(SECOND, "mpeg2.ts"), Sampling(4))


@pytest.mark.parametrize("first_pid", [0x300, 0x1000])
def test_another_program_behind_a_long_video_is_broken(first_pid):
    """FFmpeg has looked for streams at the beginning of the file, and leaves out those."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(20)]
    long = write(noise, "mpeg2.ts", options={"b": "90000000", "qmin": "1", "qmax": "1"})
    assert len(long) > 6e6
    pids = {"mpegts_pmt_start_pid": "0x200", "mpegts_start_pid": str(first_pid)}
    other = write([noise[0]] * 9, "mpeg2.ts", container_options=pids)
    sample(long, Sampling(2))
    sample(other, Sampling(2))
    with pytest.raises(BrokenItemError, match=r"joined.*streams .*ffmpeg -f concat"):
        sample(long + other, Sampling(2))


@pytest.mark.parametrize("options", [{}, {"mpegts_m2ts_mode": "1"}])
@pytest.mark.parametrize("kind", ["h264.ts", "mpeg2.ts"])
def test_short_files_of_mpeg_ts(kind, options):
    for n_frames in (1, 2, 3, 4, 5):
        content = write(number_frames(n_frames), kind, container_options=options)
        assert sample(content, Sampling(n_frames)) == list(range(n_frames))


@pytest.mark.parametrize("share", [0.4, 0.8])
@pytest.mark.parametrize("kind", ["h264.mp4", "mpeg4.avi", "ffv1.mkv", "vp9.webm"])
def test_a_cut_file_is_broken(kind, share, tmp_path):
    path = tmp_path / f"cut {kind}"
    options = {"movflags": "faststart"} if kind == "h264.mp4" else None
    noise = np.random.default_rng(0).uniform(-1, 1, 200 * 1920)
    sound = None if kind == "ffv1.mkv" else noise
    rate = 48_000 if kind == "vp9.webm" else 16_000
    codec = "libopus" if kind == "vp9.webm" else "aac"
    write_clip(
        str(path),
        number_frames(200),
        kind=kind,
        container_options=options,
        sound=sound,
        sound_rate=rate,
        sound_codec=codec,
    )
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BrokenItemError, match=rf"cut {kind}': .*ffmpeg -i"):
        sample(path, Sampling(8))


def test_a_cut_file_without_its_index_is_broken(clip, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(Path(clip).read_bytes()[:-200])
    with pytest.raises(BrokenItemError, match=r"cut\.mp4': .*FFmpeg"):
        check_video(path, max_pixels=10**6)


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        ("gone.mp4", BrokenItemError, rf"'gone\.mp4' .*{re.escape(os.getcwd())}"),
        (
            "https://example.org/cat.mp4",
            BrokenItemError,
            r"'https://.*\.mp4' .*filesystem=",
        ),
        (b"", BrokenItemError, r"\b0 bytes"),
        (b"no video at all " * 10, BrokenItemError, r"FFmpeg .*\bmkv\b"),
        (3, TypeError, "got int"),
        (np.zeros((8, 8, 3)), TypeError, r"shape \(8, 8, 3\) .*\[video\]"),
        (Image.new("L", (2, 2)), TypeError, "got Image"),
        ([], BrokenItemError, "0 frames"),
        (np.zeros((0, 8, 8, 3)), BrokenItemError, "0 frames"),
        (np.zeros((3, 8, 8, 2)), BrokenItemError, r"shape \(3, 8, 8, 2\)"),
        (["a.png", "b.png"], TypeError, r"\blist\b.* str\b"),
    ],
)
def test_what_is_refused(cell, error, message):
    with pytest.raises(error, match=message):
        check_video(cell, max_pixels=10**6)
    with pytest.raises(error, match=message):
        sample(cell, Sampling(2))


def test_frames_in_memory_have_no_time():
    with pytest.raises(TypeError, match=r"fps .*n_frames"):
        sample(number_frames(3), Sampling(1, fps=2))


def test_a_picture_is_no_video(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(BrokenItemError, match=r"a\.png'.*FFmpeg .*\bmkv\b"):
        check_video(tmp_path / "a.png", max_pixels=10**6)


def test_sound_alone_and_covers_of_albums_are_no_video(tmp_path):
    import av

    path = tmp_path / "song.mp4"
    tone = np.zeros((1, 16_000), dtype=np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), dtype=np.uint8), format="rgb24")
        container.mux(cover.encode(frame))
        container.mux(cover.encode())
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(BrokenItemError, match=r"song\.mp4': .*skmm\.audio"):
        check_video(path, max_pixels=10**6)


def test_large_frames_are_refused_before_they_are_decoded(clip):
    with pytest.raises(BrokenItemError, match=r"64 x 48 .*max_pixels=3000\b"):
        check_video(clip, max_pixels=3000)
    with pytest.raises(BrokenItemError, match=r"64 x 48 .*max_pixels=3000\b"):
        list(sample_frames(clip, Sampling(1), max_pixels=3000))


def test_frames_that_become_large_are_refused(tmp_path):
    small, large = number_frames(10), [np.zeros((480, 640, 3), dtype=np.uint8)] * 10
    content = b"".join(
        Path(write_clip(str(tmp_path / "part.h264"), frames, kind="raw.h264")).read_bytes()
        for frames in (small, large)
    )
    shapes = [s.frame.shape for s in sample_frames(content, Sampling(4), max_pixels=10**6)]
    assert shapes == [(48, 64, 3)] * 2 + [(480, 640, 3)] * 2
    check_video(content, max_pixels=5000)
    with pytest.raises(BrokenItemError, match=r"640 x 480 .*max_pixels=5000\b"):
        list(sample_frames(content, Sampling(4), max_pixels=5000))


def test_files_of_a_filesystem(clip):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/skmm/clip.mp4", Path(clip).read_bytes())
    assert sample("/skmm/clip.mp4", Sampling(2), filesystem=memory) == [15, 45]
    with pytest.raises(BrokenItemError, match=r"'/skmm/other\.mp4' .*MemoryFileSystem"):
        sample("/skmm/other.mp4", Sampling(2), filesystem=memory)
