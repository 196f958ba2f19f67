"""Multimodal machine learning with scikit-learn's interface."""

from .compose import ModalityTransformer, infer_modalities
from .fusion import FusionClassifier, LateFusionClassifier

__version__ = "0.1.0.dev0"

__all__ = [
    "FusionClassifier",
    "LateFusionClassifier",
    "ModalityTransformer",
    "__version__",
    "infer_modalities",
]
