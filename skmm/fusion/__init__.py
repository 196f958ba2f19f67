"""Fusion of modalities: estimators that learn how much each counts."""

from ._classifier import FusionClassifier
from ._late import LateFusionClassifier
from ._regressor import FusionRegressor

__all__ = ["FusionClassifier", "FusionRegressor", "LateFusionClassifier"]
