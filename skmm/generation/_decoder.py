"""A trained decoder: what it is built from, and texts that it writes or measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._torch.device import choose_device
from .._torch.filling import fill_network
from .._torch.float64 import float64_network
from ._beam import Hypotheses, beam_search
from ._network import GenerationNetwork, pad_tokens, token_losses
from ._prefix import FusedPrefix, PrefixSpec
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


class DecoderSpec(NamedTuple):
    """All that a network is built from."""

    prefix: PrefixSpec
    transformer: TransformerSpec

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, lists and dicts."""
        return {"prefix": list(self.prefix), "transformer": list(self.transformer)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> DecoderSpec:
        """Undo `to_plain`."""
        return cls(PrefixSpec(*plain["prefix"]), TransformerSpec(*plain["transformer"]))


def build_network(spec: DecoderSpec, modality_weights: np.ndarray) -> GenerationNetwork:
    """Build a network, drawing its weights from the generators of the fit."""
    alpha = torch.from_numpy(np.asarray(modality_weights, dtype=np.float32))
    return GenerationNetwork(FusedPrefix(spec.prefix, alpha), SmallTransformer(spec.transformer))


class FittedDecoder:
    """A trained network and its vocabulary."""

    def __init__(
        self,
        network: GenerationNetwork,
        spec: DecoderSpec,
        vocabulary: Vocabulary,
        max_length: int,
    ):
        self.network, self.spec = network, spec
        self.vocabulary, self.max_length = vocabulary, max_length

    @torch.inference_mode()
    def search(
        self, rows: DecoderRows, n_beams: int, max_length: int | None, device: str
    ) -> list[list[tuple[str, float]]]:
        """Search the likeliest texts of each row, the best first, with their log-likelihoods.

        The rows with the longest source come first, so that those of a batch are alike, and a
        device that has not enough memory says so at once.
        """
        network, place, dtype = self._prepare(device)
        lengths = np.array([len(ids) for ids in rows.source])
        order = np.argsort(-lengths, kind="stable")
        size = max(1, LOGITS_AT_ONCE // (4 * n_beams * self.vocabulary.n_tokens))
        texts: list[list[tuple[str, float]]] = [[] for _ in order]
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

    def _prepare(self, device: str) -> tuple[GenerationNetwork, torch.device, torch.dtype]:
        """Return the network on a device, in float64: a row's texts do not depend on the others."""
        place = choose_device(device)
        network = float64_network(self.network, place)
        return network, place, next(network.prefix.parameters()).dtype

    def _split_batches(self, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """Split rows, the longest first, into batches whose logits fit in memory."""
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            size = max(1, LOGITS_AT_ONCE // (lengths[order[start]] * self.vocabulary.n_tokens))
            yield order[start : start + size]
            start += size

    def _read(self, found: Hypotheses) -> list[list[tuple[str, float]]]:
        """Decode hypotheses; of those that are one text the best stays, and empty ones go."""
        n, b, length = found.tokens.shape
        end = self.vocabulary.end
        flat = found.tokens.reshape(n * b, length).tolist()
        texts = self.vocabulary.decode([_cut(ids, end) for ids in flat])
        likelihood = found.log_likelihood.flatten().cpu().double().tolist()
        rows: list[dict[str, float]] = [{} for _ in range(n)]
        for i, (text, value) in enumerate(zip(texts, likelihood, strict=True)):
            if text.strip() and np.isfinite(value):
                rows[i // b].setdefault(text, value)
        return [list(candidates.items()) for candidates in rows]

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, arrays, and lists and dicts of these."""
        tensors = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        return {
            "state": {name: t.detach().cpu().numpy().copy() for name, t in tensors.items()},
            "spec": self.spec.to_plain(),
            "vocabulary": self.vocabulary.content,
            "max_length": self.max_length,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> FittedDecoder:
        """Undo `to_plain`."""
        spec = DecoderSpec.from_plain(plain["spec"])
        alpha = plain["state"]["prefix.modality_weights"]
        with torch.device("meta"):
            network = build_network(spec, alpha)
        fill_network(network, {"state": plain["state"], "frozen": []})
        return cls(network, spec, Vocabulary(plain["vocabulary"]), plain["max_length"])


def _cut(ids: list[int], end: int) -> list[int]:
    """Leave out the end of a text and what follows."""
    return ids[: ids.index(end)] if end in ids else ids
