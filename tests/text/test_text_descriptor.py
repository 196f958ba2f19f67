"""TextDescriptor: texts as features, and columns that hold other things."""

import pickle
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm.text import TextDescriptor, _counting, _descriptor

TEXTS = ["red apple", "green apple", "fast train", "slow train", "apple", "train station"]


def test_texts_that_share_words_are_near():
    Z = TextDescriptor(n_components=4).fit_transform(TEXTS)
    assert Z.dtype == np.float32
    distance = np.linalg.norm(Z[:, None] - Z[None], axis=2)
    assert distance[0, 1] < distance[0, 2]
    assert distance[2, 3] < distance[2, 1]


def test_misspelled_words_are_near_too():
    descriptor = TextDescriptor(n_components=4).fit(TEXTS)
    apple, train, misspelled = descriptor.transform(["apple", "train", "aple"])
    assert np.linalg.norm(misspelled - apple) < np.linalg.norm(misspelled - train)


def test_missing_and_empty_differ():
    descriptor = TextDescriptor().fit([*TEXTS, None])
    Z = descriptor.transform([None, "", "apple", np.nan, pd.NA])
    assert np.isnan(Z[[0, 3, 4]]).all()
    assert (Z[1] == 0).all()
    assert np.isfinite(Z[2]).all()
    assert np.isnan(descriptor.transform([None, None])).all()


def test_columns_of_every_kind():
    expected = TextDescriptor().fit_transform(TEXTS)
    series = pd.Series(TEXTS, index=list("abcdef"))
    columns = [
        series,
        series.astype("string"),
        series.astype(object),
        series.to_frame(),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object)[:, None],
        pl.Series(TEXTS),
        pl.DataFrame({"text": TEXTS}),
    ]
    for column in columns:
        np.testing.assert_array_equal(TextDescriptor().fit_transform(column), expected)


def test_fit_transform_is_fit_and_transform():
    descriptor = TextDescriptor()
    first = descriptor.fit_transform(TEXTS)
    np.testing.assert_allclose(descriptor.transform(TEXTS), first, atol=1e-6)
    loaded = pickle.loads(pickle.dumps(descriptor))
    np.testing.assert_array_equal(loaded.transform(TEXTS), descriptor.transform(TEXTS))


@pytest.mark.parametrize("texts", [["one"], ["?!", "..."], ["日本語", "中文"], ["a", "a", "a"]])
def test_small_and_strange_corpora(texts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Z = TextDescriptor().fit_transform(texts)
    assert len(Z) == len(texts)
    assert np.isfinite(Z).all()


def test_number_of_features():
    descriptor = TextDescriptor(n_components=1000).fit(TEXTS)
    assert descriptor.get_feature_names_out().tolist() == [str(i) for i in range(6)]
    assert descriptor.transform(TEXTS).shape == (6, 6)


def tfidf_of_scikit_learn(texts, max_features):
    shared = {"sublinear_tf": True, "max_features": max_features, "dtype": np.float32}
    words = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", **shared)
    runs = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **shared)
    return words.fit_transform(texts), runs.fit_transform(texts), words, runs


WITH_BLANKS = [
    "A red apple, and\ta GREEN apple!  ",
    "naïve Œuvre ½ ﬁne \u00a0 ΟΔΟΣ İstanbul x",
    "हिन्दी शब्द, 한국어 단어",
    "",
    "... 🙂 a a a",
    "apple's (green) e-mail 3.5",
]


@pytest.mark.parametrize("max_features", [20, 50_000])
def test_words_and_runs_with_blanks_are_those_of_scikit_learn(max_features):
    descriptor = TextDescriptor(max_features=max_features, n_components=3).fit(WITH_BLANKS)
    *blocks, words, runs = tfidf_of_scikit_learn(WITH_BLANKS, max_features)
    assert descriptor.vocabularies_ == {"words": words.vocabulary_, "runs": runs.vocabulary_}
    counts = sparse.hstack(blocks, format="csr")
    counts.sort_indices()
    expected = descriptor.svd_.transform(counts)
    np.testing.assert_array_equal(descriptor.fit_transform(WITH_BLANKS), expected)
    np.testing.assert_array_equal(descriptor.transform(WITH_BLANKS), expected)


def predict_from_texts(texts, labels):
    """Fit on one half of the texts, and return the accuracy on the other half."""
    half = len(texts) // 2
    model = make_pipeline(TextDescriptor(), StandardScaler(), LogisticRegression(C=0.1))
    return model.fit(texts[:half], labels[:half]).score(texts[half:], labels[half:])


@pytest.mark.parametrize(
    ("good", "bad", "letters", "stop"),
    [
        ("喜欢", "讨厌", "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出", "\uff0c"),
        ("すき", "きら", "あいうえおかくけこさしせそたちつてとなにぬのはひふへほまみむ", "、"),
        ("ชอบ", "แย่", "กขคงจฉชซญดตถทธนบปผฝพฟภมยรลวศสหอ", " "),
        ("ລາວ", "ໄທ", "ກຂຄງຈຊຍດຕຖທນບປຜຝພຟມຢຣລວສຫອຮ", " "),
    ],
)
def test_word_of_two_characters_in_clauses_that_never_repeat(good, bad, letters, stop):
    rng = np.random.default_rng(0)
    texts, labels = [], np.arange(400) % 2
    for label in labels:
        clauses = ["".join(rng.choice([*letters], rng.integers(10, 16))) for _ in range(3)]
        middle = rng.integers(2, 8)
        clauses[1] = clauses[1][:middle] + (bad, good)[label] + clauses[1][middle:]
        texts.append(stop.join(clauses))
    assert predict_from_texts(texts, labels) > 0.85


def test_scripts_without_blanks_in_a_text_with_blanks():
    descriptor = TextDescriptor(n_components=2)
    descriptor.fit(["my iPhone手机 is new", "my手机", "𠮷野家、ｱｶﾞ", "Ｔシャツ１００\uff05"])
    words = descriptor.vocabularies_["words"]
    assert {"my", "iphone", "is", "new", "手", "机", "手机", "𠮷", "𠮷野"} <= words.keys()
    assert {"ア", "ガ", "アガ", "t", "シ", "100"} <= words.keys()  # of usual width
    assert not {"my手机", "iphone手机", "吉", "家ア", "ー、"} & words.keys()
    runs = descriptor.vocabularies_["runs"]
    assert {"手", "机", "手机", " 手机 ", " my ", "e "} <= runs.keys()
    assert not {" ", "e手", "y手", "家、"} & runs.keys()


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("ก่ยา", ["ก่", "ย", "า"]),
        ("か\u3099き", ["が", "き"]),
        ("葛\U000e0100城", ["葛\U000e0100", "城"]),
        ("ក្រុង", ["ក្", "រុ", "ង"]),
        ("ဗမာ", ["ဗ", "မာ"]),
        ("พ.ศ.๒๕๖๙", ["พ", "ศ", "๒๕๖๙"]),
        ("ไทย\u200bลาว", [*"ไทย", *"ลาว"]),
        ("人々の〇", [*"人々の〇"]),
    ],
)
def test_marks_belong_to_their_character(text, characters):
    found = _counting.list_words(text)
    pairs = {a + b for a, b in pairwise(characters)}
    assert [word for word in found if word not in pairs] == characters


@pytest.mark.parametrize("cell", [3.5, 7, b"bytes", ["list"]])
def test_cell_that_is_no_text_is_named(cell):
    column = pd.Series(["a", cell, "b"], index=[4, 5, 6], dtype=object)
    with pytest.raises(TypeError, match=rf"row 1 \(index 5\): .* got {type(cell).__name__}"):
        TextDescriptor().fit(column)
    with pytest.raises(TypeError, match=rf"row 1 \(index 5\): .* got {type(cell).__name__}"):
        TextDescriptor().fit(TEXTS).transform(column)


@pytest.mark.parametrize(
    ("texts", "match"), [(["", " "], r" 2 texts, .*''.*min_df=1\b"), ([None, None], " 2 texts")]
)
def test_nothing_to_count(texts, match):
    with pytest.raises(ValueError, match=rf"TextDescriptor .*{match}"):
        TextDescriptor().fit(texts)


def test_no_rows():
    with pytest.raises(ValueError, match=r"\b0 sample.* TextDescriptor"):
        TextDescriptor().fit([])


def test_fewer_than_two_things_to_count():
    descriptor = TextDescriptor(min_df=2)
    with pytest.raises(ValueError, match=r"TextDescriptor .* 2 texts.*'ab'.*min_df=2\b"):
        descriptor.fit(["ab", "ac"])  # they share " a" and nothing else


def test_of_very_long_texts_a_sample_is_learned_from(monkeypatch):
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(500)]
    texts = [" ".join(rng.choice(words, 10)) for _ in range(300)]
    whole = TextDescriptor(n_components=5).fit(texts)
    monkeypatch.setattr(_descriptor, "FITTED_CHARACTERS", 3000)
    monkeypatch.setattr(_descriptor, "CHUNK_CHARACTERS", 1000)
    sampled = TextDescriptor(n_components=5)
    described = sampled.fit_transform(texts)
    n_words = len(sampled.vocabularies_["words"])
    assert 0 < n_words < len(whole.vocabularies_["words"])
    np.testing.assert_array_equal(described, sampled.transform(texts))
    np.testing.assert_array_equal(described, TextDescriptor(n_components=5).fit_transform(texts))
    alone = np.concatenate([sampled.transform([one]) for one in texts])
    np.testing.assert_allclose(described, alone, atol=1e-6)
    monkeypatch.setattr(_descriptor, "FITTED_CHARACTERS", 10)  # less than any text has
    assert TextDescriptor().fit_transform(texts).shape[0] == 300


def test_automatic_number_of_features():
    words = np.random.default_rng(0).integers(0, 10**6, (2000, 3)).astype(str)
    texts = [" ".join(row) for row in words]
    for n_texts, n_features in [(12, 10), (100, 25), (1000, 250), (2000, 256)]:
        assert TextDescriptor().fit_transform(texts[:n_texts]).shape == (n_texts, n_features)
    # copies say nothing new
    assert TextDescriptor().fit_transform(texts[:100] * 5).shape == (500, 25)


def test_components_of_rounding_errors_are_left_out():
    texts = [f"{a} {b}" for a in ("red", "green") for b in ("apple", "train", "ship")] * 5
    descriptor = TextDescriptor(n_components=20).fit(texts)
    assert 2 <= descriptor.n_components_ == len(descriptor.get_feature_names_out()) <= 6
    described = descriptor.transform(texts)
    assert described.std(axis=0).min() > 1e-3
    assert np.abs(descriptor.transform(["a blue whale", "tractor", "gr"])).max() < 1


def test_other_scikit_learn_than_in_fit_is_told(monkeypatch):
    saved = pickle.dumps(TextDescriptor().fit(TEXTS))
    monkeypatch.setattr("sklearn.base.__version__", "0.1")
    with pytest.warns(InconsistentVersionWarning, match=r"estimator \w+ .*\b0\.1\b"):
        pickle.loads(saved)
