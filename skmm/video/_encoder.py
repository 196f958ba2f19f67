"""VideoEncoder: videos by what an encoder of images sees in some of their frames."""

from __future__ import annotations

import copy
import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from .._data.cells import Column
from ..encoding.cache import EmbeddingCache
from ..encoding.engine import (
    CellEncoder,
    EncodedBatch,
    Prefetched,
    describe_versions,
    find_not_finite,
)
from ..encoding.readers import ENCODED_TYPES, BrokenItemError, expand_home, unwrap_cells
from ..image import ImageDescriptor
from ._item_encoders import (
    ItemEncoder,
    check_item_encoder,
    count_features,
    enter_reading,
    fit_item_encoder,
    name_method,
)
from ._sampling import SampledFrame, Sampling, check_video, sample_frames

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from sklearn.base import BaseEstimator

N_FRAMES = 8  # where neither n_frames nor fps is given
N_AHEAD = 16  # frames of a video that are read before it is its turn


class VideoEncoder(CellEncoder):
    r"""Encode videos by some of their frames, and optionally their sound.

    Frames are sampled at even distances in time, each is encoded by `image_encoder`, and their
    vectors are pooled. No more frames are decoded than that needs: those from the last key frame
    before each. Each distinct video is encoded once; after that, its vector comes from the cache.

    Parameters
    ----------
    image_encoder : estimator, default=None
        What encodes a frame: `ImageDescriptor`, `ImageEncoder`, `TorchEncoder` with
        ``modality="image"``, or a `Pipeline` of `ImagePreprocessor` and one of these. A clone of
        it is used, whose `cache`, `errors`, `filesystem` and `verbose` do not matter. None:
        ``ImageDescriptor()``.
    audio_encoder : estimator, default=None
        What encodes the sound: `AudioDescriptor`, `AudioEncoder`, or `TorchEncoder` with
        ``modality="audio"``; its vector comes after that of the frames, as one modality. None: the
        sound is not used. For sound as a modality of its own see the notes.
    n_frames : int, default=None
        Number of frames: those shown in the middle of as many equal parts of the video. A video of
        fewer frames shows some of them several times. None: 8, unless `fps` is given.
    fps : float, default=None
        Frames to take a second, the first after half of ``1 / fps``, and one at least; for files
        only, since frames in memory have no time. None: `n_frames` counts.
    pooling : {"mean", "statistics"}, default="mean"
        How the vectors :math:`v_1, ..., v_n` of the frames become one: their mean; or mean,
        standard deviation and change over time, one after the other. The change is that of the
        line fitted to them, from the beginning to the end of the video: :math:`\sum_k u_k v_k /
        \sum_k u_k^2` with :math:`u_k = (k - 1/2) / n - 1/2`, 0 for one frame.
    cache : "memory", path, EmbeddingCache or None, default="memory"
        Where vectors are kept: in this process, or in a file that processes and runs share.
    filesystem : fsspec filesystem, default=None
        Where paths lead, such as ``s3fs.S3FileSystem()``. None: this machine.
    errors : {"raise", "missing"}, default="raise"
        What to do with an item that cannot be read, or has no sound for `audio_encoder`: raise, or
        treat it as missing, with one warning. A cell that is no video at all, such as a number, is
        an error in any case.
    max_frames : int, default=10_000
        A video with more frames to take is a broken item.
    max_pixels : int, default=50_000_000
        A video with larger frames is a broken item; they are not decoded (decompression bombs).
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    image_encoder_ : estimator
        The clone of `image_encoder` that is used.
    audio_encoder_ : estimator or None
        The clone of `audio_encoder` that is used.
    method_ : str
        The versions of the methods and of PyAV that it was fitted with; with others, `transform`
        warns.
    n_features_in_ : int
        1, the column.

    See Also
    --------
    skmm.image.ImageEncoder : Encodes frames with a pretrained model.
    skmm.audio.AudioDescriptor : Encodes the sound of videos, too.
    skmm.ModalityTransformer : Apply it to a column of a frame.

    Notes
    -----
    An item is a path, the bytes of an encoded video (mp4, mov, mkv, webm, avi, mpeg, gif and what
    else FFmpeg reads in one file), a dict of "bytes" or "path", a list of frames (PIL images or
    arrays, as an encoder of images takes them) or an array (T, H, W, 3) of uint8 or of floats in
    [0, 1]. None, NaN and pd.NA are missing, and become a row of NaN. URLs are not fetched.

    Times are those of the frames, at whatever rate they come. A frame is turned and mirrored as the
    file says, and its pixels are made square. A file that ends before its header says so is
    broken; ``ffmpeg -i broken.mp4 -c copy fixed.mp4`` makes one of what is there. Of a long video
    no more than a few frames, and a window of sound, are in memory.

    The encoders of ``skmm.audio`` read the sound of videos. So one column can be two modalities,
    and a video without sound lacks one of them::

        ModalityTransformer([
            ("frames", VideoEncoder(), "clip"),
            ("sound", AudioDescriptor(errors="missing"), "clip"),
        ])

    Examples
    --------
    >>> import numpy as np
    >>> from skmm.video import VideoEncoder
    >>> clips = np.random.default_rng(0).integers(0, 256, (3, 20, 32, 32, 3), dtype=np.uint8)
    >>> VideoEncoder(n_frames=4, pooling="statistics").fit_transform(clips).shape
    (3, 1056)
    """

    # Of the copy that encodes one column.
    _frame_encoder: ItemEncoder
    _sound_encoder: ItemEncoder | None

    _neutral = CellEncoder._neutral | {
        "audio_encoder",  # these two have fingerprints
        "image_encoder",
        "max_frames",
        "max_pixels",
    }
    _parameter_constraints: ClassVar[dict] = {
        "image_encoder": [HasMethods(["fit", "transform"]), None],
        "audio_encoder": [HasMethods(["fit", "transform"]), None],
        "n_frames": [Interval(Integral, 1, None, closed="left"), None],
        "fps": [Interval(Real, 0, None, closed="neither"), None],
        "pooling": [StrOptions({"mean", "statistics"})],
        "cache": [str, os.PathLike, EmbeddingCache, None],
        "filesystem": [HasMethods(["open", "ukey"]), None],
        "errors": [StrOptions({"raise", "missing"})],
        "max_frames": [Interval(Integral, 1, None, closed="left")],
        "max_pixels": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        image_encoder: BaseEstimator | None = None,
        audio_encoder: BaseEstimator | None = None,
        *,
        n_frames: int | None = None,
        fps: float | None = None,
        pooling: str = "mean",
        cache: str | os.PathLike | EmbeddingCache | None = "memory",
        filesystem: AbstractFileSystem | None = None,
        errors: str = "raise",
        max_frames: int = 10_000,
        max_pixels: int = 50_000_000,
        verbose: bool = False,
    ):
        self.image_encoder = image_encoder
        self.audio_encoder = audio_encoder
        self.n_frames = n_frames
        self.fps = fps
        self.pooling = pooling
        self.cache = cache
        self.filesystem = filesystem
        self.errors = errors
        self.max_frames = max_frames
        self.max_pixels = max_pixels
        self.verbose = verbose

    def fit(self, X, y=None):
        """Check the parameters and that ``X`` is a column, and fit clones of the encoders.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column; nothing is learned from it.
        y : None
            Ignored.

        Returns
        -------
        VideoEncoder
            The estimator itself.
        """
        self._validate_params()
        column = self._read_column(X)
        images = ImageDescriptor() if self.image_encoder is None else self.image_encoder
        frame = self._find_frame(column) if get_tags(images).requires_fit else None
        self.image_encoder_ = fit_item_encoder(images, [frame], {"cache": self.cache})
        self.audio_encoder_ = None
        if self.audio_encoder is not None:
            shared = {name: getattr(self, name) for name in ("cache", "errors", "filesystem")}
            self.audio_encoder_ = fit_item_encoder(self.audio_encoder, column.cells, shared)
        return super().fit(X)

    def _validate_params(self):
        super()._validate_params()
        if self.n_frames is not None and self.fps is not None:
            raise ValueError(
                f"n_frames={self.n_frames} and fps={self.fps} exclude each other: leave one out."
            )
        for role in ("image_encoder", "audio_encoder"):
            if getattr(self, role) is not None:
                check_item_encoder(getattr(self, role), role)

    def _find_frame(self, column: Column) -> Any:
        """Return a frame, for encoders that encode one in fit to count the features."""
        with self._start_run(column) as run:
            for row in run.find_distinct():
                try:
                    with closing(self._sample(run.cells[row], Sampling(1))) as frames:
                        return next(frames).frame
                except (TypeError, BrokenItemError) as e:
                    run.broken.add(row, e)
        raise ValueError(
            f"{self.image_encoder!r} encodes one frame in fit, to know how many features there "
            f"are; of {len(column.cells)} videos none can be read."
        )

    def _get_ready(self) -> VideoEncoder:
        ready = copy.copy(self)
        ready._frame_encoder = ItemEncoder(self.image_encoder_)
        ready._sound_encoder = None
        if self.audio_encoder_ is not None:
            ready._sound_encoder = ItemEncoder(self.audio_encoder_)
        return ready

    def _describe_method(self) -> str:
        audio_fingerprint = None
        if self._sound_encoder is not None:
            audio_fingerprint = self._sound_encoder.fingerprint()
        image_fingerprint = self._frame_encoder.fingerprint()
        return repr((image_fingerprint, audio_fingerprint, describe_versions("av")))

    def _name_method(self) -> str:
        named = [describe_versions("av"), name_method(self.image_encoder_)]
        if self.audio_encoder_ is not None:
            named.append(name_method(self.audio_encoder_))
        return f"method {self._version}, {', '.join(named)}"

    @property
    def _n_at_once(self) -> int:
        return self._n_readers

    # Videos

    def _read_column(self, X) -> Column:
        if isinstance(X, np.ndarray) and X.ndim == 4 and X.dtype != object:
            raise ValueError(
                f"VideoEncoder expects a column of videos, samples first; an array of shape "
                f"{X.shape} looks like one video. Pass [video]."
            )
        return unwrap_cells(super()._read_column(X))

    def _check_cell(self, cell: Any) -> None:
        check_video(cell, max_pixels=self.max_pixels, filesystem=self.filesystem)

    def _cost(self, cell: Any) -> float:
        if isinstance(cell, str | os.PathLike) and self.filesystem is None:
            try:
                return os.stat(expand_home(cell)).st_size
            except (OSError, ValueError):  # reading it will raise what is wrong
                return 0.0
        return 0.0 if isinstance(cell, str | os.PathLike) else float(len(cell))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with ExitStack() as stack:
            for estimator in (self.image_encoder_, self.audio_encoder_):
                if estimator is not None:
                    stack.enter_context(enter_reading(estimator))
            yield

    def _sample(self, cell: Any, sampling: Sampling) -> Generator[SampledFrame]:
        return sample_frames(cell, sampling, max_pixels=self.max_pixels, filesystem=self.filesystem)

    def _read(self, cell: Any) -> _Video:
        n_frames = N_FRAMES if self.n_frames is None else self.n_frames
        sampling = Sampling(n_frames, self.fps, self.max_frames)
        sound = None
        if self._sound_encoder is not None:
            if not isinstance(cell, ENCODED_TYPES):
                raise BrokenItemError("frames in memory have no sound, and audio_encoder wants it")
            sound = self._sound_encoder.read(cell)
        return _Video(Prefetched(self._read_frames(cell, sampling), N_AHEAD), sound)

    def _read_frames(self, cell: Any, sampling: Sampling) -> Iterator[SampledFrame]:
        """Yield frames as items of `image_encoder`."""
        for sampled in self._sample(cell, sampling):
            try:
                item = self._frame_encoder.read(sampled.frame)
            except (BrokenItemError, TypeError) as e:
                if isinstance(cell, ENCODED_TYPES):
                    raise
                raise type(e)(f"one of its frames is broken: {e}") from e
            yield sampled._replace(frame=item)

    def _encode_batch(self, items: list[_Video]) -> EncodedBatch:
        """Encode one video after the other, so that none changes the vector of another."""
        vectors = np.full((len(items), self._n_features_out), np.nan, dtype=np.float32)
        broken: dict[int, BrokenItemError] = {}
        for place, video in enumerate(items):
            try:
                vectors[place] = self._encode_video(video)
            except BrokenItemError as e:
                broken[place] = e
        return EncodedBatch(vectors, find_not_finite(vectors) | broken)

    def _encode_video(self, video: _Video) -> np.ndarray:
        """Compute the vector of a video, or raise BrokenItemError."""
        vectors, counts = [], []
        while batch := list(islice(video.frames, self._frame_encoder.n_at_once)):
            vectors.append(self._frame_encoder.encode([sampled.frame for sampled in batch]))
            counts += [sampled.n_times for sampled in batch]
        pooled = pool(np.concatenate(vectors), np.array(counts), self.pooling)
        if self._sound_encoder is None:
            return pooled
        return np.concatenate([pooled, self._sound_encoder.encode([video.sound])[0]])

    @property
    def _n_features_out(self) -> int:
        n_vectors = 3 if self.pooling == "statistics" else 1
        n_of_sound = 0 if self.audio_encoder_ is None else count_features(self.audio_encoder_)
        return n_vectors * count_features(self.image_encoder_) + n_of_sound

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "image_encoder_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags


class _Video(NamedTuple):
    frames: Prefetched[SampledFrame]
    sound: Any  # an item of `audio_encoder`, or None


def pool(vectors: np.ndarray, counts: np.ndarray, pooling: str) -> np.ndarray:
    """Pool the vectors (n_frames, n_features) of frames, which were sampled ``counts`` times."""
    vectors = vectors.astype(np.float64)
    mean = np.average(vectors, axis=0, weights=counts)
    if pooling == "mean":
        return mean
    deviation = np.sqrt(np.average((vectors - mean) ** 2, axis=0, weights=counts))
    centred = np.repeat(vectors - mean, counts, axis=0)  # (n_times, n_features)
    n_times = len(centred)
    times = (np.arange(n_times) + 0.5) / n_times - 0.5
    change = times @ centred / (times @ times) if n_times > 1 else np.zeros_like(mean)
    return np.concatenate([mean, deviation, change])
