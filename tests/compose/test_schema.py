"""What "auto" does of each column can be seen, changed and frozen."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from PIL import Image
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import skmm
from skmm import AdamW, FusionClassifier, ModalityTransformer, TabularEncoder, infer_modalities
from skmm.image import ImageDescriptor
from skmm.text import TextCleaner

N = 20


@pytest.fixture
def folder(tmp_path):
    for i in range(N):
        Image.new("RGB", (8, 8), (10 * i, 0, 0)).save(tmp_path / f"{i}.png")
        (tmp_path / f"scan{i}").write_bytes((tmp_path / f"{i}.png").read_bytes())
    return tmp_path


@pytest.fixture
def raw(folder):
    return pd.DataFrame(
        {
            "title": [f"title number {i}" for i in range(N)],
            "photo": [str(folder / f"{i}.png") for i in range(N)],
            "price": np.arange(N) ** 2 / 2,
            "brand": ["acme", "best"] * (N // 2),
        }
    )


def name_modalities(encoder):
    return [name for name, _, _ in encoder.transformers_ if name != "remainder"]


@pytest.mark.parametrize("form", ["frame", "series", "dict"])
def test_an_edited_schema_is_what_is_done(raw, form):
    schema = infer_modalities(raw)
    schema.loc["brand", "modality"] = "text"
    schema.loc["price", "modality"] = "drop"
    schema = {"frame": schema, "series": schema["modality"], "dict": dict(schema["modality"])}[form]
    encoder = ModalityTransformer(schema=schema).fit(raw)
    assert name_modalities(encoder) == ["text_title", "text_brand", "image"]
    assert encoder.schema_["price"] == "drop"
    assert "price" not in "".join(encoder.get_feature_names_out())


def test_a_schema_binds_where_the_rows_of_a_fold_would_say_something_else(raw):
    raw["brand"] = [f"brand {i // 2}" for i in range(N)]
    part = raw.iloc[::2]  # each brand once
    assert infer_modalities(part).loc["brand", "modality"] == "text"
    free, bound = ModalityTransformer(), ModalityTransformer(schema=infer_modalities(raw))
    assert name_modalities(free.fit(part)) != name_modalities(free.fit(raw))
    assert name_modalities(clone(bound).fit(part)) == name_modalities(bound.fit(raw))


def test_a_search_over_weights_works_in_all_folds_of_a_table_of_brands():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "title": [f"a title of product number {i}" for i in range(200)],
            "brand": [f"brand {i % 100}" for i in range(200)],
        }
    )
    fusion = FusionClassifier(interaction=None, solver=AdamW(max_iter=2), random_state=0)
    weights = [{"text": 1.0, "tabular": 1.0}, {"text": 1.0, "tabular": 3.0}]
    search = GridSearchCV(
        make_pipeline(ModalityTransformer(), fusion),
        {"fusionclassifier__modality_weights": weights},
        cv=3,
        error_score="raise",
    )
    search.fit(X, rng.integers(2, size=200))
    assert list(search.best_estimator_[-1].modalities_) == ["text", "tabular"]


@pytest.mark.parametrize(
    ("parameters", "error", "match"),
    [
        ({"schema": {"heading": "text"}}, ValueError, r"schema .*'heading'.*'title'"),
        ({"schema": {"title": "txt"}}, ValueError, r"schema .*'txt'.*'title'.*'text'"),
        ({"schema": pd.DataFrame({"kind": ["a"]})}, ValueError, r"schema .*'modality'.*'kind'"),
        ({"schema": "text"}, TypeError, r"schema .*\bstr\b"),
        (
            {"schema": pd.Series(["text"] * 3, ["title", "brand", "title"])},
            ValueError,
            r"schema .*'title'",
        ),
        ({"overrides": {"title": None}}, TypeError, r"overrides .*None .*'title'.*'text'"),
        ({"overrides": {"title": ("text", 1)}}, TypeError, r"overrides .*'title'.*'text'"),
        ({"overrides": {"heading": "text"}}, ValueError, r"overrides .*'heading'.*'title'"),
        ({"overrides": {"title": "txt"}}, ValueError, r"overrides .*'txt'.*'title'.*transformer"),
        ({"errors": "ignore"}, ValueError, r"errors .*'ignore'"),
        ({"root": "no/such/folder"}, ValueError, r"root .*'no/such/folder'"),
        ({"root": 3}, TypeError, r"root .*3"),
    ],
)
def test_bad_parameters(raw, parameters, error, match):
    with pytest.raises(error, match=match):
        ModalityTransformer(**parameters).fit(raw)


@pytest.mark.parametrize("name", ["schema", "overrides", "errors", "root"])
def test_parameters_of_auto_do_nothing_silently_beside_a_list(raw, name):
    given = {"schema": {"title": "text"}, "overrides": {}, "errors": "missing", "root": "."}[name]
    encoder = ModalityTransformer([("image", ImageDescriptor(), "photo")], **{name: given})
    with pytest.raises(ValueError, match=f"{name} .*auto"):
        encoder.fit(raw)


def test_columns_that_a_schema_lacks_are_named(raw):
    encoder = ModalityTransformer(schema={"title": "text"})
    with pytest.warns(UserWarning, match=r"'photo', 'price', 'brand'.*schema"):
        assert name_modalities(encoder.fit(raw)) == ["text"]
    rest = dict.fromkeys(["photo", "price", "brand"], "drop")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ModalityTransformer(schema={"title": "text", **rest}).fit(raw)


@pytest.mark.parametrize("overrides", [["brand"], [], "brand", {"brand"}])
def test_overrides_that_are_no_dict_are_named(raw, overrides):
    with pytest.raises(TypeError, match="overrides must be a dict of column to"):
        ModalityTransformer(overrides=overrides).fit(raw)


def test_overrides_are_modalities_or_encoders(raw):
    overrides = {
        "title": TfidfVectorizer(),
        "photo": ImageDescriptor(image_size=32),
        "brand": OneHotEncoder(),
    }
    encoder = ModalityTransformer(overrides=overrides)
    encoder.fit(raw)
    assert name_modalities(encoder) == ["text", "image", "tabular", "tabular_brand"]
    assert encoder.named_transformers_["image"].image_size == 32
    assert encoder.named_transformers_["tabular"].feature_names_in_.tolist() == ["price"]
    assert encoder.get_feature_names_out()[-1] == "tabular_brand__brand_best"
    moved = ModalityTransformer(overrides={"brand": "text", "photo": "drop"}).fit(raw)
    assert name_modalities(moved) == ["text_title", "text_brand", "tabular"]
    every = ModalityTransformer(overrides={**overrides, "price": StandardScaler()}).fit(raw)
    assert name_modalities(every) == ["text", "image", "tabular_price", "tabular_brand"]


def test_a_column_that_fits_no_modality_can_have_an_encoder(raw):
    raw["spec"] = [{"size": i} for i in range(N)]
    read = FunctionTransformer(lambda column: np.array([[cell["size"]] for cell in column]))
    encoder = ModalityTransformer(overrides={"spec": read})
    np.testing.assert_array_equal(encoder.fit_transform(raw)["spec__0"], np.arange(N))


def test_a_broken_photo_is_missing_if_so_asked_after_fit_too(raw):
    encoder = pickle.loads(pickle.dumps(ModalityTransformer().fit(raw)))
    raw.loc[3, "photo"] = "gone.png"
    with pytest.raises(ValueError, match=r"'photo', row 3.*ModalityTransformer\(errors=.missing"):
        encoder.transform(raw)
    encoder.set_params(errors="missing")
    with pytest.warns(UserWarning, match=r"1 of 20 .*'photo', row 3.*gone\.png"):
        Z = encoder.transform(raw)
    assert np.flatnonzero(Z.filter(like="image__").isna().all(axis=1)).tolist() == [3]
    assert not Z.drop(columns=Z.filter(like="image__")).isna().any(axis=None)


def test_an_encoder_that_was_given_is_lenient_if_it_or_all_shall_be(raw):
    overrides = {"photo": ImageDescriptor(image_size=32)}
    lenient = ModalityTransformer(overrides=overrides, errors="missing").fit(raw)
    strict = ModalityTransformer(overrides=overrides).fit(raw)
    by_itself = ModalityTransformer(overrides={"photo": ImageDescriptor(errors="missing")}).fit(raw)
    raw.loc[3, "photo"] = "gone.png"
    for encoder in (lenient, by_itself):
        with pytest.warns(UserWarning, match=r"1 of 20 .*row 3"):
            encoder.transform(raw)
    for encoder in (strict, lenient.set_params(errors="raise")):
        with pytest.raises(ValueError, match="row 3"):
            encoder.transform(raw)
    assert overrides["photo"].errors == "raise"


def test_a_schema_may_come_from_a_csv_file(raw, tmp_path):
    infer_modalities(raw).to_csv(tmp_path / "schema.csv")
    schema = pd.read_csv(tmp_path / "schema.csv")
    features = ModalityTransformer(schema=schema).fit_transform(raw)
    pd.testing.assert_frame_equal(features, ModalityTransformer().fit_transform(raw))


@pytest.mark.parametrize("form", ["frame", "series", "dict"])
def test_a_schema_and_vectors_are_saved_by_skops_and_pickle(raw, form):
    raw["vector"] = list(np.random.default_rng(0).normal(size=(N, 3)))
    schema = infer_modalities(raw)
    schema = {"frame": schema, "series": schema["modality"], "dict": dict(schema["modality"])}[form]
    encoder = ModalityTransformer(schema=schema, root=Path.cwd()).fit(raw)
    loaded = skops.io.loads(skops.io.dumps(encoder), trusted=skmm.trusted_types)
    for again in (loaded, pickle.loads(pickle.dumps(encoder))):
        pd.testing.assert_frame_equal(again.transform(raw), encoder.transform(raw))
        pd.testing.assert_frame_equal(clone(again).fit(raw).transform(raw), encoder.transform(raw))
    assert encoder.schema is schema


@pytest.mark.parametrize("encoder", [OneHotEncoder(), TabularEncoder()])
def test_an_encoder_of_tables_may_have_a_column_of_texts(raw, encoder):
    Z = ModalityTransformer(overrides={"title": encoder}).fit_transform(raw)
    assert Z.filter(like="text__").shape == (N, N)


def test_an_encoder_of_texts_may_have_a_column_of_categories(raw):
    for encoder in (TfidfVectorizer(), make_pipeline(TextCleaner(), TfidfVectorizer())):
        Z = ModalityTransformer(overrides={"brand": encoder}).fit_transform(raw)
        assert Z.filter(like="tabular_brand__").shape == (N, 2)


def test_relative_paths_start_in_root(raw, folder, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    expected = ModalityTransformer().fit_transform(raw)
    relative = raw.assign(photo=[f"{i}.png" for i in range(N)])
    nameless = raw.assign(photo=[f"scan{i}" for i in range(N)])
    monkeypatch.setenv("HOME", str(folder.parent))
    roots = [folder, str(folder), f"~/{folder.name}"]
    for frame, root in zip((relative, nameless, raw), roots, strict=True):
        encoder = ModalityTransformer(root=root)
        pd.testing.assert_frame_equal(encoder.fit_transform(frame), expected)
        pd.testing.assert_frame_equal(encoder.transform(frame), expected)
    relative.loc[2, "photo"] = None
    assert encoder.transform(relative).filter(like="image__").isna().all(axis=1)[2]
    assert relative["photo"][1] == "1.png"


@pytest.mark.parametrize("with_bytes", [False, True])
def test_paths_in_dicts_start_in_root_too(raw, folder, tmp_path_factory, monkeypatch, with_bytes):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    expected = ModalityTransformer().fit_transform(raw)
    cells: list = [{"bytes": None, "path": f"{i}.png"} for i in range(N)]
    if with_bytes:
        cells = [{"bytes": (folder / c["path"]).read_bytes(), "path": "gone.png"} for c in cells]
    encoder = ModalityTransformer(root=folder)
    encoded = encoder.fit_transform(raw.assign(photo=cells))
    pd.testing.assert_frame_equal(encoded, expected)
    cells[2] = {"bytes": None, "path": None}
    encoded = encoder.transform(raw.assign(photo=cells)).filter(like="image__")
    assert encoded.isna().all(axis=1).tolist() == [i == 2 for i in range(N)]


def test_a_schema_is_inferred_with_a_root(raw, folder, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    nameless = raw.assign(photo=[f"scan{i}" for i in range(N)])
    assert infer_modalities(nameless).loc["photo", "modality"] != "image"
    assert infer_modalities(nameless, root=folder).loc["photo", "modality"] == "image"
    assert nameless["photo"][1] == "scan1"
    with pytest.raises(ValueError, match=r"root .*folder.*nowhere"):
        infer_modalities(nameless, root="nowhere")


def test_encoders_show_their_progress(raw, capsys):
    pictures = np.random.default_rng(0).integers(0, 256, (N, 9, 9, 3), dtype=np.uint8)
    raw["photo"] = list(pictures)  # which no cache holds
    ModalityTransformer(verbose=True).fit(raw)
    assert "ImageDescriptor" in capsys.readouterr().err
    ModalityTransformer().fit(raw)
    assert capsys.readouterr().err == ""


class Length(FunctionTransformer):
    """It does not say how its features are called."""

    def __init__(self):
        super().__init__(lambda X: np.column_stack([X, X]))


@pytest.mark.parametrize(
    "make", [Length, lambda: make_pipeline(Length()), lambda: FunctionTransformer(np.log1p)]
)
def test_features_without_names_are_numbered(raw, make):
    Z = ModalityTransformer([("tabular", make(), ["price"])]).fit_transform(raw)
    assert Z.columns.tolist() == [f"tabular__{i}" for i in range(Z.shape[1])]


def test_a_tuple_in_another_order_is_named(raw):
    with pytest.raises(ValueError, match=r"\(modality, encoder, columns\).*OneHotEncoder"):
        ModalityTransformer([(OneHotEncoder(), "tabular", ["brand"])]).fit(raw)
