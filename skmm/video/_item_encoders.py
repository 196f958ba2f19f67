"""The encoders of images and sounds, as the encoder of videos uses them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ..audio import AudioCellEncoder
from ..encoding import TorchEncoder
from ..encoding.engine import CellEncoder, CellPreparer
from ..image import ImageCellEncoder

READERS = {
    "image_encoder": (ImageCellEncoder, ("image", None), "ImageDescriptor() or ImageEncoder()"),
    "audio_encoder": (AudioCellEncoder, ("audio",), "AudioDescriptor() or AudioEncoder()"),
}


def check_item_encoder(estimator: Any, role: str) -> None:
    """Raise TypeError if an estimator does not encode images, or sounds, one by one.

    Raises
    ------
    ValueError
        If it is to be tuned to a target.
    """
    base, modalities, examples = READERS[role]
    *preparers, encoder = _split(estimator)
    fits = isinstance(encoder, base) or (
        isinstance(encoder, TorchEncoder) and encoder.modality in modalities
    )
    if not fits or not all(isinstance(preparer, CellPreparer) for preparer in preparers):
        raise TypeError(
            f"{role} must be an encoder of skmm that looks at each item alone, such as {examples}, "
            "TorchEncoder with that modality, or a Pipeline of preprocessors of skmm and one of "
            f"these; got {estimator!r}."
        )
    if getattr(encoder, "finetune", None) is not None:
        raise ValueError(
            f"{role} has finetune={encoder.finetune!r}, and what is in a video has no target to be "
            "tuned to: set finetune=None."
        )


def _split(estimator: Any) -> list:
    if not isinstance(estimator, Pipeline):
        return [estimator]
    return [step for _, step in estimator.steps if step is not None and step != "passthrough"]


def fit_item_encoder(estimator: Any, cells: Sequence[Any], parameters: dict[str, Any]) -> Any:
    """Fit a clone of an encoder, with some of its parameters set."""
    cloned: Any = clone(estimator)
    _split(cloned)[-1].set_params(verbose=False, **parameters)
    return cloned.fit(cells)


def name_method(estimator: Any) -> str:
    """Name a fitted encoder and the versions of its method."""
    encoder = _split(estimator)[-1]
    return f"{type(encoder).__name__} ({encoder._name_method()})"


def count_features(estimator: Any) -> int:
    """Return the length of the vectors of a fitted encoder."""
    return _split(estimator)[-1]._n_features_out


def enter_reading(estimator: Any) -> AbstractContextManager:
    """Return the context to enter around the threads in which an encoder reads."""
    return _split(estimator)[-1]._reading()


class ItemEncoder:
    """A fitted encoder of images or sounds, ready for what is in one video after the other.

    Its cache is not used, for what is kept is the vector of the video.
    """

    def __init__(self, estimator: Any):
        *self._preparers, encoder = _split(estimator)
        self._encoder: CellEncoder = encoder._get_ready()

    def fingerprint(self) -> tuple:
        """Return all that changes its vectors, apart from the items."""
        prepared = [
            (type(p).__name__, sorted((name, repr(v)) for name, v in p.get_params().items()))
            for p in self._preparers
        ]
        return (prepared, self._encoder._fingerprint())

    @property
    def n_at_once(self) -> int:
        """How many items are encoded at once."""
        return self._encoder._n_at_once

    def read(self, cell: Any) -> Any:
        """Prepare and read one item."""
        for preparer in self._preparers:
            cell = preparer._prepare(cell)
        return self._encoder._read(cell)

    def encode(self, items: Sequence[Any]) -> np.ndarray:
        """Compute the vectors (n, n_features) of at most `n_at_once` items that were read.

        Raises
        ------
        BrokenItemError
            If one of them is broken.
        """
        batch = self._encoder._make_batch()
        for place, item in enumerate(items):
            batch.put(place, item)
        encoded = self._encoder._encode_batch(batch.take(list(range(len(items)))))
        if encoded.broken:
            raise encoded.broken[min(encoded.broken)]
        return encoded.vectors
