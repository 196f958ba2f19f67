"""FusionClassifier: what scikit-learn sees of modality fusion."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from scipy.special import expit, log_expit, log_softmax, logit, softmax
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, _fit_context
from sklearn.utils import check_consistent_length, compute_class_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
)
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ._base import FLOATS, BaseFusion, splits_exactly
from ._combinations import check_combination, check_stream
from ._labels import has_several_targets, read_labels, subset_accuracy, weigh_labels
from ._reading import check_known, explaining, find_classes
from ._rows import check_groups, weigh_rows
from ._targets import class_tasks, column_tasks, resolve_task_weight
from ._together import total


class FusionClassifier(ClassNamePrefixFeaturesOutMixin, ClassifierMixin, BaseFusion):
    """Classify rows by a weighted fusion of their modalities.

    A neural network of small parts, one for each modality (a group of columns), and weights that
    say how much each modality counts::

        Fusion(x_1..x_n) = sum_i a_i f_i(x_i)
        Loss = L(logits, y) + sum_i lambda_i L_i + sum_{i != j} gamma_ij L_ij

    where a is alpha, ``modality_weights``, over the modalities that a row has, renormalised; L is
    the log-loss; L_i is the log-loss of the modality on its own and lambda is
    ``modality_loss_weight``; L_ij is the ``alignment`` loss between two modalities' hidden layers,
    the last of each f, and gamma is ``alignment_weight``.

    What is weighted is normalised (centred, and divided by its root mean square), so that a weight
    means the same for each modality. Weights are learned on rows that the f_i have not seen, so
    that a modality does not gain by being easy to memorise: three networks are trained on two
    thirds of the rows each, and alpha minimises their log-loss on the other third, less what a
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
        a small network reads from all representations of the row [6]_. "attention": one token for
        each modality, one layer of a Transformer encoder [7]_, and the mean of the tokens.
        "bilinear": products of the representations, of low rank [8]_.
    modalities : None, "prefix" or dict, default=None
        Which columns make up a modality. None reads names of the form ``modality__feature``, and
        takes all columns for one modality where names have no such form. "prefix" insists on
        them. A dict gives columns (names, positions or a slice) for each name, or, for columns
        that stand in order, the number of columns for each name.
    modality_weights : None, "per_class", "uniform" or dict, default=None
        The weights alpha. None learns them; "per_class", with "late" and one column of classes,
        learns some for each class, which stay near those for all unless many rows speak against it:
        class k then has the score ``sum_i a_ik f_ik``. A dict gives each modality a weight, not
        negative; they are divided by their sum. "additive", "attention" and "bilinear" have none to
        set.
    modality_loss_weight : float or dict, default=0.3
        The weights lambda: one for all modalities, or one for each.
    alignment : {"contrastive", "cosine", "mse", "kl", "correlation"}, default="contrastive"
        L_ij, of a row's hidden layers z_i and z_j, or of its scores where ``hidden_layer_sizes=()``
        leaves no such layer. "contrastive": InfoNCE [1]_ at a temperature of
        0.1, in which z_i has to find its own z_j in the batch; over both directions this is the
        loss of CLIP. "cosine": one minus their cosine. "mse": their mean squared difference; with
        additive fusion and linear f_i this is the agreement of cooperative learning [3]_. "kl": the
        divergence KL(p_i || p_j) of the predictions that each modality makes on its own [4]_, both
        of which learn from it. "correlation": Barlow Twins [5]_, in which each unit of z_i is to
        correlate with the same unit of z_j over the batch, and with no other.
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
        to the mean of the others' [10]_. It needs a ``modality_loss_weight`` above 0 for each.
    missing : {"mask", "impute"}, default="mask"
        What takes the place of a modality that a row lacks. "mask": nothing; its part is left out
        and the other weights are renormalised. "impute": a vector of its columns that is learned,
        from rows that lack it and those of ``modality_dropout``; it then counts as one that is
        there.
    n_ensembles : int, default=1
        The number of networks that are trained at once and averaged, logit by logit. They start
        from different weights and have modality weights, temperature and head's bias in common.
        `ensemble_proba` tells them apart.
    solver : {"adamw", "lbfgs"}, default="adamw"
        "adamw": gradient steps on batches [2]_. "lbfgs": L-BFGS on all rows at once, in float64,
        with a line search for the strong Wolfe conditions; it needs ``dropout=0`` (unless
        ``hidden_layer_sizes=()``) and ``modality_dropout=0``, and memory for all rows at once, for
        the "contrastive" alignment for all pairs of rows. Good for linear f_i.
    weight_decay : float, default=0.5
        With "adamw" its decoupled L2 penalty (`MLPClassifier` calls its penalty ``alpha``). With
        "lbfgs", ``weight_decay / (2 n)`` times the sum of the squares of all weights, biases left
        out, is added to the loss of n distinct rows, as in `MLPClassifier`; with
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
        Whether to hold out rows, stop when their log-loss no longer improves, and return to the
        epoch in which it was lowest. If False, it is the training loss that has to improve.
    validation_fraction : float, default=0.1
        The share of rows held out for ``early_stopping``, stratified by class.
    n_iter_no_change : int, default=10
        Stop after so many epochs without an improvement by ``tol``. With "lbfgs" for
        ``early_stopping`` only.
    tol : float, default=1e-4
        By how much the loss must fall to count as an improvement. "lbfgs" has converged where no
        element of the gradient is larger, or the loss has stopped falling; if it has not after
        ``max_iter`` iterations, there is a `ConvergenceWarning`.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, as elsewhere in scikit-learn. With several targets a list with a
        dict for each (of labels, with the keys 0 and 1), whose weights are multiplied in each row.
    task_weight : None, array-like of shape (n_targets,) or dict, default=None
        How much each of several targets counts in L, above 0: in the order of y, or by the names of
        its columns if y is a DataFrame. They are divided by their sum. None is the same for all.
    calibrate : {"temperature"} or None, default=None
        "temperature" multiplies the logits by the factor that unseen rows call for [9]_: those held
        out for ``early_stopping``, or else those that each of the networks on two thirds of the
        rows was not trained on. "late" has such a factor in any case.
    warm_start : bool, default=False
        Whether `fit` starts from the network of the last one, on data of the same columns, rather
        than anew. What was learned on unseen rows, as the weights alpha are, stays as it is, for no
        row is unseen any more; ``calibrate`` needs ``early_stopping`` to learn anew.
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
        The weights alpha. They add up to 1. A frame if ``modality_weights="per_class"``, in which
        those of each class do. With "additive", which has none: the root mean square
        of each modality's centred scores over the training rows, divided by their sum. These were
        not tested on unseen rows, so a modality that is only memorised has its share too. With
        "gated": the mean of `row_weights` over the training rows. Not there with "attention" and
        "bilinear", where no number says how much a modality counts.
    network_ : torch.nn.Module
        The trained network. It knows the modalities in alphabetical order.
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
    skmm.ModalityTransformer : Make the columns from raw text, images and tables.
    sklearn.neural_network.MLPClassifier : One network on all columns.

    Notes
    -----
    A modality is missing from a row if all of its columns are NaN there: its part is left out and
    the other weights are renormalised, in training and in prediction. Where weights are learned,
    and with "late", each missing modality i also multiplies what is fused by ``exp(-c_i)``, with a
    c_i that is learned, not negative, so that a row that lacks modalities is not predicted more
    boldly than it deserves.

    y of two axes is several targets: labels, each of which a row has or not, if all that is known
    is 0 or 1; otherwise classes, with a head for each target. L is the mean over targets, by
    ``task_weight``, and late fusion has a temperature for each target of classes, and one for all
    labels. A target whose class is not known in a row is -1 there among integers, NaN among floats,
    None, NaN or NA among objects; the row then tells nothing of it. Rows in which no target is
    known are left out, with a warning.

    Rows that are equal in X and y are one row with the sum of their weights, so that a weight of 2
    is the same as a second copy. The order of the rows does not matter either.

    A fitted estimator is plain data in a pickle or joblib file. skops, which runs no code of a
    file, needs ``trusted=["skmm.fusion._classifier.FusionClassifier"]`` and no more to load one.

    Ctrl-C ends training with what the network has learned so far, and a warning; before it has
    begun, while weights are learned, it ends `fit`.

    References
    ----------
    .. [1] A. van den Oord, Y. Li, O. Vinyals, "Representation learning with contrastive predictive
       coding", arXiv:1807.03748, 2018.
    .. [2] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
    .. [3] D. Y. Ding, S. Li, B. Narasimhan, R. Tibshirani, "Cooperative learning for multiview
       analysis", PNAS 119(38), 2022.
    .. [4] Y. Zhang, T. Xiang, T. M. Hospedales, H. Lu, "Deep mutual learning", CVPR 2018.
    .. [5] J. Zbontar, L. Jing, I. Misra, Y. LeCun, S. Deny, "Barlow Twins: self-supervised
       learning via redundancy reduction", ICML 2021.
    .. [6] J. Arevalo, T. Solorio, M. Montes-y-Gomez, F. A. Gonzalez, "Gated multimodal units for
       information fusion", arXiv:1702.01992, 2017.
    .. [7] A. Vaswani et al., "Attention is all you need", NeurIPS 2017.
    .. [8] Z. Liu, Y. Shen, V. B. Lakshminarasimhan, P. P. Liang, A. Zadeh, L.-P. Morency,
       "Efficient low-rank multimodal fusion with modality-specific factors", ACL 2018.
    .. [9] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks",
       ICML 2017.
    .. [10] X. Peng, Y. Wei, A. Deng, D. Wang, D. Hu, "Balanced multimodal learning via on-the-fly
       gradient modulation", CVPR 2022.

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
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseFusion._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
        "task_weight": [None, dict, "array-like"],
        "calibrate": [StrOptions({"temperature"}), None],
    }

    def __init__(
        self,
        fusion="late",
        *,
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
        class_weight=None,
        task_weight=None,
        calibrate=None,
        warm_start=False,
        guard=False,
        random_state=None,
        device="auto",
        precision="float32",
        checkpoint=None,
        verbose=False,
    ):
        self.fusion = fusion
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
        self.class_weight = class_weight
        self.task_weight = task_weight
        self.calibrate = calibrate
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
        y : array-like of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_targets)
            Class labels; or, for each label, whether the row has it (1) or not (0); or the class of
            each target. See the notes on what is not known.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, not negative.
        groups : array-like of shape (n_samples,), default=None
            What rows are of one kind by (a speaker, a patient, a video), where new rows will be of
            other kinds: rows that are held out, to learn weights, for ``early_stopping`` or for
            ``guard``, are whole groups then.

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
        X, target, weight, tasks = read(X, y, sample_weight)
        check_combination(self.get_params(deep=False))
        self._read_modalities()
        self._train(X, target, weight, tasks, check_groups(groups, len(X)))
        return self

    def _read_rows_and_classes(self, X, y, *, reset: bool):
        check_known(y, "y")
        with explaining(X, self):
            X, y = validate_data(
                self, X, y, dtype=FLOATS, ensure_all_finite="allow-nan", reset=reset
            )
        return X, y

    def _read_one(self, X, y, sample_weight):
        """Read one column of classes; the rows, their targets and weights, and the task."""
        X, y = self._read_rows_and_classes(X, y, reset=True)
        classes, codes = find_classes(y)
        self._store_classes("classes", classes)
        sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        if isinstance(self.class_weight, list):
            raise ValueError(
                f"class_weight of one target must be a dict, not a list; got {self.class_weight}."
            )
        weight, self.class_prior_ = weigh_rows(
            codes, self.classes_, self.class_weight, sample_weight
        )
        tasks = class_tasks([len(self.classes_)], resolve_task_weight(self.task_weight, [0]))
        return X, codes[:, None], weight, tasks

    def _read_several(self, X, y, sample_weight):
        """Read labels, or several columns of classes; give what `_read_one` gives."""
        X = self._read_training_rows(X, y)
        labels = read_labels(y)
        check_consistent_length(X, labels.codes)
        sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        weight, priors = weigh_labels(labels, self.class_weight, sample_weight)
        task_weight = resolve_task_weight(self.task_weight, labels.names)
        if not labels.is_multilabel:
            self._store_classes("targets", labels.classes)
            self.class_prior_ = priors
            sizes = [len(classes) for classes in labels.classes]
            return X, labels.codes, weight, class_tasks(sizes, task_weight)
        self._store_classes("labels", np.arange(len(priors)))
        self.class_prior_ = np.array([ones for _, ones in priors])
        target = np.where(labels.codes < 0, np.nan, labels.codes).astype(np.float32)
        return X, target, weight, column_tasks("multilabel", task_weight)

    def _store_classes(self, y_holds: str, classes: np.ndarray | list[np.ndarray]) -> None:
        """Set ``classes_`` and what y holds: "classes", "labels" or "targets", a list of classes.

        Raises
        ------
        ValueError
            If they were others in the fit that this one goes on from.
        """
        if self._goes_on():
            before, now = (
                [np.asarray(each).tolist() for each in all_of_them]
                for all_of_them in (self.classes_, classes)
            )
            if y_holds != self._y_holds or before != now:
                other = "" if y_holds == self._y_holds else f"{y_holds} "
                raise ValueError(
                    "warm_start=True goes on with the network of the last fit, whose "
                    f"{self._y_holds} were {before}, now {other}{now}. Set warm_start=False to "
                    "start anew."
                )
        self._y_holds, self.classes_ = y_holds, classes

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Learn from one more batch of a stream of rows, each of which comes once.

        The network sees the batch once, in steps of the size ``learning_rate_init``. If weights are
        learned, the rows are looked at before: alpha, and the temperature of "late", suit the last
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
            class, or ``solver="lbfgs"``, ``early_stopping``, ``class_weight="balanced"`` or
            ``n_ensembles`` are asked for.
        """
        parameters = self.get_params(deep=False)
        check_combination(parameters)
        check_stream(parameters)
        new = not hasattr(self, "network_")
        if has_several_targets(y) or not (new or self._y_holds == "classes"):
            raise ValueError(
                "partial_fit learns one column of classes, y of shape (n_samples,); for labels or "
                "several targets use fit."
            )
        self._y_holds = "classes"
        _check_partial_fit_first_call(self, classes)
        X, y = self._read_rows_and_classes(X, y, reset=new)
        check_classification_targets(y)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has the label {unknown.tolist()[0]!r}, which is not in classes, "
                f"{self.classes_.tolist()}: give all that there will be in the first call."
            )
        codes = np.searchsorted(self.classes_, y)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if new:
            self._read_modalities()
            totals = getattr(self, "_class_totals", np.zeros(len(self.classes_)))
        elif hasattr(self, "_stream"):
            totals = self._class_totals
        else:
            totals = self.class_prior_ * self._scaler.n_rows_
        factors = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
        tasks = class_tasks([len(self.classes_)], resolve_task_weight(self.task_weight, [0]))
        self._train_batch(X, codes[:, None], weight * factors[codes], tasks)
        new = np.bincount(codes, weights=weight, minlength=len(self.classes_))
        totals = totals + total(new)
        positive = np.maximum(totals, np.finfo(float).tiny)
        self._class_totals, self.class_prior_ = totals, positive / positive.sum()
        return self

    def _logits(self, X, *, members: bool = False) -> np.ndarray:
        """Logits (n_samples, k) in float64; for rows without modality those of the prior."""
        check_is_fitted(self)
        return self._outputs(X, "the class prior", members=members)

    def _prior_outputs(self) -> np.ndarray:
        with np.errstate(divide="ignore"):
            if self._y_holds == "labels":
                return logit(self.class_prior_)
            return np.log(np.hstack(self.class_prior_))

    def _per_target(self, values: np.ndarray, read: Callable) -> np.ndarray | list[np.ndarray]:
        """``read(values)``, whose last axis holds logits; a list of it for several targets."""
        if self._y_holds != "targets":
            return read(values)
        ends = np.cumsum([len(classes) for classes in self.classes_])
        return [read(own) for own in np.split(values, ends[:-1], axis=-1)]

    def _probabilities(self, logits: np.ndarray) -> np.ndarray | list[np.ndarray]:
        if self._y_holds == "labels":
            return expit(logits)
        return self._per_target(logits, lambda own: softmax(own, axis=-1))

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
        if self._y_holds == "labels":
            return (logits > 0).astype(int)
        if self._y_holds == "classes":
            return self.classes_[logits.argmax(1)]
        best = self._per_target(logits, lambda own: own.argmax(1))
        columns = [classes[code] for classes, code in zip(self.classes_, best, strict=True)]
        one_kind = len({column.dtype.kind for column in columns}) == 1
        return np.stack(columns if one_kind else [c.astype(object) for c in columns], axis=1)

    def score(self, X, y, sample_weight=None):
        """Give the accuracy of the predictions.

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
            The share of rows that are predicted as they are; with labels and several targets, of
            those in which all that is known of y is. Rows in which nothing is do not count.
        """
        check_is_fitted(self)
        if self._y_holds == "classes":
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
            several targets a list with those of each. Rows without any modality that counts get
            ``class_prior_``, with a warning.
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
            Natural logarithms of what `predict_proba` gives.
        """
        logits = self._logits(X)
        if self._y_holds == "labels":
            return log_expit(logits)
        return self._per_target(logits, lambda own: log_softmax(own, axis=1))

    def ensemble_proba(self, X):
        """Predict the probability of each class by each member of the ensemble.

        How far they are apart says how sure the prediction is of itself.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_ensembles, n_classes), or list of ndarray
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
            What `predict_proba` would give if the row had only that modality, whatever its weight,
            and with ``missing="impute"`` nothing in the place of the others; NaN where the row does
            not have it. In the order of ``modalities_`` and ``classes_``.
        """
        return self._probabilities(self._opinions(X))

    @available_if(splits_exactly)
    def contributions(self, X):
        """Split the logits of each row into one part for each modality.

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
            Parts whose sum over modalities are the logits, the softmax of which (of labels, the
            logistic function) is `predict_proba`; with several targets a list with those of each.
            0 for a modality that the row does not have, unless it is imputed. In the order of
            ``modalities_`` and ``classes_``. All zeros for rows without any modality that counts,
            whose prediction is ``class_prior_``.
        """
        return self._per_target(self._parts(X), np.asarray)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags
