"""What the fusion estimators share: modalities, training, and running the network on new rows."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from .._html import block_of_modalities, tell_width
from ._combinations import (
    EXACT_FUSIONS,
    FUSIONS,
    WEIGHTED_FUSIONS,
    check_losses,
    learns_weights,
)
from ._guard import Data, judge, stand_in
from ._modalities import ColumnScaler, ScaledRows, find_present, group_columns
from ._parameters import (
    resolve_alignment_weight,
    resolve_modality_loss_weight,
    resolve_modality_weights,
)
from ._reading import explaining
from ._rows import TrainingRows, deal_folds, order_rows, select_rows, take_share
from ._saving import OF_SCIKIT_LEARN, load, pack, save, unpack
from ._targets import strata
from ._tasks import Task
from ._together import rank, total

if TYPE_CHECKING:
    from ._fitting import Problem

N_FOLDS = 3
PREDICTION_ROWS = 8192
KEPT_BYTES = 2**26  # of scaled rows; more of them are scaled anew for each batch
FLOATS = [np.float64, np.float32]
FLOAT_DTYPES = {np.dtype(kind) for kind in FLOATS}


def _used_fusion(estimator: BaseFusion) -> str:
    """Give the rule of fusion; once fitted that of the network, which ``guard`` may have chosen."""
    return estimator.network_.fusion if hasattr(estimator, "network_") else estimator.fusion


def _has_row_weights(estimator: BaseFusion) -> bool:
    fusion = _used_fusion(estimator)
    if fusion not in WEIGHTED_FUSIONS:
        raise AttributeError(
            f"row_weights needs fusion to be one of {WEIGHTED_FUSIONS}; "
            f'fusion="{fusion}" does not weigh modalities.'
        )
    return True


def _show_widths(modalities: dict[str, list]) -> str:
    return ", ".join(f"{name!r} of {len(columns)}" for name, columns in modalities.items())


def splits_exactly(estimator: BaseFusion) -> bool:
    """Tell whether an output is a sum of one part for each modality; raise if it is not."""
    fusion = _used_fusion(estimator)
    if fusion not in EXACT_FUSIONS:
        raise AttributeError(
            f"contributions needs fusion to be one of {EXACT_FUSIONS}; with "
            f'fusion="{fusion}" the network mixes the modalities, and what it gives has '
            "no exact part for each."
        )
    return True


class BaseFusion(TransformerMixin, BaseEstimator):
    """Fit a fusion network and run it; subclasses encode the target and read the logits."""

    _parameter_constraints: ClassVar[dict] = {
        "fusion": [StrOptions({*FUSIONS})],
        "modalities": [None, StrOptions({"prefix"}), dict],
        "modality_weights": [None, StrOptions({"uniform", "per_class"}), dict],
        "modality_loss_weight": [Interval(Real, 0, None, closed="left"), dict],
        "alignment": [StrOptions({"contrastive", "cosine", "mse", "kl", "correlation"})],
        "alignment_weight": [Interval(Real, 0, None, closed="left"), dict, "array-like"],
        "hidden_layer_sizes": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu", "gelu"})],
        "sharing": [None, StrOptions({"layers", "parameters", "representation"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "modality_dropout": [Interval(Real, 0, 1, closed="left")],
        "balance": [StrOptions({"ogm"}), None],
        "missing": [StrOptions({"mask", "impute"})],
        "n_ensembles": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"adamw", "lbfgs"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "device": [str],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "guard": ["boolean"],
        "checkpoint": [None, str, os.PathLike],
        "verbose": ["verbose"],
    }

    def _read_modalities(self) -> None:
        """Group the columns; the network knows the groups by alphabet, not by their order in X."""
        columns = getattr(self, "feature_names_in_", None)
        self._groups = group_columns(self.modalities, columns, self.n_features_in_)
        self._labels = np.arange(self.n_features_in_) if columns is None else columns
        before = getattr(self, "modalities_", None) if self._goes_on() else None
        self.modalities_ = {
            name: self._labels[group].tolist() for name, group in self._groups.items()
        }
        if before not in (None, self.modalities_):
            raise ValueError(
                "warm_start=True goes on with the network of the last fit, which had other "
                f"modalities or columns: {_show_widths(before)}, now "
                f"{_show_widths(self.modalities_)}. Set warm_start=False to start anew."
            )
        names = list(self._groups)
        self._order = np.array(sorted(range(len(names)), key=names.__getitem__))
        self._columns = np.concatenate([self._groups[names[i]] for i in self._order])

    def __sklearn_is_fitted__(self) -> bool:
        """Tell of a fit that came to its end: one that failed has set some attributes too."""
        return hasattr(self, "network_")

    def _goes_on(self) -> bool:
        """Tell whether `fit` starts from an earlier one."""
        return self.warm_start and hasattr(self, "network_")

    def _train(
        self,
        X: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray,
        tasks: Sequence[Task],
        groups: np.ndarray | None,
    ) -> None:
        """Learn everything that depends on the values of X, and set the fitted attributes."""
        from ._checkpoint import Checkpoint
        from ._fitting import describe_fit, fit_network, history_frame

        for name in ("guard_scores_", "_stream"):  # of an earlier fit
            vars(self).pop(name, None)
        names = list(self._groups)
        alpha, lambda_, gamma = self._resolve_weights(tasks)
        present = find_present(X, self._groups, self._labels.tolist())
        rows = select_rows(X, self._columns, target, present, weight, alpha, names)
        own = None if groups is None else groups[rows.index]
        if self.guard:
            data = Data(X[rows.index], rows.target, rows.weight, tasks, own)
            self.guard_scores_, chosen = judge(self, data)
            if chosen:
                self._become(chosen, X, target, weight, tasks, groups)
                return
        start = self.network_ if self._goes_on() else None
        checkpoint = None if self.checkpoint is None else Checkpoint(self.checkpoint)
        rows = rows._replace(target=self._scale_target(rows))
        self._scaler = ColumnScaler().fit(X, rows.index, self._groups, rows.present, rows.weight)
        random_state = self._open_random_state(checkpoint)
        x = ScaledRows(X, rows.index, self._columns, self._scaler)
        if x.nbytes <= KEPT_BYTES or self.solver == "lbfgs":
            x = x[:]
        stratum = strata(rows.target, tasks[0].kind)
        split = self._split(order_rows(x), stratum, own, random_state)
        problem = self._pose(x, rows, split, tasks, alpha, lambda_, gamma)
        parameters = self.get_params(deep=False)
        if checkpoint:
            data = [*vars(self._scaler).values(), *problem.rows[1:], problem.fitting]
            data += problem.folds
            data += [] if start is None else [v.cpu().numpy() for v in start.state_dict().values()]
            checkpoint.identify(describe_fit(parameters, data))
        seed = random_state.randint(np.iinfo(np.int32).max)
        self.network_, objective, history = fit_network(
            problem, parameters, seed, checkpoint, start
        )
        self._store_weights(alpha, X, rows)
        self._store_history(history_frame(history, objective, sorted(names)))
        if not history.converged:
            warnings.warn(
                f"L-BFGS did not converge to tol={self.tol} within max_iter={self.max_iter} "
                "iterations; raise max_iter, or tol.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _resolve_weights(self, tasks: Sequence[Task]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give alpha, lambda and gamma in the order of ``modalities_``."""
        names = list(self._groups)
        alpha = resolve_modality_weights(self.modality_weights, names)
        lambda_ = resolve_modality_loss_weight(self.modality_loss_weight, names)
        gamma = resolve_alignment_weight(self.alignment_weight, names)
        check_losses(self.get_params(deep=False), lambda_, gamma, tasks)
        return alpha, lambda_, gamma

    def _pose(self, x, rows: TrainingRows, split, tasks, alpha, lambda_, gamma) -> Problem:
        """Put what is to be learned into the network's order of modalities."""
        from ._fitting import Problem

        order, widths = self._order, [len(columns) for columns in self._groups.values()]
        fitting, folds, held_out = split
        return Problem(
            x=x,
            rows=rows._replace(present=rows.present[:, order]),
            fitting=fitting,
            folds=folds,
            held_out=held_out,
            widths=[widths[i] for i in order],
            tasks=tasks,
            alpha=alpha[order],
            lambda_=lambda_[order],
            gamma=gamma[np.ix_(order, order)],
        )

    def _store_history(self, frame: pd.DataFrame) -> None:
        self.history_ = frame
        self.loss_curve_ = frame["loss"].tolist()
        self.n_iter_ = len(frame)
        self._n_features_out = self.network_.normalizer.mean.shape[1]

    def _become(self, parameters, X, target, weight, tasks, groups) -> None:
        """Take over all that another model of the same kind learns of the same data."""
        twin = stand_in(self, {**parameters, "verbose": self.verbose})
        twin._train(X, target, weight, tasks, groups)
        own = self.get_params(deep=False)
        vars(self).update({n: value for n, value in vars(twin).items() if n not in own})

    def _train_batch(
        self, X: np.ndarray, target: np.ndarray, weight: np.ndarray, tasks: Sequence[Task]
    ) -> None:
        """Learn from one more batch of a stream, and set the fitted attributes."""
        from ._fitting import check_same_network, fit_batch, history_frame
        from ._streaming import new_memory

        if self.guard:
            raise ValueError(
                "guard=True compares models on all rows, and partial_fit sees them batch by batch: "
                "set guard=False."
            )
        alpha, lambda_, gamma = self._resolve_weights(tasks)
        parameters = self.get_params(deep=False)
        if hasattr(self, "network_"):
            check_same_network(self.network_, getattr(self, "_stream", {}), parameters, lambda_)
        present = find_present(X, self._groups, self._labels.tolist())
        index = np.flatnonzero((weight > 0) & present[:, alpha > 0].any(1))
        n_rows = total(len(index))
        if n_rows == 0:
            return
        memory = vars(self).setdefault("_stream", new_memory())
        if not hasattr(self, "network_"):
            self._scaler = ColumnScaler()
        elif memory["n_rows"] == 0:
            memory["n_rows"] = self._scaler.n_rows_
        if "seed" not in memory:
            memory["seed"] = int(check_random_state(self.random_state).randint(2**31 - 1))
            memory.update(weight=0.0, n_weighted=0, n_calls=0)
        memory["weight"] += total(float(weight[index].sum()))
        memory["n_weighted"] += n_rows
        weight = weight[index] / (memory["weight"] / memory["n_weighted"])
        rows = TrainingRows(index, target[index], present[index], weight)
        self._scaler.partial_fit(X, index, self._groups, rows.present, weight)
        x = ScaledRows(X, index, self._columns, self._scaler)
        x = x[:] if x.nbytes <= KEPT_BYTES else x
        split = (np.arange(len(index)), [], None)
        problem = self._pose(x, rows, split, tasks, alpha, lambda_, gamma)
        own = [rank()] if rank() else []  # processes that learn together drop different units
        seed = np.random.SeedSequence([memory["seed"], memory["n_calls"], *own]).generate_state(1)
        memory["n_calls"] += 1
        network = getattr(self, "network_", None)
        self.network_, objective, history = fit_batch(
            network, problem, parameters, int(seed[0]), memory
        )
        self._store_weights(alpha, X, rows)
        frame = history_frame(history, objective, sorted(self._groups))
        if network is not None:
            frame = pd.concat([self.history_, frame], ignore_index=True).rename_axis("epoch")
        self._store_history(frame)

    def _open_random_state(self, checkpoint) -> np.random.RandomState:
        """Draw as the fit that is continued did, though ``random_state`` may say nothing of it."""
        if checkpoint is None:
            return check_random_state(self.random_state)
        if isinstance(self.random_state, Integral):
            checkpoint.seed = int(self.random_state)
        elif checkpoint.seed is None:
            drawn = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
            checkpoint.seed = int(drawn)
        return np.random.RandomState(checkpoint.seed)

    def _prior_outputs(self) -> np.ndarray:
        """Give what takes the place of outputs (k,) in rows without any modality that counts."""
        raise NotImplementedError

    def _scale_target(self, rows: TrainingRows) -> np.ndarray:
        """Give the target as the network learns it, from now on."""
        return rows.target

    def _scaled(self, target: np.ndarray) -> np.ndarray:
        """Give other rows' target as the network learned it."""
        return target

    def _store_weights(self, alpha: np.ndarray, X: np.ndarray, rows: TrainingRows) -> None:
        """Set ``modality_weights_``; ``alpha`` is what it is where it is not learned."""
        vars(self).pop("modality_weights_", None)  # of an earlier fit
        if self.fusion in ("attention", "bilinear"):
            return
        network, order = self.network_, np.argsort(self._order)
        if self.fusion == "gated":
            alpha = self._mean_weights(X, rows)
        elif self.fusion == "additive":
            spread = network.normalizer.rms.cpu().numpy()[order].astype(float)
            alpha = spread / spread.sum() if spread.any() else alpha
        elif learns_weights(self.get_params(deep=False)):
            alpha = network.modality_weights.cpu().numpy()[order]
        if alpha.ndim == 2:
            self.modality_weights_ = pd.DataFrame(
                alpha.T.astype(float), index=pd.Index(self.classes_), columns=[*self._groups]
            )
        else:
            self.modality_weights_ = dict(zip(self._groups, alpha.tolist(), strict=True))

    def _mean_weights(self, X: np.ndarray, rows: TrainingRows) -> np.ndarray:
        sums = np.zeros(len(self._groups))
        for start in range(0, len(rows.index), PREDICTION_ROWS):  # X may be too large to copy
            some = slice(start, start + PREDICTION_ROWS)
            each, _ = self._run(X[rows.index[some]], lambda network, parts, weights: weights)
            sums += (rows.weight[some, None] * each).sum(0)
        return self._in_order(total(sums)[None])[0] / total(rows.weight.sum())

    def _split(self, order, stratum, groups, random_state):
        """Split rows, in their ``order``, into those to fit, folds of these, and the rest."""
        held_out = None
        if self.early_stopping:
            own = None if groups is None else groups[order]
            taken = take_share(stratum[order], self.validation_fraction, random_state, own)
            if taken.all() or not taken.any():
                raise ValueError(
                    f"validation_fraction={self.validation_fraction} of {len(order)} distinct rows "
                    f"is {taken.sum()}; early_stopping needs rows to train on and rows to hold out."
                )
            held_out, order = order[taken], order[~taken]
        own = None if groups is None else groups[order]
        fold = deal_folds(stratum[order], N_FOLDS, random_state, own)
        return order, [order[fold == i] for i in np.unique(fold)], held_out

    def _evaluate(
        self, X, read: Callable, *, alone: bool = False, members: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run ``read(network, parts, weights)`` on rows, a chunk at a time.

        With ``alone`` each part is that of a row that has no other modality. With ``members`` the
        values of each member of an ensemble are kept (n_samples, n_ensembles, ...), otherwise they
        are averaged.

        Returns
        -------
        values : ndarray of shape (n_samples, ...)
            What ``read`` gave.
        present : ndarray of bool, shape (n_samples, n_modalities)
            Which modalities each row has, in the order of ``modalities_``.
        """
        check_is_fitted(self)
        return self._run(self._read_rows(X), read, alone=alone, members=members)

    def _run(
        self, X: np.ndarray, read: Callable, *, alone: bool = False, members: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Do what `_evaluate` does, on rows that are validated."""
        import torch

        from ._fitting import choose_device
        from ._prediction import precise_network
        from ._training import evaluate, precise

        device = choose_device(self.device)
        network = precise_network(self.network_, device)
        present = find_present(X, self._groups, self._labels.tolist())
        there = present[:, self._order]
        values = None
        for start in range(0, len(X), PREDICTION_ROWS):
            rows = slice(start, min(start + PREDICTION_ROWS, len(X)))
            x = torch.from_numpy(self._scaler.transform(X, rows, self._columns)).to(device)
            with torch.inference_mode():
                has = torch.from_numpy(there[rows]).to(device)
                parts, weights = evaluate(network, precise(x), has, alone=alone)
                each = network.members(read(network, parts, weights))  # (e, n, ...)
                chunk = (each.transpose(0, 1) if members else each.mean(0)).cpu().numpy()
            if values is None:
                values = np.empty((len(X), *chunk.shape[1:]), dtype=chunk.dtype)
            values[rows] = chunk
        return values, present

    def _outputs(self, X, said: str, *, members: bool = False) -> np.ndarray:
        """Outputs of the network (n_samples, k) in float64.

        Rows without any modality get `_prior_outputs`, with a warning in which these are called
        what is ``said``. With ``members`` the outputs are those of each member of an ensemble
        (n_samples, n_ensembles, k).
        """
        outputs, present = self._evaluate(
            X, lambda net, parts, a: net.logits(a, parts), members=members
        )
        outputs = outputs.astype(np.float64)
        empty = self._without_modality(present)
        if empty.any():
            warnings.warn(
                f"{empty.sum()} of {len(empty)} rows have no modality that counts (the first is "
                f"row {empty.argmax()}); their prediction is {said}.",
                stacklevel=4,
            )
            outputs[empty] = self._prior_outputs()
        return outputs

    def _opinions(self, X) -> np.ndarray:
        """Outputs of each modality alone (n_samples, n_modalities, k); NaN where it is missing."""
        outputs, present = self._evaluate(X, lambda net, parts, a: net.opinions(parts), alone=True)
        outputs = self._in_order(outputs).astype(np.float64)
        outputs[~present] = np.nan
        return outputs

    def _parts(self, X) -> np.ndarray:
        """Parts of the outputs (n_samples, n_modalities, k), in float64, which add up to them."""
        parts, _ = self._evaluate(X, lambda net, parts, a: net.contributions(a, parts))
        return self._in_order(parts).astype(np.float64)

    def _read_training_rows(self, X, y) -> np.ndarray:
        """Validate the rows to train on; of y only that there is one."""
        y = None if y is None else "no_validation"
        with explaining(X, self):
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
            return check_array(X.to_numpy(), dtype=FLOATS, ensure_all_finite="allow-nan")
        with explaining(X, self):
            return validate_data(self, X, dtype=FLOATS, ensure_all_finite="allow-nan", reset=False)

    def _in_order(self, values: np.ndarray) -> np.ndarray:
        """Bring the modalities (axis 1) from the network's order into that of ``modalities_``."""
        return values[:, np.argsort(self._order)]

    def _without_modality(self, present: np.ndarray) -> np.ndarray:
        """Mark the rows that have no modality with a weight above 0."""
        counts = self._in_order(self.network_.counts.cpu().numpy()[None])[0]
        return ~present[:, counts].any(1)

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
        fused, _ = self._evaluate(X, lambda network, parts, weights: network.fuse(weights, parts))
        return fused.astype(np.float32)

    @available_if(_has_row_weights)
    def row_weights(self, X):
        """Give the weight that each modality has in each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_modalities) or (n_samples, n_modalities, n_classes)
            The weights a, in the order of ``modalities_``; with ``modality_weights="per_class"``
            those of each class, in the order of ``classes_``. With "gated" they depend on what is
            in the row; otherwise they are alpha over the modalities that the row has, renormalised.
            They add up to 1, or are all 0 for rows without any modality that counts.
        """
        weights, _ = self._evaluate(X, lambda network, parts, weights: weights)
        return self._in_order(weights)

    def save_weights(self, path):
        """Save what was learned as safetensors, with all that predicting needs in its header.

        Parameters
        ----------
        path : str or path-like
            The file. It is replaced as a whole or not at all.

        Raises
        ------
        ImportError
            If safetensors is not installed (``pip install 'skmm[save]'``).
        """
        check_is_fitted(self)
        save(self, path)

    def load_weights(self, path):
        """Take over what `save_weights` saved, instead of `fit`. No code of the file is run.

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
        learned = load(self, path)
        for name in set(vars(self)) - set(self.get_params(deep=False)):
            if not name.startswith(OF_SCIKIT_LEARN):
                delattr(self, name)
        vars(self).update(learned)
        return self

    def _sk_visual_block_(self):
        check_is_fitted(self)  # before, scikit-learn catches the error and draws one box
        weights = getattr(self, "modality_weights_", {})
        if isinstance(weights, pd.DataFrame):
            weights = weights.mean()
        contents = []
        for name, columns in self.modalities_.items():
            weight = f", weight {weights[name]:.2f}" if name in weights else ""
            contents.append(tell_width(columns) + weight)
        return block_of_modalities([*self.modalities_], contents, [*self.modalities_.values()])

    def __getstate__(self):
        """Pickle plain data, so that few types need to be trusted, and no GPU be there."""
        return pack(super().__getstate__())

    def __setstate__(self, state):
        super().__setstate__(unpack(state))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # allow_nan stays False: a whole modality may be NaN, a single value may not.
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
