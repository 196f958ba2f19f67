"""A kernel ridge regression from rows to what their texts have, in bounded memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from ._evidence import TrainingTexts
from ._neighbors import Inputs, combine, kernels
from ._smoothing import Kernel

CHUNK = 1024  # training rows
JITTER = 1e-3  # relative to the mean of the diagonal


class Regression(NamedTuple):
    """A kernel ridge regression from rows to what their texts have."""

    landmarks: np.ndarray  # (r,) training rows
    square: np.ndarray  # (r, r) their similarity
    products: np.ndarray | None  # (r, r) sum over the training rows; None: they are the landmarks
    targets: sparse.csr_array | np.ndarray  # (r, F + P) `TrainingTexts.marks`
    target_characters: np.ndarray  # (r,)

    @classmethod
    def fit(cls, inputs: Inputs, texts: TrainingTexts, kernel: Kernel, landmarks: np.ndarray):
        """Fit to all rows, by functions of the similarity to the landmarks."""
        near = inputs.take(landmarks)
        square = similarity(near, near, kernel)
        if len(landmarks) == inputs.n_rows:
            return cls(landmarks, square, None, texts.marks, texts.n_characters)
        products = np.zeros_like(square)
        targets = np.zeros((len(landmarks), texts.marks.shape[1]), dtype=np.float32)
        characters = np.zeros(len(landmarks))
        for start in range(0, inputs.n_rows, CHUNK):
            rows = slice(start, start + CHUNK)
            chunk = similarity(near, inputs.take(rows), kernel)  # (r, chunk)
            products += chunk @ chunk.T
            targets += chunk @ texts.marks[rows]
            characters += chunk @ texts.n_characters[rows]
        return cls(landmarks, square, products, targets, characters)

    def make_solver(self, penalty: float) -> np.ndarray:
        """Invert the penalised matrix: similarities to the landmarks times it are the weights."""
        if self.products is None:
            return linalg.inv(self.square + penalty * np.eye(len(self.square), dtype=np.float32))
        matrix = self.products + penalty * self.square
        matrix[np.diag_indices_from(matrix)] += JITTER * np.diag(matrix).mean()
        return linalg.inv(matrix)


def similarity(left: Inputs, right: Inputs, kernel: Kernel) -> np.ndarray:
    """Compute the similarity of all rows, the sum over the inputs (n_left, n_right)."""
    return combine(kernels(left, right), left.present, right.present, kernel.weights)
