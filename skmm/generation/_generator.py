"""FusionTextGenerator: what scikit-learn sees of texts that are generated from what was fused."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    check_is_fitted,
    validate_data,
)

from .._data.columns import ModalityColumns, find_present, group_columns
from .._data.validation import FLOATS, friendlier_errors, read_fitted
from .._html import block_of_modalities, describe_width
from .._hyperparameters import AdamW
from ._problem import GenerationProblem, InputRows, read_references, read_source, split_source
from ._settings import TextTransformer, resolve_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.random import RandomState

    from ._fitted import FittedGenerator


class FusionTextGenerator(BaseEstimator):
    _fitted: FittedGenerator
    n_features_in_: int

    _parameter_constraints: ClassVar[dict] = {
        "transformer": [None, HasMethods(["fit", "transform"])],
        "source": [None, str],
        "decoder": [None, str, os.PathLike, TextTransformer],
        "modalities": [None, StrOptions({"prefix"}), dict],
        "modality_weights": [None, StrOptions({"uniform"}), dict],
        "modality_dropout": [Interval(Real, 0, 1, closed="left")],
        "prefix_length": [Interval(Integral, 1, None, closed="left")],
        "neighbors": [Interval(Integral, 0, None, closed="left")],
        "finetune": [None, StrOptions({"lora"})],
        "num_beams": [Interval(Integral, 1, None, closed="left")],
        "max_new_tokens": [None, Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"adamw"}), AdamW],
        "checkpoint": [None, str, os.PathLike],
        "random_state": ["random_state"],
        "device": [str],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        transformer: Any = None,
        *,
        source: str | None = None,
        decoder: str | os.PathLike | TextTransformer | None = "transformer",
        modalities: str | Mapping[str, Any] | None = None,
        modality_weights: str | Mapping[str, float] | None = None,
        modality_dropout: float = 0.1,
        prefix_length: int = 8,
        neighbors: int = 16,
        finetune: str | None = None,
        num_beams: int = 4,
        max_new_tokens: int | None = None,
        solver: str | AdamW = "adamw",
        checkpoint: str | os.PathLike | None = None,
        random_state: int | RandomState | None = None,
        device: str = "auto",
        verbose: bool | int = False,
    ):
        self.transformer = transformer
        self.source = source
        self.decoder = decoder
        self.modalities = modalities
        self.modality_weights = modality_weights
        self.modality_dropout = modality_dropout
        self.prefix_length = prefix_length
        self.neighbors = neighbors
        self.finetune = finetune
        self.num_beams = num_beams
        self.max_new_tokens = max_new_tokens
        self.solver = solver
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    @property
    def modalities_(self):
        """The columns of each modality."""
        return self._fitted_attribute("modalities_").columns.named

    @property
    def modality_weights_(self):
        """How much each modality counts."""
        fitted = self._fitted_attribute("modality_weights_")
        weights = fitted.columns.to_user(fitted.alpha)
        return dict(zip(fitted.columns.names, weights.tolist(), strict=True))

    @property
    def history_(self):
        """The loss in each epoch."""
        history = self._fitted_attribute("history_").history
        if history is None:
            raise AttributeError("With decoder=None nothing is trained in epochs.")
        return history

    @property
    def loss_curve_(self):
        """The loss in each epoch."""
        return self.history_["loss"].tolist()

    @property
    def n_iter_(self):
        """The number of epochs; 1 without a decoder."""
        history = self._fitted_attribute("n_iter_").history
        return 1 if history is None else len(history)

    def _fitted_attribute(self, name: str) -> FittedGenerator:
        """Return what is fitted, from which a fitted attribute is read."""
        return read_fitted(self, "_fitted", name)

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether a fit came to its end: one that failed has set some attributes too."""
        return hasattr(self, "_fitted")

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        from ._fit import fit

        references = read_references(y)
        check_consistent_length(X, references)
        X, source, columns = self._read_training_rows(X, y)
        settings = resolve_settings(self, columns)
        rows = InputRows(X, find_present(X, columns.network_groups, columns.labels), source)
        self._fitted = fit(GenerationProblem(rows, references, columns), settings)
        return self

    def _read_training_rows(self, X, y) -> tuple[np.ndarray, list[str] | None, ModalityColumns]:
        """Validate X, and fit the transformer to it: features, source texts, and their columns."""
        if self.transformer is None:
            X, source = split_source(X, self.source)
            with friendlier_errors(X, self):
                X = validate_data(self, X, dtype=FLOATS, ensure_all_finite="allow-nan")
            names = getattr(self, "feature_names_in_", None)
        else:
            _check_feature_names(self, X, reset=True)
            _check_n_features(self, X, reset=True)
            source = None if self.source is None else read_source(X, self.source)
            self.transformer_ = clone(self.transformer)
            X, names = _read_features(self.transformer_.fit_transform(X, y))
        groups = group_columns(self.modalities, names, X.shape[1])
        labels = np.arange(X.shape[1]) if names is None else names
        return np.asarray(X), source, ModalityColumns(groups, labels.tolist())

    def _read_rows(self, X) -> InputRows:
        """Validate rows to generate texts for."""
        check_is_fitted(self)
        if self.transformer is None:
            X, source = split_source(X, self.source)
            with friendlier_errors(X, self):
                X = validate_data(self, X, dtype=FLOATS, ensure_all_finite="allow-nan", reset=False)
        else:
            source = None if self.source is None else read_source(X, self.source)
            X, _ = _read_features(self.transformer_.transform(X))
        X, columns = np.asarray(X), self._fitted.columns
        present = find_present(X, columns.network_groups, columns.labels)
        return InputRows(X, present, source)

    def predict(self, X, *, n_best=None, return_scores=False):
        rows = self._read_rows(X)
        n_texts = 1 if n_best is None else n_best
        found = self._fitted.propose(
            rows, n_texts, self.num_beams, self.max_new_tokens, self.device
        )
        texts = np.full((len(found), n_texts), "", dtype=object)
        scores = np.full((len(found), n_texts), -np.inf)
        for row, candidates in enumerate(found):
            for rank, (text, score) in enumerate(candidates):
                texts[row, rank], scores[row, rank] = text, score
        if n_best is None:
            texts, scores = texts[:, 0], scores[:, 0]
        return (texts, scores) if return_scores else texts

    def log_likelihood(self, X, y):
        rows, texts = self._read_rows(X), [t[0] for t in read_references(y)]
        return self._fitted.log_likelihood(rows, texts, self.device)

    def score(self, X, y):
        """Compute chrF."""
        import sacrebleu

        refs = read_references(y)
        predicted = self.predict(X)
        m = max(map(len, refs))
        return (
            sacrebleu.corpus_chrf(
                list(predicted), [[r[i] if i < len(r) else None for r in refs] for i in range(m)]
            ).score
            / 100
        )

    def __getstate__(self):
        """Pickle plain data, so that few types need to be trusted, and no GPU be there."""
        state = dict(cast(dict[str, Any], super().__getstate__()))
        if "_fitted" in state:
            state["_fitted"] = self._fitted.to_plain()
        return state

    def __setstate__(self, state):
        state = dict(state)
        if "_fitted" in state:
            from ._fitted import FittedGenerator

            state["_fitted"] = FittedGenerator.from_plain(state["_fitted"])
        super().__setstate__(state)

    def _sk_visual_block_(self):
        check_is_fitted(self)  # before, scikit-learn catches the error and draws one box
        weights, contents = self.modality_weights_, []
        for name, columns in self.modalities_.items():
            contents.append(f"{describe_width(columns)}, weight {weights[name]:.2f}")
        return block_of_modalities([*self.modalities_], contents, [*self.modalities_.values()])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _read_features(features) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what a transformer gave as an array, with the names of its columns."""
    names = None
    if isinstance(features, pd.DataFrame):
        names = np.array(features.columns, dtype=object)
        features = features.to_numpy()
    return check_array(features, dtype=FLOATS, ensure_all_finite="allow-nan"), names
