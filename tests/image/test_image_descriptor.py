"""ImageDescriptor: every form of a picture, and every way in which one can be broken."""

import io
import os
import pickle
import struct
import zlib

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

from skmm.image import ImageDescriptor


@pytest.fixture
def picture():
    """A picture whose four quarters differ, (32, 32, 3)."""
    array = np.zeros((32, 32, 3), dtype=np.uint8)
    array[:16, :16] = (255, 0, 0)
    array[:16, 16:] = np.arange(16, dtype=np.uint8)[:, None] * 15
    array[16:, :16, 2] = 200
    return array


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def describe(*cells, **parameters):
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return ImageDescriptor(**parameters).fit_transform(column)


def test_one_picture_in_every_form_has_one_vector(picture, tmp_path):
    image = Image.fromarray(picture)
    path = tmp_path / "picture.png"
    image.save(path)
    rgba = np.dstack([picture, np.full((32, 32), 255, dtype=np.uint8)])
    cells = [
        picture,
        picture / 255,
        rgba,
        image,
        str(path),
        path,
        encoded(image),
        bytearray(encoded(image)),
    ]
    vectors = describe(*cells)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    np.testing.assert_array_equal(vectors, np.repeat(vectors[:1], len(cells), axis=0))


def test_gray_in_every_form_has_one_vector(picture):
    gray = picture[:, :, 2]
    image = Image.fromarray(gray)
    sixteen = Image.fromarray(gray.astype(np.uint16) * 257)
    cells = [
        gray,
        gray[:, :, None],
        gray / 255,
        np.dstack([gray] * 3),
        image,
        encoded(image),
        encoded(sixteen),
        sixteen,
        image.convert("P"),
        image.convert("LA"),
        Image.fromarray((gray / 255).astype(np.float32)),
    ]
    vectors = describe(*cells)
    np.testing.assert_array_equal(vectors, np.repeat(vectors[:1], len(cells), axis=0))


def test_exif_orientation_is_applied(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise when shown
    turned = encoded(Image.fromarray(np.rot90(picture)), exif=exif)
    upright, by_exif = describe(picture, turned)
    np.testing.assert_array_equal(upright, by_exif)


def test_transparency_shows_the_background(picture):
    rgba = np.dstack([picture, np.full((32, 32), 255, dtype=np.uint8)])
    rgba[:16, :, 3] = 0
    on_white, on_blue = picture.copy(), picture.copy()
    on_white[:16], on_blue[:16] = 255, (0, 0, 255)
    palette = Image.fromarray(rgba).quantize()
    np.testing.assert_array_equal(*describe(rgba, on_white))
    np.testing.assert_array_equal(*describe(rgba, on_blue, background=(0, 0, 255)))
    np.testing.assert_allclose(*describe(palette, on_white), atol=0.1)


def test_cmyk_and_animations(picture):
    image = Image.fromarray(picture)
    np.testing.assert_allclose(*describe(image.convert("CMYK"), picture), atol=1e-6)
    frames = [image.quantize(), Image.new("P", (32, 32))]
    animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(*describe(animation, encoded(frames[0], "GIF")))


def test_features_are_those_of_the_picture():
    red = np.zeros((32, 32, 3), dtype=np.uint8)
    red[..., 0] = 255
    stripes = np.zeros((64, 64), dtype=np.uint8)
    stripes[:, ::16] = 255
    vectors = describe(red, stripes, stripes.T)
    hog, colors = vectors[:, :-64], vectors[:, -64:]
    assert (hog[0] == 0).all()
    assert colors[0].argmax() == 3 * 16  # the most of red, the least of green and blue
    assert colors[0].max() == 1
    by_direction = hog[1:].reshape(2, -1, 8).sum(axis=1)  # 8 orientations
    assert by_direction[0].argmax() != by_direction[1].argmax()


def test_missing_is_nan(picture):
    vectors = describe(None, picture, np.nan, pd.NA)
    assert np.isnan(vectors[[0, 2, 3]]).all()
    assert np.isfinite(vectors[1]).all()


def test_columns_of_every_kind(picture):
    pictures = [picture, picture[::-1], np.ascontiguousarray(picture[:, ::-1])]
    expected = describe(*pictures)
    series = pd.Series(pictures, index=["a", "b", "c"])
    images = [Image.fromarray(array) for array in pictures]
    polars = pl.Series(images, dtype=pl.Object)
    columns = [series, series.to_frame(), pictures, np.stack(pictures), polars, polars.to_frame()]
    for column in columns:
        np.testing.assert_array_equal(ImageDescriptor().fit_transform(column), expected)
    with pytest.raises(ValueError, match=r"ImageDescriptor .*got 2: \['a', 'b'\]"):
        ImageDescriptor().fit(pd.DataFrame({"a": images, "b": images}))
    with pytest.raises(ValueError, match=r"\b0 sample.* ImageDescriptor"):
        ImageDescriptor().fit([])
    with pytest.raises(ValueError, match=r"ImageDescriptor .* got str"):
        ImageDescriptor().fit("a.png")


def test_items_do_not_depend_on_each_other(picture):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, 30, 3), dtype=np.uint8) for _ in range(5)]
    vectors = describe(*pictures)
    np.testing.assert_array_equal(describe(*pictures[::-1]), vectors[::-1])
    np.testing.assert_array_equal(describe(*pictures[:2], *pictures[:2]), vectors[[0, 1, 0, 1]])


def bomb():
    """A small PNG that says it is 30,000 x 30,000 pixels."""
    data = bytearray(encoded(Image.new("L", (8, 8))))
    data[16:24] = struct.pack(">II", 30_000, 30_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


BROKEN = {
    "missing.png": (None, "exist"),
    "empty.png": (b"", "0 bytes"),
    "text.jpg": (b"not a picture at all", "Pillow"),
    "bomb.png": (bomb(), "30000 x 30000 .*max_pixels=|MAX_IMAGE_PIXELS"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named(name, tmp_path, picture):
    content, cause = BROKEN[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    column = pd.Series([picture, str(path)], index=[10, 20])
    with pytest.raises(ValueError, match=rf"row 1 \(index 20\): .*{name}.*({cause}).*errors="):
        ImageDescriptor().fit_transform(column)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_truncated_file(format, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / "cut"
    path.write_bytes(encoded(Image.fromarray(noise), format)[:1000])
    with pytest.raises(ValueError, match=r"row 0: .*cut': .*decode"):
        describe(str(path))


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        ("https://example.org/cat.png", r"'https://example\.org/cat\.png' .*filesystem="),
        (os.curdir, r"'\.' .*directory"),
        (b"", "0 bytes"),
        (b"nonsense", "Pillow"),
        (np.zeros((4, 4), dtype=np.int64), "uint8.* int64"),
        (np.full((4, 4), 255.0), r"\[0, 1\].* 255 to 255"),
        (np.full((4, 4), np.nan), r"\[0, 1\].* nan to nan"),
        (np.zeros((4, 4, 2), dtype=np.uint8), r"shape \(4, 4, 2\)"),
        (np.zeros((0, 4), dtype=np.uint8), r"shape \(0, 4\)"),
    ],
)
def test_broken_items(cell, cause):
    with pytest.raises(ValueError, match=f"row 1: .*{cause}"):
        describe(None, cell)
    with pytest.warns(UserWarning, match=f"1 of 2 .*row 1: .*{cause}"):
        assert np.isnan(describe(None, cell, errors="missing")).all()


@pytest.mark.parametrize("cell", [7, ["a"], {"content": b"a"}, object()])
@pytest.mark.parametrize("errors", ["raise", "missing"])
def test_wrong_type_is_an_error_always(cell, errors, picture):
    with pytest.raises(TypeError, match=f"row 1: .*got {type(cell).__name__}"):
        describe(picture, cell, errors=errors)


def test_many_broken_items_are_counted(picture):
    cells = [picture, *(f"missing{i}.png" for i in range(9))]
    with pytest.warns(UserWarning, match=r"9 of 10 .*row 5: .*missing4\.png.* 4 more") as caught:
        describe(*cells, errors="missing")
    assert len(caught) == 1


def test_corrupt_file_among_many_rows(tmp_path, picture):
    good, bad = tmp_path / "good.png", tmp_path / "bad.jpg"
    Image.fromarray(picture).save(good)
    bad.write_bytes(b"\xff\xd8\xff nothing more")
    paths = [str(good)] * 50_000
    paths[41_873] = str(bad)
    with pytest.raises(ValueError, match=r"row 41873: .*bad\.jpg"):
        ImageDescriptor().fit_transform(paths)


def test_parameters(picture):
    assert describe(picture, image_size=32, pixels_per_cell=8, orientations=4, n_bins=2).shape == (
        1,
        3 * 3 * 4 * 4 + 8,
    )
    descriptor = ImageDescriptor().fit([picture])
    assert len(descriptor.get_feature_names_out()) == 352
    assert len(pickle.dumps(descriptor)) < 1000
    for parameters, match in [
        ({"background": (0, 0, 256)}, r"background .*\(0, 0, 256\)"),
        ({"image_size": 16}, "image_size=16 .*pixels_per_cell="),
        ({"errors": "ignore"}, "'errors' .*'ignore'"),
    ]:
        with pytest.raises(ValueError, match=match):
            ImageDescriptor(**parameters).fit([picture])


def test_one_broken_file_in_many_rows_counts_for_each(picture):
    with pytest.warns(UserWarning, match=r"3 of 4 .* row 0: .*; row 2: .*; row 3: .*gone\.png"):
        vectors = describe("gone.png", picture, "gone.png", "gone.png", errors="missing")
    np.testing.assert_array_equal(np.isnan(vectors).all(axis=1), [True, False, True, True])


def test_one_image_is_no_column(picture):
    with pytest.raises(ValueError, match=r"ImageDescriptor .*shape \(32, 32, 3\) .*\[image\]"):
        ImageDescriptor().fit(picture)
    assert ImageDescriptor().fit_transform(picture[None]).shape == (1, 352)
    assert ImageDescriptor().fit_transform(picture[None, :, :, 0]).shape == (1, 352)


def test_column_is_named(picture):
    frame = pd.DataFrame({"photo": [picture, "gone.png"]})
    with pytest.raises(ValueError, match=r"column 'photo', row 1: 'gone\.png' "):
        ImageDescriptor().fit_transform(frame)
