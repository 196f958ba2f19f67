"""ImageEncoder: images by a pretrained model of open_clip or timm."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import StrOptions

from ..encoding.cache import digest_model
from ..encoding.engine import Backbone, TensorBatch, TunableEncoder
from ._models import describe_transform, find_config, load_model
from ._reading import ImageCellEncoder

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from torch import Tensor

    from .._torch.tuning import ModelCalls
    from ..encoding import LoRA
    from ..encoding.cache import EmbeddingCache


class ImageEncoder(ImageCellEncoder, TunableEncoder):
    """Encode images with a pretrained model of open_clip or timm.

    Each distinct image is encoded once; after that, its vector comes from the cache.

    Parameters
    ----------
    model : str or PathLike, default="ViT-B-32"
        One of:

        - the name of a CLIP model that open_clip knows, with `pretrained`;
        - ``"hf-hub:ORGANISATION/NAME"``, a CLIP model on the Hugging Face hub;
        - a folder, also as ``"local-dir:FOLDER"``, as open_clip saves it, with an
          ``open_clip_config.json``;
        - ``"timm:NAME"``, any model of timm, such as ``"timm:resnet18.a1_in1k"`` or
          ``"timm:hf-hub:ORGANISATION/NAME"``, of which the last features before its classes are
          taken; or ``"timm:local-dir:FOLDER"``, or a folder with a ``config.json`` of timm.
    pretrained : str or PathLike, default="laion2b_s34b_b79k"
        For a name that open_clip knows: the tag of its weights (``open_clip.list_pretrained()``),
        or a file of weights. With an ``open_clip_config.json`` beside this file, images are
        prepared by it. Other models have their own weights, and this is ignored.
    normalize : bool, default=False
        Whether to scale each vector to length 1 (Euclidean).
    batch_size : int, default=32
        The number of images encoded at once. It changes no vector by more than rounding.
    precision : {"float32", "bfloat16"}, default="float32"
        What the model computes in; vectors are float32 in any case.
    finetune : {"lora"}, LoRA or None, default=None
        Tune the last layers of the model to ``y``, out of fold, with the defaults of
        `skmm.encoding.LoRA` or with others; needs ``pip install 'skmm[finetune]'``. Features are
        then not the vectors of the model, but the log-probabilities of what ``y`` is.
    background : tuple of 3 int, default=(255, 255, 255)
        The RGB colour, from 0 to 255, behind what is transparent.
    device : str, default="auto"
        Where the model runs, such as ``"cpu"`` or ``"cuda:1"``; "auto" is a CUDA device if there is
        one.
    cache : "memory", path, EmbeddingCache or None, default="memory"
        Where vectors are kept: in this process, or in a file that processes and runs share.
    filesystem : fsspec filesystem, default=None
        Where paths lead, such as ``s3fs.S3FileSystem()``. None: this machine.
    errors : {"raise", "missing"}, default="raise"
        What to do with an item that cannot be read: raise, or treat it as missing, with one
        warning. A cell that is no image at all, such as a number, is an error in any case.
    max_pixels : int, default=50_000_000
        Larger images are broken items; they are not decoded (decompression bombs).
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    model_digest_ : str
        Identifies the weights and the preprocessing that it was fitted with; with others,
        `transform` raises an error.
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
    ImageDescriptor : Needs no model.
    ImagePreprocessor : Prepare images first.

    Notes
    -----
    An item is a path, the bytes of an encoded image, a dict of "bytes" or "path", a PIL image or an
    array (H, W), (H, W, 3) or (H, W, 4) of uint8 or of floats in [0, 1]; None, NaN and pd.NA are
    missing, and become a row of NaN. EXIF orientation is applied, and the first frame of an
    animation is used. The same picture in any lossless form has the same vector. URLs are not
    fetched. The model resizes and crops an image as in its training.

    Examples
    --------
    A tiny model with random weights, saved as a folder, in the place of a trained one:

    >>> import json, tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import open_clip, torch
    >>> from skmm.image import ImageEncoder
    >>> vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    >>> text = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1}
    >>> config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     weights = open_clip.CLIP(**config).state_dict()
    ...     torch.save(weights, Path(folder, "open_clip_pytorch_model.bin"))
    ...     _ = Path(folder, "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    ...     ImageEncoder(folder).fit_transform(images).shape
    (4, 16)
    """

    _neutral = ImageCellEncoder._neutral | TunableEncoder._neutral
    _of_upper = frozenset({"normalize"})
    _parameter_constraints: ClassVar[dict] = {
        **ImageCellEncoder._shared_constraints,
        **TunableEncoder._shared_constraints,
        **TunableEncoder._finetune_constraints,
        "model": [str, os.PathLike],
        "pretrained": [str, os.PathLike, None],
        "normalize": ["boolean"],
        "precision": [StrOptions({"float32", "bfloat16"})],
    }

    def __init__(
        self,
        model: str | os.PathLike = "ViT-B-32",
        *,
        pretrained: str | os.PathLike | None = "laion2b_s34b_b79k",
        normalize: bool = False,
        batch_size: int = 32,
        precision: str = "float32",
        finetune: str | LoRA | None = None,
        background: tuple[int, int, int] = (255, 255, 255),
        device: str = "auto",
        cache: str | os.PathLike | EmbeddingCache | None = "memory",
        filesystem: AbstractFileSystem | None = None,
        errors: str = "raise",
        max_pixels: int = 50_000_000,
        verbose: bool = False,
    ):
        self.model = model
        self.pretrained = pretrained
        self.normalize = normalize
        self.batch_size = batch_size
        self.precision = precision
        self.finetune = finetune
        self.background = background
        self.device = device
        self.cache = cache
        self.filesystem = filesystem
        self.errors = errors
        self.max_pixels = max_pixels
        self.verbose = verbose

    def _name_model(self) -> tuple[Any, ...]:
        name = os.path.expanduser(os.fspath(self.model))
        folder = os.path.expanduser(name.rpartition("local-dir:")[2])
        pretrained = self.pretrained
        if pretrained is not None:
            pretrained = os.path.expanduser(os.fspath(pretrained))
        # The last two are looked at for changes.
        return (name, pretrained, self.precision, folder, find_config(pretrained))

    def _load(self, device: str) -> Backbone:
        from PIL import Image

        name, pretrained, precision, *_ = self._name_model()
        model, preprocess = load_model(name, pretrained, precision=precision, device=device)
        backbone = Backbone(
            model.eval().requires_grad_(False),
            digest_model(model, repr(model), describe_transform(preprocess)),
            n_features=0,
            preprocess=preprocess,
        )
        vector = _run(backbone, preprocess(Image.new("RGB", (8, 8)))[None], precision)
        return backbone._replace(n_features=vector.shape[1])

    def _read(self, cell: Any):
        preprocess: Any = self._backbone.preprocess  # every model of images has one
        return preprocess(self._read_picture(cell))

    def _make_batch(self) -> TensorBatch:
        return TensorBatch(self.batch_size)

    def _encode(self, items: Tensor) -> np.ndarray:
        vectors = _run(self._backbone, items, self.precision)
        if self.normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def _find_module(self) -> tuple[Any, str]:
        model = self._backbone.model
        return model, "visual" if hasattr(model, "encode_image") else ""

    def _make_calls(self) -> ModelCalls:
        import torch
        from PIL import Image

        from .._torch.tuning import ModelCalls

        preprocess: Any = self._backbone.preprocess
        shape = preprocess(Image.new("RGB", (8, 8))).shape
        # What the upper layers read is not computed from these.
        blank = torch.zeros(shape)

        def collate(inputs: list[Any]) -> Tensor:
            return self._move(blank.expand(len(inputs), *shape))

        return ModelCalls(self._move, collate, self._call, lambda features: None)

    def _move(self, images: Tensor) -> Tensor:
        return _move(self._backbone, images, self.precision)

    def _call(self, model: Any, features: Tensor) -> Tensor:
        """Return the vectors (n, d) of images (n, 3, H, W)."""
        import torch.nn.functional as F

        vectors = getattr(model, "encode_image", model)(features)
        return F.normalize(vectors, dim=1) if self.normalize else vectors


def _move(backbone: Backbone, images: Tensor, precision: str) -> Tensor:
    import torch

    device = next(backbone.model.parameters()).device
    return images.to(device, getattr(torch, precision))


def _run(backbone: Backbone, images: Tensor, precision: str) -> np.ndarray:
    """Encode images (n, 3, H, W)."""
    import torch

    encode = getattr(backbone.model, "encode_image", backbone.model)
    with torch.inference_mode():
        vectors = encode(_move(backbone, images, precision))
    return vectors.float().cpu().numpy()
