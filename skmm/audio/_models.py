"""Audio models of transformers: from the samples of windows to vectors."""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .._optional import import_optional
from ..encoding.engine import load_from_hub, quiet_transformers

if TYPE_CHECKING:
    import torch

# Of these, padding changes no vector if their convolutions normalise each frame by itself.
_TOLERANT = {"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat"}
_OF_TRAINING = {"masked_spec_embed"}  # a weight that encodes nothing


class AudioModel(ABC):
    """A model, and how windows of samples reach it; a subclass for each family."""

    pools = False  # whether frames are pooled here, not by the model

    def __init__(self, model, extractor):
        self.model = model
        self.extractor = extractor
        self.sampling_rate = extractor.sampling_rate
        self.window_seconds = 30.0  # where the encoder sets none
        self.max_window_seconds = np.inf

    @abstractmethod
    def count_features(self, *, pooling: str, layer: int | None) -> int:
        """Return the length of each vector."""

    def extract(self, samples: np.ndarray) -> np.ndarray:
        """Compute the input of the model from one window."""
        features = self.extractor(samples, sampling_rate=self.sampling_rate, return_tensors="np")
        return features[self.model.main_input_name][0]

    def group(self, features: np.ndarray) -> Hashable:
        """Return what must be equal in two windows that are encoded together."""
        return features.shape

    @abstractmethod
    def encode(self, windows: list[np.ndarray], *, pooling: str, layer: int | None) -> np.ndarray:
        """Compute the vectors, of float32, of the inputs of windows of one group."""

    def _as_input(self, array: np.ndarray) -> torch.Tensor:
        import torch

        return torch.from_numpy(array).to(self.model.device, self.model.dtype)


class WaveformModel(AudioModel):
    """Models from samples to frames: wav2vec 2.0, HuBERT, WavLM and similar ones."""

    pools = True

    def __init__(self, model, extractor):
        super().__init__(model, extractor)
        config = model.config
        self.n_layers = config.num_hidden_layers
        self.tolerant = (
            config.model_type in _TOLERANT
            and config.feat_extract_norm == "layer"
            and extractor.return_attention_mask
            and not getattr(config, "add_adapter", False)
        )
        self.min_samples = getattr(config, "squeeze_factor", 1)  # for one frame, where SEW ends
        for width, step in zip(config.conv_kernel[::-1], config.conv_stride[::-1], strict=True):
            self.min_samples = (self.min_samples - 1) * step + width

    def count_features(self, *, pooling: str, layer: int | None) -> int:
        config = self.model.config
        adapted = layer is None and getattr(config, "add_adapter", False)
        n_features = config.output_hidden_size if adapted else config.hidden_size
        return 2 * n_features if pooling == "mean_std" else n_features

    def extract(self, samples: np.ndarray) -> np.ndarray:
        lacking = self.min_samples - len(samples)
        return super().extract(np.pad(samples, (0, max(0, lacking))))

    def group(self, features: np.ndarray) -> Hashable:
        # Processors gain nothing by batches, and lose what they spend on padding.
        pads = self.tolerant and self.model.device.type != "cpu"
        return None if pads else features.shape

    def encode(self, windows: list[np.ndarray], *, pooling: str, layer: int | None) -> np.ndarray:
        import torch

        lengths = torch.tensor([len(window) for window in windows])
        padded = np.zeros((len(windows), lengths.max()), dtype=np.float32)
        for row, window in zip(padded, windows, strict=True):
            row[: len(window)] = window
        samples = self._as_input(padded)
        mask = None
        if self.tolerant:
            mask = (torch.arange(padded.shape[1]) < lengths[:, None]).long().to(samples.device)
        with warnings.catch_warnings():
            # WavLM has masks of two types, which torch does not like to see.
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
            output = self.model(
                samples, attention_mask=mask, output_hidden_states=layer is not None
            )
        frames = output.last_hidden_state if layer is None else output.hidden_states[layer]
        frames = frames.float()  # (n, n_frames, n_features)
        counts = torch.full((len(windows),), frames.shape[1])
        if self.tolerant:
            counts = self.model._get_feat_extract_output_lengths(lengths)
        return np.stack(
            [
                _pool(window[:count], pooling).cpu().numpy()
                for window, count in zip(frames, counts.tolist(), strict=True)
            ]
        )


def _pool(frames: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool (n_frames, n_features) over time."""
    import torch

    if pooling == "max":
        return frames.amax(dim=0)
    mean = frames.mean(dim=0)
    if pooling == "mean":
        return mean
    return torch.cat([mean, frames.std(dim=0, correction=0)])


class SpectrogramModel(AudioModel):
    """The Audio Spectrogram Transformer: windows of at most ten seconds, pooled by the model."""

    MIN_SAMPLES = 400  # a frame of the spectrogram
    FRAMES_PER_SECOND = 100

    def __init__(self, model, extractor):
        super().__init__(model, extractor)
        self.window_seconds = extractor.max_length / self.FRAMES_PER_SECOND
        self.max_window_seconds = self.window_seconds

    def count_features(self, *, pooling: str, layer: int | None) -> int:
        return self.model.config.hidden_size

    def extract(self, samples: np.ndarray) -> np.ndarray:
        return super().extract(np.pad(samples, (0, max(0, self.MIN_SAMPLES - len(samples)))))

    def encode(self, windows: list[np.ndarray], *, pooling: str, layer: int | None) -> np.ndarray:
        output = self.model(self._as_input(np.stack(windows)))
        return output.pooler_output.float().cpu().numpy()


class ClapModel(AudioModel):
    """CLAP: vectors of length 1 in the space that it shares with texts."""

    def __init__(self, model, extractor):
        super().__init__(model, extractor)
        self.window_seconds = float(extractor.max_length_s)
        self.max_window_seconds = self.window_seconds

    def count_features(self, *, pooling: str, layer: int | None) -> int:
        return self.model.config.projection_dim

    def encode(self, windows: list[np.ndarray], *, pooling: str, layer: int | None) -> np.ndarray:
        import torch

        # What the extractor returns for one window; of several it picks one at random.
        fuses = self.extractor.truncation == "fusion"
        is_longer = torch.full((len(windows), 1), fuses, device=self.model.device)
        output = self.model(self._as_input(np.stack(windows)), is_longer=is_longer)
        return torch.nn.functional.normalize(output.audio_embeds, dim=-1).float().cpu().numpy()


def load_model(name: str, *, precision: str, device: str) -> tuple[AudioModel, str]:
    """Load a model of transformers by name or from a folder, and describe all but its weights."""
    transformers = import_optional("transformers", extra="audio", purpose="AudioEncoder")
    import torch

    from_hub = partial(load_from_hub, name=name, estimator="AudioEncoder")
    config = from_hub(lambda: transformers.AutoConfig.from_pretrained(name))
    family = _find_family(config, name)
    extractor = from_hub(lambda: transformers.AutoFeatureExtractor.from_pretrained(name))
    auto = transformers.AutoModel
    if family is ClapModel:
        auto = transformers.ClapAudioModelWithProjection
    with quiet_transformers():
        model, report = from_hub(lambda: auto.from_pretrained(name, output_loading_info=True))
    lacking = {key for key in report["missing_keys"] if key.split(".")[-1] not in _OF_TRAINING}
    if lacking:
        raise ValueError(
            f"AudioEncoder: the weights of {name!r} lack {len(lacking)} that a model of the type "
            f"{config.model_type!r} has, such as {min(lacking)}, and random ones encode nothing."
        )
    model = model.to(device, getattr(torch, precision)).eval().requires_grad_(False)
    settings = {
        key: value
        for key, value in (model.config.to_dict() | extractor.to_dict()).items()
        if key != "transformers_version" and not key.startswith("_")
    }
    description = json.dumps([settings, precision], default=str, sort_keys=True)
    return family(model, extractor), description


def _find_family(config, name: str) -> type[AudioModel]:
    if config.model_type == "clap":
        return ClapModel
    if config.model_type == "audio-spectrogram-transformer":
        return SpectrogramModel
    if hasattr(config, "conv_kernel") and not config.is_encoder_decoder:
        return WaveformModel
    raise ValueError(
        f"AudioEncoder knows wav2vec 2.0, HuBERT, WavLM and their kin, AST and CLAP; {name!r} is "
        f"of the type {config.model_type!r}. TorchEncoder takes any torch module."
    )
