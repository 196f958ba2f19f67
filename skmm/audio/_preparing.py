"""AudioPreprocessor: a column of sounds to a column of sounds, before any encoder."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from .._data.cells import Column
from .._optional import import_optional
from ..encoding.engine import CellPreparer
from ..encoding.readers import BrokenItemError, check_not_one_sound, read_sound, unwrap_cells

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

SILENCE_FRAME = 0.032  # seconds, in which trimming measures how loud it is


class AudioPreprocessor(CellPreparer, auto_wrap_output_keys=None):  # pyright: ignore (untyped keyword of scikit-learn)
    """Prepare sounds, one by one: filters, silence and length, in the order of the parameters.

    Parameters
    ----------
    target_sampling_rate : int or None, default=None
        The rate to resample to, in Hz; None leaves the rate of each sound.
    low_cut : float or None, default=None
        Take away what is lower than this frequency, in Hz.
    high_cut : float or None, default=None
        Take away what is higher than this frequency, in Hz. Sounds that hold nothing higher, by
        their sampling rate, stay as they are.
    filter_order : int, default=4
        Order of the Butterworth filter of `low_cut` and `high_cut`. It goes over the sound forwards
        and backwards, which delays nothing and doubles the order: at a cut a tone loses 6 dB, and
        an octave beyond it 48 dB more if the order is 4.
    pre_emphasis : float or None, default=None
        Take so much of each sample from the next, which makes high frequencies louder: 0.97 is
        usual for speech.
    trim_db : float or None, default=None
        Cut off the silence at both ends: all that is more than this many decibels below the loudest
        32 milliseconds. 40 suits clean recordings, 20 noisy ones.
    window_seconds : float or None, default=None
        Keep a window of this length, in seconds; shorter sounds stay as they are.
    window : {"first", "middle", "last", "loudest"}, default="first"
        Which window to keep; the loudest is the one of the greatest energy.
    sampling_rate : float or None, default=None
        The sampling rate, in Hz, of items that are bare arrays. With None they are an error, since
        a wrong rate spoils all that follows, silently.
    filesystem : fsspec filesystem or None, default=None
        Where paths lead; None is this computer.
    errors : {"raise", "missing"}, default="raise"
        What to do with an item that cannot be read: raise, or make it None, with one warning. A
        cell that is no sound at all, such as a number, is an error in any case.
    max_seconds : float, default=600
        Longer sounds are broken items; they are not read into memory.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    n_features_in_ : int
        1, the column.

    See Also
    --------
    AudioDescriptor : Turn sounds into numbers.

    Notes
    -----
    An item is a path, the bytes of an encoded file (wav, flac, ogg, mp3 and what else libsndfile
    reads; if PyAV is installed, m4a and videos, of which the first sound is read), a tuple (array,
    sampling_rate), a dict of "array" and "sampling_rate", or of "bytes" or "path", or a bare array.
    Arrays are of shape (n,), (n, channels) or (channels, n), of floats of
    about -1 to 1 or of integers that fill the range of their type. None, NaN and pd.NA are missing,
    and stay as they are. URLs are not fetched.

    What comes out are dicts of "array", float32 of one channel, the mean of all, and
    "sampling_rate". They are all in memory at once. An item that comes twice, as the same path,
    bytes or object, is one dict in the output.

    Examples
    --------
    >>> import numpy as np
    >>> from skmm.audio import AudioPreprocessor
    >>> beep = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)  # one second
    >>> sound = np.concatenate([np.zeros(16000), beep, np.zeros(16000)])
    >>> prepared, missing = AudioPreprocessor(trim_db=40).transform([(sound, 8000), None])
    >>> round(len(prepared["array"]) / prepared["sampling_rate"], 1), missing
    (1.0, None)
    """

    _parameter_constraints: ClassVar[dict] = {
        "target_sampling_rate": [Interval(Integral, 1, None, closed="left"), None],
        "low_cut": [Interval(Real, 0, None, closed="neither"), None],
        "high_cut": [Interval(Real, 0, None, closed="neither"), None],
        "filter_order": [Interval(Integral, 1, 20, closed="both")],
        "pre_emphasis": [Interval(Real, 0, 1, closed="both"), None],
        "trim_db": [Interval(Real, 0, None, closed="neither"), None],
        "window_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "window": [StrOptions({"first", "middle", "last", "loudest"})],
        "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "filesystem": [HasMethods("open"), None],
        "errors": [StrOptions({"raise", "missing"})],
        "max_seconds": [Interval(Real, 0, None, closed="neither")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        target_sampling_rate: int | None = None,
        low_cut: float | None = None,
        high_cut: float | None = None,
        filter_order: int = 4,
        pre_emphasis: float | None = None,
        trim_db: float | None = None,
        window_seconds: float | None = None,
        window: str = "first",
        sampling_rate: float | None = None,
        filesystem: AbstractFileSystem | None = None,
        errors: str = "raise",
        max_seconds: float = 600,
        verbose: bool = False,
    ):
        self.target_sampling_rate = target_sampling_rate
        self.low_cut = low_cut
        self.high_cut = high_cut
        self.filter_order = filter_order
        self.pre_emphasis = pre_emphasis
        self.trim_db = trim_db
        self.window_seconds = window_seconds
        self.window = window
        self.sampling_rate = sampling_rate
        self.filesystem = filesystem
        self.errors = errors
        self.max_seconds = max_seconds
        self.verbose = verbose

    def _validate_params(self):
        super()._validate_params()
        low_cut, high_cut = self.low_cut, self.high_cut
        if low_cut is not None and high_cut is not None and low_cut >= high_cut:
            raise ValueError(
                f"low_cut={self.low_cut} must be below high_cut={self.high_cut}: what lies between "
                "them is kept."
            )

    def _read_column(self, X) -> Column:
        check_not_one_sound(X, estimator="AudioPreprocessor")
        return unwrap_cells(super()._read_column(X))

    def _prepare(self, cell: Any) -> dict[str, Any]:
        samples, rate = read_sound(
            cell,
            sampling_rate=self.sampling_rate,
            target_sampling_rate=self.target_sampling_rate,
            max_seconds=self.max_seconds,
            filesystem=self.filesystem,
        )
        samples = self._filter(samples, rate)
        if self.pre_emphasis is not None:
            samples = np.append(samples[:1], samples[1:] - self.pre_emphasis * samples[:-1])
        if self.trim_db is not None:
            samples = self._trim(samples, rate)
        if self.window_seconds is not None:
            samples = self._cut_window(samples, max(1, round(self.window_seconds * rate)))
        return {"array": samples.astype(np.float32, copy=False), "sampling_rate": rate}

    def _filter(self, samples: np.ndarray, rate: float) -> np.ndarray:
        from scipy import signal

        if self.low_cut is not None and self.low_cut >= rate / 2:
            raise BrokenItemError(
                f"at a sampling rate of {rate} Hz there is nothing above low_cut={self.low_cut} Hz"
            )
        high_cut = None if (self.high_cut or np.inf) >= rate / 2 else self.high_cut
        if self.low_cut is None and high_cut is None:
            return samples
        if self.low_cut is None:
            kind, cuts = "lowpass", high_cut
        elif high_cut is None:
            kind, cuts = "highpass", self.low_cut
        else:
            kind, cuts = "bandpass", (self.low_cut, high_cut)
        sections: Any = signal.butter(self.filter_order, cuts, kind, fs=rate, output="sos")
        n_padded = min(3 * (2 * len(sections) + 1), len(samples) - 1)  # SciPy's, if there is room
        return signal.sosfiltfilt(sections, samples, padlen=n_padded)

    def _trim(self, samples: np.ndarray, rate: float) -> np.ndarray:
        effects = import_optional("librosa.effects", extra="audio", purpose="AudioPreprocessor")
        peak = np.abs(samples).max()
        if peak == 0:
            return samples
        n_frame = max(4, round(SILENCE_FRAME * rate))
        _, (start, stop) = effects.trim(
            samples / peak,  # or librosa's floor, of 1e-5, hides the silence of quiet sounds
            top_db=self.trim_db,
            frame_length=n_frame,
            hop_length=n_frame // 4,
        )
        return samples[start:stop]

    def _cut_window(self, samples: np.ndarray, n_window: int) -> np.ndarray:
        n_rest = len(samples) - n_window
        if n_rest <= 0:
            return samples
        if self.window == "loudest":
            energy = np.concatenate([[0], np.cumsum(np.square(samples, dtype=np.float64))])
            start = int(np.argmax(energy[n_window:] - energy[:-n_window]))
        else:
            start = {"first": 0, "middle": n_rest // 2, "last": n_rest}[self.window]
        return samples[start : start + n_window]
