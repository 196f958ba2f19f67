"""Texts as features, and what prepares them."""

from ._descriptor import TextDescriptor
from ._preparing import TextCleaner
from ._tokenizing import TextTokenizer

__all__ = ["TextCleaner", "TextDescriptor", "TextTokenizer"]
