"""FusionRegressor: one number for each row, or several."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, RegressorMixin, _fit_context
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight

from .._data.rows import check_sample_weight
from .._data.targets import leave_out_unknown, mean_r2, read_numbers, resolve_task_weight
from .._torch.tasks import column_tasks
from ._estimator import BaseFusion, splits_exactly

if TYPE_CHECKING:
    from numpy.random import RandomState
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from .._hyperparameters import LBFGS, AdamW
    from ._rules import FusionRule


class FusionRegressor(ClassNamePrefixFeaturesOutMixin, RegressorMixin, BaseFusion):
    """Predict a number, or several, by a weighted fusion of modalities.

    One model f_i for each modality (a group of columns), and weights that say how much each
    modality counts::

        Fusion(x_1..x_n) = sum_i a_i f_i(x_i)
        Loss = L(prediction, y) + sum_i lambda_i L_i + sum_{i != j} gamma_ij L_ij

    The defaults need no choice. Where you have one to make, look at these, in this order:

    1. ``modalities``: which columns belong together, unless their names say it;
    2. ``modality_model``: the models f_i, a perceptron unless you name another;
    3. ``fusion``: what is summed, scores or representations, or another rule;
    4. ``loss``: what a large error costs;
    5. ``solver``: how long and with how much regularisation is trained.

    alpha is learned on rows that no f_i has seen, and what it weighs is normalised, so that a
    weight means the same for each modality, and one of noise ends near 0. The user guide explains
    how, on its page on fusion.

    Parameters
    ----------
    fusion : {"late", "weighted", "concat", "additive", "gated", "attention", "bilinear"} or \
            FusionRule, default="late"
        What is weighted and summed; a name, or an object with parameters such as
        ``Attention(n_heads=2)``. "late": the scores of each modality. "weighted": their
        representations, which one linear layer reads. "concat": what each modality adds to the
        first layer of one network that reads all of them side by side. "additive": the scores of
        each modality as they are, neither normalised nor weighted. "gated": representations, by
        weights that depend on the row. "attention" and "bilinear": representations that attend to
        each other, or are multiplied.
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        L, of a target that is scaled to mean 0 and standard deviation 1: half the square of the
        error; the error without its sign; or half the square of an error up to 1 and the error
        less 1/2 above. For the latter two a target is scaled by its median and median absolute
        deviation, so that outliers count for little.
    modalities : None, "prefix" or dict, default=None
        Which columns make up a modality. None reads names of the form ``modality__feature``, and
        takes all columns for one modality where names have no such form. "prefix" insists on
        them. A dict gives columns (names, positions or a slice) for each name, or, for columns
        that stand in order, the number of columns for each name.
    modality_weights : None, "uniform" or dict, default=None
        The weights alpha. None learns them. A dict gives each modality a weight, not negative; they
        are divided by their sum. "additive", "attention" and "bilinear" have none to set.
    modality_model : {"auto", "mlp", "linear"}, MLP, regressor or dict, default="auto"
        The model f_i of each modality: one for all, or a dict with one for each. "auto" and "mlp"
        are ``MLP()``, "linear" is a perceptron without hidden layers. With rules that fuse scores,
        "late" and "additive", it may be any regressor of scikit-learn: its predictions are fused,
        in training those of rows that it was not fitted to.
    interaction : {None, "auto"} or regressor, default="auto"
        The model f_inter of all columns, for what only several modalities say together. Models that
        read all columns are mixed with the network, as far as rows are predicted better that none
        has seen. Of what the mixture says, functions of one modality are added to its f_i; the
        rest is f_inter. "auto" mixes extremely randomised trees, gradient boosting, a linear model
        and perceptrons, of columns and of piecewise linear functions of them, where "late" fusion
        learns its weights and there are at least 40 distinct rows and at most 50 outputs. Any rule
        takes a regressor that copes with NaN. None leaves it out. It is learned by `fit` alone,
        not by `partial_fit`.
    modality_loss_weight : float or dict, default=0.3
        The weights lambda of L_i, the loss of each modality on its own: one for all modalities,
        or one for each.
    alignment : {None, "contrastive", "cosine", "mse", "correlation"}, default=None
        L_ij, which brings two modalities' last hidden layers together (their scores, where f_i is
        linear). "contrastive": InfoNCE [1]_ at a temperature of 0.1, in which each row has to find
        its own vector of the other modality in the batch. "cosine": one minus their cosine. "mse":
        their mean squared difference [2]_. "correlation": Barlow Twins [3]_, in which each unit is
        to correlate with the same unit of the other modality, and with no other.
    alignment_weight : float, dict or array-like of shape (n_modalities, n_modalities), default=1.0
        The weights gamma of L_ij: one for all pairs; one for each pair of names,
        ``{("text", "image"): 0.5}``, in which a pair stands for both directions unless both are
        given; or a matrix in the order of ``modalities_`` with zeros on its diagonal.
    modality_dropout : float, default=0.0
        The probability, in [0, 1), that a row is trained on without a modality it has. It prepares
        the network for missing ones.
    solver : {"adamw", "lbfgs"}, AdamW or LBFGS, default="adamw"
        How the network is trained: gradient steps on batches, or L-BFGS on all rows at once.
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
    intercept_ : float or ndarray of shape (n_targets,)
        The mean of y over the training rows, by ``sample_weight``; with "absolute_error" and
        "huber" its median. It is predicted for rows without any modality, or with none whose weight
        alpha is above 0, and `contributions` are what is added to it.
    modalities_ : dict of str to list
        The columns of each modality, by name or by position.
    modality_weights_ : dict of str to float
        The weights alpha. They add up to 1. With "additive", which has none: the root mean square
        of each modality's centred scores over the training rows, divided by their sum. These were
        not tested on unseen rows, so a modality that is only memorised has its share too. With
        "gated": the mean of `row_weights` over the training rows. Missing with "attention" and
        "bilinear", where no number says how much a modality counts. With ``interaction`` its
        share is among them: what a mixture says by each modality, and by several together, counts
        by its spread over unseen rows.
    network_ : torch.nn.Module
        The trained network. It knows the modalities in alphabetical order, and y as it is scaled.
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
    skmm.FusionClassifier : Predict classes or labels.
    skmm.ModalityTransformer : Make the columns from raw text, images and tables.
    sklearn.neural_network.MLPRegressor : One network on all columns.

    Notes
    -----
    A modality is missing from a row if all of its columns are NaN there: its term is left out and
    the other weights are renormalised, in training and in prediction. Where weights are learned,
    and with "late", each missing modality i also multiplies what is fused by ``exp(-c_i)``, with a
    c_i that is learned, not negative, so that a row that lacks modalities is predicted with less
    confidence.

    Predictions are clipped to one training range of y beyond its training minimum and maximum. A
    row whose output is not finite gets ``intercept_``, with a warning.

    Of several targets, one that is NaN in a row is not known there, and the row does not count for
    it. Rows in which none is known are left out, with a warning.

    Cooperative learning [2]_ of two modalities, which minimises ``1/2 (y - f_1 - f_2)^2 + rho/2
    (f_1 - f_2)^2`` over linear f_1 and f_2, is ``fusion="additive"`` with
    ``modality_model="linear"``, ``modality_loss_weight=0``, ``alignment="mse"``,
    ``alignment_weight=rho / 4`` (each pair counts in both directions, and without the half) and
    ``solver=LBFGS(weight_decay=0)``. With rho = 0 this is least squares on all columns, and with
    rho = 1 the mean of each modality's own least squares fit.

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
    .. [3] J. Zbontar, L. Jing, I. Misra, Y. LeCun, S. Deny, "Barlow Twins: self-supervised
       learning via redundancy reduction", ICML 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skmm import FusionRegressor
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> modalities = {"body": ["age", "sex", "bmi", "bp"], "blood": [f"s{i}" for i in range(1, 7)]}
    >>> model = FusionRegressor(modalities=modalities, random_state=0).fit(X[:300], y[:300])
    >>> model.score(X[300:], y[300:]) > 0.4
    True
    >>> model.contributions(X[300:]).shape  # of "body", "blood" and their interaction
    (142, 3)
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseFusion._parameter_constraints,
        "alignment": [None, StrOptions({"contrastive", "cosine", "mse", "correlation"})],
        "loss": [StrOptions({"squared_error", "absolute_error", "huber"})],
        "task_weight": [None, dict, "array-like"],
    }

    def __init__(
        self,
        fusion: str | FusionRule = "late",
        *,
        loss: str = "squared_error",
        modalities: str | Mapping[str, Any] | None = None,
        modality_weights: str | Mapping[str, float] | None = None,
        modality_model: str | BaseEstimator | Mapping[str, str | BaseEstimator] = "auto",
        interaction: str | BaseEstimator | None = "auto",
        modality_loss_weight: float | Mapping[str, float] = 0.3,
        alignment: str | None = None,
        alignment_weight: float | Mapping[tuple[str, str], float] | ArrayLike = 1.0,
        modality_dropout: float = 0.0,
        solver: str | AdamW | LBFGS = "adamw",
        task_weight: ArrayLike | Mapping[Any, float] | None = None,
        warm_start: bool = False,
        checkpoint: str | PathLike | None = None,
        random_state: int | RandomState | None = None,
        device: str = "auto",
        verbose: bool | int = False,
    ):
        self.fusion = fusion
        self.loss = loss
        self.modalities = modalities
        self.modality_weights = modality_weights
        self.modality_model = modality_model
        self.interaction = interaction
        self.modality_loss_weight = modality_loss_weight
        self.alignment = alignment
        self.alignment_weight = alignment_weight
        self.modality_dropout = modality_dropout
        self.solver = solver
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
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Numbers. Of several targets, NaN is one that is not known in that row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, not negative.
        groups : array-like of shape (n_samples,), default=None
            Group labels, such as speakers: held-out rows, to learn weights or for early stopping,
            are whole groups.

        Returns
        -------
        FusionRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If ``X`` is infinite or partly NaN within a modality, a modality is missing from all
            rows, ``y`` is infinite, is NaN and the only target, or knows a target in no row, a
            parameter names an unknown modality or target, or two parameters contradict each other.
        """
        X = self._read_training_rows(X, y)
        values, names, is_flat = read_numbers(y)
        check_consistent_length(X, values)
        if self._is_warm_start() and len(names) != len(self._fitted.prior_outputs):
            raise ValueError(
                "warm_start=True goes on with the network of the last fit, which had "
                f"{len(self._fitted.prior_outputs)} targets, now {len(names)}. Set "
                "warm_start=False to start anew."
            )
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        check_sample_weight(weight)
        weight = leave_out_unknown(~np.isnan(values), weight, names)
        tasks = column_tasks(self.loss, resolve_task_weight(self.task_weight, names))
        self._fit_problem(X, values, weight, tasks, names, np.zeros(len(names)), groups)
        self._is_flat = is_flat
        return self

    @property
    def intercept_(self):
        """The mean or median of y."""
        centre = self._fitted_attribute("intercept_").target_scale.centre
        return float(centre[0]) if self._is_flat else centre

    def _in_units(self, outputs: np.ndarray) -> np.ndarray:
        """Convert outputs (..., n_targets) to units of y; one target has no last axis."""
        values = outputs * self._fitted.target_scale.spread
        return values[..., 0] if self._is_flat else values

    def predict(self, X):
        """Predict the number or numbers of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`. Rows without any modality that counts, or without a finite
            output, get ``intercept_``, with a warning.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions.
        """
        return self._predict(X)

    def _predict(self, X, *, members: bool = False) -> np.ndarray:
        run = self._run(X)
        average = "mean" if self.loss == "squared_error" else "median"
        outputs = run.outputs(f"the {average} of the training rows", members=members)
        return self._in_units(outputs) + self.intercept_

    def ensemble_predict(self, X):
        """Predict by each member of the ensemble.

        Their spread is a measure of the uncertainty of the prediction.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_members) or (n_samples, n_members, n_targets)
            Predictions, whose mean over members is `predict`.
        """
        return self._predict(X, members=True)

    def score(self, X, y, sample_weight=None):
        """Compute the coefficient of determination R^2 of the predictions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Numbers. Of several targets, NaN is one that is not known in that row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        float
            R^2; of several targets the mean, each over the rows in which it is known.
        """
        predicted = self.predict(X).reshape(-1, len(self._fitted.target_scale.spread))
        values, *_ = read_numbers(y)
        if values.shape != predicted.shape:
            raise ValueError(
                f"y holds {values.shape[0]} rows of {values.shape[1]} targets, and X and the "
                f"fitted y {predicted.shape[0]} of {predicted.shape[1]}."
            )
        weight = _check_sample_weight(sample_weight, values)
        return mean_r2(values, predicted, weight)

    def modality_predict(self, X):
        """Predict from each modality alone.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_modalities) or (n_samples, n_modalities, n_targets)
            What the network, without ``interaction``, would predict if the row had only that
            modality, whatever its weight; NaN where the row does not have it. In the order of
            ``modalities_``.
        """
        return self._in_units(self._run(X).outputs_of_each()) + self.intercept_

    @available_if(splits_exactly)
    def contributions(self, X):
        """Split the prediction of each row into one part for each modality.

        With "late", "weighted", "gated" and "additive" fusion the head is affine and the weights of
        a row add up to 1 (each is one over their number with "additive"), so that
        ``head(sum_i a_i f_i) = sum_i a_i head(f_i)``. Other fusions have no such method.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_modalities) or (n_samples, n_modalities, n_targets)
            Parts in units of y whose sum over modalities, plus ``intercept_``, is `predict`; 0 for
            a modality that the row does not have. In the order of ``modalities_``; with
            ``interaction`` its part comes last.
        """
        return self._in_units(self._run(X).contributions())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
