"""Texts as features."""

from ._descriptor import TextDescriptor

__all__ = ["TextDescriptor"]
