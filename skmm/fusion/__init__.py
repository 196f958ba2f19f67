"""Fusion of modalities: estimators that learn how much each counts."""

from ._classifier import FusionClassifier
from ._late import LateFusionClassifier, simplex_grid

__all__ = ["FusionClassifier", "LateFusionClassifier", "simplex_grid"]
