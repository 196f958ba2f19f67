"""The base of the encoders that run a torch model."""

from __future__ import annotations

import copy
import os
from abc import abstractmethod
from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from .._torch.device import choose_device
from ._base import CellEncoder
from ._models import Backbone, describe_files, load_once
from ._run import Run
from ._torchvision import patch_torchvision
from .cache import EmbeddingCache


class ModelEncoder(CellEncoder):
    """Encode cells with a model that is loaded once in a process, whatever clones there are.

    It is never an attribute of an encoder, whose pickles stay small. A subclass has the parameters
    of `_shared_constraints`, and loads in `_load` the model of a name or a folder.
    """

    model: Any
    device: str
    _backbone: Backbone  # of the copy that encodes one column

    # What the model is, is in its digest.
    _neutral = CellEncoder._neutral | {"device", "model", "pretrained"}
    _by_reference = (*CellEncoder._by_reference, "model")
    _shared_constraints: ClassVar[dict] = {
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "cache": [str, os.PathLike, EmbeddingCache, None],
        "errors": [StrOptions({"raise", "missing"})],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _load(self, device: str) -> Backbone:
        """Load the model that the parameters name."""

    def _name_model(self) -> tuple[Any, ...]:
        """Return what identifies the model that is loaded; paths are looked at for changes."""
        return (self.model,)

    @property
    def _model_name(self) -> str:
        """The model as an error message names it."""
        if isinstance(self.model, str | os.PathLike):
            return repr(os.fspath(self.model))
        return f"the given {type(self.model).__name__}"

    def _find_backbone(self) -> Backbone:
        device = str(choose_device(self.device))
        names = self._name_model()
        files = tuple(
            describe_files(name) for name in names if isinstance(name, str) and os.path.exists(name)
        )
        key = (type(self).__qualname__, device, *names)
        return load_once(key, lambda: self._load(device), version=files)

    def fit(self, X, y=None):
        """Load the model, and check the parameters and that ``X`` is a column.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column; nothing is learned from it.
        y : None
            Ignored.

        Returns
        -------
        ModelEncoder
            The estimator itself.
        """
        super().fit(X)
        self.model_digest_ = self._find_backbone().digest
        return self

    def _get_ready(self) -> ModelEncoder:
        """Return a copy that holds the model, which must be the one that it was fitted with."""
        ready = copy.copy(self)
        ready._backbone = self._find_backbone()
        if getattr(self, "model_digest_", ready._backbone.digest) != ready._backbone.digest:
            name = self._model_name if hasattr(self, "model") else "its module"
            raise ValueError(
                f"{type(self).__name__} was fitted with another version of {name}: its weights or "
                "its preprocessing differ from what is loaded now, and so would the vectors from "
                "those that the next steps learned from. Fit again, or bring back the version that "
                "it was fitted with."
            )
        return ready

    def __reduce_ex__(self, protocol):
        if isinstance(getattr(self, "model", None), str | os.PathLike):
            return super().__reduce_ex__(protocol)
        # A loaded model comes after what makes the encoder, and may want torchvision.
        return (_make_unpickled, (type(self),), self.__getstate__())

    def _encode_rows(self, run: Run, rows: list[int]) -> None:
        from .._torch.modes import model_modes

        with model_modes():
            super()._encode_rows(run, rows)

    def _describe_method(self) -> str:
        return self._backbone.digest

    def _name_method(self) -> str:
        return f"method {self._version}"

    @property
    def _n_features_out(self) -> int:
        backbone = getattr(self, "_backbone", None) or self._find_backbone()
        return backbone.n_features


def _make_unpickled(cls: type[ModelEncoder]) -> ModelEncoder:
    patch_torchvision()
    return cls.__new__(cls)
