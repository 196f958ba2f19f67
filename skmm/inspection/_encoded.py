"""Raw rows, and how the encoders of a fitted pipeline read them, modality by modality."""

from __future__ import annotations

from copy import copy
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._data.frames import as_pandas
from ..compose import infer_column
from ..encoding.engine import CellEncoder
from ..text import TextCleaner, TextDescriptor, TextEncoder, TextTokenizer
from ._fitted import apply_steps, as_frame_or_array, locate_columns, name_columns, unwrap

OF_TEXTS = (
    CountVectorizer,
    HashingVectorizer,
    TextCleaner,
    TextDescriptor,
    TextEncoder,
    TextTokenizer,
)


class EncodedRows:
    """Raw rows, and what the first `ColumnTransformer` of a pipeline makes of them.

    Without one the model itself reads the raw columns.

    Parameters
    ----------
    estimator : estimator
        A fitted one, whose last step has ``modalities_``.
    X : DataFrame or array-like of shape (n_samples, n_columns)
        What it predicts from.

    Attributes
    ----------
    raw : DataFrame or ndarray of shape (n_samples, n_columns)
        The rows before they are encoded.
    features : DataFrame or ndarray of shape (n_samples, n_features)
        The rows encoded.
    groups : dict of str to ndarray of int
        The positions in ``features`` of each modality of the model.
    """

    def __init__(self, estimator: Any, X: Any):
        check_is_fitted(estimator)
        estimator, steps = unwrap(estimator), []
        while isinstance(estimator, Pipeline):
            steps += estimator.steps[:-1]
            estimator = unwrap(estimator.steps[-1][1])
        found = [i for i, (_, step) in enumerate(steps) if isinstance(step, ColumnTransformer)]
        place = found[0] if found else len(steps)
        self._model = estimator
        self._before, self._after = steps[:place], steps[place + 1 :]
        self._encoder: ColumnTransformer | None = steps[place][1] if found else None
        self.raw = self.features = self.prepare(X)
        if self._encoder is None:
            self.groups = locate_columns(estimator.modalities_, self.raw)
        else:
            self.features = apply_steps(steps[place : place + 1], self.raw)
            positions = np.arange(self.features.shape[1])
            slices = self._encoder.output_indices_
            self.groups = {m: positions[slices[m]] for m in estimator.modalities_ if m in slices}

    def prepare(self, X: Any) -> pd.DataFrame | np.ndarray:
        """Apply the steps before the encoders."""
        X = apply_steps(self._before, as_frame_or_array(X))
        return X if self._encoder is not None else name_columns(X, self._model)

    def finish(self, features: Any) -> Any:
        """Apply the steps between the encoders and the model."""
        return apply_steps(self._after, features)

    def select(self, modality: str, X: Any, name: str = "X") -> pd.DataFrame:
        """Select the raw columns of a modality.

        Raises
        ------
        ValueError
            If there are none of that name.
        """
        columns = as_pandas(self.raw).columns
        if self._encoder is None:
            columns = columns[self.groups[modality]]
        else:
            columns = getattr(self._encoder, "feature_names_in_", columns)
            columns = columns[self._encoder._transformer_to_input_indices[modality]]
        frame = as_pandas(X)
        missing = [column for column in columns if column not in frame]
        if missing:
            raise ValueError(
                f"{name} lacks columns {missing} of modality {modality!r}; it has "
                f"{frame.columns.tolist()}."
            )
        return frame[columns]

    def check_divisible(self, modality: str) -> None:
        """Raise ValueError if there is no such modality, or nothing that it could be split by."""
        divisible = [name for name in self.groups if self.find_kind(name) is not None]
        if modality in divisible:
            return
        if modality not in self._model.modalities_:
            reason = f"There is no modality {modality!r}"
        elif modality in self.groups:
            reason = (
                f"modality {modality!r} is neither columns of a table nor a text, and is not split"
            )
        else:
            reason = f"modality {modality!r} is not that of one encoder, and is not split"
        raise ValueError(f"{reason}; modalities that can be split: {divisible}.")

    def find_kind(self, modality: str) -> str | None:
        """Find out whether a modality consists of "columns" or of "words", or of neither: None."""
        encoder, one_column = self._find_encoder(modality)
        while isinstance(encoder, Pipeline):
            encoder = encoder.steps[0][1]
        if isinstance(encoder, OF_TEXTS):
            return "words"
        if isinstance(encoder, CellEncoder):
            return "words" if getattr(encoder, "modality", None) == "text" else None
        if not one_column:
            return "columns"
        found = infer_column(self.select(modality, self.raw).iloc[:, 0]).modality
        if found in ("image", "audio", "video"):
            return None
        return "words" if found == "text" else "columns"

    def encode(self, modality: str, cells: pd.DataFrame) -> np.ndarray | pd.DataFrame:
        """Compute the features of raw cells of a modality; no cache keeps them."""
        if self._encoder is None:
            return cells
        encoder, one_column = self._find_encoder(modality)
        encoded = _without_cache(encoder).transform(cells.iloc[:, 0] if one_column else cells)
        if sparse.issparse(encoded):
            encoded = encoded.toarray()
        dtypes = pd.DataFrame(self.features).dtypes
        return np.asarray(encoded, dtype=dtypes.iloc[self.groups[modality][0]])

    def _find_encoder(self, modality: str) -> tuple[Any, bool]:
        """Return the encoder of a modality, and whether it reads one column as such."""
        if self._encoder is None:
            return None, len(self.groups[modality]) == 1
        for name, encoder, columns in self._encoder.transformers_:
            if name == modality:
                return encoder, isinstance(columns, str | Integral)
        raise AssertionError(modality)


def _without_cache(encoder: Any) -> Any:
    """Copy a fitted encoder, so that it keeps no embeddings and shows no progress."""
    encoder = copy(encoder)
    if isinstance(encoder, Pipeline):
        encoder.steps = [(name, _without_cache(step)) for name, step in encoder.steps]
    for name, value in (("cache", None), ("verbose", False)):
        if isinstance(encoder, CellEncoder) and hasattr(encoder, name):
            setattr(encoder, name, value)
    return encoder
