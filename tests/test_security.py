"""What SECURITY.md promises: models, checkpoints and pictures of others run no code."""

import io
import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from minilm import MINILM
from PIL import Image

from skmm.image import ImageDescriptor, ImageEncoder
from skmm.text import TextEncoder


class Payload:
    """An object whose pickle makes a folder when it is loaded."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def make_module(folder):
    return f"import os\nos.mkdir({str(folder)!r})\n\n\nclass Model:\n    pass\n"


def test_payload_is_one(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "made")))
    assert (tmp_path / "made").exists()


def test_code_in_a_folder_of_sentence_transformers_is_not_run(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(MINILM, folder)
    (folder / "modeling_other.py").write_text(make_module(tmp_path / "made"))
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "modeling_other.Model"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(OSError, match="trust_remote_code"):
        TextEncoder(folder, cache=None).fit_transform(["a dog"])
    assert not (tmp_path / "made").exists()


def test_code_that_a_config_of_transformers_names_is_not_run(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(MINILM, folder)
    (folder / "modeling_other.py").write_text(make_module(tmp_path / "made"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "other", "auto_map": {"AutoConfig": "modeling_other.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(OSError, match="does not load"):
        TextEncoder(folder, cache=None).fit_transform(["a dog"])
    assert not (tmp_path / "made").exists()


def test_pickled_weights_that_run_code_do_not_load(tmp_path, save_clip):
    folder, _ = save_clip(tmp_path / "model")
    torch.save({"w": Payload(tmp_path / "made")}, f"{folder}/open_clip_pytorch_model.bin")
    with pytest.raises(OSError, match="does not load"):
        ImageEncoder(folder, cache=None).fit_transform([np.zeros((8, 8, 3), dtype=np.uint8)])
    assert not (tmp_path / "made").exists()


def test_checkpoint_that_runs_code_is_an_error(tmp_path, data, small):
    path = tmp_path / "fit.ckpt"
    torch.save({"format": Payload(tmp_path / "made")}, path)
    with pytest.raises(ValueError, match="checkpoint"):
        small(checkpoint=path).fit(*data)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("cell", ["https://example.org/a.png", "s3://bucket/a.png"])
def test_url_is_not_fetched(cell):
    with pytest.raises(ValueError, match="URL"):
        ImageDescriptor(cache=None).fit_transform([cell])


def test_large_picture_is_an_error_before_it_is_decoded():
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "png")
    content = file.getvalue()
    assert len(content) < 100_000
    cut = content[: len(content) // 2]  # decoding would fail by its own message
    with pytest.raises(ValueError, match=r"max_pixels|MAX_IMAGE_PIXELS"):
        ImageDescriptor(cache=None).fit_transform([cut])
