"""Fusion of modalities: estimators that learn how much each counts."""

from ._classifier import FusionClassifier

__all__ = ["FusionClassifier"]
