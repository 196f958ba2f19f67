"""A trained decoder: what it is built from, and texts that it writes or measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._torch.device import choose_device
from .._torch.filling import fill_network, pack_arrays
from .._torch.float64 import float64_network
from ._beam import Hypotheses, beam_search
from ._network import GenerationNetwork, pad_tokens, token_losses
from ._prefix import FusedPrefix, PrefixSpec
from ._pretrained import (
    PretrainedDecoder,
    PretrainedSpec,
    PretrainedVocabulary,
    build_decoder,
    load_vocabulary,
)
from ._transformer import SmallTransformer, TransformerSpec
from ._vocabulary import Vocabulary

MAX_SOURCE = 512  # tokens that are read of a source text
LOGITS_AT_ONCE = 2**24  # in memory


class DecoderRows(NamedTuple):
    """Scaled rows as a decoder reads them."""

    x: np.ndarray  # (n, sum of d_i) float32, zeros where missing
    inputs: np.ndarray  # bool (n, m), or (n, m + 1) with that of the source text
    source: list[list[int]]  # tokens; empty where there is none

    def take(self, index: np.ndarray) -> DecoderRows:
        """Select rows by their positions."""
        source = [self.source[i] for i in index.tolist()]
        return DecoderRows(self.x[index], self.inputs[index], source)

    def to(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Copy to a device: columns, which inputs there are, and the tokens of the source."""
        arrays = self.x, self.inputs, pad_tokens(self.source)
        x, inputs, source = (torch.from_numpy(array).to(device) for array in arrays)
        return x.to(dtype), inputs, source


class WrittenText(NamedTuple):
    """A text that a decoder has found for a row."""

    text: str
    score: float  # by which it is ranked: the mean log-likelihood of a token
    log_likelihood: float  # in nats


class DecoderSpec(NamedTuple):
    """All that a network is built from; one of the last two is None."""

    prefix: PrefixSpec
    transformer: TransformerSpec | None
    pretrained: PretrainedSpec | None

    @property
    def n_tokens(self) -> int:
        """The number of tokens that the decoder knows."""
        part = self.transformer or self.pretrained
        assert part is not None
        return part.n_tokens

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, lists and dicts."""
        return {n: None if part is None else list(part) for n, part in self._asdict().items()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> DecoderSpec:
        """Undo `to_plain`."""
        transformer, pretrained = plain["transformer"], plain["pretrained"]
        return cls(
            PrefixSpec(*plain["prefix"]),
            None if transformer is None else TransformerSpec(*transformer),
            None if pretrained is None else PretrainedSpec(*pretrained),
        )


def build_network(
    spec: DecoderSpec, modality_weights: np.ndarray, device: torch.device
) -> GenerationNetwork:
    """Build a network, drawing its weights from the generators of the fit."""
    alpha = torch.from_numpy(np.asarray(modality_weights, dtype=np.float32))
    if spec.transformer is not None:
        decoder = SmallTransformer(spec.transformer)
    else:
        assert spec.pretrained is not None
        decoder = build_decoder(spec.pretrained, device)
    return GenerationNetwork(FusedPrefix(spec.prefix, alpha), decoder).to(device)


class FittedDecoder:
    """A trained network and its vocabulary."""

    def __init__(
        self,
        spec: DecoderSpec,
        vocabulary: Vocabulary | PretrainedVocabulary,
        max_length: int,
        network: GenerationNetwork | None = None,
        state: Mapping[str, np.ndarray] | None = None,
    ):
        self.spec, self.vocabulary, self.max_length = spec, vocabulary, max_length
        self._network, self._state = network, state or {}

    @property
    def network(self) -> GenerationNetwork:
        """The network; one of a pickle is built where it is first used."""
        if self._network is None:
            self._network = _restore_network(self.spec, self._state)
        return self._network

    @torch.inference_mode()
    def search(
        self, rows: DecoderRows, n_beams: int, max_length: int | None, device: str
    ) -> list[list[WrittenText]]:
        """Search the likeliest texts of each row, the best first.

        The rows with the longest source come first, so that those of a batch are alike, and a
        device that has not enough memory says so at once.
        """
        network, place, dtype = self._prepare(device)
        lengths = np.array([len(ids) for ids in rows.source])
        order = np.argsort(-lengths, kind="stable")
        size = max(1, LOGITS_AT_ONCE // (4 * n_beams * self.spec.n_tokens))
        texts: list[list[WrittenText]] = [[] for _ in order]
        for start in range(0, len(order), size):
            index = order[start : start + size]
            stepper = network.open(*rows.take(index).to(place, dtype))
            n_tokens, end = max_length or self.max_length, self.vocabulary.end
            found = beam_search(stepper, len(index), n_beams, n_tokens, end)
            for row, candidates in zip(index, self._read(found), strict=True):
                texts[row] = candidates
        return texts

    @torch.inference_mode()
    def log_likelihood(self, rows: DecoderRows, texts: Sequence[str], device: str) -> np.ndarray:
        """Compute the log-likelihood (n,) of a text of each row, in nats."""
        network, place, dtype = self._prepare(device)
        tokens = self.vocabulary.encode_target(texts)
        lengths = np.array([len(ids) for ids in tokens])
        likelihood = np.empty(len(lengths))
        for index in self._split_batches(lengths):
            x, inputs, source = rows.take(index).to(place, dtype)
            target = torch.from_numpy(pad_tokens([tokens[i] for i in index])).to(place)
            logits = network(x, inputs, source, target).logits
            likelihood[index] = -token_losses(logits, target).sum(1).cpu().double().numpy()
        return likelihood

    def prior(self, rows: DecoderRows, texts: Sequence[str], device: str) -> np.ndarray:
        """Compute the log-likelihood (n,) of texts of a row of which nothing is known."""
        distinct = list(dict.fromkeys(texts))
        nothing = rows.take(np.zeros(len(distinct), dtype=int))
        nothing = nothing._replace(inputs=np.zeros_like(nothing.inputs))
        values = self.log_likelihood(nothing, distinct, device)
        of_text = dict(zip(distinct, values.tolist(), strict=True))
        return np.array([of_text[text] for text in texts])

    def _prepare(self, device: str) -> tuple[GenerationNetwork, torch.device, torch.dtype]:
        """Return the network on a device; a small one in float64.

        In which the text of a row does not depend on the rows beside it.
        """
        place, pretrained = choose_device(device), self.spec.pretrained
        if pretrained is None:
            network = float64_network(self.network, place)
        else:
            network = self.network.to(place)
            assert isinstance(network.decoder, PretrainedDecoder)
            network.decoder.move(pretrained, place)
        return network, place, next(network.prefix.parameters()).dtype

    def _split_batches(self, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """Split rows, the longest first, into batches whose logits fit in memory."""
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            size = max(1, LOGITS_AT_ONCE // (lengths[order[start]] * self.spec.n_tokens))
            yield order[start : start + size]
            start += size

    def _read(self, found: Hypotheses) -> list[list[WrittenText]]:
        """Decode hypotheses; of those that are one text the best stays, and empty ones go."""
        n, b, length = found.tokens.shape
        end = self.vocabulary.end
        flat = found.tokens.reshape(n * b, length).tolist()
        texts = self.vocabulary.decode([_cut(ids, end) for ids in flat])
        values = [t.flatten().cpu().double().tolist() for t in (found.scores, found.log_likelihood)]
        rows: list[dict[str, WrittenText]] = [{} for _ in range(n)]
        for i, written in enumerate(map(WrittenText, texts, *values)):
            if written.text.strip() and np.isfinite(written.score):
                rows[i // b].setdefault(written.text, written)
        return [list(candidates.values()) for candidates in rows]

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, arrays, and lists and dicts of these."""
        state = self._state if self._network is None else pack_arrays(self._network)["state"]
        return {
            "state": dict(state),
            "spec": self.spec.to_plain(),
            "vocabulary": self.vocabulary.content,
            "max_length": self.max_length,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> FittedDecoder:
        """Undo `to_plain`."""
        spec, content = DecoderSpec.from_plain(plain["spec"]), plain["vocabulary"]
        if spec.pretrained is None:
            vocabulary = Vocabulary(content)
        else:
            vocabulary = load_vocabulary(spec.pretrained.name)
        return cls(spec, vocabulary, plain["max_length"], state=plain["state"])


def _restore_network(spec: DecoderSpec, state: Mapping[str, np.ndarray]) -> GenerationNetwork:
    """Build a network on the CPU, and fill it."""
    alpha = np.array(state["prefix.modality_weights"])
    if spec.pretrained is None:
        with torch.device("meta"):
            network = build_network(spec, alpha, torch.device("meta"))
        return fill_network(network, {"state": state, "frozen": []})
    network = build_network(spec, alpha, torch.device("cpu"))
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in state.items()}
    network.load_state_dict(tensors)  # in place: those of LoRA are parameters of the model, too
    return network.eval()


def _cut(ids: list[int], end: int) -> list[int]:
    """Leave out the end of a text and what follows."""
    return ids[: ids.index(end)] if end in ids else ids
