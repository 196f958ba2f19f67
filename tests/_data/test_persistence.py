"""Parameters as strings: values that are equal, and values that are not."""

import functools
from pathlib import Path

import numpy as np
import pytest
import skops.io
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.ensemble import RandomForestClassifier
from sklearn.gaussian_process.kernels import RBF
from sklearn.preprocessing import FunctionTransformer

from skmm import MLP, AdamW, FusionClassifier
from skmm._data.persistence import _digest, describe_value, read_weights, write_weights
from skmm.fusion import Attention


def logarithm(values):
    return np.log(values)


def random_state():
    return np.random.RandomState(0)


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (np.float64(0.3), 0.3),
        (1, 1.0),
        (np.int32(3), 3),
        (-0.0, 0),
        (np.bool_(True), True),
        (np.str_("late"), "late"),
        (float("nan"), np.float32("nan")),
        ([8], (8,)),
        (np.array([0.5, 0.5]), [0.5, 0.5]),
        ({"a": 1, "b": 0.5}, {np.str_("b"): np.float32(0.5), "a": 1.0}),
        (slice(0, 3), slice(np.int64(0), np.int64(3))),
        (MLP(np.array([8]), dropout=np.float64(0.3)), MLP([8], dropout=0.3)),
        (AdamW(max_iter=np.int64(5)), AdamW(max_iter=5)),
        (Attention(n_heads=np.int64(2)), Attention(n_heads=2)),
        (RandomForestClassifier(np.int64(9)), RandomForestClassifier(9)),
        (
            RandomForestClassifier(random_state=random_state()),
            RandomForestClassifier(random_state=random_state()),
        ),
        (RBF(np.float64(1)), RBF(1)),
        (FunctionTransformer(logarithm), FunctionTransformer(logarithm)),
    ],
)
def test_equal_values(value, other):
    assert describe_value(value) == describe_value(other)


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (True, 1),
        (False, 0),
        ("1", 1),
        ("None", None),
        (0.3, np.float32(0.3)),
        ([8], [8, 8]),
        (MLP((8,)), MLP((9,))),
        (RBF(1.0), RBF(1.0001)),
        (slice(0, 3), slice(0, 4)),
        (FunctionTransformer(logarithm), FunctionTransformer(np.log1p)),
        (
            RandomForestClassifier(random_state=random_state()),
            RandomForestClassifier(random_state=0),
        ),
    ],
)
def test_other_values(value, other):
    assert describe_value(value) != describe_value(other)


def test_weights_are_loaded_into_equal_parameters(data, small, tmp_path):
    X, y = data
    path = tmp_path / "model.safetensors"
    model = FusionClassifier(
        "weighted",
        modality_model=MLP(np.array([8]), dropout=np.float64(0.3)),
        solver=AdamW(max_iter=np.int64(2), tol=0),
        modalities={"a": slice(0, 5), "b": np.arange(5, 9)},
        random_state=np.int64(0),
    ).fit(X.to_numpy(), y)
    model.save_weights(path)
    loaded = FusionClassifier(
        np.str_("weighted"),
        modality_model=MLP(8, dropout=0.3),
        solver=AdamW(max_iter=2, tol=0.0),
        modalities={"a": slice(np.int64(0), 5), "b": [5, 6, 7, 8]},
    ).load_weights(path)
    np.testing.assert_array_equal(
        loaded.predict_proba(X.to_numpy()), model.predict_proba(X.to_numpy())
    )


@pytest.mark.parametrize(
    ("one_for_all", "by_name"),
    [
        ({"modality_loss_weight": 0.5}, {"modality_loss_weight": {"image": 0.5, "text": 0.5}}),
        (
            {"modality_weights": "uniform", "interaction": None},
            {"modality_weights": {"text": 3, "image": 3}, "interaction": None},
        ),
        (
            {"modality_weights": {"text": 1, "image": 3}, "interaction": None},
            {"modality_weights": {"text": 0.25, "image": 0.75}, "interaction": None},
        ),
        (
            {"modality_model": "linear"},
            {"modality_model": dict.fromkeys(["text", "image"], MLP(()))},
        ),
        (
            {"alignment": "cosine", "alignment_weight": 2.0},
            {"alignment": "cosine", "alignment_weight": {("image", "text"): 2}},
        ),
        (
            {"alignment": "cosine", "alignment_weight": {("text", "image"): 2}},
            {"alignment": "cosine", "alignment_weight": [[0, 2], [2, 0]]},
        ),
    ],
)
def test_one_value_for_all_modalities_is_a_dict_of_it(data, tmp_path, one_for_all, by_name):
    X, y = data
    solver = AdamW(max_iter=2)
    for written, read in ((one_for_all, by_name), (by_name, one_for_all)):
        model = FusionClassifier(solver=solver, random_state=0, **written).fit(X, y)
        model.save_weights(tmp_path / "w")
        loaded = FusionClassifier(solver=solver, **read).load_weights(tmp_path / "w")
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    "other",
    [
        {"modality_loss_weight": {"text": 0.3, "image": 0.4}},
        {"modality_weights": "uniform"},
        {"modality_model": {"text": "mlp", "image": "linear"}},
        {"modality_loss_weight": {"text": 0.3, "c": 0.3}},
    ],
)
def test_weights_are_not_loaded_into_other_parameters(data, tmp_path, other):
    X, y = data
    solver = AdamW(max_iter=2)
    FusionClassifier(solver=solver, random_state=0).fit(X, y).save_weights(tmp_path / "w")
    unfitted = FusionClassifier(solver=solver, **other)
    with pytest.raises(ValueError, match=next(iter(other))):
        unfitted.load_weights(tmp_path / "w")
    assert not hasattr(unfitted, "classes_")


def test_no_code_of_a_file_is_run(tmp_path):
    path = tmp_path / "w"
    write_weights(path, "Estimator", {}, {"model": RandomForestClassifier(3)})
    assert read_weights(path, "Estimator").learned["model"].n_estimators == 3
    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
    ran = tmp_path / "ran"
    evil = FunctionTransformer(functools.partial(Path.touch, ran))
    arrays = {"model": np.frombuffer(skops.io.dumps(evil), dtype=np.uint8)}
    del header["digest"]
    header["digest"] = _digest(header, arrays)
    save_file(arrays, path, metadata=header)
    with pytest.raises(ValueError, match=r"/w' .*functools\.partial"):
        read_weights(path, "Estimator")
    assert not ran.exists()
