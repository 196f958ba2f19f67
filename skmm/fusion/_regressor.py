"""FusionRegressor: one number for each row, or several."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, RegressorMixin, _fit_context
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from ._base import BaseFusion, splits_exactly
from ._combinations import check_combination
from ._rows import TrainingRows, check_groups, check_sample_weight
from ._targets import (
    Scale,
    column_tasks,
    leave_out_unknown,
    mean_r2,
    measure_scale,
    read_numbers,
    resolve_task_weight,
)


class FusionRegressor(ClassNamePrefixFeaturesOutMixin, RegressorMixin, BaseFusion):
    """Predict a number, or several, by a weighted fusion of modalities.

    A neural network of small parts, one for each modality (a group of columns), and weights that
    say how much each modality counts::

        Fusion(x_1..x_n) = sum_i a_i f_i(x_i)
        Loss = L(prediction, y) + sum_i lambda_i L_i + sum_{i != j} gamma_ij L_ij

    where a is alpha, ``modality_weights``, over the modalities that a row has, renormalised; L is
    ``loss``; L_i is the loss of the modality on its own and lambda is ``modality_loss_weight``;
    L_ij is the ``alignment`` loss between two modalities' hidden layers, the last of each f, and
    gamma is ``alignment_weight``. L and L_i are of y as it is scaled within, to a spread of 1.

    What is weighted is normalised (centred, and divided by its root mean square), so that a weight
    means the same for each modality. Weights are learned on rows that the f_i have not seen, so
    that a modality does not gain by being easy to memorise: three networks are trained on two
    thirds of the rows each, and alpha minimises their loss on the other third, less what a
    modality of noise would gain there by chance. With these weights the network itself is then
    trained on all rows. The same rows, with some of their modalities taken away, tell how much less
    sure a prediction has to be for each modality that is missing.

    Parameters
    ----------
    fusion : {"late", "weighted", "concat", "additive", "gated", "attention", "bilinear"}, \
            default="late"
        What is weighted and summed. "late": the scores of each modality. "weighted": their
        representations, which one linear layer reads. "concat": what each modality adds to the
        first layer of one network that reads all of them side by side. "additive": the scores of
        each modality as they are, neither normalised nor weighted: a generalised additive model of
        the modalities, ``m / m_present`` times the sum over those of the m that a row has. "gated":
        representations as with "weighted", by weights that depend on the row: alpha times odds that
        a small network reads from all representations of the row [5]_. "attention": one token for
        each modality, one layer of a Transformer encoder [6]_, and the mean of the tokens.
        "bilinear": products of the representations, of low rank [7]_.
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        L, of a target that is scaled to mean 0 and standard deviation 1: half the square of the
        error; the error without its sign; or half the square of an error up to 1 and the error
        less 1/2 above. For the latter two a target is scaled by its median and median absolute
        deviation, so that outliers count for little.
    task_weight : None, array-like of shape (n_targets,) or dict, default=None
        How much each of several targets counts in L, above 0: in the order of y, or by the names of
        its columns if y is a DataFrame. They are divided by their sum. None is the same for all.
    modalities : None, "prefix" or dict, default=None
        Which columns make up a modality. None reads names of the form ``modality__feature``, and
        takes all columns for one modality where names have no such form. "prefix" insists on
        them. A dict gives columns (names, positions or a slice) for each name, or, for columns
        that stand in order, the number of columns for each name.
    modality_weights : None, "uniform" or dict, default=None
        The weights alpha. None learns them; a dict gives each modality a weight, not negative;
        they are divided by their sum. "additive", "attention" and "bilinear" have none to set.
    modality_loss_weight : float or dict, default=0.3
        The weights lambda: one for all modalities, or one for each.
    alignment : {"contrastive", "cosine", "mse", "correlation"}, default="contrastive"
        L_ij, of a row's hidden layers z_i and z_j, or of its scores where ``hidden_layer_sizes=()``
        leaves no such layer. "contrastive": InfoNCE [1]_ at a temperature of 0.1, in which z_i has
        to find its own z_j in the batch; over both directions this is the loss of CLIP. "cosine":
        one minus their cosine. "mse": their mean squared difference; with additive fusion and
        linear f_i this is the agreement of cooperative learning [3]_. "correlation": Barlow Twins
        [4]_, in which each unit of z_i is to correlate with the same unit of z_j over the batch,
        and with no other.
    alignment_weight : float, dict or array-like of shape (n_modalities, n_modalities), default=0.0
        The weights gamma: one for all pairs; one for each pair of names,
        ``{("text", "image"): 0.5}``, in which a pair stands for both directions unless both are
        given; or a matrix in the order of ``modalities_`` with zeros on its diagonal.
    hidden_layer_sizes : int or array-like of int, default=(256,)
        The layers of each f_i; with "concat" those of the one network. ``()`` makes f_i linear, for
        "late" and "additive".
    activation : {"identity", "logistic", "tanh", "relu", "gelu"}, default="relu"
        The activation of the hidden layers.
    sharing : {None, "layers", "parameters", "representation"}, default=None
        What the f_i have in common. None: nothing. "layers": all hidden layers but the first.
        "parameters": they are one network, with a linear map before it for each modality, to the
        width of the first hidden layer. "representation": one head reads each modality's hidden
        layer; which an ``alignment`` can bring together. Not with "concat"; "representation"
        neither with "attention" nor "bilinear".
    dropout : float, default=0.5
        The share of hidden units that are left out in training, in [0, 1); of the inputs, 0.4 times
        this share.
    modality_dropout : float, default=0.0
        The probability, in [0, 1), that a row is trained on without a modality it has. It prepares
        the network for missing ones.
    balance : {"ogm"} or None, default=None
        "ogm" slows a modality down that is ahead of the others, so that these are trained too: its
        steps are multiplied by ``1 - tanh(r - 1)``, where r > 1 is the ratio of its ``exp(-loss)``
        to the mean of the others' [8]_. It needs a ``modality_loss_weight`` above 0 for each.
    missing : {"mask", "impute"}, default="mask"
        What takes the place of a modality that a row lacks. "mask": nothing; its part is left out
        and the other weights are renormalised. "impute": a vector of its columns that is learned,
        from rows that lack it and those of ``modality_dropout``; it then counts as one that is
        there.
    n_ensembles : int, default=1
        The number of networks that are trained at once and averaged, output by output. They start
        from different weights and have modality weights, temperature and head's bias in common.
        `ensemble_predict` tells them apart.
    solver : {"adamw", "lbfgs"}, default="adamw"
        "adamw": gradient steps on batches [2]_. "lbfgs": L-BFGS on all rows at once, in float64,
        with a line search for the strong Wolfe conditions; it needs ``dropout=0`` (unless
        ``hidden_layer_sizes=()``) and ``modality_dropout=0``, and memory for all rows at once, for
        the "contrastive" alignment for all pairs of rows. Good for linear f_i.
    weight_decay : float, default=0.5
        With "adamw" its decoupled L2 penalty (`MLPRegressor` calls its penalty ``alpha``). With
        "lbfgs", ``weight_decay / (2 n)`` times the sum of the squares of all weights, biases left
        out, is added to the loss of n distinct rows, as in `MLPRegressor`; with
        ``modality_loss_weight=0`` nothing else may feel the scale of what is normalised, and it
        shrinks without end.
    learning_rate_init : float, default=0.005
        The largest step size of "adamw". It is reached after a tenth of the epochs and falls to 0
        along a cosine.
    batch_size : int or "auto", default="auto"
        Rows in a gradient step of "adamw". "auto" is a tenth of the rows, but at least 16 and at
        most 256.
    max_iter : int, default=40
        The number of epochs; of iterations with "lbfgs". Where weights are learned, and for the
        temperature of "late", the networks on two thirds of the rows take half as many each,
        before.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss no longer improves, and return to the
        epoch in which it was lowest. If False, it is the training loss that has to improve.
    validation_fraction : float, default=0.1
        The share of rows held out for ``early_stopping``, even over small and large y.
    n_iter_no_change : int, default=10
        Stop after so many epochs without an improvement by ``tol``. With "lbfgs" for
        ``early_stopping`` only.
    tol : float, default=1e-4
        By how much the loss must fall to count as an improvement. "lbfgs" has converged where no
        element of the gradient is larger, or the loss has stopped falling; if it has not after
        ``max_iter`` iterations, there is a `ConvergenceWarning`.
    warm_start : bool, default=False
        Whether `fit` starts from the network of the last one, on data of the same columns, rather
        than anew. The weights alpha, if they were learned, stay as they are, for no row is unseen.
    guard : bool, default=False
        Whether to compare with simpler models first: each modality alone, their average, and a
        linear model of all columns. Each is fitted to two thirds of the rows three times. If one
        has a lower loss on the other third, by more than two standard errors of the difference, it
        is fitted in place of the fused model, with a warning; it is an estimator of the same kind
        with other parameters.
    random_state : int, RandomState instance or None, default=None
        Determines the first weights of the network, batches, dropout and how rows are split. On one
        machine's CPU an int makes fits bit-identical. torch's own generator is left as it was.
    device : str, default="auto"
        Where torch computes: "cpu", "cuda", "cuda:1", "mps". "auto" is "cuda" where there is one.
    precision : {"float32", "bfloat16"}, default="float32"
        What "adamw" multiplies matrices in. "bfloat16" does so in half the bits where torch's
        autocast knows it to be safe; weights, losses and predictions stay as they are.
    checkpoint : str, path-like or None, default=None
        A file in which `fit` saves where it is, after each epoch and whole or not at all. A fit
        that was killed, or interrupted by Ctrl-C, continues when `fit` is called again with the
        same data and parameters, and on one machine's CPU ends with the same weights, bit for bit.
        A file of another fit is an error. When `fit` is done it removes the file. Loading it runs
        no code.
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
        "gated": the mean of `row_weights` over the training rows. Not there with "attention" and
        "bilinear", where no number says how much a modality counts.
    network_ : torch.nn.Module
        The trained network. It knows the modalities in alphabetical order, and y as it is scaled.
    guard_scores_ : DataFrame of shape (n_models, 3)
        With ``guard``: "loss" of each model on rows that it was not trained on, by how much it is
        lower than that of the fused one ("gain"), and the "standard_error" of that.
    history_ : DataFrame of shape (`n_iter_`, n_terms + 1)
        Each part of the loss in each epoch, before it is multiplied by its weight: "fused",
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
    A modality is missing from a row if all of its columns are NaN there: its part is left out and
    the other weights are renormalised, in training and in prediction. Where weights are learned,
    and with "late", each missing modality i also multiplies what is fused by ``exp(-c_i)``, with a
    c_i that is learned, not negative, so that a row that lacks modalities is not predicted more
    boldly than it deserves.

    Of several targets, one that is NaN in a row is not known there, and the row tells nothing of
    it. Rows in which none is known are left out, with a warning.

    Cooperative learning [3]_ of two modalities, which minimises ``1/2 (y - f_1 - f_2)^2 + rho/2
    (f_1 - f_2)^2`` over linear f_1 and f_2, is ``fusion="additive"`` with
    ``hidden_layer_sizes=()``, ``modality_loss_weight=0``, ``alignment="mse"``,
    ``alignment_weight=rho / 4`` (each pair counts in both directions, and without the half),
    ``solver="lbfgs"`` and ``weight_decay=0``. With rho = 0 this is least squares on all columns,
    and with rho = 1 the mean of each modality's own least squares fit.

    Rows that are equal in X and y are one row with the sum of their weights, so that a weight of 2
    is the same as a second copy. The order of the rows does not matter either.

    A fitted estimator is plain data in a pickle or joblib file. skops, which runs no code of a
    file, needs ``trusted=["skmm.fusion._regressor.FusionRegressor"]`` and no more to load one.

    Ctrl-C ends training with what the network has learned so far, and a warning; before it has
    begun, while weights are learned, it ends `fit`.

    References
    ----------
    .. [1] A. van den Oord, Y. Li, O. Vinyals, "Representation learning with contrastive predictive
       coding", arXiv:1807.03748, 2018.
    .. [2] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
    .. [3] D. Y. Ding, S. Li, B. Narasimhan, R. Tibshirani, "Cooperative learning for multiview
       analysis", PNAS 119(38), 2022.
    .. [4] J. Zbontar, L. Jing, I. Misra, Y. LeCun, S. Deny, "Barlow Twins: self-supervised
       learning via redundancy reduction", ICML 2021.
    .. [5] J. Arevalo, T. Solorio, M. Montes-y-Gomez, F. A. Gonzalez, "Gated multimodal units for
       information fusion", arXiv:1702.01992, 2017.
    .. [6] A. Vaswani et al., "Attention is all you need", NeurIPS 2017.
    .. [7] Z. Liu, Y. Shen, V. B. Lakshminarasimhan, P. P. Liang, A. Zadeh, L.-P. Morency,
       "Efficient low-rank multimodal fusion with modality-specific factors", ACL 2018.
    .. [8] X. Peng, Y. Wei, A. Deng, D. Wang, D. Hu, "Balanced multimodal learning via on-the-fly
       gradient modulation", CVPR 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skmm import FusionRegressor
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> modalities = {"body": ["age", "sex", "bmi", "bp"], "blood": [f"s{i}" for i in range(1, 7)]}
    >>> model = FusionRegressor(modalities=modalities, random_state=0).fit(X[:300], y[:300])
    >>> model.score(X[300:], y[300:]) > 0.4
    True
    >>> model.contributions(X[300:]).shape
    (142, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseFusion._parameter_constraints,
        "modality_weights": [None, StrOptions({"uniform"}), dict],
        "alignment": [StrOptions({"contrastive", "cosine", "mse", "correlation"})],
        "loss": [StrOptions({"squared_error", "absolute_error", "huber"})],
        "task_weight": [None, dict, "array-like"],
    }

    def __init__(
        self,
        fusion="late",
        *,
        loss="squared_error",
        task_weight=None,
        modalities=None,
        modality_weights=None,
        modality_loss_weight=0.3,
        alignment="contrastive",
        alignment_weight=0.0,
        hidden_layer_sizes=(256,),
        activation="relu",
        sharing=None,
        dropout=0.5,
        modality_dropout=0.0,
        balance=None,
        missing="mask",
        n_ensembles=1,
        solver="adamw",
        weight_decay=0.5,
        learning_rate_init=0.005,
        batch_size="auto",
        max_iter=40,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        guard=False,
        random_state=None,
        device="auto",
        precision="float32",
        checkpoint=None,
        verbose=False,
    ):
        self.fusion = fusion
        self.loss = loss
        self.task_weight = task_weight
        self.modalities = modalities
        self.modality_weights = modality_weights
        self.modality_loss_weight = modality_loss_weight
        self.alignment = alignment
        self.alignment_weight = alignment_weight
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.sharing = sharing
        self.dropout = dropout
        self.modality_dropout = modality_dropout
        self.balance = balance
        self.missing = missing
        self.n_ensembles = n_ensembles
        self.solver = solver
        self.weight_decay = weight_decay
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.guard = guard
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.checkpoint = checkpoint
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
            What rows are of one kind by (a speaker, a patient, a video), where new rows will be of
            other kinds: rows that are held out, to learn weights, for ``early_stopping`` or for
            ``guard``, are whole groups then.

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
        values, names, flat = read_numbers(y)
        check_consistent_length(X, values)
        if self._goes_on() and len(names) != len(self._target_names):
            raise ValueError(
                "warm_start=True goes on with the network of the last fit, which had "
                f"{len(self._target_names)} targets, now {len(names)}. Set warm_start=False to "
                "start anew."
            )
        self._target_names, self._flat = names, flat
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        check_sample_weight(weight)
        weight = leave_out_unknown(~np.isnan(values), weight, self._target_names)
        task_weight = resolve_task_weight(self.task_weight, self._target_names)
        check_combination(self.get_params(deep=False))
        self._read_modalities()
        tasks = column_tasks(self.loss, task_weight)
        self._train(X, values, weight, tasks, check_groups(groups, len(X)))
        return self

    def _scale_target(self, rows: TrainingRows) -> np.ndarray:
        scale = measure_scale(
            rows.target, rows.weight, self._target_names, robust=self.loss != "squared_error"
        )
        self._spread = scale.spread
        self.intercept_ = float(scale.centre[0]) if self._flat else scale.centre
        return scale.apply(rows.target)

    def _scaled(self, target: np.ndarray) -> np.ndarray:
        return Scale(np.atleast_1d(self.intercept_), self._spread).apply(target)

    def _in_units(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs (..., n_targets) in units of y; without the last axis where y has one target."""
        values = outputs * self._spread
        return values[..., 0] if self._flat else values

    def predict(self, X):
        """Predict the number or numbers of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`. Rows without any modality that counts get ``intercept_``, with a
            warning.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions.
        """
        return self._predict(X)

    def _predict(self, X, *, members: bool = False) -> np.ndarray:
        check_is_fitted(self)
        said = f"the {'mean' if self.loss == 'squared_error' else 'median'} of the training rows"
        return self._in_units(self._outputs(X, said, members=members)) + self.intercept_

    def _prior_outputs(self) -> np.ndarray:
        return np.zeros(len(self._spread))

    def ensemble_predict(self, X):
        """Predict by each member of the ensemble.

        How far they are apart says how sure the prediction is of itself.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_ensembles) or (n_samples, n_ensembles, n_targets)
            Predictions, whose mean over members is `predict`.
        """
        return self._predict(X, members=True)

    def score(self, X, y, sample_weight=None):
        """Give the coefficient of determination R^2 of the predictions.

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
        predicted = self.predict(X).reshape(-1, len(self._spread))
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
            What `predict` would give if the row had only that modality, whatever its weight, and
            with ``missing="impute"`` nothing in the place of the others; NaN where the row does not
            have it. In the order of ``modalities_``.
        """
        return self._in_units(self._opinions(X)) + self.intercept_

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
            a modality that the row does not have, unless it is imputed. In the order of
            ``modalities_``.
        """
        return self._in_units(self._parts(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
