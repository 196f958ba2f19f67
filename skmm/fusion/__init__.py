"""Fusion of modalities: estimators that learn how much each counts."""

from ._classifier import FusionClassifier
from ._late import LateFusionClassifier

__all__ = ["FusionClassifier", "LateFusionClassifier"]
