"""read_image: the reader of one image cell, whatever goes wrong in it."""

import errno
import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from skmm.encoding.readers import BrokenItemError, read_image

NOISE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def read(cell, background=(255, 255, 255), max_pixels=10_000):
    return read_image(cell, background=background, max_pixels=max_pixels)


def encoded(image, format="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_the_very_pixels(format, tmp_path):
    path = tmp_path / "noise"
    path.write_bytes(encoded(Image.fromarray(NOISE), format))
    for cell in (path, str(path), path.read_bytes(), memoryview(path.read_bytes())):
        np.testing.assert_array_equal(read(cell), NOISE)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV"]
)
def test_every_mode_gives_rgb(mode):
    gray = Image.fromarray(np.tile(np.array([0, 255], dtype=np.uint8), (4, 4)))
    rgb = gray.convert("RGB") if mode in ("CMYK", "YCbCr", "HSV") else gray
    through = {"RGBa": "RGBA", "La": "LA"}.get(mode, rgb.mode)
    image = rgb.convert(through).convert(mode)
    pixels = read(image)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.dstack([np.asarray(gray)] * 3))


def test_half_transparent_over_the_background():
    image = Image.new("RGBA", (2, 2), (0, 0, 0, 128))
    assert abs(int(read(image)[0, 0, 0]) - 127) <= 1
    np.testing.assert_allclose(read(image, background=(200, 100, 0))[0, 0], [100, 50, 0], atol=1)


def test_cell_is_left_as_it_was():
    image = Image.fromarray(NOISE).convert("RGBA")
    image.putalpha(100)
    array = NOISE / 255
    before = image.tobytes(), array.copy()
    read(image)
    read(array)
    assert image.tobytes() == before[0]
    assert image.mode == "RGBA"
    np.testing.assert_array_equal(array, before[1])


def test_pil_image_that_decodes_only_when_used():
    cut = Image.open(io.BytesIO(encoded(Image.fromarray(NOISE))[:1500]))
    with pytest.raises(BrokenItemError, match=r"image .*decode: .*truncated"):
        read(cut)
    closed = Image.open(io.BytesIO(encoded(Image.fromarray(NOISE))))
    closed.close()
    with pytest.raises(BrokenItemError, match=r"image .*decode: .*closed"):
        read(closed)


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        ("a\0b.png", r"'a\\x00b\.png' .*null"),
        ("a" * 5000, rf"^'a{{100,200}}\.\.\. .*{os.strerror(errno.ENAMETOOLONG)}"),
        ("relative/no.png", rf"'relative/no\.png' .*'{re.escape(os.getcwd())}'"),
        ("s3://bucket/cat.png", r"'s3://bucket/cat\.png' .*filesystem="),
        (Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)), "finite"),
        (np.zeros((3, 8, 8), dtype=np.uint8), r"shape \(3, 8, 8\)"),
        (np.zeros((101, 100), dtype=np.uint8), r"100 x 101 .*max_pixels=10000\b"),
    ],
)
def test_what_cannot_be_read(cell, cause):
    with pytest.raises(BrokenItemError, match=cause) as caught:
        read(cell)
    assert len(str(caught.value)) < 500


def test_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "locked.png"
    path.write_bytes(encoded(Image.fromarray(NOISE)))
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        with pytest.raises(BrokenItemError, match=rf"locked\.png' .*{os.strerror(errno.EACCES)}"):
            read(path)
    else:
        pytest.skip("this user may read everything")
