"""EMAP: what a model would predict if it were a sum of one function for each modality."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, logit, softmax
from sklearn.base import BaseEstimator, is_classifier
from sklearn.metrics import accuracy_score
from sklearn.utils import get_tags

from .._data.labels import subset_accuracy
from .._data.targets import mean_r2
from ._fitted import last_step
from ._tables import Table, ignore_rows_without_modality

BATCH_ROWS = 20_000


def project(outputs: Outputs, table: Table, rows: np.ndarray) -> Projection:
    """Project a model on the nearest additive function of the modalities.

    The empirical multimodally-additive projection of Hessel and Lee: with the outputs f of the
    model, row i has ``sum_m mean_j f(x_i^m, x_j^others) - (n_modalities - 1) mean``. Of two
    modalities it is the nearest one over all n^2 pairs. Of more, the other modalities all come from
    row j: the cost is n^2 predictions for each modality, and not n^n_modalities; an additive model
    is still its own projection, but another sum may be nearer to a model that is not. Columns of no
    modality count as one more modality.

    Parameters
    ----------
    outputs : Outputs
        The outputs of the model.
    table : Table
        Rows and modalities.
    rows : ndarray of int, shape (n,)
        The rows to project on, and to pair with each other.

    Returns
    -------
    Projection
        An estimator that predicts these rows, in this order.
    """
    table = table.complete()
    names = table.names
    if len(names) == 1:
        return Projection(outputs, outputs.compute(table.assemble(rows, {})))
    if len(names) == 2:  # the pairs (i, j) of one modality are the pairs (j, i) of the other
        first, second = _mean_over_others(outputs, table, rows, names[0], both=True)
        means = [first, second]
    else:
        means = [_mean_over_others(outputs, table, rows, name)[0] for name in names]
    grand = np.mean([mean.mean(axis=0) for mean in means], axis=0)
    return Projection(outputs, np.sum(means, axis=0) - (len(means) - 1) * grand)


def _mean_over_others(
    outputs: Outputs, table: Table, rows: np.ndarray, name: str, *, both: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Average f(x_i^m, x_j^others) over j (n, k), and with ``both`` over i too."""
    n = len(rows)
    n_chunk = max(1, BATCH_ROWS // n)
    means: list[np.ndarray] = []
    totals: Any = 0.0
    for start in range(0, n, n_chunk):
        chunk = rows[start : start + n_chunk]
        crossed = table.assemble(np.tile(rows, len(chunk)), {name: np.repeat(chunk, n)})
        values = outputs.compute(crossed).reshape(len(chunk), n, -1)  # (i, j, k)
        means.append(values.mean(axis=1))
        totals = totals + values.sum(axis=0)
    return np.concatenate(means), totals / n if both else None


class Outputs:
    """The outputs of a model that are added up, and the predictions that a sum of them stands for.

    Of fusion classifiers logits, up to a constant for each row; of others `decision_function` or,
    where there is none, probabilities; of regressors the predictions.
    """

    def __init__(self, model: Any, first_row: Any):
        self.model = model
        self.is_fusion = hasattr(last_step(model), "network_")
        self.classes: Any = getattr(model, "classes_", None)
        with ignore_rows_without_modality():
            self.is_flat = np.ndim(model.predict(first_row)) == 1
        if not is_classifier(model):
            self.kind = "numbers"
        elif isinstance(self.classes, list):
            self.kind = "targets"
        else:
            self.kind = "classes" if self.is_flat else "labels"
        has_margin = self.kind == "classes" and hasattr(model, "decision_function")
        if getattr(last_step(model), "decision_function_shape", None) == "ovo":
            has_margin &= len(self.classes) == 2  # else not of classes, but of pairs of them
        self.adds_logits = self.is_fusion or has_margin or self.kind == "labels"
        if self.kind != "numbers" and not has_margin and not hasattr(model, "predict_proba"):
            raise TypeError(
                "EMAP needs decision_function of each class or predict_proba of "
                f"{type(model).__name__}, which has neither: set emap_samples=0 to leave it out."
            )

    def compute(self, X: Any) -> np.ndarray:
        """Compute the outputs (n_samples, n_outputs) that are added up."""
        with ignore_rows_without_modality():
            values = self._compute(X)
        return values[:, None] if values.ndim == 1 else values

    def _compute(self, X: Any) -> np.ndarray:
        if self.kind == "numbers":
            return np.asarray(self.model.predict(X), dtype=float)
        if self.kind == "labels":
            return logit(np.clip(self.model.predict_proba(X), 1e-15, 1 - 1e-15))
        if self.is_fusion:
            log_proba = self.model.predict_log_proba(X)
            logits = log_proba if self.kind == "targets" else [log_proba]
            return np.hstack([values - values.mean(axis=1, keepdims=True) for values in logits])
        if self.adds_logits:
            return np.asarray(self.model.decision_function(X))
        proba = self.model.predict_proba(X)
        return np.hstack(proba) if self.kind == "targets" else proba

    def to_predictions(self, values: np.ndarray) -> np.ndarray:
        """Convert outputs into what the model would predict by them."""
        if self.kind == "numbers":
            return values[:, 0] if self.is_flat else values
        if self.kind == "labels":
            return (values > 0).astype(int)
        if self.kind == "targets":
            best = [logits.argmax(axis=1) for logits in self._split(values)]
            columns = [classes[code] for classes, code in zip(self.classes, best, strict=True)]
            return np.stack([column.astype(object) for column in columns], axis=1)
        codes = values.argmax(axis=1) if values.shape[1] > 1 else (values[:, 0] > 0).astype(int)
        return self.classes[codes]

    def to_probabilities(self, values: np.ndarray) -> np.ndarray | list[np.ndarray]:
        """Convert outputs into probabilities."""
        if self.kind == "labels":
            return expit(values)
        if self.kind == "targets":
            return [self._normalise(logits) for logits in self._split(values)]
        if values.shape[1] == 1:
            return np.hstack([expit(-values), expit(values)])
        return self._normalise(values)

    def _normalise(self, values: np.ndarray) -> np.ndarray:
        if self.adds_logits:
            return softmax(values, axis=1)
        positive = np.clip(values, 1e-15, None)
        return positive / positive.sum(axis=1, keepdims=True)

    def _split(self, values: np.ndarray) -> list[np.ndarray]:
        return np.split(values, np.cumsum([len(classes) for classes in self.classes])[:-1], axis=1)


class Projection(BaseEstimator):
    """An estimator that predicts fixed rows, whatever X it is given."""

    def __init__(self, outputs, values):
        self.outputs = outputs
        self.values = values

    @property
    def classes_(self):
        if self.outputs.kind == "numbers":
            raise AttributeError("A regressor has no classes_.")
        return self.outputs.classes

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self):
        return get_tags(self.outputs.model)

    def predict(self, X):
        return self.outputs.to_predictions(self.values)

    def predict_proba(self, X):
        return self.outputs.to_probabilities(self.values)

    def decision_function(self, X):
        if self.values.shape[1] == 2 and self.outputs.kind == "classes":
            return self.values[:, 1] - self.values[:, 0]
        return self.values[:, 0] if self.values.shape[1] == 1 else self.values

    def score(self, X, y):
        predicted, y = self.predict(X), np.asarray(y)
        if self.outputs.kind == "classes":
            return accuracy_score(y, predicted)
        if self.outputs.kind != "numbers":
            return subset_accuracy(y, predicted)
        return mean_r2(y.reshape(len(y), -1), predicted.reshape(len(y), -1))
