"""Multimodal machine learning with scikit-learn's interface."""

from importlib import import_module
from types import ModuleType

from .compose import ModalityTransformer, TabularEncoder, infer_modalities
from .fusion import LBFGS, MLP, AdamW, FusionClassifier, FusionRegressor, LateFusionClassifier

__version__ = "0.1.0.dev0"

# The types in skops files of fitted estimators: skops.io.load(file, trusted=skmm.trusted_types).
# Strings, so that nothing is imported until it is used.
trusted_types = [
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "skmm._data.reduction.BoundedScaler",
    "skmm._data.reduction.PiecewiseLinearEncoder",
    "skmm._data.reduction.QuantileBinner",
    "skmm._hyperparameters.AdamW",
    "skmm._hyperparameters.LBFGS",
    "skmm._hyperparameters.MLP",
    "skmm.alignment._aligner.CrossModalAligner",
    "skmm.alignment._zero_shot.ZeroShotClassifier",
    "skmm.audio._descriptor.AudioDescriptor",
    "skmm.audio._encoder.AudioEncoder",
    "skmm.audio._preparing.AudioPreprocessor",
    "skmm.compose._tabular.TabularEncoder",
    "skmm.compose._transformer.ModalityTransformer",
    "skmm.compose._vectors.VectorEncoder",
    "skmm.fusion._classifier.FusionClassifier",
    "skmm.fusion._late.LateFusionClassifier",
    "skmm.fusion._regressor.FusionRegressor",
    "skmm.fusion._rules.Additive",
    "skmm.fusion._rules.Attention",
    "skmm.fusion._rules.Bilinear",
    "skmm.fusion._rules.Concat",
    "skmm.fusion._rules.Gated",
    "skmm.fusion._rules.Late",
    "skmm.fusion._rules.Weighted",
    "skmm.generation._generator.FusionTextGenerator",
    "skmm.generation._settings.TextTransformer",
    "skmm.image._descriptor.ImageDescriptor",
    "skmm.image._encoder.ImageEncoder",
    "skmm.image._preparing.ImagePreprocessor",
    "skmm.text._descriptor.TextDescriptor",
    "skmm.text._encoder.TextEncoder",
    "skmm.text._preparing.TextCleaner",
    "skmm.text._tokenizing.TextTokenizer",
    "skmm.video._encoder.VideoEncoder",
]

__all__ = [
    "LBFGS",
    "MLP",
    "AdamW",
    "FusionClassifier",
    "FusionRegressor",
    "LateFusionClassifier",
    "ModalityTransformer",
    "TabularEncoder",
    "__version__",
    "infer_modalities",
    "trusted_types",
]

_SUBMODULES = {
    "alignment",
    "audio",
    "datasets",
    "distributed",
    "encoding",
    "generation",
    "image",
    "inspection",
    "model_selection",
    "text",
    "video",
}


def __getattr__(name: str) -> ModuleType:
    """Import a submodule where it is first used."""
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
