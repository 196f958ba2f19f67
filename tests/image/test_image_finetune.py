"""ImageEncoder(finetune=...): what differs from texts."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skmm.encoding import EmbeddingCache, LoRA
from skmm.image import ImageEncoder

SETTINGS = LoRA(4, n_layers=1, max_iter=3, random_state=0)


def draw_images(n, seed=0):
    """Draw images of a random grey and some red or blue, and whether that is red."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 120, (n, 32, 32, 3), dtype=np.uint8)
    y = random.integers(0, 2, n).astype(bool)
    images[y, :, :, 0] += 100
    images[~y, :, :, 2] += 100
    return images, y


@pytest.fixture(scope="module", params=["clip", "vit"])
def folder(request, save_clip, save_timm, tmp_path_factory):
    save = {"clip": save_clip, "vit": save_timm}[request.param]
    return save(tmp_path_factory.mktemp(request.param))[0]


def test_tunes_the_part_that_sees(folder):
    images, y = draw_images(120)
    settings = clone(SETTINGS).set_params(max_iter=15, learning_rate_init=0.01, batch_size=16)
    encoder = ImageEncoder(folder, cache=None, finetune=settings)
    features = encoder.fit_transform(images, y)
    assert features.shape == (120, 2)
    assert (features.argmax(1) == y).mean() > 0.8
    new, y_new = draw_images(40, seed=1)
    assert (encoder.transform(new).argmax(1) == y_new).mean() > 0.8
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.transform(new), encoder.transform(new))
    tuned = [name for name in encoder._tuned["folds"][0] if "lora_B" in name]
    assert tuned
    assert not any(name.startswith("transformer.") for name in tuned)  # which reads texts


def test_lower_layers_see_each_distinct_image_once(save_timm, tmp_path):
    """Activations of images with equal pixels are one entry of the cache, with those of others."""
    folder, _ = save_timm(tmp_path / "vit")
    images, y = draw_images(12)
    images[6:] = images[:6]
    cache = EmbeddingCache()
    encoder = ImageEncoder(folder, cache=cache, finetune=SETTINGS).fit(images, y)
    assert len(cache) == 6
    encoder.transform(images[:3])
    assert len(cache) == 9  # and the features of three
    clone(encoder).set_params(finetune__alpha=3).fit(images, y)
    assert len(cache) == 9
    clone(encoder).set_params(normalize=True).fit(images, y)
    assert len(cache) == 9
    clone(encoder).set_params(background=(0, 0, 0)).fit(images, y)
    assert len(cache) == 15


def test_broken_and_missing_images_take_no_part(folder):
    images, y = draw_images(20)
    cells = [*images, b"no image", None]
    encoder = ImageEncoder(folder, cache=None, errors="missing", finetune=SETTINGS)
    with pytest.warns(UserWarning, match="1 of 22 items are broken"):
        features = encoder.fit_transform(cells, [*y, True, True])
    assert np.isnan(features[20:]).all()
    expected = clone(encoder).fit_transform(list(images), y)
    np.testing.assert_allclose(features[:20], expected, atol=1e-5)
