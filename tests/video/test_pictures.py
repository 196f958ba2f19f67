"""A decoded frame as a viewer sees it."""

from fractions import Fraction

import numpy as np
import pytest
from clips import write_clip

from skmm.video import Sampling, sample_frames

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


def paint(height=48, width=64):
    """Paint the quarters red, green, blue and black."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[: height // 2, : width // 2] = RED
    picture[: height // 2, width // 2 :] = GREEN
    picture[height // 2 :, : width // 2] = BLUE
    return picture


def first_frame(path):
    return next(sample_frames(path, Sampling(1), max_pixels=10**6)).frame


def see(frame):
    """Name the colours of the quarters."""
    height, width = frame.shape[:2]
    named = {tuple(c): n for c, n in zip((RED, GREEN, BLUE, BLACK), "rgb.", strict=True)}
    seen = ""
    for y in (height // 4, 3 * height // 4):
        for x in (width // 4, 3 * width // 4):
            colour = frame[y, x, :3].astype(int)
            near = [n for c, n in named.items() if np.abs(colour - c).max() < 25]
            assert len(near) == 1, colour
            seen += near[0]
    return seen


@pytest.mark.parametrize(
    ("turn", "mirrored", "seen"),
    # How far it is turned, against the clock, and then whether it is mirrored.
    [
        (0, (False, False), "rgb."),
        (90, (False, False), "g.rb"),
        (180, (False, False), ".bgr"),
        (270, (False, False), "br.g"),
        (0, (True, False), "gr.b"),
        (0, (False, True), "b.rg"),
        (90, (True, False), ".gbr"),
    ],
)
@pytest.mark.parametrize("kind", ["h264.mp4", "h264.mov"])
def test_it_is_turned_and_mirrored(turn, mirrored, seen, kind, tmp_path):
    path = write_clip(
        str(tmp_path / kind),
        [paint()] * 2,
        kind=kind,
        prepare=lambda stream: stream.set_display_rotation(turn, *mirrored),
    )
    frame = first_frame(path)
    assert frame.shape == ((64, 48, 3) if turn % 180 else (48, 64, 3))
    assert see(frame) == seen


@pytest.mark.parametrize(
    ("kind", "pix_fmt"),
    [
        ("h264.mp4", "yuv420p"),
        ("h264.mp4", "yuvj420p"),
        ("h264.mp4", "yuv422p10le"),
        ("h265.mkv", "yuv420p10le"),
        ("ffv1.mkv", "bgr0"),
        ("ffv1.mkv", "yuv444p16le"),
        ("ffv1.mkv", "gbrp12le"),
        ("ffv1.mkv", "bgra"),
        ("mjpeg.avi", "yuvj444p"),
        ("moving.gif", "rgb8"),
    ],
)
def test_pixel_formats(kind, pix_fmt, tmp_path):
    frames = [paint()] * 3  # libx265 leaves the decoding times of fewer to chance
    path = write_clip(str(tmp_path / kind), frames, kind=kind, pix_fmt=pix_fmt)
    frame = first_frame(path)
    assert frame.dtype == np.uint8
    assert frame.shape in [(48, 64, 3), (48, 64, 4)]
    assert see(frame) == "rgb."


def test_grey(tmp_path):
    grey = np.full((32, 32, 3), 128, dtype=np.uint8)
    path = write_clip(str(tmp_path / "grey.mkv"), [grey], kind="ffv1.mkv", pix_fmt="gray")
    assert first_frame(path).shape == (32, 32, 3)
    assert np.abs(first_frame(path).astype(int) - 128).max() <= 2


@pytest.mark.parametrize("kind", ["ffv1.mkv", "vp9.webm", "h264.mp4"])
def test_odd_sizes(kind, tmp_path):
    pix_fmt = "yuv444p" if kind == "h264.mp4" else None
    path = write_clip(str(tmp_path / kind), [paint(35, 51)] * 2, kind=kind, pix_fmt=pix_fmt)
    frame = first_frame(path)
    assert frame.shape == (35, 51, 3)
    assert see(frame) == "rgb."


def test_pixels_become_square(tmp_path):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)

    path = write_clip(str(tmp_path / "wide.mp4"), [paint()] * 2, prepare=prepare)
    frame = first_frame(path)
    assert frame.shape == (48, 96, 3)
    assert see(frame) == "rgb."


def test_transparency_is_kept_for_the_encoder_of_images(tmp_path):
    import av

    path = str(tmp_path / "clear.mkv")
    picture = np.dstack([paint(), np.zeros((48, 64), dtype=np.uint8)])
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgra"
        frame = av.VideoFrame.from_ndarray(picture, format="rgba")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    np.testing.assert_array_equal(first_frame(path), picture)
