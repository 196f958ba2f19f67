"""Images as features, and what prepares them."""

from ._descriptor import ImageDescriptor
from ._encoder import ImageEncoder
from ._preparing import ImagePreprocessor
from ._reading import ImageCellEncoder
from ._texts import encode_texts

__all__ = ["ImageDescriptor", "ImageEncoder", "ImagePreprocessor"]
