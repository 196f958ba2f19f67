"""Displays that show what a fitted model makes of each modality."""

from ._ablation import ModalityAblationDisplay
from ._path import FusionPathDisplay
from ._terms import LossTermsDisplay
from ._weights import ModalityWeightsDisplay

__all__ = [
    "FusionPathDisplay",
    "LossTermsDisplay",
    "ModalityAblationDisplay",
    "ModalityWeightsDisplay",
]
