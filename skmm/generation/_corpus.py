"""chrF of a whole corpus, by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from .._optional import import_optional


def corpus_chrf(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Compute the character n-gram F-score of texts, from 0 to 1; each has one reference or more.

    Examples
    --------
    >>> from skmm.generation._corpus import corpus_chrf
    >>> corpus_chrf(["a red cat", "a dog"], [["a red cat"], ["a fish", "a dog"]])
    1.0
    """
    sacrebleu = import_optional("sacrebleu", extra="generation", purpose="chrF")
    streams = [list(stream) for stream in zip_longest(*references)]  # None where a row has fewer
    return sacrebleu.corpus_chrf(list(predictions), streams).score / 100
