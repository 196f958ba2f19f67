"""Images as features."""

from ._descriptor import ImageDescriptor

__all__ = ["ImageDescriptor"]
