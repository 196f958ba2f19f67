"""What is fitted: how rows of X become inputs, and what writes and measures their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .._data.columns import ModalityColumns
from .._data.persistence import frame_from_plain, frame_to_plain
from .._data.scaling import ColumnScaler
from ._decoder import MAX_SOURCE, DecoderRows, FittedDecoder, WrittenText
from ._fitted_retrieval import FittedRetrieval
from ._mixture import DECODER_ALONE, LikelihoodWeights
from ._persistence import retrieval_from_plain, retrieval_to_plain
from ._problem import InputRows
from ._rows import Candidate, GenerationRows
from ._shapley import shapley_values


@dataclass
class FittedGenerator:
    """Made by `fit`, and held by the estimator in one attribute."""

    columns: ModalityColumns
    scaler: ColumnScaler
    alpha: np.ndarray  # (m,) in the network's order, or (m + 1,) with the source text last
    decoder: FittedDecoder | None = None
    retrieval: FittedRetrieval | None = None
    likelihood_weights: LikelihoodWeights = DECODER_ALONE
    history: pd.DataFrame | None = None  # None where no decoder was trained

    def propose(
        self, inputs: InputRows, n_best: int, n_beams: int, max_length: int | None, device: str
    ) -> list[list[Candidate]]:
        """Return up to ``n_best`` texts of each row, the best first."""
        rows, written = self._scale(inputs), None
        if self.decoder is not None:
            decoder_rows = make_decoder_rows(rows, self.decoder.vocabulary)
            written = self.decoder.search(decoder_rows, max(n_beams, n_best), max_length, device)
        if self.retrieval is not None:
            extra = None if written is None else as_extra(written)
            return self.retrieval.propose(rows, n_best, extra)
        assert written is not None
        return [[Candidate(w.text, w.score) for w in of_row[:n_best]] for of_row in written]

    def log_likelihood(self, inputs: InputRows, texts: Sequence[str], device: str) -> np.ndarray:
        """Compute how likely a text (n,) of each row is, in nats."""
        weights = np.array(self.likelihood_weights)
        return weights @ self.likelihood_terms(self._scale(inputs), texts, device)

    def likelihood_terms(
        self, rows: GenerationRows, texts: Sequence[str], device: str
    ) -> np.ndarray:
        """Compute the terms of `LikelihoodWeights` (3, n); what has no weight may be 0."""
        terms = np.zeros((3, rows.n_rows))
        if self.retrieval is not None:
            terms[0] = self.retrieval.log_scores(rows, texts)
        if self.decoder is not None:
            decoder_rows = make_decoder_rows(rows, self.decoder.vocabulary)
            terms[1] = self.decoder.log_likelihood(decoder_rows, texts, device)
            if self.likelihood_weights != DECODER_ALONE:
                terms[2] = self.decoder.prior(decoder_rows, texts, device)
                terms[1] -= terms[2]
        return terms

    def contributions(self, inputs: InputRows, texts: Sequence[str], device: str) -> np.ndarray:
        """Split the log-likelihood into parts of the inputs, and of none of them (n, p + 1)."""
        rows, weights = self._scale(inputs), self.likelihood_weights
        parts = np.zeros((rows.n_rows, len(self.alpha) + 1))
        if self.retrieval is not None:
            parts[:, :-1] = weights.retrieval * self.retrieval.contributions(rows, texts)
        if self.decoder is not None:
            split = self._split_decoder(rows, texts, device)
            parts[:, :-1] += weights.decoder * split[:, :-1]
            parts[:, -1] += weights.prior * split[:, -1]
        return parts

    def _split_decoder(self, rows: GenerationRows, texts: Sequence[str], device: str) -> np.ndarray:
        """Compute Shapley values of the decoder's log-likelihood, and that without any input."""
        decoder = self.decoder
        assert decoder is not None
        decoder_rows = make_decoder_rows(rows, decoder.vocabulary)

        def value(present: np.ndarray) -> np.ndarray:
            return decoder.log_likelihood(decoder_rows._replace(inputs=present), texts, device)

        return shapley_values(value, decoder_rows.inputs)

    def _scale(self, inputs: InputRows) -> GenerationRows:
        return inputs.scale(self.columns, self.scaler)

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, arrays, and lists and dicts of these."""
        return {
            "columns": {"groups": self.columns.groups, "labels": self.columns.labels},
            "scaler": self.scaler.state,
            "alpha": self.alpha,
            "decoder": None if self.decoder is None else self.decoder.to_plain(),
            "retrieval": None if self.retrieval is None else retrieval_to_plain(self.retrieval),
            "likelihood_weights": list(self.likelihood_weights),
            "history": None if self.history is None else frame_to_plain(self.history),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> FittedGenerator:
        """Undo `to_plain`."""
        decoder, retrieval, history = plain["decoder"], plain["retrieval"], plain["history"]
        return cls(
            columns=ModalityColumns(**plain["columns"]),
            scaler=ColumnScaler.from_state(plain["scaler"]),
            alpha=plain["alpha"],
            decoder=None if decoder is None else FittedDecoder.from_plain(decoder),
            retrieval=None if retrieval is None else retrieval_from_plain(retrieval),
            likelihood_weights=LikelihoodWeights(*plain["likelihood_weights"]),
            history=None if history is None else frame_from_plain(history),
        )


def as_extra(written: list[list[WrittenText]]) -> list[list[tuple[str, float]]]:
    """Return what a decoder has written as candidates, with their log-likelihoods."""
    return [[(w.text, w.log_likelihood) for w in of_row] for of_row in written]


def make_decoder_rows(rows: GenerationRows, vocabulary) -> DecoderRows:
    """Convert scaled rows into what a decoder reads."""
    x = np.concatenate(list(rows.blocks.values()), axis=1)
    if rows.source is None:
        return DecoderRows(x, rows.present, [[] for _ in range(len(x))])
    source = [ids[:MAX_SOURCE] for ids in vocabulary.encode_source(rows.source)]
    has_source = np.array([len(ids) > 0 for ids in source])
    return DecoderRows(x, np.column_stack([rows.present, has_source]), source)
