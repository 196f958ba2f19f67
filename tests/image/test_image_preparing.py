"""ImagePreprocessor: each option on an image whose answer is known."""

import io
import pickle
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmm import ModalityTransformer
from skmm.image import ImageDescriptor, ImagePreprocessor

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def prepare(image, **options):
    (prepared,) = ImagePreprocessor(**options).fit_transform([image])
    return np.asarray(prepared)


def encoded(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


# Mode and size


def test_without_options_an_image_is_itself(noise, tmp_path):
    path = tmp_path / "noise.png"
    path.write_bytes(encoded(noise))
    cells = [noise, path, str(path), encoded(noise), Image.fromarray(noise), noise / 255]
    for image in ImagePreprocessor().transform(cells):
        assert isinstance(image, Image.Image)
        assert (image.mode, image.size) == ("RGB", (32, 24))
        np.testing.assert_array_equal(image, noise)


def test_mode(noise):
    grey = prepare(noise, mode="L")
    assert grey.shape == (24, 32)
    np.testing.assert_allclose(grey, noise @ [0.299, 0.587, 0.114], atol=1)


@pytest.fixture
def flag():
    """Three upright stripes, (20, 60): 20 pixels of red, of green and of blue."""
    return np.repeat(np.array([[RED, GREEN, BLUE]], dtype=np.uint8), 20, axis=0).repeat(20, axis=1)


def test_stretch(flag):
    np.testing.assert_array_equal(
        prepare(flag, size=(15, 5))[:, [1, 7, 13]], [[RED, GREEN, BLUE]] * 5
    )


@pytest.mark.parametrize(("mode", "background"), [("RGB", (10, 20, 30)), ("L", 18)])
def test_contain(flag, mode, background):
    image = prepare(flag, size=30, resize="contain", background=(10, 20, 30), mode=mode)
    assert image.shape[:2] == (30, 30)
    band = prepare(flag, size=(30, 10), mode=mode)
    np.testing.assert_array_equal(image[10:20], band)
    assert (image[:10] == background).all()
    assert (image[20:] == background).all()


def test_cover(flag):
    image = prepare(flag, size=10, resize="cover")
    assert image.shape == (10, 10, 3)
    assert (image[:, 1:-1] == GREEN).all()  # the red and the blue stripe are cut away
    upright = flag.transpose(1, 0, 2)
    assert prepare(upright, size=(10, 20), resize="cover").shape == (20, 10, 3)


@pytest.mark.parametrize("resize", ["stretch", "contain", "cover"])
def test_extreme_proportions(resize):
    line = np.full((1, 500, 3), RED, dtype=np.uint8)
    image = prepare(line, size=8, resize=resize)
    assert image.shape == (8, 8, 3)
    assert (image == RED).all(axis=-1).any()


# Contrast


def test_stretched_contrast():
    ramp = np.tile(np.linspace(100, 150, 200).astype(np.uint8), (10, 1))
    ramp[0, 0], ramp[0, 1] = 0, 255  # two pixels that a minimum and a maximum would heed
    stretched = prepare(ramp, contrast="stretch", mode="L").astype(int)
    assert stretched[5, 0] == 0
    assert stretched[5, -1] == 255
    np.testing.assert_allclose(stretched[5], (ramp[5].astype(int) - 100) / 50 * 255, atol=6)
    assert (np.diff(stretched[5]) >= 0).all()


def test_equalized_contrast():
    ramp = (np.linspace(0, 1, 256) ** 3 * 255).astype(np.uint8)
    equal = prepare(np.tile(ramp, (10, 1)), contrast="equalize", mode="L")
    share = np.array([(ramp <= value).mean() for value in ramp])
    np.testing.assert_allclose(equal[0] / 255, share, atol=0.02)


def test_adaptive_contrast_is_local():
    image = np.random.default_rng(0).integers(0, 256, (64, 128))
    image[:, :64] = 100 + image[:, :64] // 8  # dull on the left
    local, whole = (
        prepare(image.astype(np.uint8), contrast=contrast, mode="L") for contrast in ("clahe", None)
    )
    assert local[:, :48].std() > 1.8 * whole[:, :48].std()
    np.testing.assert_allclose(local[:, 80:].std(), whole[:, 80:].std(), rtol=0.1)


@pytest.mark.parametrize("contrast", ["stretch", "equalize", "clahe"])
def test_contrast_keeps_hue_and_lone_lightness(contrast):
    lightness = np.tile(np.linspace(60, 120, 40), (40, 1))
    orange = np.rint(lightness[..., None] * [1, 0.5, 0]).astype(np.uint8)
    changed = prepare(orange, contrast=contrast).astype(int)
    assert np.ptp(changed[..., 0]) > 100
    np.testing.assert_allclose(changed[..., 1], changed[..., 0] / 2, atol=2)
    assert (changed[..., 2] == 0).all()
    plain = np.full((9, 7, 3), (10, 20, 30), dtype=np.uint8)
    np.testing.assert_array_equal(prepare(plain, contrast=contrast), plain)


# Segmentation


@pytest.fixture
def disc():
    y, x = np.mgrid[:120, :160]
    return (y - 60) ** 2 + (x - 70) ** 2 < 35**2


@pytest.mark.parametrize("color", [WHITE, (250, 210, 40)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_foreground_is_the_disc_on_noise(disc, color, mode):
    image = np.random.default_rng(0).integers(0, 141, (120, 160, 3), dtype=np.uint8)
    image[disc] = color
    cut = prepare(image, segmentation="foreground", background=BLUE, mode=mode)
    replaced = cut == prepare(np.array([[BLUE]], dtype=np.uint8), mode=mode)[0, 0]
    found = ~(replaced.all(axis=-1) if mode == "RGB" else replaced)
    assert (found & disc).sum() / (found | disc).sum() > 0.98
    np.testing.assert_array_equal(cut[disc & found], prepare(image, mode=mode)[disc & found])


def test_foreground_may_be_dark_and_has_no_holes(disc):
    y, x = np.mgrid[:120, :160]
    image = np.full((120, 160, 3), 200, dtype=np.uint8)
    image[disc] = 30
    image[(y - 60) ** 2 + (x - 70) ** 2 < 10**2] = 200  # the hole of a ring
    cut = prepare(image, segmentation="foreground", background=BLUE)
    found = ~(cut == BLUE).all(axis=-1)
    assert (found & disc).sum() / (found | disc).sum() > 0.98
    np.testing.assert_array_equal(cut[found], image[found])


def test_image_without_foreground_stays():
    plain = np.full((30, 20, 3), (10, 20, 30), dtype=np.uint8)
    np.testing.assert_array_equal(prepare(plain, segmentation="foreground"), plain)


def test_foreground_leaves_what_resize_put_around(disc):
    image = np.zeros((120, 160, 3), dtype=np.uint8)
    image[disc] = RED
    options = {"size": 80, "resize": "contain", "background": GREEN}
    cut = prepare(image, segmentation="foreground", **options)
    assert (cut[:10] == GREEN).all()
    assert (cut[12, 5] == GREEN).all()
    assert (cut[40, 35] == RED).all()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_superpixels_are_mean_colors(mode):
    quarters = np.zeros((40, 40, 3), dtype=np.uint8)
    quarters[:20, :20], quarters[:20, 20:] = RED, GREEN
    quarters[20:, :20], quarters[20:, 20:] = BLUE, WHITE
    rng = np.random.default_rng(0)
    noisy = np.clip(quarters * 0.8 + 25 + rng.integers(-9, 10, quarters.shape), 0, 255)
    noisy = noisy.astype(np.uint8)
    grey = prepare(noisy, mode=mode)
    painted = prepare(noisy, segmentation="superpixels", n_segments=4, mode=mode)
    for rows in (slice(20), slice(20, 40)):
        for columns in (slice(20), slice(20, 40)):
            quarter = painted[rows, columns].reshape(400, -1)
            mean = grey[rows, columns].reshape(400, -1).mean(axis=0)
            assert (quarter == quarter[0]).all()
            np.testing.assert_allclose(quarter[0], mean, atol=0.5)


def test_number_of_superpixels(noise):
    smooth = np.asarray(Image.fromarray(noise[:6, :8]).resize((160, 120)))
    counts = []
    for n_segments in (1, 10, 200):
        painted = prepare(smooth, segmentation="superpixels", n_segments=n_segments)
        counts.append(len(np.unique(painted.reshape(-1, 3), axis=0)))
    assert counts[0] == 1
    assert 5 <= counts[1] <= 20
    assert 100 <= counts[2] <= 300


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
@pytest.mark.parametrize("contrast", ["stretch", "equalize", "clahe"])
@pytest.mark.parametrize("segmentation", ["foreground", "superpixels"])
@pytest.mark.filterwarnings("error")
def test_smallest_images(shape, contrast, segmentation, noise):
    for image in (noise[: shape[0], : shape[1]], np.zeros((*shape, 3), dtype=np.uint8)):
        for mode in ("RGB", "L"):
            prepared = prepare(image, contrast=contrast, segmentation=segmentation, mode=mode)
            assert prepared.shape[:2] == shape


# Columns


def test_missing_and_repeated_cells(noise, tmp_path):
    path = tmp_path / "noise.png"
    path.write_bytes(encoded(noise))
    cells = [None, str(path), np.nan, path, pd.NA]
    prepared = ImagePreprocessor(size=8).transform(cells)
    assert isinstance(prepared, np.ndarray)
    assert prepared.shape == (5,)
    assert prepared[1] is prepared[3]
    assert all(prepared[row] is cells[row] for row in (0, 2, 4))


def test_columns_of_every_kind(noise):
    images = [noise, noise[::-1].copy()]
    index = ["a", "b"]
    series = pd.Series(images, index=index, name="photo")
    for column in (series, series.to_frame()):
        prepared = ImagePreprocessor().fit(column).transform(column)
        assert (prepared.name, prepared.index.to_list(), prepared.dtype) == ("photo", index, object)
        np.testing.assert_array_equal(np.stack(prepared), images)
    polars = pl.Series([Image.fromarray(image) for image in images], dtype=pl.Object)
    for column in (images, np.stack(images), polars, polars.to_frame()):
        prepared = ImagePreprocessor().fit(column).transform(column)
        assert (type(prepared), prepared.shape, prepared.dtype) == (np.ndarray, (2,), object)
        np.testing.assert_array_equal(np.stack(list(prepared)), images)
    for method in (ImagePreprocessor().fit, ImagePreprocessor().transform):
        with pytest.raises(ValueError, match=r"got 2: \['a', 'b'\]"):
            method(pd.DataFrame({"a": images, "b": images}))
        with pytest.raises(ValueError, match=r"ImagePreprocessor .*shape .*\[image\]"):
            method(noise)


def test_the_given_image_is_not_changed(noise):
    for image in (noise, Image.fromarray(noise)):
        prepare(image, contrast="equalize", segmentation="superpixels")
        prepare(image, segmentation="foreground")
    np.testing.assert_array_equal(image, noise)


def test_broken_items(noise):
    column = pd.Series([noise, "gone.png", b"none", "gone.png"], index=list("abcd"), name="photo")
    match = r"ImagePreprocessor: column 'photo', row 1 \(index 'b'\): 'gone\.png' .*errors="
    with pytest.raises(ValueError, match=match):
        ImagePreprocessor().transform(column)
    match = r"ImagePreprocessor: 3 of 4 .* row 1 .*gone\.png.* row 2 .* row 3 .*gone\.png"
    with pytest.warns(UserWarning, match=match) as caught:
        prepared = ImagePreprocessor(errors="missing").transform(column)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert prepared.isna().tolist() == [False, True, True, True]
    with pytest.warns(UserWarning, match=r"8 of 8 .*row 4: .* 3 more"):
        ImagePreprocessor(errors="missing").transform([b""] * 8)
    with pytest.raises(ValueError, match=r"row 0: 32 x 24 .*max_pixels=700\b"):
        ImagePreprocessor(max_pixels=700).transform([noise])
    with pytest.raises(ValueError, match=r"row 0: .*'https://example\.org/cat\.png' .*filesystem="):
        ImagePreprocessor().transform(["https://example.org/cat.png"])


@pytest.mark.parametrize("errors", ["raise", "missing"])
def test_wrong_type_is_an_error_always(errors):
    with pytest.raises(TypeError, match=r"ImagePreprocessor: row 1: .* got int \(7\)"):
        ImagePreprocessor(errors=errors).transform([None, 7])


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"size": (8, 0)},
        {"size": (8, 8, 3)},
        {"size": 8.5},
        {"mode": "CMYK"},
        {"resize": "crop"},
        {"contrast": True},
        {"segmentation": "grabcut"},
        {"n_segments": 0},
        {"background": (0, 0, 256)},
        {"background": (0, 0)},
        {"errors": "ignore"},
        {"max_pixels": 0},
    ],
)
def test_parameters_are_checked(options, noise):
    ((name, value),) = options.items()
    for method in (ImagePreprocessor(**options).fit, ImagePreprocessor(**options).transform):
        with pytest.raises(ValueError, match=rf"\b{name}\b.* {re.escape(repr(value))}"):
            method([noise])


def test_progress_bar(noise, capsys):
    ImagePreprocessor(verbose=True).transform([noise, None])
    assert "ImagePreprocessor: 100%" in capsys.readouterr().err
    ImagePreprocessor().transform([noise, None])
    assert capsys.readouterr().err == ""


# With the rest of scikit-learn


def test_pickle_and_clone(noise):
    preprocessor = ImagePreprocessor(size=(4, 6), mode="L").fit([noise])
    data = pickle.dumps(preprocessor)
    assert len(data) < 1000
    for other in (pickle.loads(data), clone(preprocessor)):
        assert other.get_params() == preprocessor.get_params()
        np.testing.assert_array_equal(
            other.transform([noise])[0], preprocessor.transform([noise])[0]
        )


def test_output_containers_change_nothing(noise):
    column = pd.Series([noise, None], name="photo", index=[3, 4])
    expected = ImageDescriptor().fit_transform([prepare(noise, size=40), None])
    model = make_pipeline(ImagePreprocessor(size=40), ImageDescriptor())
    for container in ("pandas", "polars"):
        frame = clone(model).set_output(transform=container).fit_transform(column)
        assert isinstance(frame, pd.DataFrame if container == "pandas" else pl.DataFrame)
        np.testing.assert_array_equal(frame.to_numpy(), expected)
        with sklearn.config_context(transform_output=container):
            assert isinstance(ImagePreprocessor().fit_transform(column), pd.Series)
            np.testing.assert_array_equal(clone(model).fit_transform(column).to_numpy(), expected)


def test_in_a_modality_transformer(noise):
    X = pd.DataFrame({"photo": [noise, None], "age": [1, 2]}, index=[7, 8])
    model = make_pipeline(ImagePreprocessor(size=32), ImageDescriptor())
    for columns in ("photo", ["photo"]):
        frame = ModalityTransformer([("image", model, columns)]).fit_transform(X)
        assert frame.columns[0] == "image__0"
        assert frame.isna().all(axis=1).tolist() == [False, True]


def figures_on_stripes(labels):
    """White discs (1) and squares (0) of one area, on stripes of any width and direction."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:60, :80]
    for label in labels:
        angle, width = rng.uniform(0, np.pi), rng.uniform(3, 12)
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / width)
        image = np.repeat(60 * (1 + wave)[..., None], 3, axis=-1)
        image[..., rng.integers(3)] += 40
        dy, dx = abs(y - rng.integers(25, 35)), abs(x - rng.integers(30, 50))
        image[dy**2 + dx**2 < 14**2 if label else np.maximum(dy, dx) < 12.4] = 255
        yield image.astype(np.uint8)


def test_grid_search_finds_the_option_that_helps():
    y = np.arange(24) % 2
    column = pd.Series(list(figures_on_stripes(y)), index=np.arange(24) + 100)
    model = make_pipeline(
        ImagePreprocessor(size=64, background=(0, 0, 0)),
        ImageDescriptor(),
        LogisticRegression(C=10),
    )
    options = {"imagepreprocessor__segmentation": [None, "foreground"]}
    search = GridSearchCV(model, options, cv=3, error_score="raise").fit(column, y)
    assert search.best_params_["imagepreprocessor__segmentation"] == "foreground"
    without, cut_out = search.cv_results_["mean_test_score"]
    assert cut_out > 0.9
    assert cut_out > without + 0.1
