"""TorchEncoder: any torch module as an encoder."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from .._data.cells import Column
from .._torch.device import choose_device
from ._batches import Batch, TensorBatch
from ._model_encoder import ModelEncoder
from ._models import Backbone
from .cache import describe_callable, digest_model, digest_module
from .readers import (
    BrokenItemError,
    check_image,
    check_not_one_image,
    check_not_one_sound,
    check_sound,
    check_text,
    quiet_pillow,
    read_image,
    read_sound,
    unwrap_cells,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from fsspec import AbstractFileSystem

    from .cache import EmbeddingCache

MAX_PIXELS = 50_000_000
MAX_SECONDS = 3600
WHITE = (255, 255, 255)


class TorchEncoder(ModelEncoder):
    """Encode items with any torch module.

    Each distinct item is encoded once; after that, its vector comes from the cache. Its key is made
    of the item, of the weights, and of what `module`, `preprocess` and `collate` compute: the code
    of functions and classes that are not of an installed package, what they refer to, and the state
    of objects.

    Parameters
    ----------
    module : torch.nn.Module or callable
        A module, which is set to evaluation, and which clones share and pickles hold; or a function
        without arguments that returns one, called once in a process when first needed.
    preprocess : callable, default=None
        Turns an item into what `collate` takes, such as a transform of torchvision; called in
        several threads. None leaves it as it is. What it raises makes an item a broken one.
    collate : callable, default=None
        Turns a list of what `preprocess` returned into the input of the module; tensors in it,
        also in lists and dicts, are moved to the module's device. None stacks tensors and arrays
        (`torch.utils.data.default_collate`).
    modality : {"text", "image", "audio"}, default=None
        What the items are, and what `preprocess` gets: a str; a PIL image in RGB, read from any
        form that `ImageEncoder` takes; or samples, an array (n_samples,) of float32 at
        `target_sampling_rate`, read from any form that `AudioEncoder` takes. None: the cell as it
        is, which must not be a str (it might be a text or a path), but may be a `pathlib.Path`.
    target_sampling_rate : float, default=None
        The sampling rate, in Hz, that sounds are brought to; needed with ``modality="audio"``.
    sampling_rate : float, default=None
        The sampling rate, in Hz, of items that are bare arrays. With None they are an error.
    batch_size : int, default=32
        The number of items encoded at once. The module must give each the same vector in any batch.
    device : str, default="auto"
        Where the module runs, such as ``"cpu"`` or ``"cuda:1"``; it is moved there. "auto" leaves a
        module where it is, and puts one from a function on a CUDA device if there is one.
    cache : "memory", path, EmbeddingCache or None, default="memory"
        Where vectors are kept: in this process, or in a file that processes and runs share.
    filesystem : fsspec filesystem, default=None
        Where paths lead, such as ``s3fs.S3FileSystem()``. None: this machine. With
        ``modality=None`` only the cache uses it, to see whether a file has changed.
    errors : {"raise", "missing"}, default="raise"
        What to do with a broken item: raise, or treat it as missing, with one warning.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    model_digest_ : str
        Identifies the weights that it was fitted with; with others, `transform` raises an error.
    method_ : str
        Identifies preprocess and collate as they were in `fit`; with others, `transform` warns.
    n_features_in_ : int
        1, the column.
    n_features_out_ : int
        The length of each vector, found by encoding one item.

    See Also
    --------
    skmm.text.TextEncoder : Models of sentence-transformers.
    skmm.image.ImageEncoder : Models of open_clip and timm.
    skmm.audio.AudioEncoder : Models of transformers.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skmm.encoding import TorchEncoder
    >>> def make():
    ...     torch.manual_seed(0)
    ...     return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5))
    >>> def preprocess(picture):
    ...     return np.asarray(picture.resize((8, 8)), dtype=np.float32) / 255
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)
    >>> TorchEncoder(make, preprocess=preprocess, modality="image").fit_transform(images).shape
    (4, 5)
    """

    # What these compute is described beside them.
    _neutral = ModelEncoder._neutral | {"module", "preprocess", "collate"}
    _by_reference = (*ModelEncoder._by_reference, "module", "preprocess", "collate")
    _parameter_constraints: ClassVar[dict] = {
        **ModelEncoder._shared_constraints,
        "module": [callable],
        "preprocess": [callable, None],
        "collate": [callable, None],
        "modality": [StrOptions({"text", "image", "audio"}), None],
        "target_sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "filesystem": [HasMethods(["open", "ukey"]), None],
    }

    def __init__(
        self,
        module: torch.nn.Module | Callable[[], torch.nn.Module],
        *,
        preprocess: Callable[[Any], Any] | None = None,
        collate: Callable[[list], Any] | None = None,
        modality: str | None = None,
        target_sampling_rate: float | None = None,
        sampling_rate: float | None = None,
        batch_size: int = 32,
        device: str = "auto",
        cache: str | os.PathLike | EmbeddingCache | None = "memory",
        filesystem: AbstractFileSystem | None = None,
        errors: str = "raise",
        verbose: bool = False,
    ):
        self.module = module
        self.preprocess = preprocess
        self.collate = collate
        self.modality = modality
        self.target_sampling_rate = target_sampling_rate
        self.sampling_rate = sampling_rate
        self.batch_size = batch_size
        self.device = device
        self.cache = cache
        self.filesystem = filesystem
        self.errors = errors
        self.verbose = verbose

    def fit(self, X, y=None):
        """Load the module, and find out how many features it gives by encoding one item.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column; nothing else is learned from it.
        y : None
            Ignored.

        Returns
        -------
        TorchEncoder
            The estimator itself.
        """
        super().fit(X)
        self.n_features_out_ = self._count_features(self._read_column(X))
        return self

    def _count_features(self, column: Column) -> int:
        encoder = self._get_ready()
        with self._reading(), self._start_run(column) as run:
            for row in run.find_distinct():
                encoder._encode_rows(run, [row])
                if run.found:
                    return run.collect_vectors(0).shape[1]
        reasons = list(run.broken.reasons.values())
        cause = f" The first is broken: {reasons[0]}." if reasons else ""
        raise ValueError(
            "TorchEncoder encodes one item in fit, to know how many features there are; of "
            f"{len(column.cells)} none can be encoded.{cause}"
        )

    def _validate_params(self):
        super()._validate_params()
        if (self.modality == "audio") != (self.target_sampling_rate is not None):
            raise ValueError(
                'modality="audio" and target_sampling_rate, the rate that the module was trained '
                f"for, go together; got modality={self.modality!r} and target_sampling_rate="
                f"{self.target_sampling_rate}."
            )

    # The module

    def _find_backbone(self) -> Backbone:
        import torch

        if not isinstance(self.module, torch.nn.Module):
            return super()._find_backbone()
        if self.device != "auto":
            self.module.to(choose_device(self.device))
        module = self.module.eval()
        return Backbone(module, digest_module(module, repr(module)), n_features=0)

    def _name_model(self) -> tuple[Any, ...]:
        return (describe_callable(self.module),)

    def _load(self, device: str) -> Backbone:
        import torch

        module = self.module()
        if not isinstance(module, torch.nn.Module):
            raise TypeError(
                "TorchEncoder: module must be a torch.nn.Module or a function without arguments "
                f"that gives one; it gave a {type(module).__name__}."
            )
        module = module.to(device).eval().requires_grad_(False)
        return Backbone(module, digest_model(module, repr(module)), n_features=0)

    def _describe_method(self) -> str:
        try:
            return describe_callable((self._backbone.model, self.preprocess, self.collate))
        except TypeError as e:
            raise TypeError(
                f"TorchEncoder cannot tell what module, preprocess and collate compute ({e}), so "
                "that vectors in a cache might be those of others: pass cache=None, or functions "
                "that hold no such object."
            ) from e

    def _name_method(self) -> str:
        try:
            code = describe_callable((self.preprocess, self.collate))
        except TypeError:  # what the key of a vector needs, and this can do without
            return super()._name_method()
        return f"{super()._name_method()}, preprocess and collate {code[:8]}"

    @property
    def _n_features_out(self) -> int:
        return self.n_features_out_

    # Items

    def _read_column(self, X) -> Column:
        if self.modality == "image":
            check_not_one_image(X, estimator="TorchEncoder")
        if self.modality == "audio":
            check_not_one_sound(X, estimator="TorchEncoder")
        column = super()._read_column(X)
        return unwrap_cells(column) if self.modality in ("image", "audio") else column

    def _reading(self) -> AbstractContextManager:
        return quiet_pillow() if self.modality == "image" else nullcontext()

    def _is_path(self, cell: Any) -> bool:
        if self.modality in ("image", "audio"):
            return super()._is_path(cell)
        return isinstance(cell, os.PathLike)

    def _check_cell(self, cell: Any) -> None:
        if self.modality == "text":
            check_text(cell)
        elif self.modality == "image":
            check_image(cell, max_pixels=MAX_PIXELS, filesystem=self.filesystem)
        elif self.modality == "audio":
            check_sound(cell, sampling_rate=self.sampling_rate, filesystem=self.filesystem)
        elif isinstance(cell, str):
            raise TypeError(
                "a str may be a text or a path: pass modality=, or turn paths into pathlib.Path"
            )

    def _read(self, cell: Any) -> Any:
        item = self._read_raw(cell)
        if self.preprocess is None:
            return item
        try:
            return self.preprocess(item)
        except (BrokenItemError, MemoryError):
            raise
        except Exception as e:
            raise BrokenItemError(f"preprocess fails with {type(e).__name__}: {e}") from e

    def _read_raw(self, cell: Any) -> Any:
        if self.modality == "image":
            from PIL import Image

            return Image.fromarray(
                read_image(
                    cell, background=WHITE, max_pixels=MAX_PIXELS, filesystem=self.filesystem
                )
            )
        if self.modality == "audio":
            return read_sound(
                cell,
                sampling_rate=self.sampling_rate,
                target_sampling_rate=self.target_sampling_rate,
                max_seconds=MAX_SECONDS,
                filesystem=self.filesystem,
            ).samples
        return cell

    def _make_batch(self) -> Batch:
        if self.collate is None:
            return TensorBatch(self.batch_size, self._collate)
        return Batch(self._collate)

    def _collate(self, items: list) -> tuple[int, Any]:
        import torch

        collate = self.collate or torch.utils.data.default_collate
        try:
            return len(items), collate(items)
        except TypeError as e:
            if self.collate is None:
                e.add_note(
                    f"TorchEncoder puts items together with torch's default_collate, and these are "
                    f"of {type(items[0]).__name__}: pass a preprocess that makes a tensor of one, "
                    "or a collate."
                )
            raise

    def _encode(self, items: Any) -> np.ndarray:
        import torch

        n_items, batch = items if isinstance(items, tuple) else (len(items), items)
        module = self._backbone.model
        tensor = next(iter([*module.parameters(), *module.buffers()]), None)
        with torch.inference_mode():
            vectors = module(batch if tensor is None else _move(batch, tensor.device))
        if not isinstance(vectors, torch.Tensor) or vectors.shape[:-1] != (n_items,):
            form = getattr(vectors, "shape", type(vectors).__name__)
            raise ValueError(
                f"TorchEncoder: module must give a tensor (n_items, n_features); for {n_items} "
                f"items it gave {tuple(form) if not isinstance(form, str) else form}. Wrap it in a "
                "module that does."
            )
        return vectors.float().cpu().numpy()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_out_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags


def _move(batch: Any, device) -> Any:
    """Move the tensors in lists, tuples and dicts."""
    import torch

    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, list):
        return [_move(part, device) for part in batch]
    if isinstance(batch, tuple):
        parts = [_move(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else tuple(parts)
    if isinstance(batch, dict):
        return {name: _move(part, device) for name, part in batch.items()}
    return batch
