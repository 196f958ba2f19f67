"""Settings that belong together: a network for one modality, and ways to train."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._torch.perceptrons import PerceptronSpec
    from ._torch.solvers import TrainingSettings

INPUT_DROPOUT_RATIO = 0.4  # an input carries more than a hidden unit does, so fewer are dropped
AUTO = StrOptions({"auto"})
Auto = Literal["auto"]


class SolverDefaults(NamedTuple):
    """What "auto" stands for in an estimator."""

    learning_rate_init: float
    weight_decay: float
    max_iter: int
    batch_size: tuple[int, int]  # a tenth of the rows, within these bounds


class MLP(BaseEstimator):
    """A multilayer perceptron as the model f_i of a modality.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(256,)
        The layers of f_i; with concat fusion those of the one network. ``()`` makes f_i linear,
        for fusion rules that fuse scores.
    activation : {"identity", "logistic", "tanh", "relu", "gelu"}, default="relu"
        The activation of the hidden layers.
    dropout : float, default=0.5
        The share of hidden units that are left out in training, in [0, 1).
    input_dropout : float or None, default=None
        The share of inputs that are left out in training, in [0, 1). None is 0.4 times
        ``dropout``.
    n_members : int, default=1
        The number of networks that are trained at once and averaged, output by output. They start
        from different weights and have modality weights, temperature and head's bias in common.
    sharing : {None, "layers", "parameters", "representation"}, default=None
        What the f_i have in common. None: nothing. "layers": all hidden layers but the first.
        "parameters": they are one network, with a linear map before it for each modality, to the
        width of the first hidden layer. "representation": one head reads each modality's hidden
        layer; which an ``alignment`` can bring together. Not with concat fusion; "representation"
        neither with attention nor bilinear fusion.

    See Also
    --------
    skmm.FusionClassifier : Takes it as ``modality_model``.
    skmm.alignment.CrossModalAligner : Takes it as ``modality_model``, too.

    Notes
    -----
    ``n_members`` and ``sharing`` are of the network as a whole: where modalities have perceptrons
    of different sizes, these two must be equal.

    Examples
    --------
    >>> from skmm import MLP, FusionClassifier
    >>> model = FusionClassifier(modality_model=MLP((64, 64), dropout=0.2))
    >>> model.set_params(modality_model__dropout=0.3).modality_model
    MLP(dropout=0.3, hidden_layer_sizes=(64, 64))
    """

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu", "gelu"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "input_dropout": [Interval(Real, 0, 1, closed="left"), None],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "sharing": [None, StrOptions({"layers", "parameters", "representation"})],
    }

    def __init__(
        self,
        hidden_layer_sizes: int | ArrayLike = (256,),
        *,
        activation: str = "relu",
        dropout: float = 0.5,
        input_dropout: float | None = None,
        n_members: int = 1,
        sharing: str | None = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.n_members = n_members
        self.sharing = sharing

    def _check(self) -> None:
        """Raise if a parameter is out of range."""
        self._validate_params()
        sizes = np.atleast_1d(self.hidden_layer_sizes)
        if len(sizes) and (sizes.ndim > 1 or sizes.dtype.kind not in "iu" or sizes.min() < 1):
            raise ValueError(
                f"hidden_layer_sizes must hold positive integers, got {self.hidden_layer_sizes!r}."
            )

    def _canonical(self) -> MLP:
        """Return the same perceptron with one form of each parameter."""
        spec = self._spec()
        canonical = MLP(**self.get_params())
        return canonical.set_params(
            hidden_layer_sizes=spec.hidden_layer_sizes, input_dropout=spec.input_dropout
        )

    def _spec(self) -> PerceptronSpec:
        """Return what the perceptron is built from, as plain numbers."""
        from ._torch.perceptrons import PerceptronSpec

        sizes = tuple(int(size) for size in np.atleast_1d(self.hidden_layer_sizes))
        rate = self.input_dropout
        input_dropout = self.dropout * INPUT_DROPOUT_RATIO if rate is None else rate
        return PerceptronSpec(sizes, self.activation, float(self.dropout), float(input_dropout))


class AdamW(BaseEstimator):
    """Train by gradient steps on batches, with decoupled weight decay [1]_.

    The step size is reached after a tenth of the epochs and falls to 0 along a cosine.

    Parameters
    ----------
    learning_rate_init : float or "auto", default="auto"
        The largest step size. "auto" is 0.005 in fusion estimators, 0.0003 in
        `CrossModalAligner`.
    weight_decay : float or "auto", default="auto"
        The decoupled L2 penalty (`MLPClassifier` calls its penalty ``alpha``). "auto" is 0.5 in
        fusion estimators, 0.1 in `CrossModalAligner`.
    batch_size : int or "auto", default="auto"
        Rows in a gradient step. "auto" is a tenth of the rows, but at least 16 and at most 256, in
        fusion estimators, and 256 in `CrossModalAligner`.
    max_iter : int or "auto", default="auto"
        The number of epochs. "auto" is 40 in fusion estimators, 20 in `CrossModalAligner`. Where
        modality weights are learned, and for the temperature of late fusion, the networks on two
        thirds of the rows take half as many each, before.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss no longer improves, and return to the
        epoch in which it was lowest. If False, it is the training loss that has to improve.
    validation_fraction : float, default=0.1
        The share of rows held out for ``early_stopping``, stratified by class, or by the value of
        the target.
    n_iter_no_change : int, default=10
        Stop after so many epochs without an improvement by ``tol``.
    tol : float, default=1e-4
        By how much the loss must fall to count as an improvement.
    precision : {"float32", "bfloat16"}, default="float32"
        What matrices are multiplied in. "bfloat16" does so in half the bits where torch's autocast
        knows it to be safe; weights, losses and predictions stay as they are.
    calibrate : {"temperature"} or None, default=None
        "temperature" multiplies the logits of a classifier by one number per target, learned on
        rows that the network has not seen: those of ``early_stopping``, otherwise those that alpha
        is learned on [2]_.

    See Also
    --------
    LBFGS : All rows at once.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
    .. [2] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks",
       ICML 2017.

    Examples
    --------
    >>> from skmm import AdamW, FusionClassifier
    >>> model = FusionClassifier(solver=AdamW(max_iter=20))
    >>> model.set_params(solver__weight_decay=1.0).solver
    AdamW(max_iter=20, weight_decay=1.0)
    """

    _name: ClassVar[str] = "adamw"
    _parameter_constraints: ClassVar[dict] = {
        "learning_rate_init": [AUTO, Interval(Real, 0, None, closed="neither")],
        "weight_decay": [AUTO, Interval(Real, 0, None, closed="left")],
        "batch_size": [AUTO, Interval(Integral, 1, None, closed="left")],
        "max_iter": [AUTO, Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "calibrate": [StrOptions({"temperature"}), None],
    }

    def __init__(
        self,
        learning_rate_init: float | Auto = "auto",
        *,
        weight_decay: float | Auto = "auto",
        batch_size: int | Auto = "auto",
        max_iter: int | Auto = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        precision: str = "float32",
        calibrate: str | None = None,
    ):
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.precision = precision
        self.calibrate = calibrate

    def _training_settings(
        self, n_rows: int, defaults: SolverDefaults, modality_dropout: float, verbose: bool
    ) -> TrainingSettings:
        """Return plain numbers for training on ``n_rows`` rows."""
        from ._torch.solvers import TrainingSettings

        smallest, largest = defaults.batch_size
        batch_size = min(max(n_rows // 10, smallest), largest)
        return TrainingSettings(
            solver=self._name,
            learning_rate_init=_unless_auto(self.learning_rate_init, defaults.learning_rate_init),
            weight_decay=_unless_auto(self.weight_decay, defaults.weight_decay),
            batch_size=_unless_auto(self.batch_size, batch_size),
            max_iter=_unless_auto(self.max_iter, defaults.max_iter),
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            modality_dropout=modality_dropout,
            precision=self.precision,
            verbose=verbose,
        )


class LBFGS(BaseEstimator):
    """Train by L-BFGS on all rows at once, in float64.

    Each iteration ends with a line search for the strong Wolfe conditions. It minimises one fixed
    function, so there may be no dropout of any kind, and it needs memory for all rows at once; for
    the contrastive alignment for all pairs of rows. It suits linear f_i.

    Parameters
    ----------
    weight_decay : float or "auto", default="auto"
        ``weight_decay / (2 n)`` times the sum of the squares of all weights, biases left out, is
        added to the loss of n distinct rows, as in `MLPClassifier`; with ``modality_loss_weight=0``
        nothing else may depend on the scale of what is normalised, and it shrinks without end.
        "auto" is 0.5.
    max_iter : int or "auto", default="auto"
        The number of iterations. "auto" is 40.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss no longer improves, and return to the
        iteration in which it was lowest.
    validation_fraction : float, default=0.1
        The share of rows held out for ``early_stopping``, stratified by class, or by the value of
        the target.
    n_iter_no_change : int, default=10
        With ``early_stopping``: stop after so many iterations without an improvement by ``tol``.
    tol : float, default=1e-4
        Training has converged where no element of the gradient is larger, or the loss has stopped
        falling; if it has not after ``max_iter`` iterations, there is a `ConvergenceWarning`.
    calibrate : {"temperature"} or None, default=None
        As in `AdamW`.

    See Also
    --------
    AdamW : Gradient steps on batches.

    Examples
    --------
    >>> from skmm import LBFGS, MLP, FusionRegressor
    >>> model = FusionRegressor("additive", modality_model="linear", solver=LBFGS(weight_decay=1.0))
    >>> model.solver
    LBFGS(weight_decay=1.0)
    """

    _name: ClassVar[str] = "lbfgs"
    _parameter_constraints: ClassVar[dict] = {
        name: AdamW._parameter_constraints[name]
        for name in (
            "weight_decay",
            "max_iter",
            "early_stopping",
            "validation_fraction",
            "n_iter_no_change",
            "tol",
            "calibrate",
        )
    }

    def __init__(
        self,
        *,
        weight_decay: float | Auto = "auto",
        max_iter: int | Auto = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        calibrate: str | None = None,
    ):
        self.weight_decay = weight_decay
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.calibrate = calibrate

    def _training_settings(
        self, n_rows: int, defaults: SolverDefaults, modality_dropout: float, verbose: bool
    ) -> TrainingSettings:
        """Return plain numbers for training on ``n_rows`` rows, which are one batch."""
        from ._torch.solvers import TrainingSettings

        return TrainingSettings(
            solver=self._name,
            learning_rate_init=defaults.learning_rate_init,
            weight_decay=_unless_auto(self.weight_decay, defaults.weight_decay),
            batch_size=n_rows,
            max_iter=_unless_auto(self.max_iter, defaults.max_iter),
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            modality_dropout=modality_dropout,
            verbose=verbose,
        )


SOLVERS = {"adamw": AdamW, "lbfgs": LBFGS}


def resolve_solver(solver: str | AdamW | LBFGS) -> AdamW | LBFGS:
    """Return the settings that a name stands for, checked."""
    resolved = SOLVERS[solver]() if isinstance(solver, str) else solver
    resolved._validate_params()
    return resolved


Number = TypeVar("Number", int, float)


def _unless_auto(value: Number | str, default: Number) -> Number:
    return default if isinstance(value, str) else value
