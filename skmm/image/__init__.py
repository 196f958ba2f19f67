"""Images as features, and what prepares them."""

from ._descriptor import ImageDescriptor
from ._preparing import ImagePreprocessor

__all__ = ["ImageDescriptor", "ImagePreprocessor"]
