"""The side of a CLIP model that reads texts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._models import load_tokenizer

if TYPE_CHECKING:
    from ._encoder import ImageEncoder


class TextSide(NamedTuple):
    """Texts in the space of the pictures, and how the model scales their cosines with these."""

    vectors: np.ndarray  # (n, q) of length 1, float32
    scale: float  # of the cosines
    bias: float  # added to these, 0 without one


def encode_texts(encoder: ImageEncoder, texts: Sequence[str]) -> TextSide:
    """Encode texts by the model that ``encoder`` encodes pictures with.

    Raises
    ------
    ValueError
        If it has no text side.
    """
    import torch
    import torch.nn.functional as F

    from .._torch.modes import model_modes

    model = encoder._find_backbone().model
    if not hasattr(model, "encode_text"):
        raise ValueError(
            f"{encoder._model_name} reads no texts. Take a CLIP model of open_clip, such as "
            'ImageEncoder("ViT-B-32", pretrained="laion2b_s34b_b79k"), or a folder with one.'
        )
    tokenize = load_tokenizer(os.path.expanduser(os.fspath(encoder.model)))
    device = next(model.parameters()).device
    size, vectors = encoder.batch_size, []
    with model_modes(), torch.inference_mode():
        for start in range(0, len(texts), size):
            tokens = tokenize(list(texts[start : start + size])).to(device)
            vectors.append(F.normalize(model.encode_text(tokens).float(), dim=1).cpu())
        scale = float(model.logit_scale.exp().mean())
        bias = getattr(model, "logit_bias", None)
        bias = 0.0 if bias is None else float(bias.mean())
    return TextSide(torch.cat(vectors).numpy(), scale, bias)
