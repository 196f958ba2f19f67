"""What the fusion estimators share: reading rows, fitting, and what is read of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from .._data.columns import INTERACTION, SINGLE_MODALITY, ModalityColumns, group_columns
from .._data.fitted import FittedMixin
from .._data.labels import TargetClasses
from .._data.persistence import (
    check_same_parameters,
    damaged,
    frame_from_plain,
    frame_to_plain,
    is_plain_frame,
    read_weights,
    write_weights,
)
from .._data.rows import check_groups
from .._data.validation import FLOAT_DTYPES, FLOATS, friendlier_errors
from .._html import block_of_modalities, describe_width
from .._hyperparameters import LBFGS, MLP, SOLVERS, AdamW
from .._warnings import warn_user
from ._rules import RULES, FusionRule, names_of, resolve_rule
from ._settings import (
    check_stream,
    describe_groups,
    describe_parameters,
    make_problem,
    resolve_interaction,
    resolve_settings,
)

if TYPE_CHECKING:
    from .._torch.tasks import Task
    from ._fitted import FittedFusion, FusionRun

OF_SCIKIT_LEARN = ("_sklearn", "_metadata_request")


def _used_rule(estimator: BaseFusion) -> FusionRule:
    """Return the fusion rule; once fitted that of the network."""
    if hasattr(estimator, "_fitted"):
        return estimator._fitted.spec.rule
    return resolve_rule(estimator.fusion)


def _has_row_weights(estimator: BaseFusion) -> bool:
    rule = _used_rule(estimator)
    if not rule.has_weights:
        raise AttributeError(
            f"row_weights needs fusion to be one of {names_of('has_weights')}; "
            f'fusion="{rule.name}" does not weigh modalities.'
        )
    return True


def splits_exactly(estimator: BaseFusion) -> bool:
    """Return whether an output is a sum of contributions of modalities; raise if it is not."""
    rule = _used_rule(estimator)
    if not rule.is_exact:
        raise AttributeError(
            f"contributions needs fusion to be one of {names_of('is_exact')}; with "
            f'fusion="{rule.name}" the network mixes the modalities, and its outputs have '
            "no exact part for each."
        )
    return True


class BaseFusion(TransformerMixin, FittedMixin, BaseEstimator):
    """Fit a fusion network and run it; subclasses encode the target and read the outputs."""

    _fitted: FittedFusion
    _parameter_constraints: ClassVar[dict] = {
        "fusion": [StrOptions({*RULES}), FusionRule],
        "modalities": [None, StrOptions({"prefix"}), dict],
        "modality_weights": [None, StrOptions({"uniform"}), dict],
        "modality_model": [str, HasMethods(["fit", "get_params"]), MLP, dict],
        "interaction": [None, StrOptions({"auto"}), HasMethods(["fit", "predict"])],
        "modality_loss_weight": [Interval(Real, 0, None, closed="left"), dict],
        "alignment": [None, StrOptions({"contrastive", "cosine", "mse", "kl", "correlation"})],
        "alignment_weight": [Interval(Real, 0, None, closed="left"), dict, "array-like"],
        "modality_dropout": [Interval(Real, 0, 1, closed="left")],
        "solver": [StrOptions({*SOLVERS}), AdamW, LBFGS],
        "warm_start": ["boolean"],
        "checkpoint": [None, str, os.PathLike],
        "random_state": ["random_state"],
        "device": [str],
        "verbose": ["verbose"],
    }

    @property
    def network_(self):
        """The trained network."""
        return self._fitted_attribute("network_").network

    @property
    def modalities_(self):
        """The columns of each modality."""
        return self._fitted_attribute("modalities_").columns.named

    @property
    def modality_weights_(self):
        """How much each modality counts."""
        fitted = self._fitted_attribute("modality_weights_")
        weights, names = fitted.weigh_parts(), fitted.columns.names
        if weights is None:
            raise AttributeError(
                f'With fusion="{fitted.spec.fusion}" no number says how much a modality counts.'
            )
        if fitted.interaction is not None:
            names = [*names, INTERACTION]
        if weights.ndim == 2:
            index = pd.Index(self.classes_)
            return pd.DataFrame(weights.T.astype(float), index=index, columns=pd.Index(names))
        return dict(zip(names, weights.tolist(), strict=True))

    @property
    def history_(self):
        """The terms of the loss in each epoch."""
        return self._fitted_attribute("history_").history

    @property
    def loss_curve_(self):
        """The loss in each epoch."""
        return self._fitted_attribute("loss_curve_").history["loss"].tolist()

    @property
    def n_iter_(self):
        """The number of epochs."""
        return len(self._fitted_attribute("n_iter_").history)

    @property
    def _n_features_out(self) -> int:
        return self._fitted_attribute("_n_features_out").n_fused

    def _is_warm_start(self) -> bool:
        """Return whether `fit` starts from an earlier one."""
        return self.warm_start and hasattr(self, "_fitted")

    def _group_columns(self) -> ModalityColumns:
        """Group the columns of X, which is validated, by modality."""
        names = getattr(self, "feature_names_in_", None)
        groups = group_columns(self.modalities, names, self.n_features_in_)
        labels = np.arange(self.n_features_in_) if names is None else names
        columns = ModalityColumns(groups, labels.tolist())
        if self.modalities is None and columns.names == [SINGLE_MODALITY]:
            warn_user(
                f"All {self.n_features_in_} columns of X are one modality, and nothing is fused, "
                'for no column is named like "text__0". If a step of the pipeline lost the names, '
                'let it keep them: step.set_output(transform="pandas"). Else rename the columns, '
                'or pass modalities, such as {"text": 300, "tabular": 2}.'
            )
        if INTERACTION in groups and resolve_interaction(self) is not None:
            raise ValueError(
                f"X has a modality called {INTERACTION!r}, which names what all columns say "
                "together: rename it, or set interaction=None."
            )
        if self._is_warm_start() and columns.named != self.modalities_:
            raise ValueError(
                "warm_start=True goes on with the network of the last fit, which had other "
                f"modalities or columns: {_show_widths(self.modalities_)}, now "
                f"{_show_widths(columns.named)}. Set warm_start=False to start anew."
            )
        return columns

    def _fit_problem(
        self,
        X: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray,
        tasks: Sequence[Task],
        target_names: Sequence,
        prior_outputs: np.ndarray,
        groups,
    ) -> None:
        """Fit to validated rows, and hold what is fitted."""
        from ._fit import fit

        columns = self._group_columns()
        settings = resolve_settings(self, columns, tasks)
        groups = check_groups(groups, len(X))
        problem = make_problem(
            X, target, weight, columns, tasks, target_names, prior_outputs, groups
        )
        start = self._fitted if self._is_warm_start() else None
        self._fitted = fit(problem, settings, start)
        if not self._fitted.converged:
            warn_user(
                f"L-BFGS did not converge to tol={settings.solver.tol} within "
                f"max_iter={settings.training(len(X)).max_iter} iterations; raise max_iter, or "
                "tol.",
                ConvergenceWarning,
            )

    def _fit_batch(
        self,
        X: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray,
        tasks: Sequence[Task],
        prior_outputs: np.ndarray,
    ) -> None:
        """Fit to one more batch of a stream, and hold what is fitted."""
        from ._fit import update

        fitted = getattr(self, "_fitted", None)
        columns = self._group_columns() if fitted is None else fitted.columns
        settings = resolve_settings(self, columns, tasks)
        check_stream(self, settings)
        problem = make_problem(X, target, weight, columns, tasks, [0], prior_outputs)
        updated = update(fitted, problem, settings)
        if updated is not None:
            updated.prior_outputs = prior_outputs
            self._fitted = updated

    def _run(self, X) -> FusionRun:
        """Validate rows to predict, and prepare to run them."""
        check_is_fitted(self)
        return self._fitted.run(self._read_rows(X), self.device)

    def _read_training_rows(self, X, y) -> np.ndarray:
        """Validate the rows to train on; of y only that it is there."""
        y = None if y is None else "no_validation"
        with friendlier_errors(X, self):
            return validate_data(self, X, y, dtype=FLOATS, ensure_all_finite="allow-nan")

    def _read_rows(self, X) -> np.ndarray:
        """Validate rows to predict; a frame of floats in less time than scikit-learn takes."""
        names = getattr(self, "feature_names_in_", None)
        if (
            isinstance(X, pd.DataFrame)
            and names is not None
            and {*X.dtypes} <= FLOAT_DTYPES
            and np.array_equal(X.columns.to_numpy(), names)
        ):
            return check_array(
                X.to_numpy(), dtype=FLOATS, ensure_all_finite="allow-nan", input_name="X"
            )
        with friendlier_errors(X, self):
            return validate_data(self, X, dtype=FLOATS, ensure_all_finite="allow-nan", reset=False)

    def transform(self, X):
        """Fuse the modalities of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_fused), float32
            ``sum_i a_i f_i(x_i)``: with "late" and "additive" n_fused is the number of classes,
            otherwise the width of the layer that is fused. What takes the place of the sum with
            "attention" and "bilinear". Zeros for rows without any modality.
        """
        return self._run(X).fused().astype(np.float32)

    @available_if(_has_row_weights)
    def row_weights(self, X):
        """Compute the weight that each modality has in each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_modalities) or (n_samples, n_modalities, n_classes)
            The weights a, in the order of ``modalities_``; with ``Late(per_class=True)`` those of
            each class, in the order of ``classes_``. With "gated" they depend on what is in the
            row; otherwise they are alpha over the modalities that the row has, renormalised. They
            add up to 1, or are all 0 for rows without any modality that counts.
        """
        return self._run(X).row_weights()

    def save_weights(self, path):
        """Save what was learned as safetensors, with all that predicting needs in its header.

        Estimators of scikit-learn, as those that ``interaction`` mixes in, are among the arrays in
        the form of skops.

        Parameters
        ----------
        path : str or path-like
            The file. It is replaced as a whole or not at all.

        Raises
        ------
        ImportError
            If safetensors or skops is not installed (``pip install 'skmm[save]'``).
        TypeError
            If the model of a modality, or ``interaction``, is an estimator of another package than
            scikit-learn: its code would run where it is loaded. Pickle it.
        """
        check_is_fitted(self)
        learned = self._learned_state(self.__getstate__())
        parameters = describe_parameters(self, list(self.modalities_))
        write_weights(path, type(self).__name__, parameters, learned)

    def load_weights(self, path):
        """Load what `save_weights` saved, instead of `fit`. No code of the file is run.

        Parameters
        ----------
        path : str or path-like
            A file written by `save_weights` of an estimator with the same parameters;
            ``checkpoint``, ``device``, ``random_state`` and ``verbose`` may differ.

        Returns
        -------
        BaseFusion
            The estimator itself, fitted.

        Raises
        ------
        ValueError
            If the file is damaged, or comes from another estimator or other parameters.
        """
        weights = read_weights(path, type(self).__name__)
        try:
            learned = _from_plain(weights.learned)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as e:
            raise damaged(path, e) from e
        self._check_same_modalities(path, learned)
        names = learned["_fitted"].columns.names
        check_same_parameters(path, weights.parameters, describe_parameters(self, names))
        for name in self._learned_state(dict(self.__dict__)):
            delattr(self, name)
        for name, value in learned.items():
            setattr(self, name, value)
        return self

    def _check_same_modalities(self, path, learned: dict[str, Any]) -> None:
        """Raise if the columns that were learned from are grouped in another way than here."""
        saved = learned["_fitted"].columns
        names = learned.get("feature_names_in_")
        groups = group_columns(self.modalities, names, learned["n_features_in_"])
        if describe_groups(groups) != describe_groups(saved.groups):
            raise ValueError(
                f"{os.fspath(path)!r} was saved with the modalities {_show_widths(saved.named)} "
                f"(columns), and modalities={self.modalities!r} groups these columns in another "
                "way: set it to the same before loading."
            )

    def _learned_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Leave out parameters, and what scikit-learn keeps on each estimator."""
        parameters = self.get_params(deep=False)
        return {
            name: value
            for name, value in state.items()
            if name not in parameters and not name.startswith(OF_SCIKIT_LEARN)
        }

    def _sk_visual_block_(self):
        check_is_fitted(self)  # before, scikit-learn catches the error and draws one box
        weights: Any = getattr(self, "modality_weights_", {})
        if isinstance(weights, pd.DataFrame):
            weights = weights.mean()
        contents = []
        for name, columns in self.modalities_.items():
            weight = f", weight {weights[name]:.2f}" if name in weights else ""
            contents.append(describe_width(columns) + weight)
        return block_of_modalities([*self.modalities_], contents, [*self.modalities_.values()])

    def __getstate__(self):
        """Pickle plain data, so that few types need to be trusted, and no GPU be there."""
        return _to_plain(super().__getstate__())

    def __setstate__(self, state):
        super().__setstate__(_from_plain(state))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # allow_nan stays False: a whole modality may be NaN, a single value may not.
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _to_plain(state: dict[str, Any]) -> dict[str, Any]:
    """Put plain data in the place of what is fitted, and of frames."""
    plain = dict(state)
    for name, value in state.items():
        if name == "_fitted":
            plain[name] = value.to_plain()
        elif name == "_targets":
            plain[name] = value._asdict()
        elif isinstance(value, pd.DataFrame):
            plain[name] = frame_to_plain(value)
    return plain


def _from_plain(state: dict[str, Any]) -> dict[str, Any]:
    """Undo `_to_plain`."""
    restored = dict(state)
    for name, value in state.items():
        if name == "_fitted":
            from ._fitted import FittedFusion

            restored[name] = FittedFusion.from_plain(value)
        elif name == "_targets":
            restored[name] = TargetClasses(**value)
        elif is_plain_frame(value):
            restored[name] = frame_from_plain(value)
    return restored


def _show_widths(modalities: dict[str, list]) -> str:
    return ", ".join(f"{name!r} of {len(columns)}" for name, columns in modalities.items())
