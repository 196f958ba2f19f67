"""FusionClassifier: what scikit-learn sees of modality fusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, _fit_context
from sklearn.utils import check_consistent_length, compute_class_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    check_classification_targets,
    unique_labels,
)
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .._data.fitted import read_fitted
from .._data.labels import (
    TargetClasses,
    has_several_targets,
    read_labels,
    subset_accuracy,
    weigh_labels,
)
from .._data.rows import weigh_rows
from .._data.targets import resolve_task_weight
from .._data.validation import (
    FLOATS,
    check_known,
    find_classes,
    friendlier_errors,
)
from .._torch.processes import sum_over_processes
from .._torch.tasks import class_tasks, column_tasks
from ._estimator import BaseFusion, splits_exactly
from ._models import learns_in_batches

if TYPE_CHECKING:
    from numpy.random import RandomState
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from .._hyperparameters import LBFGS, AdamW
    from ._rules import FusionRule


class FusionClassifier(ClassNamePrefixFeaturesOutMixin, ClassifierMixin, BaseFusion):
    """Classify rows by a weighted fusion of their modalities.

    One model f_i for each modality (a group of columns), and weights that say how much each
    modality counts::

        Fusion(x_1..x_n) = sum_i a_i f_i(x_i)
        Loss = L(logits, y) + sum_i lambda_i L_i + sum_{i != j} gamma_ij L_ij

    The defaults need no choice. Where you have one to make, look at these, in this order:

    1. ``modalities``: which columns belong together, unless their names say it;
    2. ``modality_model``: the models f_i, a perceptron unless you name another;
    3. ``fusion``: what is summed, scores or representations, or another rule;
    4. ``modality_weights``: alpha, learned unless you fix it;
    5. ``solver``: how long and with how much regularisation is trained.

    alpha is learned on rows that no f_i has seen, and what it weighs is normalised, so that a
    weight means the same for each modality, and one of noise ends near 0. The user guide explains
    how, on its page on fusion.

    Parameters
    ----------
    fusion : {"late", "weighted", "concat", "additive", "gated", "attention", "bilinear"} or \
            FusionRule, default="late"
        What is weighted and summed; a name, or an object with parameters such as
        ``Late(per_class=True)``. "late": the scores of each modality. "weighted": their
        representations, which one linear layer reads. "concat": what each modality adds to the
        first layer of one network that reads all of them side by side. "additive": the scores of
        each modality as they are, neither normalised nor weighted. "gated": representations, by
        weights that depend on the row. "attention" and "bilinear": representations that attend to
        each other, or are multiplied.
    modalities : None, "prefix" or dict, default=None
        Which columns make up a modality. None reads names of the form ``modality__feature``, and
        takes all columns for one modality where names have no such form. "prefix" insists on
        them. A dict gives columns (names, positions or a slice) for each name, or, for columns
        that stand in order, the number of columns for each name.
    modality_weights : None, "uniform" or dict, default=None
        The weights alpha. None learns them. A dict gives each modality a weight, not negative; they
        are divided by their sum. "additive", "attention" and "bilinear" have none to set.
    modality_model : {"auto", "mlp", "linear"}, MLP, classifier or dict, default="auto"
        The model f_i of each modality: one for all, or a dict with one for each. "auto" and "mlp"
        are ``MLP()``, "linear" is a perceptron without hidden layers. With rules that fuse scores,
        "late" and "additive", it may be any classifier of scikit-learn with `predict_proba`: its
        centred log-probabilities are fused, in training those of rows that it was not fitted to.
    interaction : {None, "auto"} or classifier, default="auto"
        The model f_inter of all columns, for what only several modalities say together. Models that
        read all columns are mixed with the network, as far as rows are predicted better that none
        has seen. Of what the mixture says, functions of one modality are added to its f_i; the
        rest is f_inter. "auto" mixes extremely randomised trees, gradient boosting, a linear model
        and perceptrons, of columns and of piecewise linear functions of them, where "late" fusion
        learns its weights and there are at least 40 distinct rows and at most 50 outputs. Any rule
        takes a classifier with `predict_proba` that copes with NaN. None leaves it out. It is
        learned by `fit` alone, not by `partial_fit`.
    modality_loss_weight : float or dict, default=0.3
        The weights lambda of L_i, the log-loss of each modality on its own: one for all modalities,
        or one for each.
    alignment : {None, "contrastive", "cosine", "mse", "kl", "correlation"}, default=None
        L_ij, which brings two modalities' last hidden layers together (their scores, where f_i is
        linear). "contrastive": InfoNCE [1]_ at a temperature of 0.1, in which each row has to find
        its own vector of the other modality in the batch. "cosine": one minus their cosine. "mse":
        their mean squared difference [2]_. "kl": the divergence of the predictions that each
        modality makes on its own [3]_. "correlation": Barlow Twins [4]_, in which each unit is to
        correlate with the same unit of the other modality, and with no other.
    alignment_weight : float, dict or array-like of shape (n_modalities, n_modalities), default=1.0
        The weights gamma of L_ij: one for all pairs; one for each pair of names,
        ``{("text", "image"): 0.5}``, in which a pair stands for both directions unless both are
        given; or a matrix in the order of ``modalities_`` with zeros on its diagonal.
    modality_dropout : float, default=0.0
        The probability, in [0, 1), that a row is trained on without a modality it has. It prepares
        the network for missing ones.
    solver : {"adamw", "lbfgs"}, AdamW or LBFGS, default="adamw"
        How the network is trained: gradient steps on batches, or L-BFGS on all rows at once.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, as elsewhere in scikit-learn. With several targets a list with a
        dict for each (of labels, with the keys 0 and 1), whose weights are multiplied in each row.
    task_weight : None, array-like of shape (n_targets,) or dict, default=None
        How much each of several targets counts in L, above 0: in the order of y, or by the names of
        its columns if y is a DataFrame. They are divided by their sum. None is the same for all.
    warm_start : bool, default=False
        Whether `fit` starts from the network of the last one, on data of the same columns, rather
        than anew. What was learned on unseen rows, as the weights alpha are, stays as it is, for no
        row is unseen any more.
    checkpoint : str, path-like or None, default=None
        A file in which `fit` saves its state after each epoch, whole or not at all. A fit that was
        killed, or interrupted by Ctrl-C, continues when `fit` is called again with the same data
        and parameters, and on one machine's CPU ends with the same weights, bit for bit. A file of
        another fit is an error. When `fit` is done it removes the file. Loading it runs no code.
        The fits of a search have one path in common: with ``n_jobs=1`` each removes the file before
        the next begins; of several at once only one can have it, and the others raise ValueError.
    random_state : int, RandomState instance or None, default=None
        Determines the first weights of the network, batches, dropout and how rows are split. On one
        machine's CPU an int makes fits bit-identical, several at once too. torch's own generator is
        left as it was.
    device : str, default="auto"
        The device that torch computes on: "cpu", "cuda", "cuda:1", "mps". "auto" is "cuda" where
        there is one.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,), or list of ndarray
        Class labels. With labels the numbers of these; with several targets a list with the classes
        of each.
    class_prior_ : ndarray of shape (n_classes,), or list of ndarray
        The share of each class in the training rows (with labels, of the rows that have each), by
        ``sample_weight``, not by ``class_weight``; with several targets a list. It is predicted for
        rows without any modality, or with none whose weight alpha is above 0.
    modalities_ : dict of str to list
        The columns of each modality, by name or by position.
    modality_weights_ : dict of str to float, or DataFrame of shape (n_classes, n_modalities)
        The weights alpha. They add up to 1. A frame with ``Late(per_class=True)``, in which those
        of each class do. With "additive", which has none: the root mean square of each modality's
        centred scores over the training rows, divided by their sum. These were not tested on unseen
        rows, so a modality that is only memorised has its share too. With "gated": the mean of
        `row_weights` over the training rows. Missing with "attention" and "bilinear", where no
        number says how much a modality counts. With ``interaction`` its
        share is among them: what a mixture says by each modality, and by several together, counts
        by its spread over unseen rows.
    network_ : torch.nn.Module
        The trained network. It knows the modalities in alphabetical order.
    history_ : DataFrame of shape (`n_iter_`, n_terms + 1)
        Each term of the loss in each epoch, before it is multiplied by its weight: "fused",
        "modality__NAME", "alignment__NAME__NAME", and "loss", the sum of their products. With early
        stopping also "validation_loss". The penalty of ``weight_decay`` is no part of it.
    loss_curve_ : list of float
        The loss in each epoch.
    n_iter_ : int
        The number of epochs that the network was trained for.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X has names that are all strings.

    See Also
    --------
    skmm.ModalityTransformer : Make the columns from raw text, images and tables.
    skmm.LateFusionClassifier : Average the probabilities of classifiers that read raw columns.
    sklearn.neural_network.MLPClassifier : One network on all columns.

    Notes
    -----
    A modality is missing from a row if all of its columns are NaN there: its term is left out and
    the other weights are renormalised, in training and in prediction. Where weights are learned,
    and with "late", each missing modality i also multiplies what is fused by ``exp(-c_i)``, with a
    c_i that is learned, not negative, so that a row that lacks modalities is predicted with less
    confidence.

    y of two axes is several targets: labels, each of which a row has or not, if all that is known
    is 0 or 1; otherwise classes, with a head for each target. L is the mean over targets, by
    ``task_weight``, and late fusion has a temperature for each target of classes, and one for all
    labels. A target whose class is not known in a row is -1 there among integers, NaN among floats,
    None, NaN or NA among objects, and the row does not count for it. Rows in which no target is
    known are left out, with a warning.

    Rows that are equal in X and y are one row with the sum of their weights, so that a weight of 2
    is the same as a second copy. The order of the rows does not matter either.

    A fitted estimator is plain data in a pickle or joblib file. skops, which runs no code of a
    file, needs ``trusted=skmm.trusted_types`` to load one.

    Ctrl-C ends training with what the network has learned so far, and a warning. While the networks
    of the folds are trained, what is left is that of the first fold, with the weights that unseen
    rows of the folds so far ask for; before its first epoch has ended, Ctrl-C ends `fit`.

    References
    ----------
    .. [1] A. van den Oord, Y. Li, O. Vinyals, "Representation learning with contrastive predictive
       coding", arXiv:1807.03748, 2018.
    .. [2] D. Y. Ding, S. Li, B. Narasimhan, R. Tibshirani, "Cooperative learning for multiview
       analysis", PNAS 119(38), 2022.
    .. [3] Y. Zhang, T. Xiang, T. M. Hospedales, H. Lu, "Deep mutual learning", CVPR 2018.
    .. [4] J. Zbontar, L. Jing, I. Misra, Y. LeCun, S. Deny, "Barlow Twins: self-supervised
       learning via redundancy reduction", ICML 2021.

    Examples
    --------
    >>> from skmm import FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(
    ...     600, informativeness=(0.9, 0.0), modality_names=("text", "noise"), random_state=0
    ... )
    >>> model = FusionClassifier(random_state=0).fit(X[:400], y[:400])
    >>> model.modality_weights_["text"] > 0.8
    True
    >>> model.score(X[400:], y[400:]) > 0.7
    True

    A random forest reads one modality, and a small perceptron the other:

    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skmm import MLP
    >>> models = {"text": MLP((64,)), "noise": RandomForestClassifier(50)}
    >>> model = FusionClassifier(modality_model=models, random_state=0).fit(X[:400], y[:400])
    >>> model.modality_weights_["text"] > 0.8
    True
    """

    _targets: TargetClasses
    _parameter_constraints: ClassVar[dict] = {
        **BaseFusion._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
        "task_weight": [None, dict, "array-like"],
    }

    def __init__(
        self,
        fusion: str | FusionRule = "late",
        *,
        modalities: str | Mapping[str, Any] | None = None,
        modality_weights: str | Mapping[str, float] | None = None,
        modality_model: str | BaseEstimator | Mapping[str, str | BaseEstimator] = "auto",
        interaction: str | BaseEstimator | None = "auto",
        modality_loss_weight: float | Mapping[str, float] = 0.3,
        alignment: str | None = None,
        alignment_weight: float | Mapping[tuple[str, str], float] | ArrayLike = 1.0,
        modality_dropout: float = 0.0,
        solver: str | AdamW | LBFGS = "adamw",
        class_weight: str | Mapping[Any, float] | list[Mapping[Any, float]] | None = None,
        task_weight: ArrayLike | Mapping[Any, float] | None = None,
        warm_start: bool = False,
        checkpoint: str | PathLike | None = None,
        random_state: int | RandomState | None = None,
        device: str = "auto",
        verbose: bool | int = False,
    ):
        self.fusion = fusion
        self.modalities = modalities
        self.modality_weights = modality_weights
        self.modality_model = modality_model
        self.interaction = interaction
        self.modality_loss_weight = modality_loss_weight
        self.alignment = alignment
        self.alignment_weight = alignment_weight
        self.modality_dropout = modality_dropout
        self.solver = solver
        self.class_weight = class_weight
        self.task_weight = task_weight
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Learn the network and the modality weights.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features; columns of the form ``modality__feature``, or as ``modalities`` says. A
            modality that a row lacks is NaN in all of its columns.
        y : array-like of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_targets)
            Class labels; or, for each label, whether the row has it (1) or not (0); or the class of
            each target. See the notes on what is not known.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, not negative.
        groups : array-like of shape (n_samples,), default=None
            Group labels, such as speakers: held-out rows, to learn weights or for early stopping,
            are whole groups.

        Returns
        -------
        FusionClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If ``X`` is infinite or partly NaN within a modality, a modality is missing from all
            rows, ``y`` or one of its targets has one class only, a parameter names an unknown
            modality or target, or two parameters contradict each other.
        """
        read = self._read_several if has_several_targets(y) else self._read_one
        X, codes, weight, targets, names = read(X, y, sample_weight)
        self._check_same_classes(targets)
        task_weight = resolve_task_weight(self.task_weight, names)
        if targets.kind == "labels":
            tasks = column_tasks("multilabel", task_weight)
        else:
            classes = [targets.classes] if targets.kind == "classes" else targets.classes
            tasks = class_tasks([len(values) for values in classes], task_weight)
        self._fit_problem(X, codes, weight, tasks, names, targets.prior_outputs, groups)
        self._targets = targets
        return self

    def _read_rows_and_classes(self, X, y, *, reset: bool):
        check_known(y, "y")
        with friendlier_errors(X, self):
            X, y = validate_data(
                self, X, y, dtype=FLOATS, ensure_all_finite="allow-nan", reset=reset
            )
        return X, y

    def _read_one(self, X, y, sample_weight):
        """Read one column of classes; return rows, codes, weight, classes and names of targets."""
        X, y = self._read_rows_and_classes(X, y, reset=True)
        classes, codes = find_classes(y)
        sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        if isinstance(self.class_weight, list):
            raise ValueError(
                f"class_weight of one target must be a dict, not a list; got {self.class_weight}."
            )
        weight, prior = weigh_rows(codes, classes, self.class_weight, sample_weight)
        return X, codes[:, None], weight, TargetClasses("classes", classes, prior), [0]

    def _read_several(self, X, y, sample_weight):
        """Read labels, or several columns of classes; return what `_read_one` returns."""
        X = self._read_training_rows(X, y)
        labels = read_labels(y)
        check_consistent_length(X, labels.codes)
        sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        weight, priors = weigh_labels(labels, self.class_weight, sample_weight)
        if not labels.is_multilabel:
            targets = TargetClasses("targets", labels.classes, priors)
            return X, labels.codes, weight, targets, labels.names
        prior = np.array([ones for _, ones in priors])
        codes = np.where(labels.codes < 0, np.nan, labels.codes).astype(np.float32)
        targets = TargetClasses("labels", np.arange(len(priors)), prior)
        return X, codes, weight, targets, labels.names

    def _check_same_classes(self, targets: TargetClasses) -> None:
        """Raise if the fit that this one goes on from had other classes."""
        if not self._is_warm_start():
            return
        before, now = (
            [np.asarray(values).tolist() for values in classes]
            for classes in (self._targets.classes, targets.classes)
        )
        kind = self._targets.kind
        if targets.kind != kind or before != now:
            prefix = "" if targets.kind == kind else f"{targets.kind} "
            raise ValueError(
                f"warm_start=True goes on with the network of the last fit, whose {kind} were "
                f"{before}, now {prefix}{now}. Set warm_start=False to start anew."
            )

    @property
    def classes_(self):
        """The classes of y."""
        return read_fitted(self, "_targets", "classes_").classes

    @property
    def class_prior_(self):
        """The share of each class by weight."""
        return read_fitted(self, "_targets", "class_prior_").prior

    @available_if(learns_in_batches)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Learn from one more batch of a stream of rows, each of which comes once.

        The network sees the batch once, in steps of the size ``learning_rate_init``. If weights are
        learned, the rows are evaluated before: alpha, and the temperature of "late", suit the last
        3,000 rows of the stream as the network found them before it was trained on them. Columns
        are centred and scaled by all rows so far.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`. A batch may lack a modality.
        y : array-like of shape (n_samples,)
            Class labels.
        classes : array-like of shape (n_classes,), default=None
            All classes that there will be; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, not negative.

        Returns
        -------
        FusionClassifier
            The estimator itself.

        Raises
        ------
        ValueError
            If ``classes`` is missing in the first call or other than before, ``y`` has another
            class, or a parameter needs all rows at once: L-BFGS, early stopping, balanced class
            weights or several members.
        AttributeError
            If an estimator of scikit-learn is the ``modality_model`` of a modality.
        """
        before = getattr(self, "_targets", None)
        if has_several_targets(y) or not (before is None or before.kind == "classes"):
            raise ValueError(
                "partial_fit learns one column of classes, y of shape (n_samples,); for labels or "
                "several targets use fit."
            )
        targets = _find_stream_classes(before, classes)
        X, y = self._read_rows_and_classes(X, y, reset=not hasattr(self, "_fitted"))
        check_classification_targets(y)
        classes = targets.classes
        unknown = np.setdiff1d(y, classes)
        if len(unknown):
            raise ValueError(
                f"y has the label {unknown.tolist()[0]!r}, which is not in classes, "
                f"{classes.tolist()}: pass all classes in the first call."
            )
        codes = np.searchsorted(classes, y)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        totals = self._count_classes(targets, codes, weight)
        prior = np.maximum(totals, np.finfo(float).tiny)
        targets = targets._replace(totals=totals, prior=prior / prior.sum())
        class_weight = None if self.class_weight == "balanced" else self.class_weight  # an error
        factors = compute_class_weight(class_weight, classes=classes, y=classes)
        tasks = class_tasks([len(classes)], resolve_task_weight(self.task_weight, [0]))
        self._fit_batch(X, codes[:, None], weight * factors[codes], tasks, targets.prior_outputs)
        self._targets = targets
        return self

    def _count_classes(
        self, targets: TargetClasses, codes: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        """Add the weight of more rows to that of each class in the rows so far."""
        before = targets.totals
        if before is None and hasattr(self, "_fitted"):  # by `fit`
            before = targets.prior * self._fitted.scaler.n_rows_
        n_classes = len(targets.classes)
        totals = sum_over_processes(np.bincount(codes, weights=weight, minlength=n_classes))
        return totals if before is None else before + totals

    def _logits(self, X, *, members: bool = False) -> np.ndarray:
        """Compute logits (n_samples, k); for rows without modality those of the prior."""
        return self._run(X).outputs("the class prior", members=members)

    def _per_target(self, values: np.ndarray, read: Callable) -> np.ndarray | list[np.ndarray]:
        """Apply ``read`` to values whose last axis holds logits; for each of several targets."""
        if self._targets.kind != "targets":
            return read(values)
        return [read(logits) for logits in self._targets.split(values)]

    def _probabilities(self, logits: np.ndarray) -> np.ndarray | list[np.ndarray]:
        if self._targets.kind == "labels":
            return expit(logits)
        return self._per_target(logits, lambda values: softmax(values, axis=-1))

    def predict(self, X):
        """Predict the class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`. Rows without any modality get the most frequent class of the
            training rows, with a warning.

        Returns
        -------
        ndarray of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_targets)
            Class labels; 1 for each label that is more probable than not, otherwise 0; or the class
            of each target.
        """
        logits = self._logits(X)
        if self._targets.kind == "labels":
            return (logits > 0).astype(int)
        if self._targets.kind == "classes":
            return self.classes_[logits.argmax(1)]
        best = self._per_target(logits, lambda values: values.argmax(1))
        columns = [classes[code] for classes, code in zip(self.classes_, best, strict=True)]
        one_kind = len({column.dtype.kind for column in columns}) == 1
        return np.stack(columns if one_kind else [c.astype(object) for c in columns], axis=1)

    def score(self, X, y, sample_weight=None):
        """Compute the accuracy of the predictions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.
        y : array-like of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_targets)
            Classes or labels, as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        float
            The share of rows that are predicted right; with labels and several targets, of those
            whose known targets all are. Rows in which no target is known do not count.
        """
        check_is_fitted(self)
        if self._targets.kind == "classes":
            return super().score(X, y, sample_weight)
        return subset_accuracy(y, self.predict(X), sample_weight)

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or list of ndarray
            Probabilities, in the order of ``classes_``; with labels (n_samples, n_labels), with
            several targets a list with those of each. Rows without any modality that counts, or
            without a finite output, get ``class_prior_``, with a warning.
        """
        return self._probabilities(self._logits(X))

    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or list of ndarray
            Natural logarithms of `predict_proba`.
        """
        logits = self._logits(X)
        if self._targets.kind == "labels":
            return log_expit(logits)
        return self._per_target(logits, lambda values: log_softmax(values, axis=1))

    def ensemble_proba(self, X):
        """Predict the probability of each class by each member of the ensemble.

        Their spread is a measure of the uncertainty of the prediction.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_members, n_classes), or list of ndarray
            Probabilities; with several targets a list with those of each. `predict_proba` has those
            of the members' mean logits.
        """
        return self._probabilities(self._logits(X, members=True))

    def modality_proba(self, X):
        """Predict the probability of each class from each modality alone.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_modalities, n_classes), or list of ndarray
            What the network, without ``interaction``, would predict if the row had only that
            modality, whatever its weight; NaN where the row does not have it. In the order of
            ``modalities_`` and ``classes_``.
        """
        return self._probabilities(self._run(X).outputs_of_each())

    @available_if(splits_exactly)
    def contributions(self, X):
        """Split the logits of each row into one contribution for each modality.

        With "late", "weighted", "gated" and "additive" fusion the head is affine and the weights of
        a row add up to 1 (each is one over their number with "additive"), so that
        ``head(sum_i a_i f_i) = sum_i a_i head(f_i)``. Other fusions have no such method.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_modalities, n_classes), or list of ndarray
            Contributions whose sum over modalities are the logits, the softmax of which (of labels,
            the logistic function) is `predict_proba`; with several targets a list.
            0 for a modality that the row does not have. In the order of ``modalities_`` and
            ``classes_``; with ``interaction`` its part comes last. All zeros for rows without any
            modality that counts, whose prediction is ``class_prior_``.
        """
        return self._per_target(self._run(X).contributions(), np.asarray)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags


def _find_stream_classes(before: TargetClasses | None, classes) -> TargetClasses:
    """Return the classes of a stream, which ``classes`` names in its first batch."""
    if classes is None:
        if before is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return before
    classes = unique_labels(classes)
    if before is None:
        return TargetClasses("classes", classes, None)
    if not np.array_equal(before.classes, classes):
        raise ValueError(
            f"classes={classes.tolist()} is not the same as on the last call to partial_fit, "
            f"{before.classes.tolist()}."
        )
    return before
