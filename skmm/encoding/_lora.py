"""LoRA: how encoders of pretrained models are tuned to y."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval


class LoRA(BaseEstimator):
    """Tune the last layers of a pretrained model to y, by low-rank adapters [1]_.

    The value of ``finetune`` of `TextEncoder` and `ImageEncoder`. A linear head reads the vector of
    each item and predicts y; head and adapters are trained together, and the model itself stays as
    it is. There is one pair of head and adapters for each of ``cv`` folds, trained on the other
    folds.

    Parameters
    ----------
    rank : int, default=8
        The rank of what is added to each matrix of weights.
    alpha : float, default=16
        What is added is multiplied by ``alpha / rank``.
    dropout : float, default=0.0
        The share of the inputs of adapters that are left out in training, in [0, 1).
    n_layers : int, default=2
        How many layers are tuned, the last ones; at most all that the model has. Those before them
        see each distinct item once.
    target_modules : list of str, default=None
        The names of the linear maps that get an adapter, such as ``["query", "value"]``. None: all
        in these layers.
    learning_rate_init : float, default=0.002
        The largest step size of the adapters; that of the head is 10 times as large.
    weight_decay : float, default=0.01
        The decoupled L2 penalty of the adapters.
    batch_size : int, default=32
        Rows in a gradient step.
    max_iter : int, default=4
        The number of epochs for each fold; the step size falls to 0 along a cosine.
    validation_fraction : float, default=0.1
        The share of the rows of each training that are held out for early stopping.
    n_iter_no_change : int, default=3
        Stop after so many epochs in which the loss of held-out rows has not fallen. The adapters
        are those of the epoch in which it was lowest.
    n_bins : int, default=20
        A target of numbers is cut at its quantiles into so many classes, at most.
    cv : int, default=3
        The number of folds.
    checkpoint : str or path-like, default=None
        A file that is replaced after each epoch, from which `fit` goes on after it was interrupted
        or killed; it is removed at the end. One file is for one fit.
    random_state : int, RandomState instance or None, default=None
        Determines folds, held-out rows, first weights and batches.

    See Also
    --------
    skmm.text.TextEncoder : Takes it as ``finetune``.
    skmm.image.ImageEncoder : Takes it as ``finetune``.

    References
    ----------
    .. [1] E. J. Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022.

    Examples
    --------
    >>> from skmm.encoding import LoRA
    >>> from skmm.text import TextEncoder
    >>> encoder = TextEncoder(finetune=LoRA(rank=16, random_state=0))
    >>> encoder.set_params(finetune__n_layers=3).finetune
    LoRA(n_layers=3, random_state=0, rank=16)
    """

    _parameter_constraints: ClassVar[dict] = {
        "rank": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "target_modules": ["array-like", None],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "n_bins": [Interval(Integral, 2, None, closed="left")],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "checkpoint": [None, str, os.PathLike],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        rank: int = 8,
        *,
        alpha: float = 16,
        dropout: float = 0.0,
        n_layers: int = 2,
        target_modules: Sequence[str] | None = None,
        learning_rate_init: float = 0.002,
        weight_decay: float = 0.01,
        batch_size: int = 32,
        max_iter: int = 4,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
        n_bins: int = 20,
        cv: int = 3,
        checkpoint: str | os.PathLike | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.n_layers = n_layers
        self.target_modules = target_modules
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.n_bins = n_bins
        self.cv = cv
        self.checkpoint = checkpoint
        self.random_state = random_state


def resolve_finetune(finetune: str | LoRA | None) -> LoRA:
    """Return the settings that a name stands for, checked."""
    resolved = finetune if isinstance(finetune, LoRA) else LoRA()
    resolved._validate_params()
    return resolved
