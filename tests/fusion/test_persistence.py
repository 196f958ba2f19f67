"""Fitted estimators in files."""

import importlib
import io
import os
import pickle
import pkgutil
import re

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from nested_settings import RULES
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

import skmm
from skmm import LBFGS, MLP, AdamW, FusionClassifier, FusionRegressor, LateFusionClassifier
from skmm._data.reduction import BoundedScaler, PiecewiseLinearEncoder, QuantileBinner
from skmm.alignment import CrossModalAligner
from skmm.compose import ModalityTransformer, infer_modalities
from skmm.fusion import Attention, Gated, Late

ROOMS = [
    "alignment",
    "audio",
    "compose",
    "encoding",
    "fusion",
    "generation",
    "image",
    "text",
    "video",
]


def in_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def in_skops(model):
    content = skops.io.dumps(model)
    assert {*skops.io.get_untrusted_types(data=content)} <= {*skmm.trusted_types}
    return skops.io.loads(content, trusted=skmm.trusted_types)


def in_pickle(model):
    return pickle.loads(pickle.dumps(model))


@pytest.fixture(params=[in_pickle, in_joblib, in_skops, "weights"])
def save_and_load(request, tmp_path):
    def in_weights(model):
        model.save_weights(tmp_path / "weights.safetensors")
        return clone(model).load_weights(tmp_path / "weights.safetensors")

    return in_weights if request.param == "weights" else request.param


@pytest.mark.parametrize(
    "parameters",
    [
        {"modalities": {"text": slice(0, 5), "image": [5, 6, 7, 8]}},
        {"fusion": "gated", "class_weight": "balanced", "early_stopping": True},
        {"fusion": "additive", "hidden_layer_sizes": (), "alignment": "mse"},
        {"fusion": Late(per_class=True), "sharing": "layers", "hidden_layer_sizes": (8, 6)},
        {"fusion": Gated(), "n_members": 2, "calibrate": "temperature"},
        {"modality_model": {"text": MLP((8, 4)), "image": "linear"}, "solver": "adamw"},
    ],
)
def test_all_that_was_learned_comes_back(data, small, save_and_load, parameters):
    X, y = data
    X = X.copy()
    X.iloc[0] = np.nan
    labels = np.array(["a", "b", "c"])[y]
    with pytest.warns(UserWarning, match=r"1 of 150 .*row 0"):
        model = small(**parameters).fit(X, labels)
    loaded = save_and_load(model)
    assert vars(loaded).keys() == vars(model).keys()
    with pytest.warns(UserWarning, match=r"1 of 150 .*row 0"):
        expected = model.predict_proba(X), model.predict(X)
    with pytest.warns(UserWarning, match=r"1 of 150 .*row 0"):
        np.testing.assert_array_equal(loaded.predict_proba(X), expected[0])
    with pytest.warns(UserWarning, match=r"1 of 150 .*row 0"):
        np.testing.assert_array_equal(loaded.predict(X), expected[1])
    assert loaded.predict(X[1:]).dtype == labels.dtype
    for name, weights in dict(model.modality_weights_).items():
        np.testing.assert_array_equal(loaded.modality_weights_[name], weights)
    assert loaded.modalities_ == model.modalities_
    assert loaded.history_.equals(model.history_)
    assert loaded.history_.index.name == model.history_.index.name
    np.testing.assert_array_equal(loaded.get_feature_names_out(), model.get_feature_names_out())
    for name, parameter in model.network_.named_parameters():
        assert loaded.network_.get_parameter(name).requires_grad == parameter.requires_grad


def test_unfitted_estimators_are_pickled_but_have_no_weights(small, tmp_path):
    assert repr(in_pickle(small()).get_params()) == repr(small().get_params())
    with pytest.raises(NotFittedError):
        small().save_weights(tmp_path / "w")
    assert not list(tmp_path.iterdir())


def test_a_network_changed_by_hand_is_pickled_as_it_is(data, small):
    X, y = data
    model = small().fit(X, y)
    model.network_.head = torch.nn.Sequential(model.network_.head, torch.nn.Tanh())
    np.testing.assert_array_equal(in_pickle(model).predict_proba(X), model.predict_proba(X))


def test_loading_replaces_what_was_learned_before(data, small, tmp_path):
    X, y = data
    first, other = small().fit(X, y), small(random_state=1).fit(X, y % 2)
    first.save_weights(tmp_path / "w")
    other.load_weights(tmp_path / "w")
    np.testing.assert_array_equal(other.predict_proba(X), first.predict_proba(X))


def test_loading_draws_no_random_numbers(data, small, tmp_path):
    small().fit(*data).save_weights(tmp_path / "w")
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    small().load_weights(tmp_path / "w")
    assert torch.equal(torch.random.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


@pytest.mark.parametrize("path", ["missing/weights", "."])
def test_a_path_that_cannot_be_written_is_named(data, small, tmp_path, path):
    model = small().fit(*data)
    with pytest.raises(OSError, match=re.escape(repr(str(tmp_path / path))) + "$"):
        model.save_weights(tmp_path / path)
    assert list(tmp_path.iterdir()) == []


def test_wrong_and_damaged_files(data, small, tmp_path):
    path = tmp_path / "w"
    model = small().fit(*data)
    model.save_weights(path)
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"modality_model=.*\[8\].*\[9\]"):
        small(hidden_layer_sizes=(9,)).load_weights(path)
    arrays = load_file(path)
    for damaged in (b"", b"hello", content[:-1], content[:500]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"/w' .*safetensors"):
            small().load_weights(path)
    save_file(arrays, path)
    with pytest.raises(ValueError, match="skmm=None"):
        small().load_weights(path)
    path.write_bytes(content.replace(b"FusionClassifier", b"FusionRegressors"))
    with pytest.raises(ValueError, match=r"FusionRegressors.*FusionClassifier"):
        small().load_weights(path)
    with pytest.raises(FileNotFoundError):
        small().load_weights(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        model.save_weights(tmp_path / "no" / "folder")


def test_altered_weights_are_refused_where_they_are_loaded(data, tmp_path):
    X, y = data
    settings = {"modality_model": MLP(4), "interaction": None, "solver": AdamW(max_iter=1)}
    path = tmp_path / "w"
    FusionClassifier(**settings, random_state=0).fit(X, y).save_weights(path)
    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
    for name, array in load_file(path).items():
        altered = array.copy()
        altered.flat[:1] = altered.flat[:1] == 0
        for change in ({name: altered}, {name: array[None]}, {"more": array}):
            save_file({**load_file(path), **change}, tmp_path / "altered", metadata=header)
            with pytest.raises(ValueError, match=r"/altered'"):
                FusionClassifier(**settings).load_weights(tmp_path / "altered")
    save_file(load_file(path), tmp_path / "same", metadata=header)
    again = FusionClassifier(**settings).load_weights(tmp_path / "same")
    assert (
        again.predict(X).tolist()
        == FusionClassifier(**settings).load_weights(path).predict(X).tolist()
    )
    altered = {**header, "learned": header["learned"].replace("0", "1", 1)}
    save_file(load_file(path), tmp_path / "altered", metadata=altered)
    with pytest.raises(ValueError, match=r"/altered'"):
        FusionClassifier(**settings).load_weights(tmp_path / "altered")


def test_links_stay_and_their_files_are_replaced(data, tmp_path):
    X, y = data
    (tmp_path / "disk").mkdir()
    link, file = tmp_path / "w", tmp_path / "disk" / "weights"
    link.symlink_to(file)
    settings = {"modality_model": MLP(4), "interaction": None, "solver": AdamW(max_iter=1)}
    for seed in (0, 1):  # the file is new, and is there
        model = FusionClassifier(**settings, random_state=seed).fit(X, y)
        model.save_weights(link)
        assert link.is_symlink()
        again = FusionClassifier(**settings).load_weights(file)
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["weights"]


def test_regressor(data, save_and_load):
    X, y = data
    values = np.c_[X.to_numpy()[:, 0] * 100 + 7, y]
    solver = AdamW(max_iter=3, batch_size=50)
    model = FusionRegressor(
        modality_model=MLP((8,)), interaction=None, solver=solver, random_state=0
    ).fit(X, values)
    np.testing.assert_array_equal(save_and_load(model).predict(X), model.predict(X))


# Equal parameters

MLP_8 = MLP((8,), dropout=0.3)
TEXT, IMAGE = [f"text__{i}" for i in range(5)], [f"image__{i}" for i in range(4)]


@pytest.mark.parametrize(
    ("saved", "loaded"),
    [
        *(
            ({"modality_model": MLP(a)}, {"modality_model": MLP(b)})
            for a, b in [(8, (8,)), ((8,), [8]), ([8], np.array([8])), (np.int64(8), 8)]
        ),
        ({"modality_model": MLP_8}, {"modality_model": MLP(8, dropout=np.float64(0.3))}),
        ({"modality_model": MLP_8}, {"modality_model": MLP(8, dropout=0.3, input_dropout=0.12)}),
        (
            {"modality_model": {"text": "mlp", "image": MLP_8}},
            {"modality_model": {"image": MLP(8, dropout=0.3), "text": MLP()}},
        ),
        ({"modality_model": "auto"}, {"modality_model": "mlp"}),
        ({"modality_model": "mlp"}, {"modality_model": MLP()}),
        ({"modality_model": "linear"}, {"modality_model": MLP([])}),
        ({"modality_loss_weight": 1}, {"modality_loss_weight": 1.0}),
        ({"modality_loss_weight": 0.3}, {"modality_loss_weight": np.float64(0.3)}),
        ({"modality_loss_weight": np.float32(0.5)}, {"modality_loss_weight": 0.5}),
        (
            {"modality_weights": {"text": 1, "image": 3}},
            {"modality_weights": {"text": 1.0, "image": 3.0}},
        ),
        (
            {"modalities": {"text": 5, "image": 4}},
            {"modalities": {"text": np.int64(5), "image": 4}},
        ),
        ({"class_weight": {0: 1, 1: 2, 2: 1}}, {"class_weight": {0: 1.0, 1: 2.0, 2: np.int32(1)}}),
        (
            {"alignment_weight": [[0, 1], [1, 0]]},
            {"alignment_weight": np.array([[0.0, 1], [1, 0]])},
        ),
        ({"class_weight": {0: 1, 1: 2, 2: 1}}, {"class_weight": {2: 1, 1: 2, 0: 1}}),
        (
            {"modality_weights": {"text": 1, "image": 3}},
            {"modality_weights": {np.str_("image"): 3, np.str_("text"): 1}},
        ),
        (
            {"modalities": {"a": TEXT, "b": IMAGE}},
            {"modalities": {"a": np.array(TEXT), "b": pd.Index(IMAGE)}},
        ),
        ({"modalities": "prefix"}, {"modalities": {"text": 5, "image": 4}}),
        ({"modalities": {"a": 5, "b": 4}}, {"modalities": {"a": slice(5), "b": slice(-4, None)}}),
        (
            {"modalities": {"a": slice(0, 5), "b": [5, 6, 7, 8]}},
            {"modalities": {"a": range(5), "b": np.arange(-4, 0)}},
        ),
        ({"warm_start": False}, {"warm_start": np.False_}),
        ({"fusion": "late"}, {"fusion": Late()}),
        ({"fusion": Late(per_class=False)}, {"fusion": Late(per_class=np.False_)}),
        ({"fusion": "attention"}, {"fusion": Attention(n_heads=np.int64(4))}),
        ({"fusion": Gated()}, {"fusion": "gated"}),
        ({"random_state": 0}, {"random_state": 1, "verbose": False, "device": "cpu"}),
    ],
    ids=str,
)
def test_equal_parameters_load_each_others_weights(data, tmp_path, saved, loaded):
    X, y = data
    quick = {
        "modality_model": MLP((8,)),
        "interaction": None,
        "solver": AdamW(max_iter=1, batch_size=150),
    }
    model = FusionClassifier(**{**quick, "random_state": 0, **saved}).fit(X, y)
    model.save_weights(tmp_path / "w")
    other = FusionClassifier(**{**quick, **loaded}).load_weights(tmp_path / "w")
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))


def test_equal_solvers_load_each_others_weights(data, tmp_path):
    X, y = data[0][:50], data[1][:50]
    model = FusionClassifier(modality_model=MLP((8,)), interaction=None, random_state=0).fit(X, y)
    model.save_weights(tmp_path / "w")
    for solver in (AdamW(), AdamW(validation_fraction=np.float64(0.1), early_stopping=np.False_)):
        loaded = clone(model).set_params(solver=solver).load_weights(tmp_path / "w")
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ({"solver": AdamW(max_iter=2, batch_size=150)}, "solver="),
        ({"solver": LBFGS()}, "solver="),
        ({"fusion": Late(per_class=True)}, "fusion="),
        ({"fusion": "weighted"}, "fusion="),
        ({"modality_model": MLP((8,), dropout=0.3)}, "modality_model="),
        ({"modality_weights": "uniform"}, "modality_weights="),
        ({"modality_weights": {"text": True, "image": 1}}, "modality_weights="),
        ({"modality_loss_weight": 0.30000001}, "modality_loss_weight="),
        ({"class_weight": {0: 1}}, "class_weight="),
        ({"class_weight": {"0": 1}}, "class_weight="),
        ({"modalities": {"text": 4, "image": 5}}, "modalities="),
        ({"modalities": {"image": slice(5, 9), "text": slice(5)}}, "modalities="),
        ({"modality_model": {"text": MLP(8), "image": MLP(9)}}, "modality_model="),
    ],
    ids=str,
)
def test_other_parameters_do_not(data, tmp_path, other, match):
    X, y = data
    quick = {
        "modality_model": MLP((8,)),
        "interaction": None,
        "solver": AdamW(max_iter=1, batch_size=150),
    }
    FusionClassifier(**quick, random_state=0).fit(X, y).save_weights(tmp_path / "w")
    with pytest.raises(ValueError, match=match):
        FusionClassifier(**{**quick, **other}).load_weights(tmp_path / "w")


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
def test_a_pipe_is_not_replaced_by_a_file(data, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    model = FusionClassifier(modality_model=MLP(2), interaction=None, solver=AdamW(max_iter=1))
    with pytest.raises(OSError, match=r"no regular file.*pipe"):
        model.fit(*data).save_weights(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


# Types that skops trusts


def test_trusted_types_are_public_classes_and_no_more():
    assert all(isinstance(name, str) for name in skmm.trusted_types)
    assert len({*skmm.trusted_types}) == len(skmm.trusted_types)
    modules = [skmm, *(importlib.import_module(f"skmm.{name}") for name in ROOMS)]
    public = {
        getattr(module, name)
        for module in modules
        for name in module.__all__
        if name != "trusted_types"
    }
    of_skmm = [name for name in skmm.trusted_types if name.startswith("skmm.")]
    assert {pkgutil.resolve_name(name) for name in of_skmm} - public == {
        BoundedScaler,
        PiecewiseLinearEncoder,
        QuantileBinner,
    }
    assert {*skmm.trusted_types} - {*of_skmm} == {
        "numpy.dtype",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",  # of an interaction
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
    }


def test_trusted_types_suffice_for_an_interaction():
    X = np.random.default_rng(0).normal(size=(200, 4))
    y = X[:, 0] * X[:, 2]
    parameters = {"modalities": {"a": 2, "b": 2}, "solver": AdamW(max_iter=2), "random_state": 0}
    for model in (
        FusionRegressor(**parameters).fit(X, y),
        FusionClassifier(**parameters).fit(X, y > 0),
    ):
        assert model.modality_weights_["interaction"] > 0
        np.testing.assert_array_equal(in_skops(model).predict(X), model.predict(X))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_trusted_types_suffice_for_rules(data, rule):
    X, y = data
    model = FusionClassifier(
        rule(), solver=AdamW(max_iter=1), modality_model=MLP((8,), dropout=0), interaction=None
    ).fit(X, y)
    np.testing.assert_array_equal(in_skops(model).predict_proba(X), model.predict_proba(X))
    assert in_skops(clone(model)).get_params().keys() == model.get_params().keys()


@pytest.mark.parametrize("solver", [AdamW(max_iter=1), LBFGS(max_iter=1, tol=100.0)], ids=str)
def test_trusted_types_suffice_for_settings_objects(data, solver):
    X, y = data
    models = {"text": MLP(4, dropout=0), "image": "linear"}
    for estimator in (FusionClassifier, FusionRegressor):
        model = estimator(solver=solver, modality_model=models, interaction=None).fit(X, y)
        np.testing.assert_array_equal(in_skops(model).predict(X), model.predict(X))


def test_trusted_types_suffice_for_late_fusion_and_estimators(data):
    X, y = data
    text, image = list(X.columns[:5]), list(X.columns[5:])
    f = LogisticRegression()
    model = LateFusionClassifier([("text", f, text), ("image", f, image)]).fit(X, y)
    np.testing.assert_array_equal(in_skops(model).predict_proba(X), model.predict_proba(X))
    models = {"text": f, "image": MLP((8,))}
    model = FusionClassifier(modality_model=models, solver=AdamW(max_iter=1)).fit(X, y)
    np.testing.assert_array_equal(in_skops(model).predict_proba(X), model.predict_proba(X))


def test_trusted_types_suffice_for_an_aligner(data):
    X, _ = data
    model = CrossModalAligner("cca", n_components=2).fit(X)
    np.testing.assert_array_equal(in_skops(model).transform(X), model.transform(X))


def test_trusted_types_suffice_for_the_default_encoders():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "title": [
                f"{a} {b} {i}" for i, (a, b) in enumerate([("red", "hat"), ("blue", "shoe")] * 5)
            ],
            "photo": [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(10)],
            "sound": [(rng.normal(size=1600), 16000) for _ in range(10)],
            "clip": [[*rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)] for _ in range(10)],
            "price": rng.normal(size=10),
            "kind": ["a", "b"] * 5,
            "day": pd.date_range("2020-01-01", periods=10),
        }
    )
    model = ModalityTransformer().fit(X)
    found = {"text", "image", "audio", "video", "tabular"}
    assert {*infer_modalities(X)["modality"]} == found
    np.testing.assert_array_equal(in_skops(model).transform(X), model.transform(X))
