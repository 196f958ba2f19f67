"""Fusion of modalities: estimators that learn how much each counts."""

from .._hyperparameters import LBFGS, MLP, AdamW
from ._classifier import FusionClassifier
from ._late import LateFusionClassifier
from ._regressor import FusionRegressor
from ._rules import Additive, Attention, Bilinear, Concat, FusionRule, Gated, Late, Weighted

__all__ = [
    "LBFGS",
    "MLP",
    "AdamW",
    "Additive",
    "Attention",
    "Bilinear",
    "Concat",
    "FusionClassifier",
    "FusionRegressor",
    "FusionRule",
    "Gated",
    "Late",
    "LateFusionClassifier",
    "Weighted",
]
