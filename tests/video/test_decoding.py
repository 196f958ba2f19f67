"""The frames of files: the right ones, and few others decoded."""

from contextlib import ExitStack
from pathlib import Path

import av
import numpy as np
import pytest
from clips import KINDS, decode_all, number_frames, read_number, write_clip

from skmm.encoding.readers import BrokenItemError, open_container
from skmm.video import Sampling, sample_frames
from skmm.video._decoding import Reader, scan

N = 61


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the path of a clip of any kind, written when first asked for."""
    folder, paths = tmp_path_factory.mktemp("clips"), {}

    def save(kind="h264.mp4", **options):
        key = (kind, repr(options))
        if key not in paths:
            path = str(folder / f"{len(paths)} {kind}")
            paths[key] = write_clip(path, number_frames(N), kind=kind, **options)
        return paths[key]

    return save


def read_frames(path, places):
    """Read the frames at some places among all, and count those that were decoded."""
    with open(path, "rb") as file, ExitStack() as stack:
        container = stack.enter_context(open_container(file))
        stream = container.streams.video[0]
        packets = scan(container, stream)
        targets = packets.shown[places]
        reader = Reader(stack, file, container, stream, packets, targets)
        frames = [reader.read(target).to_ndarray(format="rgb24") for target in targets.tolist()]
        return [read_number(frame) for frame in frames], reader.n_decoded


@pytest.mark.parametrize("kind", KINDS)
def test_each_frame_is_found_by_its_time(kind, saved):
    path = saved(kind)
    if kind in ("raw.h264", "h264.avi"):  # frames have no times there, or wrong ones
        expected = list(range(N))
    else:
        expected = list(dict(decode_all(path)).values())  # an MPEG has two frames at one time
        assert len(expected) >= N - 1
    for places in (slice(None), slice(3, None, 7), slice(20, None, 29), slice(-1, None)):
        assert read_frames(path, places)[0] == expected[places]


@pytest.mark.parametrize("kind", ["h264.mp4", "mpeg4.avi", "vp9.webm", "mpeg2.ts", "flv1.flv"])
def test_only_what_is_needed_is_decoded(kind, saved):
    # No key frames but every twelfth. Where there are B-frames a decoder is some frames ahead.
    options = {"sc_threshold": "0"} if "h264" in kind else {}
    path = saved(kind, options=options)
    for places, n_needed in (([24], 1), ([30, 56], 7 + 9), ([1, 30, 34], 2 + 11)):
        found, n_decoded = read_frames(path, places)
        assert found == places
        assert n_decoded <= n_needed + 4 * len(places)


def test_frames_that_no_other_needs_are_left_out(saved):
    path = saved(options={"x264-params": "bframes=3:b-adapt=0:b-pyramid=none:keyint=100"})
    found, n_decoded = read_frames(path, [56])
    assert found == [56]
    assert n_decoded <= 56 / 4 + 6


@pytest.mark.parametrize("kind", ["h264.mp4", "h265.mkv"])
def test_groups_of_pictures_may_be_open(kind, saved):
    name = "x264-params" if "264" in kind else "x265-params"
    path = saved(kind, options={name: "open-gop=1:bframes=3:keyint=12:log-level=none"})
    for places in (slice(None), slice(3, None, 7), slice(11, None, 12), slice(20, None, 29)):
        assert read_frames(path, places)[0] == list(range(N))[places]


def test_what_an_edit_list_cuts_away_is_decoded_and_not_shown(saved):
    path = saved(container_options={"avoid_negative_ts": "disabled"}, shift=15, gop=40)
    assert read_frames(path, slice(None))[0] == list(range(15, N))


def test_a_stream_may_start_in_the_middle(saved, tmp_path):
    content = Path(saved("mpeg2.ts")).read_bytes()
    path = tmp_path / "middle.ts"
    path.write_bytes(content[188 * 20 :])
    found, _ = read_frames(path, slice(None))
    assert found == list(range(found[0], N))
    assert 0 < found[0] <= 24


def test_a_damaged_frame_is_broken(saved, tmp_path):
    content = bytearray(Path(saved("mjpeg.avi")).read_bytes())
    starts = [i for i in range(len(content) - 4) if content[i : i + 4] == b"00dc"][1:]
    content[starts[30] + 8 : starts[31]] = bytes(starts[31] - starts[30] - 8)
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(content)
    assert read_frames(damaged, [29, 31])[0] == [29, 31]
    with pytest.raises(BrokenItemError, match=r"frame at 1\.2"):
        read_frames(damaged, [30])


def test_tags_that_are_no_utf8(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(path, "w") as container:
        container.metadata["comment"] = "QQQQQQQQ"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            picture = np.zeros((48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert b"QQQQQQQQ" in content
    path.write_bytes(content.replace(b"QQQQQQQQ", b"\xff\xfe\xe9QQQQQ"))
    assert len(list(sample_frames(path, Sampling(3), max_pixels=10**6))) == 3
