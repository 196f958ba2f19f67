"""Scores of retrieval, as ``scoring=`` takes them."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, column_or_1d

from ..fusion._reading import check_known, find_classes
from ._aligner import CrossModalAligner
from ._retrieval import average_precision, mean_over_pairs, pair_ranks


class _Scorer:
    """A callable of estimator, X and y, which joblib can send to other processes."""

    def __init__(self, source: str | None, target: str | None):
        self.source, self.target = source, target

    def __call__(self, estimator, X, y=None) -> float:
        estimator = getattr(estimator, "best_estimator_", estimator)
        if isinstance(estimator, Pipeline):
            X, estimator = estimator[:-1].transform(X) if len(estimator) > 1 else X, estimator[-1]
        if not isinstance(estimator, CrossModalAligner):
            raise TypeError(
                f"{self!r} scores a CrossModalAligner, or a pipeline or search that ends in one, "
                f"got {type(estimator).__name__}."
            )
        labels = self._read_labels(X, y)
        return mean_over_pairs(
            estimator,
            X,
            lambda a, b, rows: self._measure(a, b, None if labels is None else labels[rows]),
            self.source,
            self.target,
        )

    def _read_labels(self, X, y) -> None:
        """Y plays no part."""

    def __repr__(self) -> str:
        given = {name: value for name, value in vars(self).items() if value is not None}
        return f"{self._name}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


class _RecallAtK(_Scorer):
    _name = "recall_at_k"

    def __init__(self, k: int, source: str | None, target: str | None):
        self.k = k
        super().__init__(source, target)

    def _measure(self, a, b, labels) -> float:
        return pair_ranks(a, b).within(self.k).mean()


class _MeanAveragePrecision(_Scorer):
    _name = "mean_average_precision"

    def _read_labels(self, X, y) -> np.ndarray | None:
        """Give the number of each row's class."""
        if y is None:
            return None
        check_known(y, "y")
        check_consistent_length(X, y)
        return find_classes(column_or_1d(y))[1]

    def _measure(self, a, b, labels) -> float:
        if labels is None:
            return pair_ranks(a, b).reciprocal().mean()
        return average_precision(a, b, labels)


def recall_at_k(k=10, *, source=None, target=None):
    """Make a scorer: how often a row's own pair is among the first ``k`` that are found.

    Parameters
    ----------
    k : int, default=10
        How many are looked at.
    source : str, default=None
        The modality to look with. None: each in turn, and the mean of all pairs.
    target : str, default=None
        The modality to look for. None: each in turn, and the mean of all pairs.

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None)``, for ``scoring=`` of `GridSearchCV` and
        `cross_val_score`. The estimator is a `CrossModalAligner`, or a pipeline or fitted search
        that ends in one; y is ignored. Each row is looked for among those of X that have both
        modalities.

    See Also
    --------
    mean_average_precision : Counts all rows of the same class.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from skmm.alignment import CrossModalAligner, recall_at_k
    >>> hidden = np.random.default_rng(0).normal(size=(90, 4))
    >>> X = np.hstack([hidden, np.tanh(hidden)])
    >>> aligner = CrossModalAligner("cca", modalities={"text": 4, "image": 4})
    >>> bool(cross_val_score(aligner, X, cv=3, scoring=recall_at_k(3)).min() > 0.9)
    True
    """
    if not isinstance(k, Integral) or k < 1:
        raise ValueError(f"k must be an integer of at least 1, got {k!r}.")
    return _RecallAtK(k, source, target)


def mean_average_precision(*, source=None, target=None):
    """Make a scorer: the mean average precision of what is found.

    Parameters
    ----------
    source : str, default=None
        The modality to look with. None: each in turn, and the mean of all pairs.
    target : str, default=None
        The modality to look for. None: each in turn, and the mean of all pairs.

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None)``, for ``scoring=`` of `GridSearchCV` and
        `cross_val_score`. The estimator is a `CrossModalAligner`, or a pipeline or fitted search
        that ends in one. With y, all rows of the query's class are right, among them its own;
        without, its own alone is, and this is the mean reciprocal rank. A y with missing values is
        refused.

    See Also
    --------
    recall_at_k : Counts whether a row finds its own pair.

    Examples
    --------
    >>> import numpy as np
    >>> from skmm.alignment import CrossModalAligner, mean_average_precision
    >>> hidden = np.random.default_rng(0).normal(size=(90, 4))
    >>> X, y = np.hstack([hidden, np.tanh(hidden)]), hidden[:, 0] > 0
    >>> aligner = CrossModalAligner("cca", modalities={"text": 4, "image": 4}).fit(X)
    >>> bool(mean_average_precision(source="text", target="image")(aligner, X, y) > 0.6)
    True
    """
    return _MeanAveragePrecision(source, target)
