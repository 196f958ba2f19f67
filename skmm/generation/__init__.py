"""Text from what was fused: names, captions and translations of rows of several modalities."""

from ._generator import FusionTextGenerator
from ._scorers import bleu, chrf
from ._settings import TextTransformer

__all__ = ["FusionTextGenerator", "TextTransformer", "bleu", "chrf"]
