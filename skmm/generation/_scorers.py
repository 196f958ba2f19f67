"""Scores of generated texts, as ``scoring=`` takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from numbers import Integral
from typing import Any

from .._optional import import_optional
from ._problem import read_references


def corpus_score(
    metric: str,
    parameters: Mapping[str, Any],
    texts: Sequence[str],
    references: Sequence[Sequence[str]],
) -> float:
    """Compute a metric of sacrebleu over all texts, each with its references, from 0 to 1."""
    metrics = import_optional("sacrebleu.metrics", extra="generation", purpose=metric)
    streams = [list(stream) for stream in zip_longest(*references)]  # None where a row has fewer
    score = getattr(metrics, metric)(**parameters).corpus_score(list(texts), streams).score
    return min(score / 100, 1.0)  # BLEU of equal texts is a rounding error above


@dataclass(frozen=True, repr=False)
class _TextScorer:
    """A callable of estimator, X and y, which joblib can send to other processes."""

    name: str
    metric: str  # its name in sacrebleu.metrics
    chosen: dict[str, Any]  # parameters that the user chose
    fixed: dict[str, Any] = field(default_factory=dict)

    def __call__(self, estimator, X, y) -> float:
        texts = [str(text) for text in estimator.predict(X)]
        parameters = {**self.chosen, **self.fixed}
        return corpus_score(self.metric, parameters, texts, read_references(y))

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in self.chosen.items())
        return f"{self.name}({', '.join(shown)})"


def chrf(word_order=0):
    """Make a scorer: chrF of all texts together, computed by sacrebleu.

    Parameters
    ----------
    word_order : int, default=0
        The longest n-grams of words that count beside those of characters; 2 is chrF++.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``, for ``scoring=`` of `GridSearchCV` and `cross_val_score`; from
        0 to 1. The estimator predicts strings; y holds strings, or lists of a row's references.

    See Also
    --------
    bleu : The score by n-grams of words.

    References
    ----------
    M. Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from skmm.generation import chrf
    >>> X, y = [[0], [1], [2]], ["a cat", "a cat", "a car"]
    >>> guess = DummyClassifier().fit(X, y)
    >>> round(chrf()(guess, X, y), 2)
    0.83
    """
    if not isinstance(word_order, Integral) or word_order < 0:
        raise ValueError(f"word_order must be an integer of at least 0, got {word_order!r}.")
    return _TextScorer("chrf", "CHRF", {"word_order": int(word_order)})


def bleu(tokenize=None):
    """Make a scorer: BLEU of all texts together, computed by sacrebleu.

    Where no predicted text has four words, n-grams of as many words count as there are: equal short
    texts have 1, and not 0 (sacrebleu's ``effective_order=True``).

    Parameters
    ----------
    tokenize : str, default=None
        How sacrebleu finds words: "13a", "intl", "char", "zh" and others. None: "13a", as in the
        shared tasks of WMT. Texts in scripts without blanks need "zh" or "char".

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``, for ``scoring=`` of `GridSearchCV` and `cross_val_score`; from
        0 to 1. The estimator predicts strings; y holds strings, or lists of a row's references.

    See Also
    --------
    chrf : The score by n-grams of characters, for short texts and for any script.

    References
    ----------
    M. Post, "A call for clarity in reporting BLEU scores", WMT 2018.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from skmm.generation import bleu
    >>> X, y = [[0], [1]], ["a red cat on a mat", "a red cat on a mat"]
    >>> bleu()(DummyClassifier().fit(X, y), X, y)
    1.0
    """
    if tokenize is not None and not isinstance(tokenize, str):
        raise ValueError(f"tokenize must be the name of a tokenizer or None, got {tokenize!r}.")
    metrics = import_optional("sacrebleu.metrics", extra="generation", purpose="bleu")
    known = sorted(metrics.BLEU.TOKENIZERS)
    if tokenize is not None and tokenize not in known:
        raise ValueError(f"tokenize must be one of {known} or None, got {tokenize!r}.")
    return _TextScorer("bleu", "BLEU", {"tokenize": tokenize}, {"effective_order": True})
