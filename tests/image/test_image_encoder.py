"""ImageEncoder: tiny models of open_clip and timm, saved and loaded back by their own code."""

import io
import json
import pickle
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmm.encoding.engine import patch_torchvision
from skmm.image import ImageEncoder

patch_torchvision()
import open_clip  # noqa: E402
import timm  # noqa: E402

RNG = np.random.default_rng(0)
SHAPES = [(32, 32), (40, 60), (64, 33), (20, 20), (100, 50)]
# Differs from open_clip's defaults in everything.
PREPROCESSING = {
    "mean": [0.5, 0.4, 0.3],
    "std": [0.3, 0.2, 0.1],
    "interpolation": "bilinear",
    "resize_mode": "squash",
}
IMAGES = [RNG.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in SHAPES]


@pytest.fixture(scope="module")
def clip(save_clip, tmp_path_factory):
    """Return the folder of a model with open_clip's default preprocessing, and the model."""
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def vit(save_timm, tmp_path_factory):
    """Return the folder of a model of timm, and the model."""
    return save_timm(tmp_path_factory.mktemp("vit"))


def encode(model, *cells, **options):
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return ImageEncoder(model, **{"cache": None, **options}).fit(column).transform(column)


def prepare(images, transform):
    return torch.stack([transform(Image.fromarray(image)) for image in images])


def call(model, images, **preprocessing):
    """Encode images as the documentation of open_clip does."""
    settings = open_clip.transform.PreprocessCfg(size=32, **preprocessing)
    pixels = prepare(images, open_clip.transform.image_transform_v2(settings, is_train=False))
    with torch.no_grad():
        return model.encode_image(pixels.to(model.visual.conv1.weight.dtype)).float().numpy()


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


# Vectors


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_vectors_are_those_of_open_clip(clip, batch_size):
    folder, model = clip
    vectors = encode(folder, *IMAGES, batch_size=batch_size)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, call(model, IMAGES), atol=1e-5)
    assert np.abs(vectors - vectors.mean(axis=0)).max() > 1e-2  # or nothing is shown


def test_folder_in_every_form(clip, monkeypatch):
    folder, model = clip
    expected = call(model, IMAGES)
    monkeypatch.setenv("HOME", str(Path(folder).parent))
    monkeypatch.chdir(Path(folder).parent)
    name = Path(folder).name
    for form in (Path(folder), f"local-dir:{folder}", f"~/{name}", f"./{name}", name):
        np.testing.assert_allclose(encode(form, *IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 32])
def test_vectors_are_those_of_timm(vit, batch_size):
    folder, model = vit
    config = timm.data.resolve_model_data_config(model)
    pixels = prepare(IMAGES, timm.data.create_transform(**config, is_training=False))
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(pixels), pre_logits=True).numpy()
    for form in (folder, f"timm:local-dir:{folder}"):
        vectors = encode(form, *IMAGES, batch_size=batch_size)
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert np.abs(vectors - vectors.mean(axis=0)).max() > 1e-2


def test_normalize(clip, vit):
    for folder in (clip[0], vit[0]):
        plain, scaled = encode(folder, *IMAGES), encode(folder, *IMAGES, normalize=True)
        lengths = np.linalg.norm(plain, axis=1, keepdims=True)
        np.testing.assert_allclose(scaled, plain / lengths, atol=1e-6)


def test_bfloat16(clip, vit):
    folder = clip[0]
    half, full = encode(folder, *IMAGES, precision="bfloat16"), encode(folder, *IMAGES)
    assert half.dtype == np.float32
    loaded = open_clip.create_model(f"local-dir:{folder}", precision="bf16").eval()
    np.testing.assert_allclose(half, call(loaded, IMAGES), atol=1e-5)
    assert 1e-4 < np.abs(half - full).max() < 0.1 * np.abs(full).max()
    half, full = encode(vit[0], *IMAGES, precision="bfloat16"), encode(vit[0], *IMAGES)
    assert 1e-4 < np.abs(half - full).max() < 0.1 * np.abs(full).max()


@settings(max_examples=10, deadline=None)
@given(
    rows=st.lists(st.integers(0, len(IMAGES) - 1), min_size=1, max_size=9),
    batch_size=st.integers(1, 5),
)
def test_order_batches_subsets_and_duplicates_change_nothing(clip, rows, batch_size):
    vectors = ImageEncoder(clip[0]).fit(IMAGES).transform(IMAGES)  # from the cache, but for once
    some = encode(clip[0], *[IMAGES[row] for row in rows], batch_size=batch_size)
    np.testing.assert_allclose(some, vectors[rows], atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_what_the_cpu_gives(clip, vit):
    for folder in (clip[0], vit[0]):
        on_cpu = encode(folder, *IMAGES, device="cpu")
        np.testing.assert_allclose(encode(folder, *IMAGES, device="cuda"), on_cpu, atol=1e-3)


# Cells


@pytest.mark.parametrize("cache", [None, "memory"])
def test_one_picture_in_every_form_has_one_vector(clip, tmp_path, cache):
    image = Image.fromarray(IMAGES[1])
    path = tmp_path / "image.png"
    image.save(path)
    transparent = image.convert("RGBA")
    turned = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    cells = [
        path,
        str(path),
        path.read_bytes(),
        bytearray(path.read_bytes()),
        encoded(image, "BMP"),
        image,
        IMAGES[1],
        IMAGES[1] / 255,
        encoded(transparent),
        np.asarray(transparent),
        encoded(turned, exif=exif),
        encoded(image, "TIFF"),
        encoded(image, "PNG", save_all=True, append_images=[turned.resize(image.size)]),
    ]
    vectors = encode(clip[0], *cells, cache=cache)
    np.testing.assert_allclose(vectors, np.repeat(vectors[:1], len(cells), axis=0), atol=1e-5)
    elsewhere = encode(clip[0], str(path), filesystem=fsspec.filesystem("file"), cache=cache)
    np.testing.assert_allclose(elsewhere, vectors[:1], atol=1e-5)


def test_every_kind_of_image(clip):
    image = Image.fromarray(IMAGES[1])
    deep = np.asarray(image.convert("L")).astype(np.uint16) * 257
    gray = encode(clip[0], image.convert("L"))
    same = [
        encoded(image.convert("L")),
        encoded(Image.fromarray(deep)),
        np.asarray(image.convert("L")),
        image.convert("LA"),
    ]
    np.testing.assert_allclose(encode(clip[0], *same), np.repeat(gray, len(same), 0), atol=1e-5)
    others = [
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image.convert("P")),
        encoded(image.convert("1")),
        encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        encoded(image, "WEBP"),
    ]
    vectors = encode(clip[0], *others)
    assert np.isfinite(vectors).all()
    assert (np.abs(vectors - gray).max(axis=1) > 1e-3).all()


def test_background(clip):
    glass = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    for color in ((255, 255, 255), (200, 10, 0)):
        vectors = encode(clip[0], glass, background=color)
        expected = encode(clip[0], Image.new("RGB", (32, 32), color))
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("as_column", [list, pd.Series, np.asarray])
def test_columns(clip, as_column):
    column = as_column([image[:20, :20] for image in IMAGES])
    vectors = ImageEncoder(clip[0]).fit_transform(column)
    np.testing.assert_allclose(vectors, call(clip[1], [i[:20, :20] for i in IMAGES]), atol=1e-5)


def test_missing_and_broken_items(clip, tmp_path):
    broken = tmp_path / "cut.jpg"
    broken.write_bytes(encoded(Image.fromarray(IMAGES[4]), "JPEG")[:-900])
    column = pd.Series([IMAGES[0], None, str(broken)], index=["a", "b", "c"], name="photo")
    match = r"ImageEncoder: column 'photo', row 2 \(index 'c'\): .*cut\.jpg'"
    with pytest.raises(ValueError, match=match):
        ImageEncoder(clip[0], cache=None).fit_transform(column)
    with pytest.warns(UserWarning, match=r"1 of 3 .*row 2 .*cut\.jpg"):
        vectors = ImageEncoder(clip[0], cache=None, errors="missing").fit_transform(column)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, True]


@pytest.mark.parametrize("errors", ["raise", "missing"])
def test_what_is_no_image_is_an_error_always(clip, errors):
    with pytest.raises(TypeError, match=r"ImageEncoder: row 1: .* got int \(7\)"):
        encode(clip[0], None, 7, errors=errors)
    with pytest.raises(ValueError, match=r"ImageEncoder .*shape .*\[image\]"):
        ImageEncoder(clip[0], errors=errors).fit(IMAGES[0])


def test_urls_are_not_fetched(clip):
    with pytest.raises(ValueError, match=r"row 0: .*'https://x\.org/cat\.png' .*filesystem="):
        encode(clip[0], "https://x.org/cat.png")


# Models


@pytest.mark.parametrize("key", PREPROCESSING)
def test_preprocessing_beside_the_weights_is_used(save_clip, tmp_path, key):
    folder, model = save_clip(tmp_path / "clip", **{key: PREPROCESSING[key]})
    expected = call(model, IMAGES, **{key: PREPROCESSING[key]})
    np.testing.assert_allclose(encode(folder, *IMAGES), expected, atol=1e-5)
    assert np.abs(expected - call(model, IMAGES)).max() > 1e-3


def test_preprocessing_of_timm_is_used(vit, tmp_path):
    folder = shutil.copytree(vit[0], tmp_path / "vit")
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"]["mean"] = [0.1, 0.2, 0.3]
    (folder / "config.json").write_text(json.dumps(config))
    assert np.abs(encode(str(folder), *IMAGES) - encode(vit[0], *IMAGES)).max() > 1e-3


def test_other_weights_or_preprocessing_are_refused(save_clip, tmp_path):
    folder, _ = save_clip(tmp_path / "clip")
    encoder = ImageEncoder(folder, cache=None).fit(IMAGES)
    first = encoder.transform(IMAGES)
    for change in ({"seed": 1}, {"mean": [0.5, 0.4, 0.3]}):
        _, model = save_clip(folder, **change)
        with pytest.raises(ValueError, match=r"ImageEncoder .*/clip'"):
            encoder.transform(IMAGES)
        change.pop("seed", None)
        expected = call(model, IMAGES, **change)
        again = ImageEncoder(folder).fit_transform(IMAGES)
        np.testing.assert_allclose(again, expected, atol=1e-5)
        assert np.abs(again - first).max() > 1e-3
    save_clip(folder)
    np.testing.assert_array_equal(encoder.transform(IMAGES), first)


def test_where_a_model_lies_is_not_part_of_it(clip, tmp_path):
    folder = shutil.copytree(clip[0], tmp_path / "copy")
    one, other = ImageEncoder(clip[0]).fit(IMAGES), ImageEncoder(folder).fit(IMAGES)
    assert one.model_digest_ == other.model_digest_
    assert (
        one.model_digest_ != ImageEncoder(clip[0], precision="bfloat16").fit([None]).model_digest_
    )


def test_model_is_loaded_once_however_many_clones(save_clip, monkeypatch, tmp_path):
    folder, _ = save_clip(tmp_path / "clip", seed=2)
    loads = []
    create = open_clip.create_model_from_pretrained

    def counted(*args, **kwargs):
        loads.append(args)
        return create(*args, **kwargs)

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", counted)
    images = [RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8) for _ in range(6)]
    model = make_pipeline(ImageEncoder(folder), LogisticRegression())
    candidates = {
        "logisticregression__C": [0.1, 0.5, 1, 5, 10, 50],
        "imageencoder__normalize": [False, True],
        "imageencoder__batch_size": [2, 32],
    }
    search = GridSearchCV(model, candidates, cv=2).fit(images, [0, 1] * 3)
    assert len(search.cv_results_["params"]) == 24
    pickle.loads(pickle.dumps(search)).predict(images)
    assert len(loads) == 1


def test_pickles_are_small(clip):
    encoder = ImageEncoder(clip[0], cache=None)
    assert len(pickle.dumps(encoder)) < 2000
    data = pickle.dumps(encoder.fit(IMAGES))
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data).transform(IMAGES), encoder.transform(IMAGES))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"precision": "float16"}, "'precision' .*'float16'"),
        ({"model": 7}, r"'model' .*\b7\b"),
        ({"normalize": 1.5}, r"'normalize' .*\b1\.5\b"),
        ({"background": (1, 2)}, r"background .* \(1, 2\)"),
        ({"device": "gpu"}, r"device='gpu' .*\"cpu\""),
    ],
)
def test_parameters(clip, options, match):
    with pytest.raises(ValueError, match=match):
        ImageEncoder(**{"model": clip[0], **options}).fit(IMAGES)
