"""AudioDescriptor: sounds by spectra and cepstra of their segments, without a pretrained model."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from .._optional import import_optional
from ..encoding.engine import describe_versions
from ..encoding.readers import read_sound
from ._reading import AudioCellEncoder

if TYPE_CHECKING:
    from os import PathLike

    from fsspec import AbstractFileSystem

    from ..encoding.cache import EmbeddingCache

FRAME, HOP = 0.032, 0.01  # seconds
DELTA_WIDTH = 9  # frames over which a change in time is measured
FLOOR_DB = 80  # below the loudest band; what is fainter counts as silence
FAINTEST = 1e-5  # amplitude, of 1; the level of digital silence is -100 dB
N_SPECTRAL = 4  # centroid, bandwidth, roll-off and flatness
N_OVERALL = 3  # level and two durations


class AudioDescriptor(AudioCellEncoder):
    """Describe sounds by their spectrum and how it changes, without a pretrained model.

    Of frames of 32 milliseconds, every 10, it takes the energy in mel bands, in decibels below the
    loudest; their cosine transform, the cepstrum (MFCC) [1]_, its first and its second derivative
    in time; and the spectrum's centroid, bandwidth, roll-off and flatness. A sound is described by
    the means of these in segments of equal length, by mean and standard deviation in all, by its
    level and by its duration.

    Parameters
    ----------
    target_sampling_rate : int, default=16_000
        The rate that sounds are resampled to, in Hz; frequencies above half of it are lost.
    n_segments : int, default=5
        Number of segments.
    n_mels : int, default=40
        Number of mel bands.
    n_mfcc : int, default=13
        Number of coefficients of the cepstrum, at most `n_mels`.
    trim_db : float or None, default=30
        Leave out of all but duration the silence at both ends: frames whose bands are, on average,
        more than this many decibels below those of the loudest frame. None leaves nothing out.
    sampling_rate : float or None, default=None
        The sampling rate, in Hz, of items that are bare arrays. With None they are an error, since
        a wrong rate spoils the features, silently.
    cache : "memory", path, EmbeddingCache or None, default="memory"
        Where vectors are kept: in this process, or in a file that processes and runs share.
    filesystem : fsspec filesystem, default=None
        Where paths lead, such as ``s3fs.S3FileSystem()``. None: this machine.
    errors : {"raise", "missing"}, default="raise"
        What to do with an item that cannot be read: raise, or treat it as missing, with one
        warning. A cell that is no sound at all, such as a number, is an error in any case.
    max_seconds : float, default=600
        Longer sounds are broken items; they are not read into memory.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    method_ : str
        The versions of the method, librosa, scipy and soxr that it was fitted with; with others,
        `transform` warns.
    n_features_in_ : int
        1, the column.

    See Also
    --------
    AudioPreprocessor : Filter and cut sounds first.
    skmm.ModalityTransformer : Apply it to a column of a frame.

    Notes
    -----
    An item is a path, the bytes of an encoded file (wav, flac, ogg, mp3 and what else libsndfile
    reads; if PyAV is installed, m4a and videos, of which the first sound is read), a tuple (array,
    sampling_rate), a dict of "array" and "sampling_rate", or of "bytes" or "path", or a bare array.
    Arrays are of shape (n,), (n, channels) or (channels, n), of floats of
    about -1 to 1 or of integers that fill the range of their type; channels are averaged. None, NaN
    and pd.NA are missing, and become a row of NaN. The same sound in any lossless form has the same
    features. URLs are not fetched.

    References
    ----------
    .. [1] S. Davis, P. Mermelstein, "Comparison of parametric representations for monosyllabic word
       recognition in continuously spoken sentences", IEEE Transactions on Acoustics, Speech, and
       Signal Processing 28(4), 1980.

    Examples
    --------
    >>> import numpy as np
    >>> from skmm.audio import AudioDescriptor
    >>> beep = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    >>> AudioDescriptor().fit_transform([(beep, 8000), None]).shape
    (2, 384)
    """

    _neutral = AudioCellEncoder._neutral | {"max_seconds"}
    _parameter_constraints: ClassVar[dict] = {
        "target_sampling_rate": [Interval(Integral, 1000, None, closed="left")],
        "n_segments": [Interval(Integral, 1, None, closed="left")],
        "n_mels": [Interval(Integral, 1, None, closed="left")],
        "n_mfcc": [Interval(Integral, 1, None, closed="left")],
        "trim_db": [Interval(Real, 0, None, closed="neither"), None],
        "max_seconds": [Interval(Real, 0, None, closed="neither")],
        **AudioCellEncoder._shared_constraints,
    }

    def __init__(
        self,
        *,
        target_sampling_rate: int = 16_000,
        n_segments: int = 5,
        n_mels: int = 40,
        n_mfcc: int = 13,
        trim_db: float | None = 30,
        sampling_rate: float | None = None,
        cache: str | PathLike | EmbeddingCache | None = "memory",
        filesystem: AbstractFileSystem | None = None,
        errors: str = "raise",
        max_seconds: float = 600,
        verbose: bool = False,
    ):
        self.target_sampling_rate = target_sampling_rate
        self.n_segments = n_segments
        self.n_mels = n_mels
        self.n_mfcc = n_mfcc
        self.trim_db = trim_db
        self.sampling_rate = sampling_rate
        self.cache = cache
        self.filesystem = filesystem
        self.errors = errors
        self.max_seconds = max_seconds
        self.verbose = verbose

    def _validate_params(self):
        super()._validate_params()
        if self.n_mfcc > self.n_mels:
            raise ValueError(
                f"n_mfcc={self.n_mfcc} must be at most n_mels={self.n_mels}: so many bands have no "
                "more coefficients."
            )

    def _describe_method(self) -> str:
        return describe_versions("librosa", "scipy", "soxr")

    @property
    def _n_features_out(self) -> int:
        n_followed = 3 * self.n_mfcc + N_SPECTRAL
        return (self.n_segments + 2) * n_followed + 2 * self.n_mels + N_OVERALL

    def _read(self, cell: Any) -> np.ndarray:
        feature = import_optional("librosa.feature", extra="audio", purpose="AudioDescriptor")
        from scipy.fft import dct

        samples, rate = read_sound(
            cell,
            sampling_rate=self.sampling_rate,
            target_sampling_rate=self.target_sampling_rate,
            max_seconds=self.max_seconds,
            filesystem=self.filesystem,
        )
        loudest = np.abs(samples).max() or 1.0  # else the floors would hide quiet sounds
        amplitudes = _find_amplitudes(samples / loudest, rate)  # (n_frequencies, n_frames)
        bands = _to_decibels(_mel_filters(rate, self.n_mels) @ amplitudes**2)
        cepstrum = np.asarray(dct(bands, axis=0, norm="ortho"))[: self.n_mfcc]
        derivatives = [
            feature.delta(cepstrum, width=DELTA_WIDTH, order=order, mode="nearest")
            for order in (1, 2)
        ]
        followed = np.concatenate([cepstrum, *derivatives, _describe_spectra(amplitudes, rate)])
        sounding = self._find_sounding(bands)
        bands, followed = bands[:, sounding], followed[:, sounding]
        level = 20 * np.log10(np.sqrt(np.square(samples, dtype=np.float64).mean()) + FAINTEST)
        durations = np.log([len(samples) / rate, bands.shape[1] * HOP])
        return np.concatenate(
            [
                *_average_segments(followed, self.n_segments),
                followed.mean(axis=1),
                followed.std(axis=1),
                bands.mean(axis=1),
                bands.std(axis=1),
                [level, *durations],
            ]
        )

    def _find_sounding(self, bands: np.ndarray) -> slice:
        """Find the frames from the first to the last that are no silence."""
        if self.trim_db is None:
            return slice(None)
        loudness = bands.mean(axis=0)
        (frames,) = np.nonzero(loudness >= loudness.max() - self.trim_db)
        return slice(frames[0], frames[-1] + 1)


def _find_amplitudes(samples: np.ndarray, rate: float) -> np.ndarray:
    """Find the spectrum of each frame, of at least one, (n_frequencies, n_frames)."""
    librosa = import_optional("librosa", extra="audio", purpose="AudioDescriptor")
    n_frame = round(FRAME * rate) // 2 * 2
    padded = np.pad(samples, n_frame // 2)
    return np.abs(librosa.stft(padded, n_fft=n_frame, hop_length=round(HOP * rate), center=False))


@lru_cache(maxsize=8)
def _mel_filters(rate: float, n_mels: int) -> np.ndarray:
    filters = import_optional("librosa.filters", extra="audio", purpose="AudioDescriptor")
    return filters.mel(sr=rate, n_fft=round(FRAME * rate) // 2 * 2, n_mels=n_mels, fmin=20)


def _to_decibels(power: np.ndarray) -> np.ndarray:
    """Compute decibels below the greatest, 0 if all is silence."""
    decibels = 10 * np.log10(np.maximum(power, FAINTEST**2))
    decibels -= decibels.max()
    return np.maximum(decibels, -FLOOR_DB)


def _describe_spectra(amplitudes: np.ndarray, rate: float) -> np.ndarray:
    """Compute logarithms that describe the shape of each spectrum, (N_SPECTRAL, n_frames)."""
    feature = import_optional("librosa.feature", extra="audio", purpose="AudioDescriptor")
    centroid = feature.spectral_centroid(S=amplitudes, sr=rate)
    bandwidth = feature.spectral_bandwidth(S=amplitudes, sr=rate, centroid=centroid)
    rolloff = feature.spectral_rolloff(S=amplitudes, sr=rate)
    flatness = feature.spectral_flatness(S=amplitudes)
    in_hertz = np.concatenate([centroid, bandwidth, rolloff])
    return np.concatenate([np.log1p(in_hertz), np.log(flatness)])


def _average_segments(followed: np.ndarray, n_segments: int) -> list[np.ndarray]:
    """Average (n_values, n_frames) over segments, which share frames if there are too few."""
    bounds = np.linspace(0, followed.shape[1], n_segments + 1).astype(int)
    return [
        followed[:, start : max(stop, start + 1)].mean(axis=1) for start, stop in pairwise(bounds)
    ]
