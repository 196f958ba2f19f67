"""Words and parts of words as numbers, learned from the texts of a fit, in any script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .._optional import import_optional

PADDING, START, END, UNKNOWN = range(4)
# With a character that is for private use, so that they are not found in texts.
SPECIAL = [f"\ue001{name}" for name in ("padding", "start", "end", "unknown")]
SPACES = "\u2581\u2423\u2420\ue000"  # what stands for a space: the first that no text has


class Vocabulary:
    """Subwords of one fit: characters, and the pairs of them that are frequent.

    Encoding and decoding give a text back as it was, unless it has characters that no text of the
    fit has. These are one number, which is never generated.

    Parameters
    ----------
    content : str
        JSON of the package tokenizers.
    """

    start, end = START, END
    never_generated = (PADDING, START, UNKNOWN)

    def __init__(self, content: str):
        self.content = content
        self._tokenizer: Any = _import_tokenizers().Tokenizer.from_str(content)

    @classmethod
    def learn(cls, texts: Iterable[str], n_tokens: int) -> Vocabulary:
        """Learn ``n_tokens`` subwords, or more if there are more characters (Sennrich et al. 2016).

        Parameters
        ----------
        texts : iterable of str
        n_tokens : int
        """
        tokenizers, texts = _import_tokenizers(), list(texts)
        used = set().union(*texts)
        space = next((mark for mark in SPACES if mark not in used), SPACES[0])
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=SPECIAL[UNKNOWN]))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(space, "never")
        tokenizer.decoder = tokenizers.decoders.Metaspace(space, "never")
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=n_tokens, min_frequency=2, special_tokens=SPECIAL, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer.to_str())

    @property
    def n_tokens(self) -> int:
        """The number of subwords, special ones among them."""
        return self._tokenizer.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the numbers of each text's subwords."""
        return [encoded.ids for encoded in self._tokenizer.encode_batch_fast(list(texts))]

    def encode_source(self, texts: Sequence[str]) -> list[list[int]]:
        """Return what is read of source texts; nothing of empty ones."""
        return self.encode(texts)

    def encode_target(self, texts: Sequence[str]) -> list[list[int]]:
        """Return what is to be generated, with its end."""
        return [[*ids, END] for ids in self.encode(texts)]

    def decode(self, sequences: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of numbers, without special ones."""
        return self._tokenizer.decode_batch([list(ids) for ids in sequences])


def _import_tokenizers():
    return import_optional("tokenizers", extra="generation", purpose="FusionTextGenerator")
