"""What columns are taken for, where a closer look is needed."""

import datetime
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from skmm.compose import ModalityTransformer, TabularEncoder, infer_column, infer_modalities
from skmm.compose._inference import IDENTIFIERS, measure_repeated

HEADS = {
    "image": [
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"\0\0\0 ftypavif",
        b"\0\0\0 ftypheic",
    ],
    "audio": [b"fLaC\0", b"OggS\0", b"ID3\x03", b"\xff\xfb\x90", b"RIFF\0\0\0\0WAVEfmt ",
              b"\0\0\0 ftypM4A "],
    "video": [b"\0\0\0 ftypisom", b"\x1aE\xdf\xa3", b"RIFF\0\0\0\0AVI LIST"],
    None: [b"%PDF-1.7", b"", b"PK\x03\x04"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("head", "modality"), [(head, modality) for modality in HEADS for head in HEADS[modality]]
)
def test_bytes_are_told_by_their_head(head, modality):
    assert infer_column(pd.Series([head] * 3)).modality == modality


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, None, False], "booleans"),
        ([Decimal("1.5"), Decimal(2), None], "numbers"),
        ([datetime.date(2026, 1, 1), None], "dates"),
    ],
)
def test_objects_that_are_tabular(values, kind):
    assert infer_column(pd.Series(values, dtype=object))[:2] == ("tabular", kind)


@pytest.mark.parametrize(
    ("n_distinct", "n_rows", "modality"),
    [(2, 4, "tabular"), (12, 12, "text"), (100, 1000, "tabular"), (500, 1000, "text")],
)
def test_the_rule_for_categories(n_distinct, n_rows, modality):
    words = [f"word{i % n_distinct}" for i in range(n_rows)]
    assert infer_column(pd.Series(words)).modality == modality
    assert infer_column(pd.Series(words, dtype="category")).modality == "tabular"


def draw_columns(n, seed):
    """Draw the columns of a shop: few, many and very many categories, phrases and texts."""
    rng = np.random.default_rng(seed)
    makers = ["Alba", "Bora", "Cato", "Dido", "Enzo", "Faro", "Gala", "Hugo"]
    models = [
        f"{a} {b} {c}" for a in makers for b in ("Pulsar", "Hunter", "Classic") for c in "1234"
    ]
    return pd.DataFrame(
        {
            "department": rng.choice(["home", "garden", "toys"], n),
            "brand": [f"brand {i}" for i in rng.integers(100, size=n)],
            "town": [f"town{int(i)}" for i in rng.zipf(1.5, n)],
            "model": rng.choice(models, n),
            "username": [f"user{i}" for i in rng.permutation(10**6)[:n]],
            "title": [f"a {i} title of product number {i % 700}" for i in range(n)],
            "price": [f"${i}.99" for i in rng.permutation(5 * 10**5)[:n]],
            "serial": rng.permutation(n),
        }
    )


@pytest.mark.parametrize("n", [80, 150, 300, 1000, 20_000])
def test_the_modality_does_not_depend_on_the_number_of_rows(n):
    expected = dict.fromkeys(["department", "brand", "town", "price", "serial"], "tabular")
    expected |= dict.fromkeys(["model", "username", "title"], "text")
    X = draw_columns(n, seed=n)
    folds = [X, X.sample(frac=2 / 3, random_state=0)] if n > 80 else [X]
    for rows in folds:
        found = {column: infer_column(values) for column, values in rows.items()}
        assert {column: finding.modality for column, finding in found.items()} == expected
        assert found["serial"].kind == found["username"].kind == IDENTIFIERS
        assert found["price"].kind == "numbers as text"


def test_the_share_that_occurs_again_is_estimated_without_bias():
    X = draw_columns(20_000, seed=0)["brand"]
    whole = measure_repeated(X.value_counts())
    parts = [measure_repeated(X.sample(80, random_state=i).value_counts()) for i in range(200)]
    assert abs(np.mean(parts) - whole) < 3 * np.std(parts) / np.sqrt(200)


def test_each_column_has_a_reason():
    X = pd.DataFrame(
        {"brand": [f"brand {i % 100}" for i in range(200)], "weight": np.linspace(1, 2, 200)}
    )
    reasons = infer_modalities(X)["reason"]
    assert "100 different of 200" in reasons["brand"]
    assert reasons["weight"] == "of type float64"


@pytest.mark.parametrize(
    ("texts", "modality"),
    [
        (["2026-11-23", None, "1999-01-31"], "tabular"),
        (["2026-11-23 10:30", "2026-11-23T10:30:01.5Z"], "tabular"),
        (["2026-11-23", "tomorrow"], "text"),
        (["2026-13-23", "2026-11-23"], "text"),
        (["2026-11-23 was a Monday", "2026-11-24 was not"], "text"),
    ],
)
def test_dates_in_words(texts, modality):
    assert infer_column(pd.Series(texts)).modality == modality


@pytest.mark.parametrize("odd", ["TBD", "N/A", "0000-00-00", "", " "])
def test_dates_of_which_one_is_not_known_are_dates(odd):
    days = [f"2020-0{1 + i % 9}-{10 + i % 19}" for i in range(60)]
    days[7] = odd
    X = pd.DataFrame({"day": days, "n": np.arange(60) / 2})
    assert infer_modalities(X)["kind"].tolist() == ["dates", "numbers"]
    encoded = TabularEncoder().set_output(transform="pandas").fit_transform(X)
    assert encoded["day_missing"].tolist() == [float(i == 7) for i in range(60)]


@pytest.mark.parametrize("n_days", [20, 360])
@pytest.mark.parametrize(
    "form",
    [
        *["%d/%m/%Y", "%m/%d/%y", "%d.%m.%Y", "%Y/%m/%d", "%d %b %Y", "%B %d, %Y", "%Y%m%d"],
        *["%H:%M", "%Y-%m", "%Y-%m-%dT%H", "%Y%m%dT%H%M%SZ", "%a, %d %b %Y %H:%M:%S GMT"],
        *["%Y-%m-%d %I:%M %p", "%d. %B %Y"],
    ],
)
def test_dates_in_other_forms_are_told(form, n_days):
    times = pd.date_range("2020-01-01", periods=n_days, freq="25h")
    X = pd.DataFrame({"when": [*times.strftime(form)] * (360 // n_days)})
    with pytest.warns(UserWarning, match=r"'when' .*to_datetime\(X\['when'\]"):
        found = infer_modalities(X)
    assert found.loc["when", "kind"].startswith("dates or times")


@pytest.mark.parametrize("form", ["{}.{}.3", "10.0.{}.{}", "{}/{}", "{}-{}"])
def test_versions_addresses_and_scores_are_no_dates(form):
    texts = [form.format(i % 7, i % 5) for i in range(60)]
    assert infer_column(pd.Series(texts)).kind == "categories"


@pytest.mark.parametrize(
    "cell", [("a name", 3), (2, 3), np.zeros(8000), [0.1, "a"], np.zeros(10, dtype=complex)]
)
def test_what_may_be_anything_is_not_guessed(cell):
    cells = pd.Series([cell] * 3, dtype=object)
    assert infer_column(cells).modality is None


@pytest.mark.parametrize("make", [np.array, list])
def test_vectors_of_one_length_are_embeddings(make):
    cells = [None, *(make([0.5, 1.5, 2.5]) for _ in range(3))]
    assert infer_column(pd.Series(cells))[:2] == ("embedding", "vectors of 3 numbers")
    sounds = [np.zeros(100 + i) for i in range(3)]
    assert infer_column(pd.Series(sounds)).modality is None


def test_an_extension_stands_for_a_file_that_is_not_there(tmp_path, monkeypatch):
    here, gone = tmp_path / "here.png", tmp_path / "gone.png"
    here.write_bytes(b"fLaC and more of it")
    assert infer_column(pd.Series([str(here)] * 3)).modality == "audio"
    assert infer_column(pd.Series([str(gone)] * 3)).modality == "image"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert infer_column(pd.Series(["~/here.png"] * 3)).modality == "audio"


def test_an_example_of_a_large_value_is_quick_and_short():
    frame = pd.DataFrame({"bytes": [b"\x89PNG" + bytes(10**8)], "text": ["long " * 10**7]})
    assert infer_modalities(frame)["example"].str.len().max() <= 60


def test_tensors_of_one_dimension_are_embeddings():
    vectors = [torch.tensor([1.0, 2.0, float(i)]) for i in range(5)]
    assert infer_column(pd.Series(vectors))[:2] == ("embedding", "vectors of 3 numbers")
    encoded = ModalityTransformer().fit_transform(pd.DataFrame({"v": vectors}))
    np.testing.assert_array_equal(encoded, np.stack(vectors))


@pytest.mark.parametrize("form", ["%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S%p"])
def test_the_advice_on_times_of_the_day_makes_them_numbers(form):
    times = pd.Series(pd.date_range("2026-01-01", periods=200, freq="427s"))
    X = pd.DataFrame({"at": times.dt.strftime(form)})
    with pytest.warns(UserWarning, match="'at'") as caught:
        infer_modalities(X)
    advice = re.search(r"pd.to_datetime\(.*?\)\.dt\.time", str(caught[0].message))[0]
    X["at"] = eval(advice, {"pd": pd, "X": X})
    assert infer_modalities(X).loc["at", "kind"] == "durations"
