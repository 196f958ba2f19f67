"""TextEncoder: the real MiniLM that a package carries, against sentence-transformers itself."""

import copy
import shutil
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minilm import MINILM, TEXTS, encode

from skmm.encoding.engine import patch_torchvision
from skmm.text import TextEncoder

patch_torchvision()
from sentence_transformers import SentenceTransformer  # noqa: E402

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


def test_texts_of_as_many_tokens_share_a_batch(reference):
    """So that little padding is encoded: characters say little of the number of tokens."""
    texts = ["zq" * 12, "xj" * 11, "internationalization of communication", "responsibility again"]
    shapes = []

    def record(module, arguments):
        shapes.append(arguments[0]["input_ids"].shape)

    model = copy.deepcopy(reference)
    model[0].register_forward_pre_hook(record)
    TextEncoder(model, batch_size=2, cache=None).fit_transform(texts)
    lengths = sorted((len(ids) for ids in model.tokenizer(texts)["input_ids"]), reverse=True)
    assert lengths[1] > 2 * lengths[2]  # or the texts would show nothing
    assert shapes == [(2, lengths[0]), (2, lengths[2])]


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
        r"^TextEncoder: column 'caption', row 1: .*\b10000000 characters .*"
        r"max_characters=1000000\b"
    )
    with pytest.raises(ValueError, match=match) as caught:
        TextEncoder(MINILM, cache=cache).fit_transform(column)
    assert len(str(caught.value)) < 500
    with pytest.warns(UserWarning, match=r"1 of 2 .*row 1: .*max_characters="):
        vectors = TextEncoder(MINILM, cache=cache, errors="missing").fit_transform(column)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True]


@pytest.mark.parametrize("cache", ["memory", None])
def test_half_a_surrogate_pair(cache):
    column = ["a", "half \ud83d"]
    match = r"row 1: .*'\\ud83d'.*\b5\b"
    with pytest.raises(ValueError, match=match):
        TextEncoder(MINILM, cache=cache).fit_transform(column)
    with pytest.warns(UserWarning, match=r"1 of 2 .*row 1: .*'\\ud83d'") as seen:
        vectors = TextEncoder(MINILM, cache=cache, errors="missing").fit(column).transform(column)
    assert seen[0].filename == __file__
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True]


def test_path_equal_to_a_text_is_no_text():
    with pytest.raises(TypeError, match=r"row 1: .* got PurePosixPath"):
        encode(["a", PurePosixPath("a")])


@pytest.mark.parametrize("errors", ["raise", "missing"])
@pytest.mark.parametrize("cell", [7, b"bytes", ["a"], {"text": "a"}])
def test_what_is_no_text(cell, errors):
    with pytest.raises(TypeError, match=rf"TextEncoder: row 1: .*{type(cell).__name__}"):
        encode(["a", cell], errors=errors)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"truncate_dim": 385}, r"truncate_dim=385 .*\b384\b.*model'"),
        ({"max_seq_length": 513}, r"max_seq_length=513 .*\b512\b.*model'"),
        ({"precision": "float16"}, "'precision' .*'float16'"),
        ({"backend": "jax"}, "'backend' .*'jax'"),
        ({"device": "gpu"}, r"device='gpu' .*\"cpu\""),
        ({"model": 7}, r"'model' .*\b7\b"),
    ],
)
def test_parameters(options, match):
    with pytest.raises(ValueError, match=match):
        TextEncoder(**{"model": MINILM, **options}).fit(TEXTS)
