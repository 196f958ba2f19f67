"""TextCleaner, and what it shares with TextTokenizer: columns of texts to columns of texts."""

from __future__ import annotations

import re
import unicodedata
from abc import abstractmethod
from html import unescape
from html.parser import HTMLParser
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import StrOptions

from .._data.cells import Column, is_missing, shorten
from .._optional import import_optional
from ..encoding.engine import ColumnPreparer, check_texts

# Alternatives: of two that start at one place the first wins, and what one takes no other touches.
# Possessive (++), so that no text takes time that is quadratic in its length.
_REPLACEABLE = re.compile(
    r"""
    (?P<urls> (?<![\w@.]) (?:https?://|ftp://|www\.)
        (?: \([^\s<>()"]*\) | [^\s<>()"\u3002\uff0c\u3001\uff01\uff1f] )*
        (?: \([^\s<>()"]*\) | [^\s<>()"'.,;:!?\[\]{}\u3002\uff0c\u3001\uff01\uff1f] ) )
    | (?P<emails> (?<![\w.+-]) [\w.+-]++ @ [\w-]++ (?:\.[\w-]++)++ )
    | (?P<numbers> (?<!\w) (?<!\d[.,]) \d++ (?:[.,]\d++)*+ (?!\w) )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ACCENTS = re.compile("[\u0300-\u036f]")  # vowels of Hindi and voicing of kana are elsewhere
_INLINE_TAGS = re.compile(
    "a|abbr|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|label|mark|q|s|samp|small|span|"
    "strike|strong|sub|sup|time|tt|u|var|wbr"
)
_TAGS_WITHOUT_TEXT = frozenset({"script", "style", "template"})


class TextPreparer(ColumnPreparer, auto_wrap_output_keys=None):  # pyright: ignore (untyped keyword of scikit-learn)
    """Turn each text of a column into another; a subclass defines how in `_prepare`."""

    @abstractmethod
    def _prepare(self, texts: list[str]) -> list[str]:
        """Return a text for each of these, which differ from each other."""

    def transform(self, X):
        """Prepare each text.

        Parameters
        ----------
        X : Series, frame of one column, list or array of str
            The column.

        Returns
        -------
        Series or ndarray of shape (n_samples,) of object
            A Series, with the index and the name of the column, if ``X`` is of pandas. Missing
            cells are as they were.

        Raises
        ------
        TypeError
            If a cell is neither a text nor missing; the message names the row.
        ValueError
            If a text is nothing that `TextTokenizer` can split; the message names the row.
        """
        self._validate_params()
        column = self._read_column(X)
        rows = self._find_texts(column)
        # spaCy takes str itself, not what inherits from it, such as NumPy's.
        texts = list(dict.fromkeys(str.__str__(column.cells[row]) for row in rows))
        prepared = dict(zip(texts, self._prepare(texts), strict=True))
        cells = np.empty(len(column.cells), dtype=object)
        cells[:] = column.cells
        for row in rows:
            cells[row] = prepared[cells[row]]
        if not isinstance(X, pd.Series | pd.DataFrame):
            return cells
        series = X.iloc[:, 0] if isinstance(X, pd.DataFrame) else X
        dtype = series.dtype if isinstance(series.dtype, pd.StringDtype) else object
        return pd.Series(cells, index=series.index, name=series.name, dtype=dtype)

    def _find_texts(self, column: Column) -> list[int]:
        """Return the rows that are not missing, once all of them are known to hold texts."""
        rows = [row for row, cell in enumerate(column.cells) if not is_missing(cell)]
        name = type(self).__name__
        for row in rows:
            cell = column.cells[row]
            check_texts(column, [row], estimator=name)
            fault = self._find_fault(cell)
            if fault is not None:
                raise ValueError(f"{name}: {column.describe(row)}: {fault} ({shorten(cell)}).")
        return rows

    def _find_fault(self, text: str) -> str | None:
        """Return why a text cannot be prepared, and what to do; None if it can."""
        return None


class TextCleaner(TextPreparer, auto_wrap_output_keys=None):  # pyright: ignore (untyped keyword of scikit-learn)
    """Clean texts, one by one: encoding, markup, case, URLs and more.

    The steps that are switched on run in the order of the parameters.

    Parameters
    ----------
    fix_encoding : bool, default=False
        Whether to repair text that was decoded by the wrong encoding, such as "cafÃ©" for "café".
        It needs ftfy.
    strip_markup : bool, default=False
        Whether to take HTML tags and comments away, scripts and styles with all that they hold, and
        to turn entities such as "&amp;" into characters. Tags that break a line leave a line break.
    unicode_form : {"NFC", "NFD", "NFKC", "NFKD"} or None, default="NFC"
        The Unicode normal form of the text. "NFKC" also makes "ﬁ" two letters, and "㎏" too.
    lowercase : bool, default=False
        Whether to make letters small.
    strip_accents : bool, default=False
        Whether to take accents from Latin, Greek and Cyrillic letters; the text is then in the
        form NFC if `unicode_form` is None.
    urls : str or None, default=None
        What to put in the place of each URL (http, https, ftp, or from "www." on); None keeps it.
    emails : str or None, default=None
        What to put in the place of each address of electronic mail; None keeps it.
    numbers : str or None, default=None
        What to put in the place of each number written in digits, such as 1,000.5; None keeps it.
        Digits within a word ("B2B"), a URL or an address are no number.
    collapse_whitespace : bool, default=True
        Whether to make one space of all whitespace between words, and to take it from the ends.

    Attributes
    ----------
    n_features_in_ : int
        1, the column.

    See Also
    --------
    TextTokenizer : Split texts into words, lemmas or tags.
    TextDescriptor : Turn texts into numbers.

    Notes
    -----
    Missing texts (None, NaN, pd.NA) stay as they are. A text of which nothing is left is empty, not
    missing.

    Examples
    --------
    >>> from skmm.text import TextCleaner
    >>> cleaner = TextCleaner(strip_markup=True, lowercase=True, urls="<url>", numbers="0")
    >>> cleaner.transform(["<p>See https://example.org/a?b=1,<br>page&nbsp;12.</p>", None, " "])
    array(['see <url>, page 0.', None, ''], dtype=object)
    """

    _parameter_constraints: ClassVar[dict] = {
        "fix_encoding": ["boolean"],
        "strip_markup": ["boolean"],
        "unicode_form": [StrOptions({"NFC", "NFD", "NFKC", "NFKD"}), None],
        "lowercase": ["boolean"],
        "strip_accents": ["boolean"],
        "urls": [str, None],
        "emails": [str, None],
        "numbers": [str, None],
        "collapse_whitespace": ["boolean"],
    }

    def __init__(
        self,
        *,
        fix_encoding: bool = False,
        strip_markup: bool = False,
        unicode_form: str | None = "NFC",
        lowercase: bool = False,
        strip_accents: bool = False,
        urls: str | None = None,
        emails: str | None = None,
        numbers: str | None = None,
        collapse_whitespace: bool = True,
    ):
        self.fix_encoding = fix_encoding
        self.strip_markup = strip_markup
        self.unicode_form = unicode_form
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.urls = urls
        self.emails = emails
        self.numbers = numbers
        self.collapse_whitespace = collapse_whitespace

    def _prepare(self, texts: list[str]) -> list[str]:
        if self.fix_encoding:
            purpose = "TextCleaner(fix_encoding=True)"
            ftfy = import_optional("ftfy", extra="text", purpose=purpose)
            texts = [ftfy.fix_encoding(text) for text in texts]
        return [self._clean(text) for text in texts]

    def _clean(self, text: str) -> str:
        if self.strip_markup:
            text = _strip_markup(text)
        form: Any = self.unicode_form
        if form is not None:
            text = unicodedata.normalize(form, text)
        if self.lowercase:
            text = text.lower()
        if self.strip_accents:
            text = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
            form = form or "NFC"
        if form is not None:  # again: small letters may have lost it
            text = unicodedata.normalize(form, text)
        if any(value is not None for value in (self.urls, self.emails, self.numbers)):
            text = _REPLACEABLE.sub(self._replace, text)
        return " ".join(text.split()) if self.collapse_whitespace else text

    def _replace(self, match: re.Match) -> str:
        replacement = getattr(self, match.lastgroup or "")  # the groups are named as the parameters
        return match.group() if replacement is None else replacement


class _Markup(HTMLParser):
    """Collects the text of a piece of HTML, however broken, in `parts`."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._n_hidden = 0  # tags around us whose content is no text

    def handle_starttag(self, tag, attrs):
        self._n_hidden += tag in _TAGS_WITHOUT_TEXT
        self._break_line(tag)

    def handle_endtag(self, tag):
        self._n_hidden = max(0, self._n_hidden - (tag in _TAGS_WITHOUT_TEXT))
        self._break_line(tag)

    def handle_data(self, data):
        if not self._n_hidden:
            self.parts.append(data)

    def _break_line(self, tag: str) -> None:
        if not _INLINE_TAGS.fullmatch(tag):
            self.parts.append("\n")

    def parse_marked_section(self, i, report=1):
        """Skip "<![...>", on which the parser of Python before 3.14 can fail."""
        return self.parse_bogus_comment(i)


def _strip_markup(text: str) -> str:
    if "<" not in text and "&" not in text:
        return text
    end = text.rfind(">") + 1  # no tag ends after it, and html.parser would look for one for long
    markup = _Markup()
    markup.feed(text[:end])
    markup.close()
    markup.handle_data(unescape(text[end:]))
    return "".join(markup.parts)
