"""Several targets that are classes or labels: from y as a user has it to class numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import logit
from sklearn.utils.multiclass import check_classification_targets

from .._warnings import warn_user
from .rows import check_sample_weight, class_factors
from .targets import leave_out_unknown, target_names

BINARY = np.array([0, 1])


class Labels(NamedTuple):
    """Several targets. Those of a multilabel y each have the classes 0 and 1."""

    names: list
    classes: list[np.ndarray]
    codes: np.ndarray  # (n, t) numbers of the classes, -1 where not known
    is_multilabel: bool


class TargetClasses(NamedTuple):
    """The classes of y; a fitted classifier holds them."""

    kind: str  # what y holds: "classes", "labels" or "targets", which are several
    classes: Any  # an array; of "targets" a list of them
    prior: Any  # the share of each class by weight, in the same form; of labels that of 1
    totals: np.ndarray | None = None  # of a stream, the weight of each class in the rows so far

    @property
    def prior_outputs(self) -> np.ndarray:
        """The logits of rows without any modality (k,)."""
        with np.errstate(divide="ignore"):
            if self.kind == "labels":
                return logit(self.prior)
            return np.log(np.hstack(self.prior))

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Split values whose last axis holds the logits of several targets."""
        ends = np.cumsum([len(classes) for classes in self.classes])
        return np.split(values, ends[:-1], axis=-1)


def has_several_targets(y) -> bool:
    """Return whether y has two axes and more than one column."""
    if not hasattr(y, "shape"):
        try:
            y = np.asarray(y)
        except ValueError:  # ragged, for scikit-learn's own checks to complain of
            return False
    return len(y.shape) == 2 and y.shape[1] > 1


def read_labels(y) -> Labels:
    """Read y of shape (n, t): labels if all known values are 0 or 1, classes otherwise.

    Raises
    ------
    ValueError
        If a target holds no classes, such as numbers with a fraction, or values that have no order.
    """
    if sparse.issparse(y):
        y = y.toarray()
    columns = _columns(y)
    names = target_names(y, len(columns))
    known = [_known(column) for column in columns]
    values = [_as_numbers(column[rows]) for column, rows in zip(columns, known, strict=True)]
    is_multilabel = all(v.dtype.kind in "biuf" and np.isin(v, BINARY).all() for v in values)
    classes, codes = [], np.full((len(columns[0]), len(columns)), -1)
    for i, (name, column, rows) in enumerate(zip(names, values, known, strict=True)):
        if len(column) == 0:
            classes.append(BINARY if is_multilabel else column)
        elif is_multilabel:
            classes.append(BINARY)
            codes[rows, i] = column
        else:
            try:
                check_classification_targets(column)
                found, codes[rows, i] = np.unique(column, return_inverse=True)
            except (TypeError, ValueError) as e:
                raise ValueError(f"Target {name!r} does not hold classes: {e}") from e
            classes.append(found)
    return Labels(names, classes, codes, is_multilabel)


def weigh_labels(
    labels: Labels, class_weight, sample_weight: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Multiply sample weights by the class weights of each target, as scikit-learn does.

    Returns
    -------
    weight : ndarray of shape (n,)
    priors : list of ndarray
        The share of each class of each target, by weight, over the rows in which it is known.

    Raises
    ------
    ValueError
        If a target is known in no row that has a weight, or has fewer than two classes in those
        (of a label this is a warning), or class weights are not finite and above 0.
    """
    check_sample_weight(sample_weight)
    names, codes = labels.names, labels.codes
    sample_weight = leave_out_unknown(codes >= 0, sample_weight, names)
    class_weights = _class_weight_per_target(class_weight, names)
    weight, priors = sample_weight.copy(), []
    for i, (name, classes) in enumerate(zip(names, labels.classes, strict=True)):
        known = codes[:, i] >= 0
        target = codes[known, i]
        totals = np.bincount(target, weights=sample_weight[known], minlength=len(classes))
        if (totals > 0).sum() < 2:
            _report_one_class(labels, name, classes[totals.argmax()])
        factors = class_factors(target, classes, class_weights[i], totals)
        if not np.isfinite(factors).all() or (factors < 0).any() or not (totals * factors).any():
            raise ValueError(
                f"class_weight of target {name!r} must be finite and not negative, and above 0 for "
                f"a class that has rows; got {class_weights[i]}."
            )
        weight[known] *= factors[target]
        priors.append(totals / totals.sum())
    if not weight.any():
        raise ValueError("class_weight gives every row a weight of 0; nothing is left to train on.")
    return weight, priors


def _report_one_class(labels: Labels, name, value) -> None:
    where = "in rows whose sample_weight is not 0"
    if labels.is_multilabel:
        warn_user(
            f"Label {name!r} is {value} {where}, without exception; it will always be predicted "
            "so, more or less surely.",
        )
        return
    raise ValueError(
        "A classifier needs samples of at least 2 classes in the data, but target "
        f"{name!r} contains only one class {where}: {value!r}. (Of several targets, -1 in integers "
        "and NaN or None elsewhere mean that a class is not known.)"
    )


def _class_weight_per_target(class_weight, names: Sequence) -> list:
    if class_weight is None or isinstance(class_weight, str):
        return [class_weight] * len(names)
    if not isinstance(class_weight, list) or len(class_weight) != len(names):
        raise ValueError(
            f"class_weight of {len(names)} targets must be a list with a dict for each of "
            f'{list(names)}, or "balanced"; got {class_weight!r}.'
        )
    return class_weight


def _columns(y) -> list[np.ndarray]:
    if isinstance(y, pd.DataFrame):
        return [y.iloc[:, i].to_numpy() for i in range(y.shape[1])]
    return list(np.asarray(y).T)


def _known(column: np.ndarray) -> np.ndarray:
    if column.dtype.kind in "iu":
        return column != -1
    return ~pd.isna(column)


def _as_numbers(values: np.ndarray) -> np.ndarray:
    """Convert an object array of numbers, from which None was taken, into numbers."""
    if values.dtype == object and all(
        isinstance(value, (bool, int, float, np.number, np.bool_)) for value in values
    ):
        return np.array(values.tolist())
    return values


def subset_accuracy(y, predicted: np.ndarray, sample_weight=None) -> float:
    """Return the share of rows whose known targets are all predicted right.

    Rows in which none is known do not count.
    """
    columns = _columns(y.toarray() if sparse.issparse(y) else y)
    if (len(columns[0]), len(columns)) != predicted.shape:
        raise ValueError(
            f"y holds {len(columns[0])} rows of {len(columns)} targets, and X and the fitted y "
            f"{predicted.shape[0]} of {predicted.shape[1]}."
        )
    known = np.stack([_known(column) for column in columns], axis=1)
    pairs = zip(columns, predicted.T, strict=True)
    equal = np.stack([np.asarray(column == guess) for column, guess in pairs], axis=1)
    weight = np.ones(len(known)) if sample_weight is None else np.asarray(sample_weight)
    return float(np.average((equal | ~known).all(1), weights=weight * known.any(1)))
