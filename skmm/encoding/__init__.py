"""What the encoders of every modality share, and one for any modality: `TorchEncoder`.

`EmbeddingCache` keeps what was encoded, and `LoRA` says how pretrained models are tuned to y. Other
rooms import the base classes from `engine`, the readers of raw items from `readers`, and digests
from `cache`; none of these is public.
"""

from ._lora import LoRA
from ._torch_encoder import TorchEncoder
from .cache import EmbeddingCache

__all__ = ["EmbeddingCache", "LoRA", "TorchEncoder"]
