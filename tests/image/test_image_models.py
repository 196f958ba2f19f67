"""Which model of open_clip or timm a name stands for, and what is said of one that is not there."""

import json
import logging
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from skmm.encoding.engine import patch_torchvision
from skmm.image import ImageEncoder

patch_torchvision()
import open_clip  # noqa: E402
from open_clip import factory  # noqa: E402

IMAGES = [np.random.default_rng(i).integers(0, 256, (40, 60, 3), np.uint8) for i in range(3)]


@pytest.fixture
def clip(save_clip, tmp_path):
    """Return the folder of a model with a preprocessing of its own, and the model."""
    return save_clip(tmp_path / "clip", mean=[0.5, 0.4, 0.3], resize_mode="squash")


@pytest.fixture
def tiny(clip, monkeypatch, tmp_path):
    """Let open_clip know the model by the name "Tiny-CLIP"."""
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    config = json.loads(Path(clip[0], "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "Tiny-CLIP.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "Tiny-CLIP.json")
    return "Tiny-CLIP"


def encode(model, **options):
    return ImageEncoder(model, cache=None, **options).fit(IMAGES).transform(IMAGES)


def call(model, **preprocessing):
    settings = open_clip.transform.PreprocessCfg(size=32, **preprocessing)
    prepare = open_clip.transform.image_transform_v2(settings, is_train=False)
    with torch.no_grad():
        return model.encode_image(
            torch.stack([prepare(Image.fromarray(i)) for i in IMAGES])
        ).numpy()


def test_file_of_weights_brings_the_preprocessing_beside_it(clip, tiny, monkeypatch):
    folder, model = clip
    expected = call(model, mean=(0.5, 0.4, 0.3), resize_mode="squash")
    file = Path(folder, "open_clip_pytorch_model.bin")
    np.testing.assert_allclose(encode(tiny, pretrained=file), expected, atol=1e-5)
    monkeypatch.chdir(folder)
    np.testing.assert_allclose(encode(tiny, pretrained=file.name), expected, atol=1e-5)
    default = call(model)
    assert np.abs(default - expected).max() > 1e-3
    alone = shutil.move(file, Path(folder).parent / "weights.bin")
    np.testing.assert_allclose(encode(tiny, pretrained=str(alone)), default, atol=1e-5)


def test_preprocessing_beside_a_file_of_weights_is_looked_at_again(clip, tiny):
    folder, model = clip
    encoder = ImageEncoder(tiny, pretrained=Path(folder, "open_clip_pytorch_model.bin"), cache=None)
    encoder.fit(IMAGES)
    config = Path(folder, "open_clip_config.json")
    settings = json.loads(config.read_text())
    config.write_text(json.dumps(settings | {"preprocess_cfg": {"mean": [0.1, 0.1, 0.1]}}))
    with pytest.raises(ValueError, match=r"ImageEncoder .*'Tiny-CLIP'"):
        encoder.transform(IMAGES)
    expected = call(model, mean=(0.1, 0.1, 0.1))
    np.testing.assert_allclose(encoder.fit(IMAGES).transform(IMAGES), expected, atol=1e-5)


def test_pretrained_of_a_folder_is_ignored(clip):
    np.testing.assert_array_equal(encode(clip[0], pretrained="openai"), encode(clip[0]))
    np.testing.assert_array_equal(encode(clip[0], pretrained=None), encode(clip[0]))


def test_loading_says_nothing(clip, capfd, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    encode(clip[0])
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert root.handlers == []
    assert root.filters == []


def test_loading_leaves_logging_alone(clip, caplog):
    with caplog.at_level(logging.DEBUG):
        before = list(logging.getLogger().handlers)
        encode(clip[0])
        assert logging.getLogger().handlers == before
        logging.info("from elsewhere")
    assert [record.getMessage() for record in caplog.records] == ["from elsewhere"]


def test_loading_a_model_of_timm_says_nothing(save_timm, tmp_path, capfd):
    folder = save_timm(tmp_path / "vit")[0]
    capfd.readouterr()
    encode(folder)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


# Errors


@pytest.mark.parametrize(
    ("model", "options", "match"),
    [
        (
            "ViT-B-31",
            {},
            r"open_clip .*'ViT-B-31'.*'ViT-B-32'.*\?.*\"hf-hub:.*\"timm:NAME\"",
        ),
        ("????", {}, r"open_clip .*'\?{4}'[^?]*\"hf-hub:"),
        (
            "ViT-B-32",
            {"pretrained": "laion3b"},
            r"pretrained='laion3b' .*'ViT-B-32': openai, ",
        ),
        ("ViT-B-32", {"pretrained": None}, "pretrained=None .*'ViT-B-32': openai, "),
        ("ViT-B-32", {"pretrained": "gone.bin"}, r"pretrained='gone\.bin' .*'ViT-B-32': openai, "),
        ("timm:resnet81", {}, r"timm .*'resnet81'.*'resnet\d+"),
        (
            "timm:resnet18.none",
            {},
            r"timm .*'resnet18\.none'.*'resnet18\.",
        ),
    ],
)
def test_names_that_nobody_knows(model, options, match):
    with pytest.raises(ValueError, match=f"^ImageEncoder: {match}"):
        ImageEncoder(model, **options).fit(IMAGES)


@pytest.mark.parametrize("form", ["{}", "local-dir:{}", "timm:local-dir:{}"])
def test_folder_that_is_not_there(form, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ImageEncoder: .*'/.*/gone' "):
        ImageEncoder(form.format(tmp_path / "gone")).fit(IMAGES)


def test_relative_folder_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=rf"'gone' .*'{re.escape(os.getcwd())}'"):
        ImageEncoder("local-dir:gone").fit(IMAGES)


def test_folder_without_a_config(clip):
    Path(clip[0], "open_clip_config.json").unlink()
    match = r"ImageEncoder: .*'/.*/clip' .*open_clip_config\.json .*config\.json .*timm"
    with pytest.raises(FileNotFoundError, match=match):
        ImageEncoder(clip[0]).fit(IMAGES)


@pytest.mark.parametrize("library", ["clip", "vit"])
def test_folder_without_weights(save_clip, save_timm, library, tmp_path):
    folder = {"clip": save_clip, "vit": save_timm}[library](tmp_path / library)[0]
    for file in Path(folder).glob("*.bin"):
        file.unlink()
    match = rf"ImageEncoder: .*'/.*/{library}' .*: "
    with pytest.raises(OSError, match=match):
        ImageEncoder(folder).fit(IMAGES)


@pytest.mark.parametrize("library", ["clip", "vit"])
def test_folder_with_corrupt_weights(save_clip, save_timm, library, tmp_path):
    folder = {"clip": save_clip, "vit": save_timm}[library](tmp_path / library)[0]
    for file in Path(folder).glob("*.bin"):
        file.write_bytes(b"no weights at all")
    match = rf"ImageEncoder: .*'/.*/{library}' .*: "
    with pytest.raises(OSError, match=match):
        ImageEncoder(folder).fit(IMAGES)


def test_weights_of_another_model(clip):
    config = Path(clip[0], "open_clip_config.json")
    settings = json.loads(config.read_text())
    settings["model_cfg"]["vision_cfg"]["width"] = 64
    config.write_text(json.dumps(settings))
    with pytest.raises(OSError, match=r"(?s)ImageEncoder: .*'/.*/clip' .*visual\.") as caught:
        ImageEncoder(clip[0]).fit(IMAGES)
    assert len(str(caught.value)) < 1000


def test_config_that_is_no_json(clip):
    Path(clip[0], "open_clip_config.json").write_text("{")
    with pytest.raises(OSError, match=r"ImageEncoder: .*'/.*/clip' .*line 1 column 2"):
        ImageEncoder(clip[0]).fit(IMAGES)


def test_weights_of_timm_that_are_on_no_hub(monkeypatch, tmp_path):
    import timm

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    name = next(
        name
        for name in timm.list_pretrained()
        if (config := timm.get_pretrained_cfg(name)).url and not config.hf_hub_id
    )
    asked = []
    monkeypatch.setattr("skmm.image._models.can_reach", asked.append)
    with pytest.raises(OSError, match=rf"ImageEncoder: .*'timm:{name}' .*{tmp_path}"):
        ImageEncoder(f"timm:{name}").fit(IMAGES)
    assert asked == [timm.get_pretrained_cfg(name).url]
