"""Models of sound: which windows may share a batch."""

import numpy as np
import pytest
import torch

from skmm.audio._models import WaveformModel
from skmm.encoding.engine import patch_torchvision

patch_torchvision()
import transformers  # noqa: E402

WINDOWS = [
    np.random.default_rng(n).normal(0, 0.1, n).astype(np.float32)
    for n in (16_000, 9000, 455, 12_345)
]
CLASSES = {
    "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
    "hubert": (transformers.HubertConfig, transformers.HubertModel),
    "wavlm": (transformers.WavLMConfig, transformers.WavLMModel),
    "unispeech": (transformers.UniSpeechConfig, transformers.UniSpeechModel),
    "unispeech-sat": (transformers.UniSpeechSatConfig, transformers.UniSpeechSatModel),
    "data2vec-audio": (transformers.Data2VecAudioConfig, transformers.Data2VecAudioModel),
}


def build(name, norm, **options):
    config_class, model_class = CLASSES[name]
    config = config_class(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        conv_dim=[16] * 3,
        conv_kernel=[10, 8, 8],
        conv_stride=[5, 8, 8],
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        vocab_size=8,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(config).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("name", [*CLASSES][:-1])
@pytest.mark.parametrize("pooling", ["mean", "max", "mean_std"])
@pytest.mark.filterwarnings("error")
def test_padding_changes_no_vector_of_tolerant_models(name, pooling):
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    model = WaveformModel(build(name, "layer"), extractor)
    assert model.tolerant
    features = [model.extract(window) for window in WINDOWS]
    with torch.no_grad():
        together = model.encode(features, pooling=pooling, layer=None)
        alone = [model.encode([one], pooling=pooling, layer=None)[0] for one in features]
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "norm", "masks"),
    [("wav2vec2", "group", True), ("hubert", "layer", False), ("data2vec-audio", "layer", True)],
)
def test_other_models_get_no_padding(name, norm, masks):
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=masks)
    model = WaveformModel(build(name, norm), extractor)
    assert not model.tolerant
    features = [model.extract(window) for window in WINDOWS]
    assert len({model.group(one) for one in features}) == len(features)


def test_fewest_samples_give_a_frame():
    extractor = transformers.Wav2Vec2FeatureExtractor()
    model = WaveformModel(build("wav2vec2", "group"), extractor)
    assert model.min_samples == 10 + 5 * 7 + 40 * 7  # of three convolutions
    with torch.no_grad():
        assert model.model(torch.zeros(1, model.min_samples)).last_hidden_state.shape[1] == 1
        with pytest.raises(RuntimeError):
            model.model(torch.zeros(1, model.min_samples - 1))
