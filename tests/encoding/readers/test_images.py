"""read_image: the reader of one image cell, whatever goes wrong in it."""

import errno
import io
import os
import re
import struct

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
        (Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)), r"\[0, 1\].* nan to nan"),
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


# More than 8 bits

SIXTEEN = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30) * 54  # 0 to 64746


def write_tiff(values, **options):
    buffer = io.BytesIO()
    pytest.importorskip("tifffile").imwrite(buffer, values, **options)
    return buffer.getvalue()


def read_gray(cell):
    pixels = read(cell)
    np.testing.assert_array_equal(pixels, np.dstack([pixels[..., 0]] * 3))
    return pixels[..., 0]


def test_16_bits_are_scaled():
    expected = np.rint(SIXTEEN / 257)
    big_endian = SIXTEEN.astype(">u2")
    cells = [
        encoded(Image.fromarray(SIXTEEN)),
        b"P5 30 40 65535\n" + big_endian.tobytes(),
        write_tiff(SIXTEEN),
        write_tiff(SIXTEEN, byteorder=">"),
        Image.fromarray(SIXTEEN),
    ]
    for cell in cells:
        np.testing.assert_allclose(read_gray(cell), expected, atol=1)
    dark = SIXTEEN // 256  # of which no value is above 255
    np.testing.assert_array_equal(
        read_gray(b"P5 30 40 65535\n" + dark.astype(">u2").tobytes()) > 1, 0
    )


def test_12_bits_are_scaled():
    values = np.arange(64) * 65  # 0 to 4095
    packed = np.array([[a >> 4, (a & 15) << 4 | b >> 8, b & 255] for a, b in values.reshape(-1, 2)])
    entries = {256: 8, 257: 8, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 96}
    ifd = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    start = b"II*\0" + struct.pack("<I", 8 + 96) + packed.astype(np.uint8).tobytes()
    cell = start + struct.pack("<H", len(entries)) + ifd + bytes(4)
    np.testing.assert_array_equal(read_gray(cell).ravel(), np.rint(values / 4095 * 255))


@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}])
def test_floats_in_files_are_as_in_arrays(options):
    values = np.random.default_rng(0).uniform(0, 1, (40, 30)).astype(np.float32)
    values[0, 0] = 1 + 1e-6
    expected = np.rint(values * 255)
    for cell in (values, write_tiff(values, **options), Image.fromarray(values)):
        np.testing.assert_array_equal(read_gray(cell), expected)
    warm = values * 50 + 270
    for cell in (warm, write_tiff(warm, **options), Image.fromarray(warm), values * 255):
        with pytest.raises(BrokenItemError, match=r"\[0, 1\], got values from \d+\.\d+ to \d+"):
            read(cell)


@pytest.mark.parametrize("dtype", ["i1", "i2", ">i2", "i4", ">i4", "u4"])
def test_integers_of_which_nobody_knows_the_white(dtype):
    values = np.arange(40 * 30).reshape(40, 30) % 100
    cell = write_tiff(values.astype(dtype), byteorder=">" if ">" in dtype else "<")
    with pytest.raises(BrokenItemError, match=r"sign or of 32 bits.*uint8"):
        read(cell)
    if dtype == "i4":
        for same in (Image.fromarray(values.astype(dtype)), values.astype(dtype)):
            with pytest.raises(BrokenItemError, match="uint8"):
                read(same)


def test_where_0_is_white():
    shown = write_tiff(255 - NOISE[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(read_gray(shown), NOISE[..., 0])
    with pytest.raises(BrokenItemError, match="0 is white"):
        read(write_tiff(SIXTEEN, photometric="miniswhite"))


@pytest.mark.parametrize(
    ("dtype", "beyond"), [("f8", 1e-9), ("f8", 1e-7), ("f4", 1e-7), ("f4", 3e-6), ("f2", 1e-3)]
)
def test_rounding_beyond_the_range_is_tolerated(dtype, beyond):
    white, black = np.full((4, 4), 1 + beyond, dtype), np.full((4, 4), -beyond, dtype)
    np.testing.assert_array_equal(read(white), 255)
    np.testing.assert_array_equal(read(black), 0)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.2, r"1\.(2|199)"), (1.02, r"1\.0[12]"), (-0.01, r"-0\.0(1|09999999)"), (255.0, "255;")],
)
def test_what_is_no_rounding_is_refused_with_its_digits(dtype, value, shown):
    values = np.array([[0.5, value]], dtype)
    with pytest.raises(BrokenItemError, match=rf"\[0, 1\], got values from .*{shown}"):
        read(values)
    if dtype == "f8":
        with pytest.raises(BrokenItemError, match=r"to 1\.00002;"):
            read(np.array([[0.5, 1.00002]]))
