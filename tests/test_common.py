"""scikit-learn's own checks on every public estimator, and the proof that none is left out."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import skmm
from skmm import FusionClassifier, ModalityTransformer
from skmm.image import ImageDescriptor
from skmm.text import TextDescriptor

ESTIMATORS = [
    FusionClassifier(),
    FusionClassifier(fusion="weighted"),
    FusionClassifier(fusion="concat"),
    ModalityTransformer(),
    ModalityTransformer([("trans1", StandardScaler(), [0, 1])]),
    ImageDescriptor(),
    TextDescriptor(),
]


def expected_failed_checks(estimator):
    """Give what scikit-learn expects to fail of its own ColumnTransformer, and nothing else."""
    if isinstance(estimator, ModalityTransformer) and estimator.transformers != "auto":
        return {
            "check_estimators_nan_inf": "what an encoder accepts is for the encoder to say",
            "check_fit2d_1feature": "the list of columns is fixed, and the check takes one away",
        }
    return {}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failed_checks)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def public_estimators():
    """Every estimator in the `__all__` of a public module of skmm."""
    modules = [skmm]
    for info in pkgutil.walk_packages(skmm.__path__, "skmm."):
        if not re.search(r"\._", info.name):
            modules.append(importlib.import_module(info.name))
    public = {getattr(module, name) for module in modules for name in module.__all__}
    return {cls for cls in public if isinstance(cls, type) and issubclass(cls, BaseEstimator)}


def test_every_public_estimator_is_checked():
    assert public_estimators() == {type(estimator) for estimator in ESTIMATORS}


@pytest.mark.parametrize("path", sorted(Path(skmm.__file__).parent.rglob("[!_]*.py")))
def test_every_public_module_has_all(path):
    assert "__all__" in path.read_text()
