"""TextEncoder: models by path and loaded, those that change, and those that do not load."""

import copy
import json
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh_process import run
from minilm import MINILM, TEXTS, encode
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmm.encoding.engine import patch_torchvision
from skmm.text import TextEncoder

patch_torchvision()
import sentence_transformers  # noqa: E402
import transformers  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402


def test_path_and_loaded_model_give_what_a_name_gives(reference):
    expected = encode()
    np.testing.assert_array_equal(encode(model=Path(MINILM)), expected)
    np.testing.assert_array_equal(encode(model=reference), expected)


def test_clones_share_a_loaded_model(reference):
    encoder = TextEncoder(reference).fit(TEXTS)
    assert clone(encoder).model is encoder.model is reference
    nested = clone(make_pipeline(encoder, LogisticRegression()))
    assert nested[0].model is reference
    assert nested[0].get_params() == encoder.get_params()


def test_loaded_model_stays_as_it_is(reference):
    before = (reference.max_seq_length, reference.truncate_dim, reference.dtype, reference.device)
    encode(model=reference, max_seq_length=4, truncate_dim=5, prompt="query: ")
    after = (reference.max_seq_length, reference.truncate_dim, reference.dtype, reference.device)
    assert after == before
    np.testing.assert_allclose(encode(model=reference), reference.encode(TEXTS), atol=1e-5)


def test_weights_changed_in_place_are_another_model(reference):
    model = copy.deepcopy(reference)
    encoder = TextEncoder(model).fit(TEXTS)
    first = encoder.transform(TEXTS)
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    with pytest.raises(ValueError, match=r"^TextEncoder .*SentenceTransformer"):
        encoder.transform(TEXTS)
    second = encoder.fit(TEXTS).transform(TEXTS)
    np.testing.assert_allclose(second, model.encode(TEXTS), atol=1e-5)
    assert np.abs(second - first).max() > 1e-3


@pytest.mark.parametrize("change", ["max_seq_length", "truncate_dim", "prompts"])
def test_settings_changed_in_place_are_another_model(reference, change):
    model = copy.deepcopy(reference)
    first = TextEncoder(model).fit(TEXTS)
    if change == "max_seq_length":
        model.max_seq_length = 4
    elif change == "truncate_dim":
        model.truncate_dim = 7
    else:
        model.prompts, model.default_prompt_name = {"query": "query: "}, "query"
    second = TextEncoder(model).fit(TEXTS)
    assert first.model_digest_ != second.model_digest_
    np.testing.assert_allclose(second.transform(TEXTS), model.encode(TEXTS), atol=1e-5)
    assert len(second.get_feature_names_out()) == len(model.encode("a"))


def test_use_does_not_make_it_another_model(reference):
    digest = TextEncoder(reference).fit(TEXTS).model_digest_
    encode(model=reference, max_seq_length=4)
    reference.encode(TEXTS[:2])
    assert TextEncoder(reference).fit(TEXTS).model_digest_ == digest
    assert TextEncoder(MINILM).fit(TEXTS).model_digest_ == digest


def test_loaded_model_has_its_own_precision(reference):
    for options in ({"precision": "bfloat16"}, {"backend": "onnx"}):
        ((name, value),) = options.items()
        with pytest.raises(ValueError, match=rf"SentenceTransformer.*{name}='{value}'"):
            TextEncoder(reference, **options).fit(TEXTS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Return the folder of a tiny model of texts and images."""
    from sentence_transformers.base.modules import Transformer
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    tokenizer = SentenceTransformer(MINILM).tokenizer
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    tower["num_attention_heads"] = 2
    text = {
        **tower,
        "max_position_embeddings": 80,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CLIPConfig(
        text_config=text,
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=12,
    )
    folder = tmp_path_factory.mktemp("clip")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(folder / "bare")
    size = {"height": 32, "width": 32}
    CLIPProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size),
        tokenizer=tokenizer,
    ).save_pretrained(folder / "bare")
    SentenceTransformer(modules=[Transformer(str(folder / "bare"))]).save(str(folder / "model"))
    return str(folder / "model")


@pytest.mark.parametrize("prompt", [None, "a photo of "])
def test_texts_stay_texts_with_a_model_that_takes_images_too(clip, prompt, tmp_path, monkeypatch):
    model = SentenceTransformer(clip, device="cpu")
    if "image" not in getattr(model, "modalities", ()):
        pytest.skip("before version 6, this model takes texts only")
    Image.new("RGB", (32, 32), "red").save(tmp_path / "cat.jpg")
    monkeypatch.chdir(tmp_path)
    texts = [*TEXTS, str(tmp_path / "cat.jpg")]
    expected = model.encode([{"text": (prompt or "") + text} for text in texts])
    np.testing.assert_allclose(encode(texts, clip, prompt=prompt), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"max_seq_length=81 .*\b80\b"):
        encode(texts, clip, max_seq_length=81)


def test_model_of_no_transformer():
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(MINILM, "tokenizer.json")))
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=12)])
    texts = [text for text in TEXTS if text.strip()]
    vectors = encode(texts, model=static)
    np.testing.assert_allclose(vectors, static.encode(texts), atol=1e-5)
    assert len(TextEncoder(static).fit(texts).get_feature_names_out()) == 12


def test_model_is_loaded_once_however_many_clones(monkeypatch, tmp_path):
    folder = shutil.copytree(MINILM, tmp_path / "model")
    loads = []

    class Counted(SentenceTransformer):
        def __init__(self, *args, **kwargs):
            loads.append(args)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(sentence_transformers, "SentenceTransformer", Counted)
    texts = [f"{color} {thing}" for color in ("red", "blue") for thing in ("hat", "shoe", "cat")]
    model = make_pipeline(TextEncoder(str(folder)), LogisticRegression())
    candidates = {
        "logisticregression__C": [0.1, 0.5, 1, 5, 10, 50],
        "textencoder__normalize": [False, True],
        "textencoder__truncate_dim": [None, 100],
    }
    search = GridSearchCV(model, candidates, cv=2).fit(texts, ["red"] * 3 + ["blue"] * 3)
    assert len(search.cv_results_["params"]) == 24
    pickle.loads(pickle.dumps(search)).predict(texts)
    assert len(loads) == 1


def test_pickles_are_small():
    encoder = TextEncoder(MINILM)
    assert len(pickle.dumps(encoder)) < 2000
    data = pickle.dumps(encoder.fit(TEXTS))
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data).transform(TEXTS), encoder.transform(TEXTS))


def test_loaded_model_in_another_process(reference, tmp_path):
    """Where torchvision is broken, nothing but the encoder could unpickle the model there."""
    pickled = tmp_path / "encoder.pickle"
    pickled.write_bytes(pickle.dumps(TextEncoder(reference).fit(TEXTS)))
    code = """
    import pickle, sys
    encoder = pickle.load(open(sys.argv[1], "rb"))
    print(encoder.transform(["red"]).tolist())
    """
    vectors = json.loads(run(code, pickled))
    np.testing.assert_allclose(vectors, reference.encode(["red"]), atol=1e-5)


def test_pickle_of_a_loaded_model(reference):
    encoder = TextEncoder(reference).fit(TEXTS)
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.transform(TEXTS), encoder.transform(TEXTS))


def test_limit_of_a_model_whose_positions_begin_after_the_padding(tmp_path):
    """RoBERTa and its kin hold two positions more than they take tokens."""
    config = transformers.RobertaConfig(
        vocab_size=30522,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=16,
        max_position_embeddings=22,
        pad_token_id=1,
    )
    transformers.RobertaModel(config).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(MINILM).save_pretrained(tmp_path)
    modules = sentence_transformers.models
    transformer = modules.Transformer(str(tmp_path))
    model = SentenceTransformer(modules=[transformer, modules.Pooling(16)], device="cpu")
    assert np.isfinite(encode(["word " * 50], model, max_seq_length=20)).all()
    with pytest.raises(ValueError, match=r"max_seq_length=21 .*\b20\b.*SentenceTransformer"):
        encode(["a"], model, max_seq_length=21)


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"TextEncoder: .*/gone' "):
        TextEncoder(tmp_path / "gone").fit(TEXTS)
    with pytest.raises(FileNotFoundError, match=rf"'\./gone' .*{re.escape(os.getcwd())}"):
        TextEncoder("./gone").fit(TEXTS)


def test_folder_without_weights(tmp_path):
    folder = shutil.copytree(MINILM, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"TextEncoder: .*/model' .*\.safetensors"):
        TextEncoder(str(folder)).fit(TEXTS)


def test_folder_with_corrupt_weights(tmp_path):
    folder = shutil.copytree(MINILM, tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(OSError, match=r"TextEncoder: .*/model' .*[Hh]eader"):
        TextEncoder(str(folder)).fit(TEXTS)


def test_folder_of_no_model(tmp_path):
    with pytest.raises(OSError, match=rf"TextEncoder: .*{tmp_path.name}' "):
        TextEncoder(tmp_path).fit(TEXTS)
