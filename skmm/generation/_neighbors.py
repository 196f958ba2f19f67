"""Similar rows: kernels of each input, added with learned weights.

The inputs of a row are its modalities and, where there is one, its source text. Of a modality it is
a Gaussian kernel of unit vectors, ``exp((cos - 1) / WIDTH)``; of the source the cosine of TF-IDF of
character n-grams. The similarity of two rows is ``sum_i a_i k_i(x_i, x'_i)``, in which the weights
of the inputs that a row has sum to 1. It is a kernel too, so nearest neighbours and a kernel ridge
regression share it, and what depends on it linearly is a sum over the inputs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from ._chrf import NgramVocabulary
from ._rows import GenerationRows

CHUNK_VALUES = 2**24  # similarities that are held at once
MAX_SOURCE_FEATURES = 2**18
WIDTH = 0.3  # of cosines
SPARE = 1e-12


class Inputs(NamedTuple):
    """Rows as unit vectors of each input; zeros where it is missing."""

    vectors: list  # of each input (n, d_i), an array or a sparse one
    present: np.ndarray  # bool (n, m)

    @property
    def n_rows(self) -> int:
        return len(self.present)

    def take(self, index: np.ndarray | slice) -> Inputs:
        return Inputs([block[index] for block in self.vectors], self.present[index])

    def astype(self, dtype) -> Inputs:
        """Convert the vectors."""
        return self._replace(vectors=[block.astype(dtype) for block in self.vectors])


class InputSpace(NamedTuple):
    """What turns rows into unit vectors: learned from training rows."""

    names: list[str]  # of the inputs: modalities, and "source" if there is one
    means: list[np.ndarray]  # of each modality's columns (d_i,)
    vocabulary: NgramVocabulary | None  # of source texts
    idf: np.ndarray | None  # (F,)

    @classmethod
    def learn(cls, rows: GenerationRows) -> InputSpace:
        means = [
            block[has].mean(0, dtype=np.float64) if has.any() else np.zeros(block.shape[1])
            for block, has in zip(rows.blocks.values(), rows.present.T, strict=True)
        ]
        if rows.source is None:
            return cls(list(rows.blocks), means, None, None)
        vocabulary = NgramVocabulary.learn(rows.source, MAX_SOURCE_FEATURES)
        counts = vocabulary.encode(rows.source).sum(0)
        idf = np.log((1 + rows.n_rows) / (1 + counts)) + 1
        return cls([*rows.blocks, "source"], means, vocabulary, idf)

    def embed(self, rows: GenerationRows) -> Inputs:
        vectors: list = []
        for block, has, mean in zip(rows.blocks.values(), rows.present.T, self.means, strict=True):
            centred = (block - mean).astype(np.float32)
            lengths = np.sqrt(np.einsum("ij,ij->i", centred, centred))
            vectors.append(centred * (has / np.maximum(lengths, SPARE))[:, None])
        if self.vocabulary is None or self.idf is None:
            return Inputs(vectors, rows.present)
        source = rows.source if rows.source is not None else [""] * rows.n_rows
        counts = self.vocabulary.encode(source)
        counts.data *= self.idf[counts.indices]
        lengths = np.sqrt(counts.multiply(counts).sum(1))
        vectors.append((sparse.diags_array(1 / np.maximum(lengths, SPARE)) @ counts).tocsr())
        return Inputs(vectors, np.column_stack([rows.present, [bool(t.strip()) for t in source]]))


def kernels(left: Inputs, right: Inputs) -> np.ndarray:
    """Compute the kernel of each input between all rows (m, n_left, n_right), in their dtype."""
    shape = (len(left.vectors), left.n_rows, right.n_rows)
    values = np.empty(shape, dtype=left.vectors[0].dtype)
    for i, (a, b) in enumerate(zip(left.vectors, right.vectors, strict=True)):
        cosines = a @ b.T
        if sparse.issparse(cosines):
            values[i] = cosines.toarray()
        else:
            both = left.present[:, i, None] & right.present[:, i]
            values[i] = np.where(both, np.exp((cosines - 1) / WIDTH), 0)
    return values


def row_scales(present: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the factors (n,) by which the weights of the inputs that a row has sum to 1."""
    return 1 / np.sqrt(np.maximum(present @ weights, SPARE))


def combine(values: np.ndarray, left: np.ndarray, right: np.ndarray, weights) -> np.ndarray:
    """Add the kernels of the inputs with their weights (n_left, n_right).

    ``left`` and ``right`` mark which inputs the rows have, bool (n, m).
    """
    summed = np.tensordot(weights.astype(values.dtype), values, 1)
    return summed * _scales(left, right, weights, values.dtype)


def terms(values: np.ndarray, left: np.ndarray, right: np.ndarray, weights) -> np.ndarray:
    """Return what `combine` adds, of each input (m, n_left, n_right)."""
    scales = _scales(left, right, weights, values.dtype)
    return values * weights.astype(values.dtype)[:, None, None] * scales


def input_terms(left: Inputs, right: Inputs, weights: np.ndarray) -> np.ndarray:
    """Compute the similarity of all rows, split by input (m, n_left, n_right)."""
    return terms(kernels(left, right), left.present, right.present, weights)


def _scales(left, right, weights, dtype) -> np.ndarray:
    return (row_scales(left, weights)[:, None] * row_scales(right, weights)).astype(dtype)


class Neighbors(NamedTuple):
    """The training rows nearest to each query, the nearest first."""

    index: np.ndarray  # (n, k)
    similarity: np.ndarray  # (n, k)


def find_neighbors(queries: Inputs, training: Inputs, weights, n_neighbors: int) -> Neighbors:
    """Find the most similar training rows; of equally similar ones the first."""
    k = min(n_neighbors, training.n_rows)
    index = np.empty((queries.n_rows, k), dtype=np.intp)
    similarity = np.empty((queries.n_rows, k))
    step = max(1, CHUNK_VALUES // (len(weights) * max(1, training.n_rows)))
    for start in range(0, queries.n_rows, step):
        rows = slice(start, start + step)
        chunk = queries.take(rows)
        near = combine(kernels(chunk, training), chunk.present, training.present, weights)
        index[rows], similarity[rows] = _largest(near, k)
    return Neighbors(index, similarity)


def _largest(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``k`` largest values of each row, the largest first, of equal ones the first."""
    values = np.round(values.astype(np.float64), 6)  # float32 products of equal rows may differ
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(values, order, 1)
