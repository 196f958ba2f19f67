"""Multimodal machine learning with scikit-learn's interface."""

from .compose import ModalityTransformer, TabularEncoder, infer_modalities
from .fusion import FusionClassifier, FusionRegressor, LateFusionClassifier

__version__ = "0.1.0.dev0"

__all__ = [
    "FusionClassifier",
    "FusionRegressor",
    "LateFusionClassifier",
    "ModalityTransformer",
    "TabularEncoder",
    "__version__",
    "infer_modalities",
]
