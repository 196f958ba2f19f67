"""What the encoders of every modality share: columns of cells, readers of raw inputs, a base.

`EmbeddingCache` keeps what they encoded, and `TorchEncoder` is one for any modality.
"""

from ._cache import EmbeddingCache
from ._torch_encoder import TorchEncoder

__all__ = ["EmbeddingCache", "TorchEncoder"]
