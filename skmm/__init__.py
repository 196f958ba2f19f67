"""Multimodal machine learning with scikit-learn's interface."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from ._trusted_types import trusted_types
from .compose import ModalityTransformer, TabularEncoder, infer_modalities
from .export import model_card
from .fusion import LBFGS, MLP, AdamW, FusionClassifier, FusionRegressor, LateFusionClassifier

try:
    __version__ = version("skmm")
except PackageNotFoundError:  # a copy of the files that was not installed
    __version__ = "0+unknown"

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
    "model_card",
    "trusted_types",
]

_SUBMODULES = {
    "alignment",
    "audio",
    "datasets",
    "demo",
    "distributed",
    "encoding",
    "export",
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
