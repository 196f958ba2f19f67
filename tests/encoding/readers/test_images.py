"""read_image: the reader of one image cell, whatever goes wrong in it."""

import io

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
    with pytest.raises(BrokenItemError, match="the image does not decode: "):
        read(cut)
    closed = Image.open(io.BytesIO(encoded(Image.fromarray(NOISE))))
    closed.close()
    with pytest.raises(BrokenItemError, match="the image does not decode: "):
        read(closed)


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        ("a\0b.png", "cannot be read: .*null"),
        ("a" * 5000, r"\.\.\. cannot be read: File name too long"),
        ("relative/no.png", r"does not exist \(relative to "),
        ("s3://bucket/cat.png", "is a URL"),
        (Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)), "not finite"),
        (np.zeros((3, 8, 8), dtype=np.uint8), r"got shape \(3, 8, 8\)"),
        (np.zeros((101, 100), dtype=np.uint8), "100 x 101 pixels .* max_pixels=10000"),
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
        with pytest.raises(BrokenItemError, match=r"locked\.png' cannot be read: Permission"):
            read(path)
    else:
        pytest.skip("this user may read everything")
