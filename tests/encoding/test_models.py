"""What identifies a model; fitted encoders and torchvision in fresh processes."""

import json
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh_process import ROOT, run

from skmm.encoding._models import (
    Backbone,
    describe_files,
    digest_model,
    digest_module,
    load_once,
)

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


# torchvision


def test_mending_torchvision_is_quiet_and_lasts():
    code = """
    import contextlib, sys, warnings
    warnings.simplefilter("error")
    import skmm
    from skmm.encoding._models import mend_torchvision
    assert "torchvision" not in sys.modules
    with contextlib.suppress(Exception):  # as a user without skmm would find
        import sentence_transformers
    mend_torchvision()
    mend_torchvision()
    import sentence_transformers, torchvision, open_clip
    from transformers import Wav2Vec2Model
    from torchvision.transforms import CenterCrop
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_torchvision_is_left_alone_unless_it_is_broken(tmp_path):
    (tmp_path / "torchvision.py").write_text("loads = 1")
    code = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import torch
    from skmm.encoding._models import mend_torchvision
    mend_torchvision()
    print(sys.modules["torchvision"].loads, hasattr(torch.ops.torchvision, "nms"))
    del sys.modules["torchvision"]
    with open(sys.argv[1] + "/torchvision.py", "w") as file:
        file.write("raise RuntimeError('out of order for another reason')")
    mend_torchvision.cache_clear()
    try:
        mend_torchvision()
    except RuntimeError as e:
        print(e)
    """
    printed = run(code, tmp_path, PYTHONDONTWRITEBYTECODE="1")
    assert printed.splitlines() == ["1 False", "out of order for another reason"]


# What identifies a model


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


def test_digest_of_a_model():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    digest = digest_model(model, "a")
    assert digest == digest_model(pickle.loads(pickle.dumps(model)), "a")
    assert digest != digest_model(model, "b")
    assert digest != digest_model(model, "a", "")
    model[1].running_mean += 1
    assert digest != digest_model(model, "a")
    half = pickle.loads(pickle.dumps(model)).to(torch.bfloat16)
    assert digest_model(half) != digest_model(model)


def test_digest_of_a_module_follows_its_weights():
    module = torch.nn.Linear(2, 3)
    digest = digest_module(module)
    assert digest == digest_module(module) == digest_model(module)
    with torch.no_grad():
        module.weight[0, 0] += 1
    changed = digest_module(module)
    assert changed == digest_model(module) != digest
    module.bias = torch.nn.Parameter(torch.ones(3))
    assert digest_module(module) == digest_model(module) != changed
    assert digest_module(module, "a") != digest_module(module, "b")


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


def test_digest_of_buffers_that_are_not_saved():
    module = torch.nn.Linear(2, 3)
    module.register_buffer("scale", torch.ones(1), persistent=False)
    digest = digest_model(module)
    module.scale += 1
    assert digest_model(module) != digest


def test_module_of_tensors_that_count_no_changes():
    with torch.inference_mode():
        module = torch.nn.Linear(2, 3)
        digest = digest_module(module)
        module.weight += 1
        assert digest_module(module) != digest
