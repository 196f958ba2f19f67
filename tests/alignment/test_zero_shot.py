"""ZeroShotClassifier, beside what open_clip itself makes of the same words."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import skops.io
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.metrics import accuracy_score, get_scorer
from sklearn.model_selection import GridSearchCV

import skmm
from skmm.alignment import ZeroShotClassifier
from skmm.encoding import EmbeddingCache
from skmm.encoding.engine import patch_torchvision
from skmm.image import ImageEncoder

patch_torchvision()
import open_clip  # noqa: E402

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}
TEMPLATES = ["a photo of a {}.", "a {}, drawn by hand", "{}"]
IMAGES = [np.random.default_rng(i).integers(0, 256, (40, 60, 3), np.uint8) for i in range(6)]


def save(folder, **options):
    config = {**CONFIG, **options}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.CLIP(**config).eval()
    Path(folder, "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    torch.save(model.state_dict(), Path(folder, "open_clip_pytorch_model.bin"))
    return str(folder), model


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The folder of a tiny CLIP that knows all tokens, and the model."""
    return save(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def encoder(clip):
    return ImageEncoder(clip[0], cache=None, batch_size=4)


def call(model, names, templates):
    """Compute logits by open_clip alone."""
    weights = open_clip.build_zero_shot_classifier(
        model, open_clip.SimpleTokenizer(context_length=16), names, templates
    )
    prepare = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(size=32), is_train=False
    )
    with torch.no_grad():
        pictures = torch.stack([prepare(Image.fromarray(image)) for image in IMAGES])
        vectors = model.encode_image(pictures, normalize=True)
        return (model.logit_scale.exp() * vectors @ weights).detach()


@pytest.mark.parametrize("templates", [TEMPLATES, TEMPLATES[:1]])
def test_probabilities_are_those_of_open_clip(clip, encoder, templates):
    names = ["cat", "dog", "a red car", "house"]
    model = ZeroShotClassifier(encoder, names, templates=templates).fit(IMAGES)
    expected = call(clip[1], sorted(names), templates)
    np.testing.assert_allclose(model.decision_function(IMAGES), expected, atol=1e-4)
    np.testing.assert_allclose(model.predict_proba(IMAGES), expected.softmax(1), atol=1e-5)
    np.testing.assert_allclose(model.predict_log_proba(IMAGES), expected.log_softmax(1), atol=1e-4)
    assert model.classes_.tolist() == sorted(names)
    assert model.predict(IMAGES).tolist() == [sorted(names)[i] for i in expected.argmax(1)]
    assert model.logit_scale_ == pytest.approx(1 / 0.07, rel=1e-4)
    assert model.logit_bias_ == 0


def test_descriptions_of_a_label_are_averaged(clip, encoder):
    model = ZeroShotClassifier(encoder, {7: ["dog", "puppy"], 3: "cat"}, templates="{}")
    model.fit(IMAGES)
    assert model.classes_.tolist() == [3, 7]
    tokens = open_clip.SimpleTokenizer(context_length=16)(["dog", "puppy"])
    with torch.no_grad():
        vectors = clip[1].encode_text(tokens, normalize=True).mean(0)
    expected = vectors / vectors.norm()
    np.testing.assert_allclose(model.class_embeddings_[1], expected, atol=1e-6)


def test_bias_of_the_model_is_added(tmp_path):
    folder, _ = save(tmp_path, init_logit_bias=-10.0)
    names = ["car", "cat", "dog"]
    model = ZeroShotClassifier(ImageEncoder(folder, cache=None), names).fit(IMAGES)
    assert model.logit_bias_ == -10
    logits = model.decision_function(IMAGES)
    assert (np.abs(logits + 10) <= model.logit_scale_ + 1e-6).all()
    assert (logits < 0).any()
    np.testing.assert_allclose(model.predict_proba(IMAGES).sum(1), 1)


def test_missing_and_broken_pictures(encoder, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    column = [IMAGES[0], None, tmp_path / "broken.png", IMAGES[1]]
    classes = ["cat", "dog", "car"]
    with pytest.raises(ValueError, match=r"row 2.*broken\.png"):
        ZeroShotClassifier(encoder, classes).fit(IMAGES).predict(column)
    lenient = clone(encoder).set_params(errors="missing")
    model = ZeroShotClassifier(lenient, classes).fit(column)
    with pytest.warns(UserWarning, match=r"2 of 4 .*row 1\b"):
        proba = model.predict_proba(column)
    np.testing.assert_allclose(proba[[1, 2]], 1 / 3)
    np.testing.assert_allclose(proba[[0, 3]], model.predict_proba(IMAGES[:2]), atol=1e-6)
    with pytest.warns(UserWarning, match=r"2 of 4 .*row 1\b"):
        assert model.predict(column)[1] == "car"


def test_pictures_are_encoded_once(clip):
    cache = EmbeddingCache()
    first = ZeroShotClassifier(ImageEncoder(clip[0], cache=cache), ["cat", "dog"]).fit(IMAGES)
    first.predict(IMAGES)
    assert len(cache) == len(IMAGES)
    second = ZeroShotClassifier(ImageEncoder(clip[0], cache=cache), ["car", "bus"]).fit(IMAGES)
    second.predict(IMAGES)
    assert len(cache) == len(IMAGES)


def test_two_classes_are_scored_as_scikit_learn_does(encoder):
    model = ZeroShotClassifier(encoder, ["cat", "dog"]).fit(IMAGES)
    margin, log_proba = model.decision_function(IMAGES), model.predict_log_proba(IMAGES)
    np.testing.assert_allclose(margin, log_proba[:, 1] - log_proba[:, 0], atol=1e-9)
    assert model.classes_[(margin > 0).astype(int)].tolist() == model.predict(IMAGES).tolist()
    y = np.where(margin > np.median(margin), "dog", "cat")
    assert get_scorer("roc_auc")(model, IMAGES, y) == 1


def test_templates_are_searched(encoder):
    y = ZeroShotClassifier(encoder, ["cat", "dog"], templates="{}").fit(IMAGES).predict(IMAGES)
    search = GridSearchCV(
        ZeroShotClassifier(encoder, ["cat", "dog"]), {"templates": ["{}", "not a {}"]}, cv=2
    ).fit(IMAGES, y)
    assert search.best_score_ == 1
    best = search.best_estimator_
    assert best.score(IMAGES, y) == accuracy_score(y, best.predict(IMAGES)) == 1


def test_pickle_holds_no_model(encoder):
    model = ZeroShotClassifier(encoder, ["cat", "dog"]).fit(IMAGES)
    pickled = pickle.dumps(model)
    assert len(pickled) < 10_000
    np.testing.assert_array_equal(
        pickle.loads(pickled).predict_proba(IMAGES), model.predict_proba(IMAGES)
    )


@pytest.mark.parametrize(
    ("classes", "templates", "match"),
    [
        (["cat"], "{}", r"classes .* got \['cat'\]"),
        ([], "{}", r"classes .* got \[\]"),
        (["cat", "dog", "cat"], "{}", "classes .* 'cat' twice"),
        (["cat", 3], "{}", "classes .* got 3 "),
        ([["cat"], ["dog"]], "{}", r"classes .* got \['cat'\]"),
        (["cat", " "], "{}", "Class ' ' .* got ' '"),
        ({"cat": "cat", "dog": None}, "{}", "Class 'dog' .* got None"),
        ({"cat": [], "dog": "dog"}, "{}", r"Class 'cat' .* got \[\]"),
        ({"cat": "cat", 3: "dog"}, "{}", "labels in classes .*'cat', 3"),
        (["cat", "dog"], "a photo", "templates .* got .*'?a photo"),
        (["cat", "dog"], [], r"templates .* got \[\]"),
    ],
)
def test_what_describes_no_classes_is_an_error(encoder, classes, templates, match):
    with pytest.raises(ValueError, match=match):
        ZeroShotClassifier(encoder, classes, templates=templates).fit(IMAGES)


def test_models_without_texts_are_an_error(save_timm, tmp_path):
    folder, _ = save_timm(tmp_path / "vit")
    with pytest.raises(ValueError, match=r"/vit' .*ImageEncoder"):
        ZeroShotClassifier(ImageEncoder(folder, cache=None), ["cat", "dog"]).fit(IMAGES)


@pytest.mark.parametrize(
    ("classes", "templates", "pair"),
    [
        ({"bat": "a bat", "club": "a bat", "cat": "a cat"}, "{}", "'bat' and 'club'"),
        ({"b": "cat", "a": " cat ", "c": "dog"}, "a photo of a {}.", "'a' and 'b'"),
        (["Cat", "dog", "cat"], "a photo of a {}.", "'Cat' and 'cat'"),
        ({1: ["cat", "kitten"], 2: ["kitten", "cat"], 3: "dog"}, "{}", "1 and 2"),
        ({"a": "cat", "b": ["cat", "cat"]}, ["{}", "a {}"], "'a' and 'b'"),
        ({"a": "cat", "b": "photo of a cat"}, ["photo of a {}", "{}"], None),
        ({"a": ["cat", "pet"], "b": ["dog", "pet"]}, "{}", None),
        (["cat " * 20 + "one", "cat " * 20 + "two"], "{}", "'cat .*one' and 'cat .*two'"),
    ],
)
def test_classes_that_the_model_cannot_tell_apart(encoder, classes, templates, pair):
    model = ZeroShotClassifier(encoder, classes, templates=templates)
    if pair is None:
        assert set(model.fit(IMAGES).classes_.tolist()) == set(classes)
    else:
        with pytest.raises(ValueError, match=rf"classes .*{pair}"):
            model.fit(IMAGES)


@pytest.mark.parametrize("classes", [["cat", "dog"], {1: "cat", 0: ["dog", "puppy"], 2: "car"}])
def test_trusted_types_suffice(encoder, classes):
    model = ZeroShotClassifier(encoder, classes).fit(IMAGES)
    content = skops.io.dumps(model)
    assert {*skops.io.get_untrusted_types(data=content)} <= {*skmm.trusted_types}
    again = skops.io.loads(content, trusted=skmm.trusted_types)
    np.testing.assert_array_equal(again.predict(IMAGES), model.predict(IMAGES))
    np.testing.assert_array_equal(again.predict_proba(IMAGES), model.predict_proba(IMAGES))
