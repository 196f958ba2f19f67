"""Videos as features."""

from ._encoder import VideoEncoder

__all__ = ["VideoEncoder"]
