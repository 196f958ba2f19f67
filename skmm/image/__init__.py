"""Images as features, and what prepares them."""

from ._descriptor import ImageDescriptor
from ._encoder import ImageEncoder
from ._preparing import ImagePreprocessor

__all__ = ["ImageDescriptor", "ImageEncoder", "ImagePreprocessor"]
