"""to_onnx: what onnxruntime computes of the file is what the model predicts."""

import json
import warnings

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from foreign import Foreign
from nested_settings import ENSEMBLE_FUSIONS, FUSIONS, nest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmm import (
    MLP,
    AdamW,
    FusionClassifier,
    FusionRegressor,
    LateFusionClassifier,
    ModalityTransformer,
)
from skmm._torch.perceptrons import ACTIVATIONS
from skmm.export import to_onnx
from skmm.export._checking import check_same_predictions
from skmm.fusion import Late

WIDTHS = {"text": 5, "image": 4, "audio": 3}
SMALL = {"hidden_layer_sizes": (6, 5), "max_iter": 4, "random_state": 0}


@pytest.fixture(scope="module")
def table():
    """90 rows of three modalities, not in alphabetical order; each is missing from some rows."""
    rng = np.random.default_rng(0)
    columns = [f"{name}__{i}" for name, width in WIDTHS.items() for i in range(width)]
    X = pd.DataFrame(rng.normal(size=(90, 12)).astype(np.float32), columns=columns)
    strength = X["text__0"] * X["image__1"] + X["audio__2"]
    for start, name in enumerate(WIDTHS):
        X.loc[X.index[start::9], [c for c in columns if c.startswith(name)]] = np.nan
    return X, strength.to_numpy()


@pytest.fixture(scope="module")
def classes(table):
    return np.array(["high", "low", "middle"])[np.digitize(table[1], [-0.7, 0.7])]


def make_queries(X, seed=1):
    """Rows that no model has seen: any modality may be missing, of the last row all are."""
    rng = np.random.default_rng(seed)
    queries = pd.DataFrame(rng.normal(size=(40, X.shape[1])) * 1.5, columns=X.columns)
    for name in {column.partition("__")[0] for column in X}:
        columns = [c for c in X if c.startswith(f"{name}__")]
        queries.loc[queries.index[rng.uniform(size=40) < 0.4], columns] = np.nan
    queries.iloc[-1] = np.nan
    queries.iloc[0] = X.mean()
    return queries.astype(np.float32)


def run(model, X, folder):
    path = folder / "model.onnx"
    to_onnx(model, path)
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"X": np.asarray(X, dtype=np.float32)}), strict=True))


def predict(model, X):
    """Predict probabilities, or numbers, and labels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rows without modalities
        proba = model.predict_proba(X) if hasattr(model, "predict_proba") else None
        return proba, model.predict(X)


def assert_same(model, X, folder):
    """Compare a file with a classifier of one target, or a regressor."""
    found, (proba, predicted) = run(model, X, folder), predict(model, X)
    if proba is None:
        assert found["prediction"].shape == predicted.shape
        np.testing.assert_allclose(found["prediction"], predicted, rtol=1e-5, atol=1e-5)
        return
    np.testing.assert_allclose(found["probabilities"], proba, atol=1e-5)
    np.testing.assert_array_equal(found["label"], predicted)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_rule(fusion, table, classes, tmp_path):
    model = nest(FusionClassifier, fusion=fusion, **SMALL).fit(table[0], classes)
    assert_same(model, make_queries(table[0]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSIONS)
def test_numbers_by_every_rule(fusion, table, tmp_path):
    model = nest(FusionRegressor, fusion=fusion, **SMALL).fit(table[0], 1000 + 50 * table[1])
    assert_same(model, make_queries(table[0]), tmp_path)


@pytest.mark.slow
def test_several_numbers(table, tmp_path):
    y = np.stack([table[1], 1e4 * table[1] ** 2], axis=1)
    model = nest(FusionRegressor, loss="absolute_error", **SMALL).fit(table[0], y)
    assert_same(model, make_queries(table[0]), tmp_path)


@pytest.mark.parametrize("y", [[0, 1], [True, False], [1.0, 2.0], ["a", "b"]], ids=str)
def test_classes_of_each_type(y, table, tmp_path):
    X, strength = table
    y = np.where(strength > 0, *y)
    assert_same(nest(FusionClassifier, **SMALL).fit(X, y), make_queries(X), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("fusion", "weights"), [("late", [1.0, 3.0]), ("gated", None)])
def test_labels(fusion, weights, table, tmp_path):
    X, strength = table
    y = np.stack([strength > 0, strength > 1], axis=1).astype(int)
    model = nest(FusionClassifier, fusion=fusion, task_weight=weights, **SMALL).fit(X, y)
    queries = make_queries(X)
    found, (proba, predicted) = run(model, queries, tmp_path), predict(model, queries)
    np.testing.assert_allclose(found["probabilities"], proba, atol=1e-5)
    np.testing.assert_array_equal(found["label"], predicted)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["late", "concat"])
def test_several_targets(fusion, table, classes, tmp_path):
    X, strength = table
    y = pd.DataFrame({"size": classes, "sign": (strength > 0) + 5})
    model = nest(FusionClassifier, fusion=fusion, calibrate="temperature", **SMALL).fit(X, y)
    queries = make_queries(X)
    found, (proba, predicted) = run(model, queries, tmp_path), predict(model, queries)
    for i in range(2):
        np.testing.assert_allclose(found[f"probabilities_{i}"], proba[i], atol=1e-5)
        np.testing.assert_array_equal(found[f"label_{i}"], predicted[:, i])


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ENSEMBLE_FUSIONS)
def test_ensembles(fusion, table, classes, tmp_path):
    model = nest(FusionClassifier, fusion=fusion, n_members=3, **SMALL).fit(table[0], classes)
    assert_same(model, make_queries(table[0]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sharing", "fusion", "n_members"),
    [("layers", "late", 1), ("parameters", "weighted", 2), ("representation", "late", 2)],
)
def test_shared_parameters(sharing, fusion, n_members, table, classes, tmp_path):
    settings = {**SMALL, "n_members": n_members, "sharing": sharing}
    model = nest(FusionClassifier, fusion=fusion, **settings).fit(table[0], classes)
    assert_same(model, make_queries(table[0]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("activation", sorted({*ACTIVATIONS} - {"relu"}))
def test_activations(activation, table, classes, tmp_path):
    model = nest(FusionClassifier, activation=activation, **SMALL).fit(table[0], classes)
    assert_same(model, make_queries(table[0]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"fusion": Late(per_class=True)},
        {"modality_weights": {"text": 0.7, "image": 0.3, "audio": 0.0}},
        {"fusion": "weighted", "calibrate": "temperature"},
        {"modality_model": "linear"},
        {"modality_model": {"text": "linear", "image": MLP(4), "audio": MLP((3, 3))}},
        {"modalities": {"first": ["audio__2", "text__0"], "rest": slice(5, 9)}},
    ],
    ids=str,
)
def test_settings(settings, table, classes, tmp_path):
    settings = {"max_iter": 4, "random_state": 0, **settings}
    X = table[0].fillna(0) if "modalities" in settings else table[0]
    model = nest(FusionClassifier, **settings).fit(X, classes)
    assert_same(model, make_queries(X) if X is table[0] else X, tmp_path)


MODELS = {
    "trees": ExtraTreesClassifier(9),
    "forest": RandomForestClassifier(5),
    "one tree": DecisionTreeClassifier(max_depth=3),
    "boosting": HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=3),
    "linear": make_pipeline(StandardScaler(), LogisticRegression()),
    "calibrated": CalibratedClassifierCV(LogisticRegression(), cv=2),
}


@pytest.mark.slow
@pytest.mark.parametrize("estimator", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_estimators_as_models_of_modalities(estimator, kind, table, classes, tmp_path):
    X, strength = table
    labels = np.stack([strength > 0, strength > 1], axis=1).astype(int)
    y = {"classes": classes, "labels": labels}[kind]
    models = {"text": estimator, "image": MLP(4), "audio": estimator}
    model = nest(FusionClassifier, modality_model=models, max_iter=4, random_state=0).fit(X, y)
    assert_same(model, make_queries(X), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    [
        ExtraTreesRegressor(9),
        Ridge(),
        HistGradientBoostingRegressor(max_iter=5, loss="quantile", quantile=0.5),
    ],
    ids=["trees", "linear", "boosting"],
)
def test_regressors_as_models_of_modalities(estimator, table, tmp_path):
    X, strength = table
    y = np.stack([strength, 1e4 * strength**2], axis=1)
    models = {"text": estimator, "image": estimator, "audio": "linear"}
    model = nest(FusionRegressor, modality_model=models, max_iter=4, random_state=0).fit(X, y)
    assert_same(model, make_queries(X), tmp_path)


def make_interacting_table(width, *, missing):
    """400 rows whose target is a product of two modalities; of "audio" some rows lack it."""
    rng = np.random.default_rng(0)
    columns = ["text__0", "text__1", "image__0", "audio__0", "audio__1"]
    columns += [f"image__{i}" for i in range(1, width)]
    X = pd.DataFrame(rng.normal(size=(400, len(columns))).astype(np.float32), columns=columns)
    y = 5 + X["text__0"] * X["image__0"] + X["audio__0"]
    if missing:
        X.loc[::7, ["audio__0", "audio__1"]] = np.nan
    return X, y.to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "width", "missing"),
    [("classes", 2, True), ("classes", 80, False), ("numbers", 2, False), ("numbers", 80, True)],
)
def test_interaction(kind, width, missing, tmp_path):
    X, y = make_interacting_table(width, missing=missing)
    estimator = FusionRegressor if kind == "numbers" else FusionClassifier
    y = y if kind == "numbers" else np.digitize(y, [4, 6])
    model = estimator(modality_model=MLP(4), solver=AdamW(max_iter=3), random_state=0).fit(X, y)
    interaction = model._fitted.interaction
    assert interaction.models
    assert any(interaction.is_learned) == missing
    assert_same(model, make_queries(X), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "interaction", [ExtraTreesRegressor(9), HistGradientBoostingRegressor()], ids=str
)
def test_interaction_by_an_estimator_that_reads_nan(interaction, tmp_path):
    X, y = make_interacting_table(2, missing=True)
    settings = {"modality_model": MLP(4), "solver": AdamW(max_iter=3), "random_state": 0}
    model = FusionRegressor(interaction=interaction, **settings).fit(X, y)
    assert model._fitted.interaction.models
    assert_same(model, make_queries(X), tmp_path)


def test_any_number_of_rows_and_what_the_file_says(table, classes, tmp_path):
    X = table[0]
    model = nest(FusionClassifier, **SMALL).fit(X, classes)
    path = tmp_path / "model.onnx"
    to_onnx(model, path)
    session = onnxruntime.InferenceSession(path)
    queries = make_queries(X).to_numpy()
    whole = session.run(["probabilities"], {"X": queries})[0]
    for n_rows in (1, 3):
        part = session.run(["probabilities"], {"X": queries[:n_rows]})[0]
        np.testing.assert_allclose(part, whole[:n_rows], atol=1e-7)
    assert session.get_inputs()[0].shape == ["rows", 12]
    assert [(o.name, o.type, o.shape) for o in session.get_outputs()] == [
        ("label", "tensor(string)", ["rows"]),
        ("probabilities", "tensor(float)", ["rows", 3]),
    ]
    written = onnx.load(path)
    assert {o.domain: o.version for o in written.opset_import} == {"": 18, "ai.onnx.ml": 3}
    metadata = {entry.key: entry.value for entry in written.metadata_props}
    assert json.loads(metadata["modalities"]) == model.modalities_


def test_rows_that_are_errors_here_are_nan_there(table, classes, tmp_path):
    X = table[0]
    model = nest(FusionClassifier, **SMALL).fit(X, classes)
    queries = make_queries(X).iloc[:3].fillna(1.0)
    queries.iloc[0, 0] = np.nan
    queries.iloc[1, 5] = np.inf
    found = run(model, queries, tmp_path)
    assert np.isnan(found["probabilities"]).all(axis=1).tolist() == [True, True, False]
    for row in (0, 1):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            model.predict(queries.iloc[row : row + 1])


@pytest.mark.slow
def test_pipeline(table, classes, tmp_path):
    X = table[0]
    fusion = nest(FusionClassifier, modalities=WIDTHS, **SMALL)
    model = make_pipeline(StandardScaler(), fusion).fit(X.to_numpy(), classes)
    assert_same(model, make_queries(X).to_numpy(), tmp_path)


@pytest.mark.parametrize("as_frame", [True, False])
def test_late_fusion_classifier(as_frame, table, classes, tmp_path):
    X = table[0] if as_frame else table[0].to_numpy()
    rare = np.where((classes == "high") & table[0]["audio__0"].notna(), "low", classes)
    estimators = [
        ("text", LogisticRegression(), [*X.columns[:5]] if as_frame else slice(0, 5)),
        ("image", HistGradientBoostingClassifier(min_samples_leaf=3), slice(5, 9)),
        ("audio", ExtraTreesClassifier(9), slice(9, 12)),
    ]
    model = LateFusionClassifier(estimators, modality_weights={"text": 2, "image": 1, "audio": 1})
    model.fit(X, rare)
    assert len(model.named_estimators_["audio"].classes_) == 2  # of three
    queries = make_queries(table[0])
    assert_same(model, queries if as_frame else queries.to_numpy(), tmp_path)


@pytest.mark.parametrize(
    ("estimator", "match"),
    [
        (Foreign(), r"modality_model of 'text'.*Foreign"),
        (
            HistGradientBoostingClassifier(categorical_features=[0]),
            r"HistGradientBoostingClassifier .*categorical_features",
        ),
    ],
    ids=["unknown", "categorical"],
)
def test_what_does_not_convert_is_named(estimator, match, table, classes, tmp_path):
    X = table[0].copy()
    X["text__0"] = X["text__0"].round().clip(0, 3)
    models = {"text": estimator, "image": "linear", "audio": "linear"}
    settings = {"modality_model": models, "max_iter": 2, "random_state": 0}
    model = nest(FusionClassifier, **settings).fit(X, classes)
    path = tmp_path / "model.onnx"
    with pytest.raises(TypeError, match=match):
        to_onnx(model, path)
    assert not path.exists()


def test_what_is_no_fusion_model_is_named(table, classes, tmp_path):
    model = DummyClassifier().fit(table[0], classes)
    with pytest.raises(TypeError, match="DummyClassifier"):
        to_onnx(model, tmp_path / "model.onnx")


def test_encoders_are_named(classes, table, tmp_path):
    raw = pd.DataFrame({"says": classes, "n": table[1]})
    fusion = nest(FusionClassifier, **SMALL)
    model = make_pipeline(ModalityTransformer(), fusion).fit(raw, classes)
    with pytest.raises(TypeError, match=r"last step alone.*ModalityTransformer"):
        to_onnx(model, tmp_path / "model.onnx")


@pytest.mark.slow
def test_what_differs_is_not_written(table, classes, tmp_path):
    path = tmp_path / "model.onnx"
    model = nest(FusionClassifier, **SMALL).fit(table[0], classes)
    to_onnx(model, path)
    check_same_predictions(model, path.read_bytes())
    other = nest(FusionClassifier, **{**SMALL, "max_iter": 5}).fit(table[0], classes)
    with pytest.raises(RuntimeError, match="differs"):
        check_same_predictions(other, path.read_bytes())


def test_column_that_float32_is_too_coarse_for_is_named(table, classes, tmp_path):
    X = table[0].fillna(0).astype(float)
    X["text__0"] = 1.7e9 + 40 * X["text__0"]
    model = nest(FusionClassifier, **SMALL).fit(X, classes)
    with pytest.warns(UserWarning, match=r"'text__0'.*multiples of 128; 1 of"):
        to_onnx(model, tmp_path / "model.onnx")


def test_step_that_does_not_convert_is_named(table, classes, tmp_path):
    step = FunctionTransformer(np.arctan)
    fusion = nest(FusionClassifier, modalities=WIDTHS, **SMALL)
    model = make_pipeline(step, fusion).fit(table[0].to_numpy(), classes)
    with pytest.raises(TypeError, match="FunctionTransformer"):
        to_onnx(model, tmp_path / "model.onnx")
