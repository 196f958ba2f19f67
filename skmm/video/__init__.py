"""Videos as features."""

from ._encoder import VideoEncoder
from ._sampling import Sampling, sample_frames

__all__ = ["VideoEncoder"]
