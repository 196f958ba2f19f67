"""Multimodal machine learning with scikit-learn's interface."""

from .fusion import FusionClassifier

__version__ = "0.1.0.dev0"

__all__ = ["FusionClassifier", "__version__"]
