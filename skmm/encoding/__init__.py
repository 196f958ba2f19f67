"""What the encoders of every modality share: columns of cells, readers of raw inputs, a base.

`EmbeddingCache` keeps what they encoded.
"""

from ._cache import EmbeddingCache

__all__ = ["EmbeddingCache"]
