"""Which modality a column is, and how a frame of raw columns becomes one of features."""

import datetime
import io
import pickle
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from clips import write_clip
from PIL import Image
from sklearn import config_context
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import ModalityTransformer, TabularEncoder, infer_modalities
from skmm.audio import AudioDescriptor
from skmm.image import ImageDescriptor
from skmm.text import TextDescriptor
from skmm.video import VideoEncoder

N = 12
PNG = io.BytesIO()
Image.new("RGB", (8, 8), "red").save(PNG, "PNG")
PNG = PNG.getvalue()
WAV = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(24)


@pytest.fixture
def raw():
    return pd.DataFrame(
        {
            "title": [f"title number {i}" for i in range(N)],
            "photo": [Image.new("RGB", (8, 8), (20 * i, 0, 0)) for i in range(N)],
            "price": np.arange(N) * 1.5,
            "color": ["red", "blue", "red"] * (N // 3),
        },
        index=np.arange(N) * 10,
    )


# infer_modalities

PHRASES = [f"a few words, number {i}" for i in range(N)]
COLUMNS = {
    "integers": (range(N), "tabular"),
    "floats": (np.linspace(0, 1, N), "tabular"),
    "booleans": ([True, False] * 6, "tabular"),
    "nullable": (pd.array([1, None] * 6, dtype="Int64"), "tabular"),
    "numbers as objects": (pd.Series([1, None, 2.5] * 4, dtype=object), "tabular"),
    "dates": (pd.date_range("2026-01-01", periods=N), "tabular"),
    "dates with a zone": (pd.date_range("2026-01-01", periods=N, tz="UTC"), "tabular"),
    "durations": (pd.to_timedelta(range(N), unit="h"), "tabular"),
    "categorical": (pd.Categorical(PHRASES), "tabular"),
    "repeated words": (["red", "blue", None] * 4, "tabular"),
    "distinct words": ([f"word{i}" for i in range(N)], "text"),
    "repeated long texts": (["word " * 20, "text " * 20] * 6, "text"),
    "phrases": (PHRASES, "text"),
    "string dtype": (pd.array(PHRASES, dtype="string"), "text"),
    "phrases that end in a name": ([*PHRASES[:-1], "see photo.jpg"], "text"),
    "image names": ([f"photo {i}.JPG" for i in range(N)], "image"),
    "audio names": ([f"{i}.wav" for i in range(N)], "audio"),
    "video names": ([f"{i}.mp4" for i in range(N)], "video"),
    "PIL images": ([Image.new("L", (2, 2))] * N, "image"),
    "image arrays": ([np.zeros((4, 4, 3), dtype=np.uint8)] * N, "image"),
    "images mixed": ([PNG, Image.new("L", (2, 2)), np.zeros((4, 4)), "a.png"] * 3, "image"),
    "image bytes": ([PNG] * N, "image"),
    "audio bytes": ([WAV] * N, "audio"),
    "sound and rate": ([(np.zeros(10), 8000)] * N, "audio"),
    "sound and float rate": ([(np.zeros(10), 44100.0)] * N, "audio"),
    "sound dicts": ([{"array": np.zeros(10), "sampling_rate": 8000}] * N, "audio"),
    "video arrays": ([np.zeros((2, 4, 4, 3), dtype=np.uint8)] * N, "video"),
    "lists of frames": ([[np.zeros((4, 4, 3)), Image.new("L", (2, 2))]] * N, "video"),
    "video bytes": (
        [b"\0\0\0\x20ftypisom", b"FLV\1", b"\0\0\1\xba", b"\0\0\0\x08wide"] * 3,
        "video",
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_inferred_modality(name):
    values, modality = COLUMNS[name]
    found = infer_modalities(pd.DataFrame({"column": pd.Series(values)}))
    assert found.loc["column", "modality"] == modality


def test_files_are_looked_at(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.dat").write_bytes(PNG)
        (tmp_path / f"{i}.jpg").write_bytes(WAV)
    frame = pd.DataFrame(
        {
            "nameless": [str(tmp_path / f"{i}.dat") for i in range(4)],
            "misnamed": [str(tmp_path / f"{i}.jpg") for i in range(4)],
            "paths": [tmp_path / f"{i}.dat" for i in range(4)],
        }
    )
    assert infer_modalities(frame)["modality"].tolist() == ["image", "audio", "image"]


def test_what_was_seen_is_shown(raw):
    raw.loc[raw.index[:3], "title"] = None
    found = infer_modalities(raw)
    assert list(found.index) == list(raw)
    assert found["n_missing"].tolist() == [3, 0, 0, 0]
    assert "title number 3" in found.loc["title", "example"]
    assert found["kind"].tolist() == ["strings", "PIL images", "numbers", "categories"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None] * 4, "missing"),
        ([PNG, "some words", 3.0, None], "bytes, float, str"),
        ([{"a": 1}] * 4, r"\bdict\b"),
        ([1j] * 4, "complex"),
    ],
)
def test_column_that_fits_nothing(values, kind):
    frame = pd.DataFrame({"odd": pd.Series(values)})
    with pytest.raises(ValueError, match=rf"(?s)'odd'.*{kind}.*encoder, 'odd'") as caught:
        ModalityTransformer().fit(frame)
    assert ("for example" in str(caught.value)) == (values[0] is not None)


def test_the_odd_cell_of_a_mixture_is_named():
    frame = pd.DataFrame({"price": [30.5, None, "on request", 8.0]}, index=[7, 8, 9, 10])
    with pytest.raises(
        ValueError,
        match=r"float, str.*30\.5.*'on request' in row 2 \(index 9\)",
    ):
        infer_modalities(frame)


@pytest.mark.parametrize(
    ("cells", "match"),
    [
        (["True", True], "bool, str.*'True', and True in row 1"),
        ([[1.0, 2.0], "x", [1.0, 2.0]], r"list, str.*\[1\.0, 2\.0\], and 'x' in row 1"),
        ([[1.0, 2.0], [], [2.0, 2.0]], r"list objects, vectors.*\[1\.0, 2\.0\], and \[\] in row 1"),
        ([{}, [], [], {}], r"dict, list.*\{\}, and \[\] in row 1"),
    ],
)
def test_a_mixture_shows_two_cells_that_differ(cells, match):
    frame = pd.DataFrame({"odd": pd.Series(cells * 5, dtype=object)})
    with pytest.raises(ValueError, match=f"'odd' .*a mixture of {match}"):
        infer_modalities(frame)


@pytest.mark.parametrize(
    "cell", [["a.jpg", "b.jpg"], ["a.jpg"], ("a.png", "b.png"), [Path("a.wav")], ["x/1.mp4"]]
)
def test_several_files_in_one_cell_are_told(cell):
    frame = pd.DataFrame({"photos": [cell] * 9})
    with pytest.raises(ValueError, match=r"'photos' .*lists of paths.*column of its own.*explode"):
        infer_modalities(frame)
    with pytest.raises(TypeError, match=r"row 0: an image .* column each"):
        ImageDescriptor().fit_transform(frame["photos"])


def test_numbers_that_were_read_as_strings_are_told():
    cells = [f"{i}.50" for i in range(20)]
    cells[3], cells[4], cells[5], cells[6] = "much", "€ 1,200.00", None, "less"
    with pytest.warns(UserWarning, match=r"'price'.* '0\.50'.*'much' in row 3 .*to_numeric") as w:
        found = infer_modalities(pd.DataFrame({"price": cells}))
    assert w[0].filename == __file__
    assert "rewrite those like '€ 1,200.00'" in str(w[0].message)
    assert found.loc["price", "modality"] == "text"
    with pytest.warns(UserWarning, match=r"'price'.*row 3\b.*to_numeric"):
        ModalityTransformer().fit(pd.DataFrame({"price": cells}))


def test_texts_that_hold_numbers_are_no_numbers():
    titles = [f"{i} chairs" for i in range(20)] + ["1984", "300"]
    assert infer_modalities(pd.DataFrame({"title": titles})).loc["title", "kind"] == "strings"


def test_many_rows():
    frame = pd.DataFrame({"text": [f"row {i}" for i in range(100_000)], "number": 1.0})
    assert infer_modalities(frame)["modality"].tolist() == ["text", "tabular"]


# ModalityTransformer


def test_auto_names_features_by_modality(raw):
    Z = ModalityTransformer().fit_transform(raw)
    assert list(dict.fromkeys(name.split("__")[0] for name in Z)) == ["text", "image", "tabular"]
    assert list(Z.filter(like="tabular__")) == [
        "tabular__price",
        "tabular__color_blue",
        "tabular__color_red",
    ]
    assert (Z.dtypes == np.float32).all()
    assert len(Z._mgr.blocks) == 1
    pd.testing.assert_index_equal(Z.index, raw.index)


def test_several_columns_of_a_kind_are_modalities_of_their_own(raw):
    raw["body__text"] = raw["title"] + " and more"
    encoder = ModalityTransformer().fit(raw)
    assert list(encoder.named_transformers_) == ["text_title", "text_body_text", "image", "tabular"]


def test_missing_cells_are_rows_of_nan(raw):
    raw["price"] = raw["price"].where(raw.index > 0)
    raw["color"] = raw["color"].where(raw.index > 10)
    raw["title"] = raw["title"].where(raw.index > 20)
    Z = ModalityTransformer().fit_transform(raw)
    text, image, tabular = (Z.filter(like=f"{m}__") for m in ["text", "image", "tabular"])
    assert text[:3].isna().all(axis=None)
    assert text[3:].notna().all(axis=None)
    assert image.notna().all(axis=None)
    assert tabular[:1].isna().all(axis=None)  # neither price nor color
    assert tabular[1:].notna().all(axis=None)


def test_tabular_values():
    frame = pd.DataFrame(
        {
            "n": [1.0, 3.0, np.nan, 8.0],
            "kind": ["a", "b", "a", None],
            "when": pd.to_datetime(["2026-01-01", "2026-01-03", None, "2026-01-05"], utc=True),
            "sure": pd.array([True, False, None, True], dtype="boolean"),
        }
    )
    encoder = ModalityTransformer().fit(frame.astype({"kind": "category"}))
    Z = encoder.transform(frame).rename(columns=lambda name: name.removeprefix("tabular__"))
    n = np.array([1, 3, 3, 8])  # the median for the missing one
    np.testing.assert_allclose(Z["n"], (n - n.mean()) / n.std(), rtol=1e-5)
    days = np.array([0, 2, 2, 4])
    np.testing.assert_allclose(Z["when"], (days - days.mean()) / days.std(), rtol=1e-4)
    sure = np.array([1, 0, 1, 1])
    np.testing.assert_allclose(Z["sure"], (sure - sure.mean()) / sure.std(), rtol=1e-5)
    assert Z["kind_a"].tolist() == [1, 0, 1, 0]
    missing = Z.filter(regex="^kind_(nan|None)$")  # by pandas 3, and by pandas 2
    assert missing.to_numpy().tolist() == [[0], [0], [0], [1]]
    unseen = encoder.transform(frame.assign(kind="new"))
    assert (unseen.filter(like="kind") == 0).all(axis=None)


def test_a_number_that_is_missing_at_transform(raw):
    encoder = ModalityTransformer().fit(raw)
    Z = encoder.transform(raw.assign(price=np.nan))
    assert Z["tabular__price"].nunique() == 1


def test_columns_are_found_by_name(raw):
    encoder = ModalityTransformer().fit(raw)
    shuffled = raw[["color", "photo", "title", "price"]].assign(more=1)
    pd.testing.assert_frame_equal(encoder.transform(shuffled), encoder.transform(raw))
    with pytest.raises(ValueError, match=r"'price'"):
        encoder.transform(raw.drop(columns="price"))


def test_polars_and_arrays(raw):
    encoder = ModalityTransformer().fit(raw)
    expected = encoder.transform(raw).to_numpy()
    frame = pl.DataFrame(
        {
            "title": raw["title"].to_list(),
            "photo": pl.Series(raw["photo"].to_list(), dtype=pl.Object),
            "price": raw["price"].to_list(),
            "color": raw["color"].to_list(),
        }
    )
    for X in (frame, raw.astype(object).to_numpy()):
        Z = ModalityTransformer().fit_transform(X)
        assert isinstance(Z, pd.DataFrame)
        np.testing.assert_array_equal(Z, expected)


def test_tables_of_arrow():
    raw = pd.DataFrame({"title": [f"title no {i}" for i in range(N)], "price": [1.5, None, 3] * 4})
    raw["color"] = pd.Categorical(["red", None, "blue"] * 4)
    encoder = ModalityTransformer().fit(raw)
    expected = encoder.transform(raw)
    table = pa.Table.from_pandas(raw)
    for X in (table, table.to_batches()[0]):
        pd.testing.assert_frame_equal(encoder.transform(X), expected)
        pd.testing.assert_frame_equal(ModalityTransformer().fit_transform(X), expected)
        np.testing.assert_array_equal(
            TabularEncoder().fit_transform(X.select(["price", "color"])),
            TabularEncoder().fit_transform(raw[["price", "color"]]),
        )
    with pytest.raises(TypeError, match=r"LazyFrame.*collect"):
        encoder.transform(pl.from_pandas(raw).lazy())


def test_names_of_columns_that_fit_did_not_see(raw):
    array = raw.astype(object).to_numpy()
    encoder = ModalityTransformer().fit(array)
    with pytest.warns(UserWarning, match=r"without names.*'title', 'photo', 'price', 'color'"):
        encoded = encoder.transform(raw)
    np.testing.assert_array_equal(encoded, encoder.transform(array))
    named = raw[["title", "price", "color"]]
    encoded = ModalityTransformer().fit(named).transform(named.to_records(index=False))
    np.testing.assert_array_equal(encoded, ModalityTransformer().fit_transform(named))


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_row_is_encoded_alone_as_among_others(raw, n_jobs):
    raw = raw.assign(color=["red", None, "rare"] * (N // 3), price=[1.5, np.nan, 2.0] * (N // 3))
    encoder = ModalityTransformer(n_jobs=n_jobs).fit(raw)
    expected = encoder.transform(pd.concat([raw] * 3))[:N]
    rows = pd.concat([encoder.transform(raw.iloc[[row]]) for row in range(N)])
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    assert rows.dtypes.eq(np.float32).all()
    with config_context(enable_metadata_routing=True):
        pd.testing.assert_frame_equal(encoder.transform(raw), expected)


def test_auto_stays_auto(raw):
    encoder = ModalityTransformer()
    assert "auto" in repr(encoder.get_params())
    encoder.fit(raw)
    assert encoder.get_params() == ModalityTransformer().get_params()
    pd.testing.assert_frame_equal(clone(encoder).fit_transform(raw), encoder.transform(raw))
    pd.testing.assert_frame_equal(
        pickle.loads(pickle.dumps(encoder)).transform(raw), encoder.transform(raw)
    )
    for state in (encoder, ModalityTransformer()):
        assert "ModalityTransformer" in state._repr_html_()


def test_explicit_encoders(raw):
    encoder = ModalityTransformer(
        [
            ("words", TfidfVectorizer(), "title"),
            ("tabular", StandardScaler(), ["price"]),
        ]
    )
    Z = encoder.fit_transform(raw)
    assert (Z.dtypes == np.float32).all()
    assert "words__title" in Z
    assert list(Z)[-1] == "tabular__price"
    assert isinstance(encoder._repr_html_(), str)


def test_grid_search_reaches_the_encoders(raw):
    model = make_pipeline(
        ModalityTransformer(
            [("text", TextDescriptor(), "title"), ("tabular", StandardScaler(), ["price"])]
        ),
        LogisticRegression(),
    )
    grid = {
        "modalitytransformer__text__n_components": [1, 3],
        "modalitytransformer__tabular": ["drop", "passthrough"],
    }
    search = GridSearchCV(model, grid, cv=2).fit(raw, raw["price"] > 8)
    assert search.best_params_["modalitytransformer__tabular"] == "passthrough"


def test_two_processes_give_the_same(raw):
    one, two = ModalityTransformer(n_jobs=1), ModalityTransformer(n_jobs=2)
    pd.testing.assert_frame_equal(two.fit_transform(raw), one.fit_transform(raw))


def test_global_settings_of_scikit_learn(raw):
    expected = ModalityTransformer().fit_transform(raw)
    for setting in ({"transform_output": "pandas"}, {"enable_metadata_routing": True}):
        with config_context(**setting):
            encoder = ModalityTransformer().fit(raw)
            pd.testing.assert_frame_equal(encoder.transform(raw), expected)
            make_pipeline(encoder, StandardScaler()).fit(raw)
    encoder = ModalityTransformer().set_output(transform="pandas")
    pd.testing.assert_frame_equal(encoder.fit_transform(raw), expected)


def test_sounds_are_described(raw):
    tones = [np.sin(np.arange(500) * 0.1 * (1 + i)) for i in range(N)]
    raw["voice"] = [(tone, 8000.0) for tone in tones]
    encoder = ModalityTransformer().fit(raw)
    assert isinstance(encoder.named_transformers_["audio"], AudioDescriptor)
    expected = AudioDescriptor().fit_transform(raw["voice"])
    found = encoder.transform(raw).filter(regex="^audio__").to_numpy()
    np.testing.assert_array_equal(found, expected)
    raw["noise"] = [{"array": tone, "sampling_rate": 8000} for tone in tones]
    assert {"audio_voice", "audio_noise"} <= set(ModalityTransformer().fit(raw).named_transformers_)


def test_videos_are_encoded(raw, tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (N, 3, 16, 16, 3), dtype=np.uint8)
    raw["clip"] = [write_clip(str(tmp_path / f"{i}"), frames[i]) for i in range(N)]  # nameless
    encoder = ModalityTransformer().fit(raw)
    assert isinstance(encoder.named_transformers_["video"], VideoEncoder)
    found = encoder.transform(raw).filter(regex="^video__").to_numpy()
    np.testing.assert_array_equal(found, VideoEncoder().fit_transform(raw["clip"]))
    raw["film"] = list(map(list, frames))
    assert {"video_clip", "video_film"} <= set(ModalityTransformer().fit(raw).named_transformers_)


def test_bad_transformers(raw):
    with pytest.raises(ValueError, match=r"transformers .*'atuo'"):
        ModalityTransformer("atuo").fit(raw)
    twice = [("a", StandardScaler(), ["price"]), ("a", StandardScaler(), ["price"])]
    with pytest.raises(ValueError, match=r"\['a', 'a'\]"):
        ModalityTransformer(twice).fit(raw)
    with pytest.raises(ValueError, match=r"'a__b'"):
        ModalityTransformer([("a__b", StandardScaler(), ["price"])]).fit(raw)


def test_bad_frames(raw):
    with pytest.raises(ValueError, match=r"shape=\(0, 4\)"):
        ModalityTransformer().fit(raw[:0])
    with pytest.raises(ValueError, match=r"X\[\[name\]\]"):
        ModalityTransformer().fit(raw["title"])
    twice = pd.concat([raw, raw[["title"]]], axis=1)
    with pytest.raises(ValueError, match=r"'title' 2\b"):
        ModalityTransformer().fit(twice)


@pytest.mark.parametrize("kind", ["missing", "dict"])
def test_column_that_fits_nothing_beside_one_that_does(kind):
    odd = [None] * 4 if kind == "missing" else [{"a": 1}] * 4
    frame = pd.DataFrame({"fine": [1.0, 2.0, 3.0, 4.0], "odd": odd})
    with pytest.raises(ValueError, match=f"'odd'.*{kind}"):
        infer_modalities(frame)
    with pytest.raises(ValueError, match=f"'odd'.*{kind}"):
        ModalityTransformer().fit(frame)


def test_frames_that_are_no_table_of_named_columns(raw):
    levels = raw.set_axis(pd.MultiIndex.from_product([["a"], raw.columns]), axis=1)
    with pytest.raises(ValueError, match=r"ModalityTransformer .*\b2\b.*X\.columns"):
        ModalityTransformer().fit(levels)


@pytest.mark.parametrize(
    "given", [[("text", TextDescriptor())], {"text": "title"}, ["title"], "text"]
)
def test_transformers_of_another_form(raw, given):
    with pytest.raises(ValueError, match=rf"transformers .* got {re.escape(repr(given))}"):
        ModalityTransformer(given).fit(raw)


def test_a_column_that_is_missing_at_transform(raw):
    encoder = ModalityTransformer().fit(raw)
    with pytest.raises(ValueError, match=r"\{'photo'\}.*None"):
        encoder.transform(raw.drop(columns="photo"))
    encoded = encoder.transform(raw.assign(photo=None))
    assert encoded.filter(like="image__").isna().all(axis=None)
    titles = ModalityTransformer([("text", TextDescriptor(), "title")]).fit(raw)
    assert len(titles.transform(raw[["title"]])) == N  # nobody needs what is not encoded


def test_names_of_modalities_never_clash():
    says = ["one thing", "another thing", "a third"]
    frame = pd.DataFrame(dict.fromkeys(("a_b", "a__b", "a___b", "c_"), says))
    Z = ModalityTransformer().fit_transform(frame)
    names = list(dict.fromkeys(name.split("__")[0] for name in Z))
    assert names == ["text_a_b", "text_a_b_no2", "text_a_b_no3", "text_c"]
    assert Z.columns.is_unique


def test_encoder_that_gives_no_numbers_is_named(raw):
    encoder = ModalityTransformer(
        [("number", "passthrough", ["price"]), ("word", "passthrough", ["color"])]
    )
    with pytest.raises(ValueError, match=r"(?s)'word' .*'red'.*OneHotEncoder"):
        encoder.fit(raw)


def test_broken_cell_is_named_with_its_column(raw):
    raw["photo"] = [b"nonsense", *raw["photo"][1:]]
    with pytest.raises(ValueError, match=r"column 'photo', row 0 \(index 0\)"):
        ModalityTransformer([("image", ImageDescriptor(), "photo")]).fit(raw)


def test_threads_may_share_a_fitted_transformer(raw):
    encoder = ModalityTransformer().fit(raw)
    expected = encoder.transform(raw)
    seen = set()

    def work(_):
        Z = encoder.transform(raw)
        seen.add(str(encoder.transformers))
        return Z

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(40)))
    for Z in results:  # after the threads: warning filters, which pandas' function sets, are shared
        pd.testing.assert_frame_equal(Z, expected)
    assert seen == {"auto"}
    assert encoder.transformers == "auto"


def test_polars_dates_and_missing_values():
    days = [datetime.date(2026, 1, 1), None, datetime.date(2026, 1, 3)]
    frame = pl.DataFrame({"day": days, "sure": [True, None, False], "n": [1, None, 3]})
    Z = ModalityTransformer().fit_transform(frame)
    assert list(Z) == ["tabular__day", "tabular__sure", "tabular__n"]
    assert Z.iloc[1].isna().all()
    np.testing.assert_allclose(Z["tabular__day"].iloc[[0, 2]], [-1.2247449, 1.2247449], rtol=1e-5)
