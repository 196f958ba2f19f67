"""Scores of retrieval, as ``scoring=`` takes them."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, column_or_1d

from .._data.validation import check_known, find_classes
from ._aligner import CrossModalAligner
from ._retrieval import average_precision, pair_ranks


class _Scorer:
    """A callable of estimator, X and y, which joblib can send to other processes."""

    _name: ClassVar[str]

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
        return estimator._mean_over_pairs(X, self._measure, self.source, self.target, labels)

    def _read_labels(self, X, y) -> np.ndarray | None:
        """Return the number of each row's class, or None where y plays no part."""
        return None

    def _measure(self, source, target, labels, items) -> float:
        """Score how well rows of ``source`` find what is right in ``target``."""
        raise NotImplementedError

    def _parameters(self) -> dict:
        return {"source": self.source, "target": self.target}

    def __repr__(self) -> str:
        shown = [f"{n}={value!r}" for n, value in self._parameters().items() if value is not None]
        return f"{self._name}({', '.join(shown)})"


class _RecallAtK(_Scorer):
    _name = "recall_at_k"

    def __init__(self, k: int, source: str | None, target: str | None):
        super().__init__(source, target)
        self.k = k

    def _parameters(self) -> dict:
        return {"k": self.k, **super()._parameters()}

    def _measure(self, source, target, labels, items) -> float:
        return pair_ranks(source, target, labels, items).within(self.k).mean()


class _MeanAveragePrecision(_Scorer):
    _name = "mean_average_precision"

    def _read_labels(self, X, y) -> np.ndarray | None:
        """Return the number of each row's class, if there is y."""
        if y is None:
            return None
        check_known(y, "y")
        check_consistent_length(X, y)
        return find_classes(column_or_1d(y))[1]

    def _measure(self, source, target, labels, items) -> float:
        return average_precision(source, target, labels, items)


def recall_at_k(k=10, *, source=None, target=None):
    """Make a scorer: how often a right item is among the first ``k`` found.

    Parameters
    ----------
    k : int, default=10
        How many of those found count.
    source : str, default=None
        The modality of the queries. None: each in turn, and the mean of all pairs.
    target : str, default=None
        The modality to search. None: each in turn, and the mean of all pairs.

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None)``, for ``scoring=`` of `GridSearchCV` and
        `cross_val_score`. The estimator is a `CrossModalAligner`, or a pipeline or fitted search
        that ends in one; y is ignored. Each row's pair is searched among the distinct items of the
        rows of X that have both modalities.

    See Also
    --------
    mean_average_precision : Counts all items of the same class.

    Notes
    -----
    Rows whose values in a modality are equal, such as several captions of one picture with a row
    each, are one item of it, as in the benchmarks of Flickr30k and COCO [1]_: it takes one place
    among the first ``k``, and any of the captions is right for their picture. Each row is a query.
    Of different items that are as near as each other, all orders are averaged.

    References
    ----------
    .. [1] A. Karpathy, L. Fei-Fei, "Deep visual-semantic alignments for generating image
       descriptions", CVPR 2015.

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
        The modality of the queries. None: each in turn, and the mean of all pairs.
    target : str, default=None
        The modality to search. None: each in turn, and the mean of all pairs.

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None)``, for ``scoring=`` of `GridSearchCV` and
        `cross_val_score`. The estimator is a `CrossModalAligner`, or a pipeline or fitted search
        that ends in one. With y, all items of rows of the query's class are right; without, those
        of rows with an equal query, and where each has one, this is the mean reciprocal rank.
        Missing values in y are an error.

    See Also
    --------
    recall_at_k : Counts whether a row finds what is right; how equal items are treated.

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
