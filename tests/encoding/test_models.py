"""Models that are loaded once, and fitted encoders in fresh processes."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from fresh_process import run

from skmm.encoding._models import Backbone, describe_files, load_once

# Fitted encoders in another process


def test_folder_that_changed_since_the_encoder_was_pickled(save_clip, tmp_path):
    from skmm.image import ImageEncoder

    folder, _ = save_clip(tmp_path / "clip")
    images = [np.zeros((9, 9, 3), np.uint8)]
    encoder = ImageEncoder(folder, cache=None).fit(images)
    (tmp_path / "encoder.pickle").write_bytes(pickle.dumps((encoder, images)))
    same = encoder.transform(images)
    config = Path(folder, "open_clip_config.json")
    before = config.read_text()
    changed = json.loads(before) | {"preprocess_cfg": {"interpolation": "bilinear"}}
    config.write_text(json.dumps(changed))
    code = """
    import pickle, sys
    encoder, images = pickle.load(open(sys.argv[1], "rb"))
    try:
        encoder.transform(images)
    except ValueError as e:
        print(e)
    with open(sys.argv[2], "w") as file:
        file.write(sys.argv[3])
    print(encoder.transform(images).tolist())
    """
    refused, again = run(code, tmp_path / "encoder.pickle", config, before).splitlines()
    assert refused.startswith("ImageEncoder was fitted with another version of '/")
    assert "its weights or its preprocessing differ from what is loaded now" in refused
    np.testing.assert_allclose(json.loads(again), same, atol=1e-6)


# Loading


def test_load_once():
    calls = []

    def load():
        calls.append(1)
        return Backbone(None, "", 1)

    key = object()
    assert load_once(key, load) is load_once(key, load)
    assert len(calls) == 1
    with pytest.raises(OSError, match="once"):
        load_once("fails", lambda: (_ for _ in ()).throw(OSError("once")))
    assert load_once("fails", load) == Backbone(None, "", 1)  # a failure is not kept


def test_files_of_a_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a", "sub/b"):
        (tmp_path / name).write_text("text")
    before = describe_files(str(tmp_path))
    assert before == describe_files(str(tmp_path))
    assert [Path(file).name for file, _, _ in before] == ["a", "b"]
    os.utime(tmp_path / "sub" / "b", ns=(1, 1))
    assert describe_files(str(tmp_path)) != before


def test_another_version_takes_the_place_of_the_first():
    first, second = Backbone(None, "first", 1), Backbone(None, "second", 1)
    assert load_once("changes", lambda: first, version=1) is first
    assert load_once("changes", lambda: second, version=1) is first
    assert load_once("changes", lambda: second, version=2) is second
    assert load_once("changes", lambda: first, version=1) is first  # nobody held it
