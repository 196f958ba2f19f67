"""From a frame of raw columns to one frame of features, named by modality."""

from ._inference import infer_column, infer_modalities
from ._tabular import TabularEncoder
from ._transformer import ModalityTransformer
from ._vectors import VectorEncoder

__all__ = ["ModalityTransformer", "TabularEncoder", "VectorEncoder", "infer_modalities"]
