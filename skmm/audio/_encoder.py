"""AudioEncoder: sounds by a pretrained model of transformers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ..encoding.cache import digest_model
from ..encoding.engine import (
    Backbone,
    EncodedBatch,
    ModelEncoder,
    Prefetched,
    find_not_finite,
    resolve_name,
)
from ..encoding.readers import BrokenItemError, read_windows
from ._models import load_model
from ._reading import AudioCellEncoder

if TYPE_CHECKING:
    from os import PathLike

    from fsspec import AbstractFileSystem

    from ..encoding.cache import EmbeddingCache

MAX_SOUNDS = 64  # at once, for the file of each may stay open
N_AHEAD = 2  # windows of a sound that are read before they are due


class AudioEncoder(AudioCellEncoder, ModelEncoder):
    """Encode sounds with a pretrained model of transformers.

    Models from samples to frames (wav2vec 2.0, HuBERT, WavLM and similar ones), whose frames are
    pooled; the Audio Spectrogram Transformer (AST), by its own pooled output; and CLAP,
    by vectors in the space that it shares with texts. Sounds of any sampling rate are resampled to
    the model's. Each distinct sound is encoded once; after that, its vector comes from the cache.

    Parameters
    ----------
    model : str or PathLike, default="microsoft/wavlm-base-plus"
        A name on the Hugging Face hub, or a local folder.
    pooling : {"auto", "mean", "max", "mean_std"}, default="auto"
        How the frames of a window become a vector: their mean, their maximum, or mean and standard
        deviation, one after the other. "auto" is the mean, or what the model itself does: AST and
        CLAP allow nothing else.
    layer : int, default=None
        Which hidden layer to take the frames from, 0 being the input of the first and -1 the last;
        those in the middle often know more of speech. None: the output of the model. AST and CLAP
        allow nothing else.
    window_seconds : float, default=None
        Longer sounds are encoded window by window, and their vectors averaged, each with the weight
        of its duration; no more than a few windows are in memory. None: 30 seconds, or for AST and
        CLAP what the model takes, about 10.
    sampling_rate : float, default=None
        The sampling rate, in Hz, of items that are bare arrays. With None they are an error, since
        a wrong rate spoils the vectors, silently.
    batch_size : int, default=8
        The number of windows encoded at once, at most. It changes no vector by more than rounding:
        windows of different lengths are batched only where the model bears it.
    precision : {"float32", "bfloat16"}, default="float32"
        What the model computes in; vectors are float32 in any case.
    device : str, default="auto"
        Where the model runs, such as ``"cpu"`` or ``"cuda:1"``; "auto" is a CUDA device if there is
        one.
    cache : "memory", path, EmbeddingCache or None, default="memory"
        Where vectors are kept: in this process, or in a file that processes and runs share.
    filesystem : fsspec filesystem, default=None
        Where paths lead, such as ``s3fs.S3FileSystem()``. None: this machine.
    errors : {"raise", "missing"}, default="raise"
        What to do with an item that cannot be read: raise, or treat it as missing, with one
        warning. A cell that is no sound at all, such as a number, is an error in any case.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    model_digest_ : str
        Identifies the weights that it was fitted with; with others, `transform` raises an error.
    method_ : str
        The version of the method that it was fitted with; with another, `transform` warns.
    n_features_in_ : int
        1, the column.

    Raises
    ------
    OSError
        If the model is neither on disk nor to be had; if it is on disk, no network is used.

    See Also
    --------
    AudioDescriptor : Needs no model.
    AudioPreprocessor : Filter and cut sounds first.

    Notes
    -----
    An item is a path, the bytes of an encoded file (wav, flac, ogg, mp3 and what else libsndfile
    reads; if PyAV is installed, m4a and videos, of which the first sound is read), a tuple (array,
    sampling_rate), a dict of "array" and "sampling_rate", or of "bytes" or "path", or a bare array.
    Arrays are of shape (n,), (n, channels) or (channels, n), of floats of
    about -1 to 1 or of integers that fill the range of their type; channels are averaged. None, NaN
    and pd.NA are missing, and become a row of NaN. URLs are not fetched.

    Examples
    --------
    A tiny model, saved to a folder as `save_pretrained` does, in the place of a trained one:

    >>> import tempfile
    >>> import numpy as np
    >>> from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model
    >>> from skmm.audio import AudioEncoder
    >>> config = Wav2Vec2Config(
    ...     hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
    ...     conv_dim=[8, 8], conv_kernel=[400, 4], conv_stride=[160, 2], num_conv_pos_embeddings=4,
    ...     num_conv_pos_embedding_groups=2, vocab_size=8,
    ... )
    >>> beep = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Wav2Vec2Model(config).save_pretrained(folder)
    ...     _ = Wav2Vec2FeatureExtractor().save_pretrained(folder)
    ...     AudioEncoder(folder).fit_transform([(beep, 8000), None]).shape
    (2, 16)
    """

    _parameter_constraints: ClassVar[dict] = {
        **AudioCellEncoder._shared_constraints,
        **ModelEncoder._shared_constraints,
        "pooling": [StrOptions({"auto", "mean", "max", "mean_std"})],
        "layer": [Integral, None],
        "window_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "precision": [StrOptions({"float32", "bfloat16"})],
    }

    def __init__(
        self,
        model: str | PathLike = "microsoft/wavlm-base-plus",
        *,
        pooling: str = "auto",
        layer: int | None = None,
        window_seconds: float | None = None,
        sampling_rate: float | None = None,
        batch_size: int = 8,
        precision: str = "float32",
        device: str = "auto",
        cache: str | PathLike | EmbeddingCache | None = "memory",
        filesystem: AbstractFileSystem | None = None,
        errors: str = "raise",
        verbose: bool = False,
    ):
        self.model = model
        self.pooling = pooling
        self.layer = layer
        self.window_seconds = window_seconds
        self.sampling_rate = sampling_rate
        self.batch_size = batch_size
        self.precision = precision
        self.device = device
        self.cache = cache
        self.filesystem = filesystem
        self.errors = errors
        self.verbose = verbose

    def _name_model(self) -> tuple[Any, ...]:
        return (resolve_name(self.model, estimator="AudioEncoder"), self.precision)

    def _load(self, device: str) -> Backbone:
        name, precision = self._name_model()
        model, description = load_model(name, precision=precision, device=device)
        return Backbone(model, digest_model(model.model, description), 0)

    def _find_backbone(self) -> Backbone:
        backbone = super()._find_backbone()
        model = backbone.model
        if (self.window_seconds or 0) > model.max_window_seconds:
            raise ValueError(
                f"window_seconds={self.window_seconds} is longer than the "
                f"{model.max_window_seconds:g} seconds that {self._model_name} takes; the rest of "
                "each window would be lost."
            )
        if not model.pools and (self.pooling != "auto" or self.layer is not None):
            raise ValueError(
                f"pooling={self.pooling!r} and layer={self.layer} must be 'auto' and None: "
                f"{self._model_name} has a pooled output of its own."
            )
        if self.layer is not None and not -model.n_layers - 1 <= self.layer <= model.n_layers:
            raise ValueError(
                f"layer={self.layer} must be from {-model.n_layers - 1} to {model.n_layers}, the "
                f"layers of {self._model_name}."
            )
        options = {"pooling": self._pooling, "layer": self.layer}
        return backbone._replace(n_features=model.count_features(**options))

    @property
    def _n_at_once(self) -> int:
        return min(self.batch_size, MAX_SOUNDS)

    @property
    def _pooling(self) -> str:
        return "mean" if self.pooling == "auto" else self.pooling

    def _read(self, cell: Any) -> Prefetched[_Window]:
        model = self._backbone.model
        windows = read_windows(
            cell,
            window_seconds=self.window_seconds or model.window_seconds,
            target_sampling_rate=model.sampling_rate,
            sampling_rate=self.sampling_rate,
            filesystem=self.filesystem,
        )
        extracted = (_Window(len(samples), model.extract(samples)) for samples in windows)
        return Prefetched(extracted, N_AHEAD)

    def _encode_batch(self, items: list[Prefetched[_Window]]) -> EncodedBatch:
        """Average the vectors of the windows of each sound; a window may turn out to be broken."""
        import torch

        sums = np.zeros((len(items), self._n_features_out))
        n_samples = np.zeros(len(items))
        broken: dict[int, BrokenItemError] = {}
        for batch in self._batch_windows(items, broken):
            with torch.inference_mode():
                vectors = self._backbone.model.encode(
                    [window.features for _, window in batch],
                    pooling=self._pooling,
                    layer=self.layer,
                )
            for (place, window), vector in zip(batch, vectors, strict=True):
                sums[place] += window.n_samples * vector.astype(np.float64)
                n_samples[place] += window.n_samples
        vectors = (sums / n_samples[:, None]).astype(np.float32)
        return EncodedBatch(vectors, find_not_finite(vectors) | broken)

    def _batch_windows(
        self, sounds: list[Prefetched[_Window]], broken: dict[int, BrokenItemError]
    ) -> Iterator[list[tuple[int, _Window]]]:
        """Yield windows that may be encoded together, each with the place of its sound.

        Sounds that cannot be read to their end are added to ``broken``, by place.
        """
        waiting: dict[Hashable, list[tuple[int, _Window]]] = defaultdict(list)
        for place, sound in enumerate(sounds):
            try:
                for window in sound:
                    group = self._backbone.model.group(window.features)
                    waiting[group].append((place, window))
                    if len(waiting[group]) == self.batch_size:
                        yield waiting.pop(group)
            except BrokenItemError as e:
                broken[place] = e
        yield from waiting.values()


class _Window(NamedTuple):
    n_samples: int
    features: np.ndarray
