"""TextCleaner and TextTokenizer: each option on a text whose answer is known."""

import pickle
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import spacy
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmm import ModalityTransformer
from skmm.text import TextCleaner, TextDescriptor, TextTokenizer, _tokenizing

TRAINED_BY_RULES = {  # word: lemma, part of speech, tag
    "mice": ("mouse", "NOUN", "NNS"),
    "ran": ("run", "VERB", "VBD"),
    "fast": ("fast", "ADV", "RB"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a pipeline that knows lemma, part of speech and tag of three words."""
    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("attribute_ruler")
    for word, (lemma, pos, tag) in TRAINED_BY_RULES.items():
        ruler.add([[{"LOWER": word}]], {"LEMMA": lemma, "POS": pos, "TAG": tag})
    folder = tmp_path_factory.mktemp("pipeline") / "rules"
    pipeline.to_disk(folder)
    return folder


def clean(text, **options):
    off = {"unicode_form": None, "collapse_whitespace": False}
    (cleaned,) = TextCleaner(**{**off, **options}).fit_transform([text])
    return cleaned


def tokenize(text, model="en", **options):
    (tokens,) = TextTokenizer(model, **options).fit_transform([text])
    return tokens


# Cleaning


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({}, " E\u0301 &amp; ㎏ <b>É</b>\n1 ", " E\u0301 &amp; ㎏ <b>É</b>\n1 "),
        ({"fix_encoding": True}, "Ã© cafÃ© naïve “q”", "é café naïve “q”"),
        ({"unicode_form": "NFC"}, "e\u0301 ﬁ", "é ﬁ"),
        ({"unicode_form": "NFD"}, "é ﬁ", "e\u0301 ﬁ"),
        ({"unicode_form": "NFKC"}, "e\u0301 ﬁ ㎏", "é fi kg"),
        ({"unicode_form": "NFKD"}, "é ﬁ", "e\u0301 fi"),
        ({"lowercase": True}, "ÉCOLE Öl", "école öl"),
        ({"lowercase": True, "unicode_form": "NFKC"}, "℡", "tel"),
        ({"strip_accents": True}, "Él niño, Ёлка, ή", "El nino, Елка, η"),
        ({"strip_accents": True}, "が हिन्दी 한국", "が हिन्दी 한국"),
        ({"strip_accents": True, "unicode_form": "NFD"}, "한é", "\u1112\u1161\u11abe"),
        ({"collapse_whitespace": True}, "\t a \u00a0\n b\u3000", "a b"),
    ],
)
def test_characters(options, text, expected):
    assert clean(text, **options) == expected


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("un<b>believ</b>able", "unbelievable"),
        ("one<br>two<p>three</p>four", "one two three four"),
        ("<a href='x>y' title=\"a > b\">link</a>", "link"),
        ("a<script>if (a < b) {'<p>'}</script>b<style>p {}</style>c", "a b c"),
        ("a<template><p>hidden</p></template>b", "a b"),
        ("<!DOCTYPE html><!-- a <b> comment --><?php echo ?>text", "text"),
        ("&lt;b&gt; &eacute;&#233;&nbsp;&bogus; AT&T", "<b> éé &bogus; AT&T"),
        ("a < b && c > d, I <3 you", "a < b && c > d, I <3 you"),
        ("5 > 3 &amp; x<y", "5 > 3 & x<y"),
        ("<![if IE]>a<![endif]>b<![strange thing]>c", "abc"),
        ("kept<script>never closed > &amp; lost", "kept"),
        ("no markup", "no markup"),
        ("<p></p>", ""),
    ],
)
def test_markup(markup, text):
    assert clean(markup, strip_markup=True, collapse_whitespace=True) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://x.org/a_(b). And http://y.de, WWW.z.com!", "see U. And U, U!"),
        ("(https://x.org/?q=1,2) ftp://a/b", "(U) U"),
        ("https://x.org/路。次", "U。次"),
        ("http:// alone", "http:// alone"),
        ("write a.b+c@d.co.uk. Not a@b", "write E. Not a@b"),
        ("https://me@x.org/1 and a@www.x.org", "U and E"),
        ("1,000.5 3.14. 2024-01-05 -5 $7 ٣", "N N. N-N-N -N $N N"),
        ("B2B 10kg v1.5 covid19 1.5x", "B2B 10kg v1.5 covid19 1.5x"),
    ],
)
def test_replacements(text, expected):
    assert clean(text, urls="U", emails="E", numbers="N") == expected


def test_replacements_stand_as_they_were_given():
    text = "7 of HTTP://X.org/9 by A9@X.org"
    assert clean(text, numbers="N") == "N of HTTP://X.org/9 by A9@X.org"
    assert clean(text, urls=r"\1 <É>", lowercase=True, strip_accents=True) == (
        r"7 of \1 <É> by a9@x.org"
    )
    assert clean(text, urls="", emails="", collapse_whitespace=True) == "7 of by"


HOSTILE = ["<a ", "<!--", "<a b='", "<![x", "&a", "<script>", "<"]
HOSTILE += ["www.", "http://(", "a@", "a.b@c.", "a", "1,", "http://.", "1", "<a b=>", "&#"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_texts_are_cleaned(piece):
    """What is quadratic in the length of a text would take minutes here."""
    for end in ("", ">", "@", "\u0301"):
        clean(
            piece * 50_000 + end,
            strip_markup=True,
            urls="",
            emails="",
            numbers="",
            unicode_form="NFKC",
            strip_accents=True,
            collapse_whitespace=True,
        )


# Tokens


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({}, "Don't stop,\n the  Moon!", "Do n't stop , the Moon !"),
        ({"remove_punctuation": True}, "Don't stop, (the) Moon!", "Do n't stop the Moon"),
        ({"remove_stop_words": True}, "The Moon is up, it said.", "Moon , said ."),
        ({"lowercase": True}, "The Moon", "the moon"),
        ({"model": "xx"}, "l'été d'Ann", "l'été d'Ann"),
        ({"model": "fr"}, "l'été d'Ann", "l' été d' Ann"),
        ({"remove_stop_words": True}, "it is", ""),
        ({}, "", ""),
    ],
)
def test_words(options, text, expected):
    assert tokenize(text, **options) == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("token", "The Mice ran !"),
        ("lemma", "The mouse run !"),
        ("pos", "X NOUN VERB X"),
        ("tag", "X NNS VBD X"),
        ("token_pos", "The_X Mice_NOUN ran_VERB !_X"),
        ("lemma_pos", "The_X mouse_NOUN run_VERB !_X"),
    ],
)
def test_lemmas_and_tags(output, expected, trained):
    assert tokenize("The Mice ran!", trained, output=output) == expected
    assert tokenize("The Mice ran!", str(trained), output=output) == expected
    assert tokenize("", trained, output=output) == ""


def test_options_of_words_leave_tags_alone(trained):
    options = {"remove_stop_words": True, "remove_punctuation": True, "lowercase": True}
    assert tokenize("The Mice ran!", trained, output="token_pos", **options) == (
        "mice_NOUN ran_VERB"
    )
    assert tokenize("The Mice ran!", trained, output="tag", **options) == "NNS VBD"


def test_lookup_lemmatizer(tmp_path):
    pipeline = spacy.blank("en")
    lemmatizer = pipeline.add_pipe("lemmatizer", config={"mode": "lookup"})
    lemmatizer.lookups.add_table("lemma_lookup", {"mice": "mouse"})
    pipeline.to_disk(tmp_path)
    assert tokenize("three mice", tmp_path, output="lemma") == "three mouse"
    with pytest.raises(ValueError, match=r"output='lemma_pos' .*model=.* lemmatizer"):
        tokenize("three mice", tmp_path, output="lemma_pos")


def test_pipeline_without_tags_is_refused_at_fit_and_without_fit():
    tokenizer = TextTokenizer("de", output="token_pos")
    for method in (tokenizer.fit, tokenizer.transform):
        with pytest.raises(ValueError, match=r"output='token_pos' .*model='de' "):
            method(["ein Wort"])


def test_model_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", None)  # whoever asks the network fails otherwise
    with pytest.raises(OSError, match=r"model='en_no_such_sm' .*spacy download en_no_such_sm"):
        TextTokenizer("en_no_such_sm").fit(["a"])
    with pytest.raises(OSError, match=rf"{tmp_path.name}' .*meta\.json"):
        TextTokenizer(tmp_path).fit(["a"])
    with pytest.raises(ImportError, match="model='qq'"):
        TextTokenizer("qq").fit(["a"])


def test_pipeline_is_loaded_once(trained):
    column = ["mice ran", "ran fast", "fast mice", "no mouse"] * 3
    y = [0, 1, 0, 1] * 3
    _tokenizing._load.cache_clear()
    model = make_pipeline(TextTokenizer(trained), CountVectorizer(), LogisticRegression())
    options = {"texttokenizer__output": ["token", "lemma", "pos", "lemma_pos"]}
    search = GridSearchCV(model, options, cv=2, error_score="raise").fit(column, y)
    threads = [threading.Thread(target=search.predict, args=(column,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _tokenizing._load.cache_info().misses == 1
    assert len(pickle.dumps(search.best_estimator_[0])) < 1000


def test_long_texts(trained):
    assert tokenize("word " * 250_000).count(" ") == 249_999
    column = pd.Series(["short", "word " * 250_000], index=["a", "b"], name="says")
    with pytest.raises(ValueError, match=r"'says', row 1 \(index 'b'\): .*\b1250000\b"):
        TextTokenizer(trained, output="lemma").transform(column)


def test_half_a_surrogate_pair():
    broken = b"an \xe9t\xe9".decode("ascii", "surrogateescape")
    with pytest.raises(ValueError, match=r"row 1: .*\b3, '\\udce9'"):
        TextTokenizer().transform(["fine", broken])
    assert TextCleaner(lowercase=True).transform([broken]).tolist() == [broken]


def test_progress_bar(capsys):
    TextTokenizer(verbose=True).transform(["a b", "c"])
    assert "TextTokenizer: 100%" in capsys.readouterr().err
    TextTokenizer().transform(["a b", "c"])
    assert capsys.readouterr().err == ""


# Both


@pytest.fixture(params=["clean", "tokenize"])
def preparer(request):
    if request.param == "clean":
        return TextCleaner(lowercase=True)
    return TextTokenizer(lowercase=True)


TEXTS = ["A b", None, "", "A b", np.nan, pd.NA, "C"]
PREPARED = ["a b", None, "", "a b", np.nan, pd.NA, "c"]


def test_missing_stays_missing_and_empty_stays_empty(preparer):
    prepared = preparer.transform(TEXTS)
    assert isinstance(prepared, np.ndarray)
    assert prepared.dtype == object
    for got, expected in zip(prepared, PREPARED, strict=True):
        assert got is expected or got == expected
    assert preparer.transform([None, None]).tolist() == [None, None]


def test_series_keeps_index_name_and_type(preparer):
    series = pd.Series(TEXTS, index=list("gfedcba"), name="says", dtype=object)
    expected = pd.Series(PREPARED, index=series.index, name="says", dtype=object)
    is_missing_kept = pd.Series([None]).astype("str").isna().all()  # pandas 2 writes "None"
    for dtype in [object, "string", *(["str"] if is_missing_kept else [])]:
        before = series.astype(dtype)
        for column in (before, before.to_frame()):
            prepared = preparer.fit_transform(column)
            pd.testing.assert_series_equal(prepared, expected.astype(dtype))
        pd.testing.assert_series_equal(before, series.astype(dtype))
    categories = pd.Series(["A", "A", "B"], dtype="category")
    assert preparer.transform(categories).tolist() == ["a", "a", "b"]


def test_other_columns_give_object_arrays(preparer):
    texts = ["A b", "", "C"]
    columns = [texts, np.array(texts), np.array(texts, dtype=object)[:, None], pl.Series(texts)]
    for column in [*columns, pl.DataFrame({"says": texts})]:
        prepared = preparer.fit(column).transform(column)
        assert isinstance(prepared, np.ndarray)
        assert prepared.dtype == object
        assert prepared.tolist() == ["a b", "", "c"]


@pytest.mark.parametrize("cell", [3.5, 7, b"bytes", ["list"]])
def test_cell_that_is_no_text_is_named(preparer, cell):
    column = pd.Series(["a", cell, "b"], index=[4, 5, 6], dtype=object, name="says")
    match = (
        rf"{type(preparer).__name__}: column 'says', row 1 \(index 5\): .* {type(cell).__name__}"
    )
    with pytest.raises(TypeError, match=match):
        preparer.fit(column).transform(column)


def test_what_is_no_column_is_refused(preparer):
    with pytest.raises(ValueError, match=rf"\b0 sample.* {type(preparer).__name__}"):
        preparer.fit([])
    with pytest.raises(ValueError, match=r"got 2: \['a', 'b'\]"):
        preparer.transform(pd.DataFrame({"a": ["x"], "b": ["y"]}))
    with pytest.raises(ValueError, match=rf"{type(preparer).__name__} .* got str"):
        preparer.transform("a text")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (TextCleaner, {"unicode_form": "NFX"}),
        (TextCleaner, {"urls": True}),
        (TextCleaner, {"lowercase": "yes"}),
        (TextTokenizer, {"output": "stem"}),
        (TextTokenizer, {"model": None}),
        (TextTokenizer, {"remove_stop_words": None}),
    ],
)
def test_parameters_are_checked(kind, options):
    ((name, value),) = options.items()
    preparer = kind(**options)
    for method in (preparer.fit, preparer.transform):
        with pytest.raises(ValueError, match=rf"'{name}' .*{kind.__name__} .*{value!r}"):
            method(["a"])


def test_pickle_and_clone(preparer):
    preparer.fit(TEXTS)
    data = pickle.dumps(preparer)
    assert len(data) < 1000
    for other in (pickle.loads(data), clone(preparer)):
        assert other.get_params() == preparer.get_params()
        assert other.transform(["A b"]).tolist() == ["a b"]


def test_output_containers_change_nothing_before_a_vectorizer(preparer):
    texts = pd.Series(["A b", "b C", "a"], name="says")
    expected = TextDescriptor(n_components=2).fit_transform(texts.str.lower())
    for container in ("pandas", "polars"):
        model = make_pipeline(clone(preparer), TextDescriptor(n_components=2))
        frame = model.set_output(transform=container).fit_transform(texts)
        assert list(frame.columns) == ["0", "1"]
        np.testing.assert_allclose(frame.to_numpy(), expected, atol=1e-6)
    with sklearn.config_context(transform_output="pandas"):  # a frame would be counted by its names
        assert list(preparer.fit_transform(texts)) == ["a b", "b c", "a"]


def test_in_a_modality_transformer(preparer):
    X = pd.DataFrame({"says": ["A b", "b C", None], "age": [1, 2, 3]})
    model = make_pipeline(preparer, TextDescriptor(n_components=2))
    for columns in ("says", ["says"]):
        frame = ModalityTransformer([("text", model, columns)]).fit_transform(X)
        assert frame.columns.to_list() == ["text__0", "text__1"]
        assert frame.isna().all(axis=1).tolist() == [False, False, True]


def test_grid_search_finds_the_option_that_helps():
    texts = ["GOOD one", "bad One", "good two", "BAD two", "Good 3", "Bad 3"] * 3
    texts = [f"{text} <i>{i}</i>" for i, text in enumerate(texts)]
    y = [1, 0, 1, 0, 1, 0] * 3
    model = make_pipeline(
        TextCleaner(), CountVectorizer(lowercase=False, min_df=2), LogisticRegression()
    )
    options = {"textcleaner__lowercase": [False, True], "textcleaner__strip_markup": [False, True]}
    search = GridSearchCV(model, options, cv=[(range(4), range(4, 18))], error_score="raise")
    search.fit(pd.Series(texts, index=np.arange(18) + 100), y)
    assert search.best_params_["textcleaner__lowercase"]
    assert search.best_score_ == 1
    scores = search.cv_results_["mean_test_score"]
    lower = np.array(search.cv_results_["param_textcleaner__lowercase"], dtype=bool)
    assert scores[~lower].max() < 1


def test_spacy_is_not_imported_by_import():
    import subprocess
    import sys

    code = (
        "import sys, skmm.text, skmm.image; print({'spacy', 'ftfy', 'skimage'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout.strip() == "set()"
