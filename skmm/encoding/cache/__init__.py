"""The cache of vectors, and the digests that are its keys.

`EmbeddingCache` is public, as `skmm.encoding.EmbeddingCache`; the rest is for other rooms.
"""

from ._cache import EmbeddingCache, open_cache
from ._callables import describe_callable
from ._digests import digest_item
from ._file_digests import FileDigests, digest_file
from ._weights import digest_model, digest_module

__all__: list[str] = []
