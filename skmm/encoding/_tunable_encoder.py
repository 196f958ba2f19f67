"""The base of encoders whose pretrained model can be tuned to y."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils._param_validation import StrOptions

from .._data.fitted import read_fitted
from .._data.persistence import describe_value
from .._data.random_states import open_random_state
from .._data.rows import check_groups, check_sample_weight
from .._progress import progress_bar
from ._activations import ActivationRun, pack
from ._base import EncodedBatch, find_not_finite
from ._lora import LoRA, resolve_finetune
from ._model_encoder import ModelEncoder
from ._models import lock_models
from ._run import Run
from ._targets import Targets, read_targets
from .cache import FileDigests

if TYPE_CHECKING:
    from .._torch.splitting import Split
    from .._torch.tuning import Items, ModelCalls
    from ._tuning import FoldRows, TunedModel, Tuning, TuningProblem

CHUNK = 512  # items whose activations are in memory at once where nothing is learned


class TunableEncoder(ModelEncoder):
    """Encode cells with a pretrained model, as it is or tuned to y.

    Of a tuned model, the lower layers are what they were: what they compute of an item is in the
    cache. The upper ones are tuned once for each fold. `fit_transform` gives the features of each
    row by the model that has not seen its target, as scikit-learn's `TargetEncoder` does, and
    `transform` those of all models, averaged. So what comes next learns from features such as it
    will get of new rows.

    A subclass has the parameter ``finetune``, and says in the hooks below how its model is called.
    """

    finetune: str | LoRA | None
    _tuned: dict[str, Any]  # what is fitted, as plain data

    _neutral = ModelEncoder._neutral | {"finetune"}
    # The parameters that change vectors, but not what the lower layers compute.
    _of_upper: ClassVar[frozenset] = frozenset()
    _finetune_constraints: ClassVar[dict] = {"finetune": [None, StrOptions({"lora"}), LoRA]}

    # Of the copies that encode one column: what they compute, if not the vectors of the model.
    _lower: Split | None = None
    _is_checked = False  # whether the two parts of the model are known to be all of it

    @abstractmethod
    def _find_module(self) -> tuple[Any, str]:
        """Return the torch module that is tuned, and the path of the part with the layers in it."""

    @abstractmethod
    def _make_calls(self) -> ModelCalls:
        """Return how the module is called."""

    def _get_input(self, cell: Any) -> Any:
        """Return what stands for an item where only the upper layers run."""
        return None

    def fit(self, X, y=None, *, groups=None, sample_weight=None):
        """Load the model; with ``finetune``, tune it to ``y``.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            With ``finetune``, what the model is tuned to: classes, labels or numbers, one target or
            several. Otherwise it is ignored, as are the next two.
        groups : array-like of shape (n_samples,), default=None
            Group labels, such as speakers: rows of a group are in one fold.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in training.

        Returns
        -------
        TunableEncoder
            The estimator itself.
        """
        if self.finetune is None:
            self.__dict__.pop("_tuned", None)
            super().fit(X)
        else:
            self._tune(X, y, groups, sample_weight)
        return self

    def fit_transform(self, X, y=None, *, groups=None, sample_weight=None):
        """Fit and encode; with ``finetune``, each row by a model that was tuned on others.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            As in `fit`.
        groups : array-like of shape (n_samples,), default=None
            As in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
            NaN in the rows of missing items.
        """
        if self.finetune is None:
            return self.fit(X).transform(X)
        return self._tune(X, y, groups, sample_weight)

    @property
    def history_(self) -> pd.DataFrame:
        """The loss of each fold and epoch, on training rows and on rows that are held out."""
        plain = read_fitted(self, "_tuned", "history_")
        columns = ["fold", "epoch", "loss", "validation_loss"]
        frame = pd.DataFrame(np.array(plain["history"]), columns=pd.Index(columns))
        return frame.astype({"fold": int, "epoch": int}).set_index(["fold", "epoch"])

    def _tune(self, X, y, groups, sample_weight) -> np.ndarray:
        """Tune the model, and return the features of the rows."""
        self._validate_params()
        settings = resolve_finetune(self.finetune)
        column = self._read_column(X)
        n_rows = len(column.cells)
        targets = read_targets(y, n_rows, settings.n_bins)
        weight = _read_weight(sample_weight, n_rows)
        groups = check_groups(groups, n_rows)
        self.__dict__.pop("_tuned", None)
        super().fit(X)
        ready = self._get_ready()
        split = ready._find_split(settings.n_layers)
        with ready._reading(), ready._start_run(column) as run:
            verbose = bool(self.verbose)
            activations = ready._run_lower(run, run.find_distinct(), split, verbose=verbose)
        activations.warn_of_broken()
        present = np.array([activations.is_found(row) for row in range(n_rows)])
        rows = np.flatnonzero(present & (weight > 0) & targets.known)
        problem = ready._make_problem(activations, rows, targets, weight, groups)
        cells = [column.cells[row] for row in rows]
        tuning, folds = ready._run_tuning(problem, cells, settings, split)
        n_out = tuning.out_of_fold[0].shape[1]
        features = np.full((n_rows, n_out), np.nan, dtype=np.float32)
        for fold, computed in zip(folds, tuning.out_of_fold, strict=True):
            features[rows[fold.unseen]] = computed
        others = np.setdiff1d(np.flatnonzero(present), rows)
        if len(others):  # no model has seen their targets
            items = ready._make_items(activations, others)
            features[others] = ready._compute_tuned(tuning.tuned, items)
        plain = tuning.tuned.to_plain()
        self._tuned = {
            **plain,
            "digest": tuning.tuned.digest(),
            "n_out": n_out,
            "history": tuning.history,
            "parameters": self._describe_parameters(),
        }
        return features

    def _describe_parameters(self) -> dict[str, str]:
        """Return the parameters that change vectors."""
        parameters = self.get_params(deep=False).items()
        return {name: repr(value) for name, value in parameters if name not in self._neutral}

    def _get_ready(self) -> ModelEncoder:
        now = self._describe_parameters()
        for name, value in self._tuned["parameters"].items() if self._is_tuned else ():
            if now[name] != value:
                raise ValueError(
                    f"{type(self).__name__} was tuned with {name}={value}, and {name} is "
                    f"{now[name]} now: fit again, or set it back."
                )
        return super()._get_ready()

    def _make_problem(
        self,
        activations: ActivationRun,
        rows: np.ndarray,
        targets: Targets,
        weight: np.ndarray,
        groups: np.ndarray | None,
    ) -> TuningProblem:
        from ._tuning import TuningProblem

        distinct, item = np.unique([activations.find_first(r) for r in rows], return_inverse=True)
        return TuningProblem(
            self._make_items(activations, distinct),
            item,
            targets._replace(values=targets.values[rows]),
            weight[rows] / weight[rows].mean() if len(rows) else weight[rows],
            None if groups is None else groups[rows],
        )

    def _run_tuning(
        self, problem: TuningProblem, cells: list[Any], settings: LoRA, split: Split
    ) -> tuple[Tuning, list[FoldRows]]:
        """Tune the model out of fold; ``cells`` are those of the rows."""
        from .._torch.checkpoint import Checkpoint
        from .._torch.modes import model_modes
        from ._tuning import TuningStart, make_tuner, split_rows, tune

        checkpoint = None if settings.checkpoint is None else Checkpoint(settings.checkpoint)
        random_state = open_random_state(settings.random_state, checkpoint)
        folds = split_rows(problem, settings, random_state)
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        module, _ = self._find_module()
        tuner = make_tuner(module, split, problem, settings, seed, self._n_features_out)
        if checkpoint:
            with FileDigests(None) as files:
                digests = [self._digest(cell, files) or b"" for cell in cells]
            # The seed is in the file, and where that is does not matter.
            same = clone(settings).set_params(checkpoint=None, random_state=None)
            checkpoint.identify(
                {
                    "finetune": describe_value(same),
                    "model": self._backbone.digest,
                    "data": problem.digest(digests),
                }
            )
        total = settings.max_iter * len(folds)
        name = f"{type(self).__name__}: tuning"
        with model_modes(), progress_bar(desc=name, total=total, verbose=bool(self.verbose)) as bar:
            tuning = tune(tuner, folds, TuningStart(seed, checkpoint), bar)
        if checkpoint and tuning.is_whole:
            checkpoint.remove()
        return tuning, folds

    # What lower and upper layers compute

    def _find_split(self, n_layers: int) -> Split:
        from .._torch.splitting import find_split

        module, within = self._find_module()
        return find_split(module, n_layers, within)

    def _run_lower(
        self, run: Run, rows: list[int], split: Split, *, verbose: bool = False
    ) -> ActivationRun:
        """Run the lower layers on the items of some rows, unless the cache has what they give."""
        lower = copy.copy(self)
        lower._lower = split
        lower._neutral = self._neutral | self._of_upper  # type: ignore[misc] (of this copy)
        activations = ActivationRun(run, verbose=verbose)
        lower._encode_rows(activations, rows)
        return activations

    def _encode_batch(self, items: Any) -> EncodedBatch:
        if self._lower is None:
            return super()._encode_batch(items)
        arrays = self._encode_lower(items, self._lower)
        return EncodedBatch(pack(arrays), find_not_finite(arrays))

    def _encode_lower(self, items: Any, split: Split) -> list[np.ndarray]:
        """Run the lower layers on collated items; the first batch, through the upper ones too."""
        import torch

        from .._torch.splitting import check_split, pack_hidden, run_lower

        module, _ = self._find_module()
        calls = self._make_calls()
        with lock_models(), torch.no_grad():
            features = calls.prepare(items)
            mask = calls.find_mask(features)
            forward = calls.bind(features)
            if self._is_checked:
                hidden = run_lower(module, split, forward)
            else:
                hidden = check_split(module, split, forward, mask)
                self._is_checked = True
            return pack_hidden(hidden, mask)

    def _make_items(self, activations: ActivationRun, rows: Sequence[int] | np.ndarray) -> Items:
        from .._torch.tuning import Items

        return Items(
            [activations.get(row) for row in rows],
            [self._get_input(activations.cells[row]) for row in rows],
            self._make_calls(),
        )

    def _compute_tuned(self, tuned: TunedModel, items: Items) -> np.ndarray:
        """Compute the features of items that no fold has seen: (n, q)."""
        from .._torch.modes import model_modes, training_modes
        from ._tuning import average_features, compute_features

        module, _ = self._find_module()
        with lock_models(), model_modes(), training_modes():
            return average_features(
                [compute_features(network, items, tuned.tasks) for network in tuned.build(module)]
            )

    def _encode_batches(self, run: Run, rows: list[int]) -> Iterator[tuple[list[int], np.ndarray]]:
        if not self._is_tuned or self._lower is not None:
            yield from super()._encode_batches(run, rows)
            return
        from ._tuning import TunedModel

        tuned = TunedModel.from_plain(self._tuned)
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            activations = self._run_lower(run, chunk, tuned.split)
            good = [row for row in chunk if activations.is_found(row)]
            if good:
                yield good, self._compute_tuned(tuned, self._make_items(activations, good))

    @property
    def _is_tuned(self) -> bool:
        return hasattr(self, "_tuned")

    def _describe_method(self) -> str:
        described = super()._describe_method()
        if self._lower is not None:
            return f"{described} before layer {self._lower.first} of {self._lower.path}"
        return f"{described} tuned {self._tuned['digest']}" if self._is_tuned else described

    @property
    def _n_features_out(self) -> int:
        return self._tuned["n_out"] if self._is_tuned else super()._n_features_out

    def __sklearn_is_fitted__(self) -> bool:
        return self.finetune is None or self._is_tuned

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.finetune is not None
        tags.target_tags.required = self.finetune is not None
        return tags


def _read_weight(sample_weight, n_rows: int) -> np.ndarray:
    if sample_weight is None:
        return np.ones(n_rows)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_rows,):
        raise ValueError(f"sample_weight must have {n_rows} values, got shape {weight.shape}.")
    if not np.isfinite(weight).all():
        row = int(np.argmin(np.isfinite(weight)))
        raise ValueError(f"sample_weight must be finite, and is {weight[row]} in row {row}.")
    check_sample_weight(weight)
    return weight
