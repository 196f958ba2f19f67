"""TextTokenizer: texts to words, lemmas or parts of speech, by spaCy."""

from __future__ import annotations

import os
import re
import threading
from functools import cache
from typing import ClassVar

from sklearn.utils._param_validation import StrOptions

from .._optional import import_optional
from .._progress import progress_bar
from ._preparing import TextPreparer

_NEEDLESS_COMPONENTS = ["parser", "ner"]  # for words, lemmas and tags; they take the most time
_BATCH_SIZE = 100
_lock = threading.Lock()


class TextTokenizer(TextPreparer, auto_wrap_output_keys=None):  # pyright: ignore (untyped keyword of scikit-learn)
    """Split texts into words, lemmas or parts of speech, joined by spaces.

    The result is a text again, for `TextDescriptor` or any vectorizer of scikit-learn. The words
    are spaCy's [1]_.

    Parameters
    ----------
    model : str or path, default="en"
        The code of a language, such as "en" or "de" ("xx" for any), whose rules split texts into
        words; nothing is downloaded. Or a trained spaCy pipeline, by the name of its package, such
        as "en_core_web_sm", or by the folder that holds it.
    output : {"token", "lemma", "pos", "tag", "token_pos", "lemma_pos"}, default="token"
        The form of each word: the word itself, its lemma ("run" for "ran"), its part of speech
        ("VERB"), the finer tag of the pipeline ("VBD"), or two of these ("ran_VERB"). All but
        "token" need a trained pipeline. A word without a lemma is its own lemma; a word without a
        part of speech or tag has "X".
    remove_stop_words : bool, default=False
        Whether to leave out the words of the language's list of very common ones.
    remove_punctuation : bool, default=False
        Whether to leave out punctuation.
    lowercase : bool, default=False
        Whether to make the letters of words and lemmas small, once stop words are found and tags
        set.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    n_features_in_ : int
        1, the column.

    See Also
    --------
    TextCleaner : Clean texts first.
    TextDescriptor : Turn the words into numbers.

    Notes
    -----
    Missing texts (None, NaN, pd.NA) stay as they are. A text without words is empty, not missing.

    A pipeline is loaded once in a process, whatever number of estimators use it, and none of them
    holds it. Its parser and its recognizer of entities are not run.

    References
    ----------
    .. [1] M. Honnibal, I. Montani, S. Van Landeghem, A. Boyd, "spaCy: Industrial-strength natural
       language processing in Python", 2020, https://spacy.io.

    Examples
    --------
    >>> from skmm.text import TextTokenizer
    >>> TextTokenizer(remove_punctuation=True).transform(["Don't stop, Ann!", None])
    array(["Do n't stop Ann", None], dtype=object)
    >>> TextTokenizer(remove_stop_words=True, lowercase=True).transform(["It is the Moon"])
    array(['moon'], dtype=object)
    """

    _parameter_constraints: ClassVar[dict] = {
        "model": [str, os.PathLike],
        "output": [StrOptions({"token", "lemma", "pos", "tag", "token_pos", "lemma_pos"})],
        "remove_stop_words": ["boolean"],
        "remove_punctuation": ["boolean"],
        "lowercase": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model: str | os.PathLike = "en",
        *,
        output: str = "token",
        remove_stop_words: bool = False,
        remove_punctuation: bool = False,
        lowercase: bool = False,
        verbose: bool = False,
    ):
        self.model = model
        self.output = output
        self.remove_stop_words = remove_stop_words
        self.remove_punctuation = remove_punctuation
        self.lowercase = lowercase
        self.verbose = verbose

    def _validate_params(self):
        super()._validate_params()
        pipeline = _load_once(os.fspath(self.model))
        assigned = {name for pipe in pipeline.pipe_names for name in _may_assign(pipeline, pipe)}
        lacking = set(self.output.split("_")) - {"token"} - assigned
        if not lacking:
            return
        message = f"TextTokenizer: output={self.output!r} needs a trained spaCy pipeline that sets "
        message += f"{' and '.join(sorted(lacking))}, and model={self.model!r} "
        if pipeline.pipe_names:
            message += f"does not: it has {', '.join(pipeline.pipe_names)}."
        else:
            message += f"only splits words. {_how_to_get(pipeline.lang)}"
        raise ValueError(message)

    def _find_fault(self, text: str) -> str | None:
        limit = _load_once(os.fspath(self.model)).max_length
        if self.output != "token" and len(text) > limit:
            return (
                f"the text has {len(text)} characters, and the spaCy pipeline takes {limit} at "
                "most; cut it, or split it into rows"
            )
        try:
            text.encode()
        except UnicodeEncodeError as e:
            return (
                f"character {e.start}, {text[e.start]!r}, is half of a surrogate pair, so the text "
                "was decoded by a wrong encoding; decode it again, or take the character out"
            )
        return None

    def _prepare(self, texts: list[str]) -> list[str]:
        pipeline = _load_once(os.fspath(self.model))
        if self.output == "token":
            docs = map(pipeline.tokenizer, texts)
        else:
            docs = pipeline.pipe(texts, batch_size=_BATCH_SIZE)
        name, verbose = "TextTokenizer", bool(self.verbose)
        shown = progress_bar(docs, desc=name, total=len(texts), verbose=verbose)
        return [
            " ".join(self._render(token) for token in doc if self._keeps(token)) for doc in shown
        ]

    def _keeps(self, token) -> bool:
        if token.is_space or (self.remove_punctuation and token.is_punct):
            return False
        return not (self.remove_stop_words and token.is_stop)

    def _render(self, token) -> str:
        return "_".join(self._part(token, part) for part in self.output.split("_"))

    def _part(self, token, part: str) -> str:
        if part in ("pos", "tag"):
            return getattr(token, f"{part}_") or "X"
        word = token.text if part == "token" else token.lemma_ or token.text
        return word.lower() if self.lowercase else word


def _load_once(model: str):
    """Return the spaCy pipeline of this name, which stays loaded."""
    with _lock:
        return _load(model)


@cache
def _load(model: str):
    spacy = import_optional("spacy", extra="text", purpose="TextTokenizer")
    if re.fullmatch("[a-z]{2,3}", model):
        try:
            return spacy.blank(model)
        except ImportError as e:  # no such language, or one that needs a package
            raise ImportError(
                f"TextTokenizer: spaCy has no rules for model={model!r} at hand: {e}"
            ) from e
    try:
        return spacy.load(model, exclude=_NEEDLESS_COMPONENTS)
    except OSError as e:
        if os.path.exists(model):
            raise OSError(
                f"TextTokenizer: the spaCy pipeline at {model!r} cannot be loaded: {e}"
            ) from e
        raise OSError(
            f"TextTokenizer: model={model!r} is neither an installed spaCy pipeline nor a folder. "
            f"Where there is network: python -m spacy download {model}; or give the folder of one "
            "that you have. To split into words alone, model='en' needs no download."
        ) from e


def _may_assign(pipeline, pipe_name: str) -> set[str]:
    """Return which of lemma, pos and tag a component sets: any, unless it declares them."""
    assigned = pipeline.get_pipe_meta(pipe_name).assigns
    parts = {"lemma", "pos", "tag"}
    return {part for part in parts if f"token.{part}" in assigned} if assigned else parts


def _how_to_get(language: str) -> str:
    return (
        f"https://spacy.io/models lists those for {language!r}; where there is network: python -m "
        "spacy download NAME (en_core_web_sm is one for English), then model=NAME; or give the "
        "folder of one that you have."
    )
