"""Sounds as features, and what prepares them."""

from ._descriptor import AudioDescriptor
from ._encoder import AudioEncoder
from ._preparing import AudioPreprocessor
from ._reading import AudioCellEncoder

__all__ = ["AudioDescriptor", "AudioEncoder", "AudioPreprocessor"]
