"""Texts as features, and what prepares them."""

from ._descriptor import TextDescriptor
from ._encoder import TextEncoder
from ._preparing import TextCleaner
from ._tokenizing import TextTokenizer

__all__ = ["TextCleaner", "TextDescriptor", "TextEncoder", "TextTokenizer"]
