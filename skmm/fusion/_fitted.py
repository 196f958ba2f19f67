"""What is fitted, and runs: the network with all that it needs to read rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._data.columns import ModalityColumns, as_slice, find_present
from .._data.persistence import frame_from_plain, frame_to_plain
from .._data.rows import TrainingRows
from .._data.scaling import ColumnScaler
from .._data.targets import Scale
from .._torch.device import choose_device
from .._torch.float64 import float64_network
from .._torch.processes import sum_over_processes
from .._torch.tensors import to_float64
from .._warnings import warn_user
from ._architecture import NetworkSpec, pack_network, unpack_network

if TYPE_CHECKING:
    from ._interaction import FittedInteraction
    from ._models import ScoreModel
    from ._network import FusionNetwork

PREDICTION_ROWS = 8192


@dataclass
class StreamState:
    """What is remembered from one batch to the next, as plain data."""

    seed: int
    weight: float = 0.0  # of the rows so far
    n_weighted: int = 0
    n_calls: int = 0
    n_rows: int = 0  # trained on
    n_new: int = 0  # in the window since weights were learned
    optimizer: dict[str, Any] | None = None
    window: list[dict[str, Any]] = field(default_factory=list)  # the last rows, before training

    def mean_weight(self, weight: float, n_rows: int) -> float:
        """Count the weight of more rows, and return the mean over all rows so far."""
        self.weight += float(weight)
        self.n_weighted += n_rows
        return self.weight / self.n_weighted

    def next_seed(self, rank: int) -> int:
        """Return the seed of the next batch; processes that learn together drop other units."""
        entropy = [self.seed, self.n_calls, *([rank] if rank else [])]
        self.n_calls += 1
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, arrays, and lists and dicts of these."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass
class FittedFusion:
    """A trained network, and how rows of X become its input; made by `fit`.

    An estimator holds it in one attribute, and all that it predicts comes from `run`.
    """

    network: FusionNetwork
    spec: NetworkSpec
    columns: ModalityColumns
    scaler: ColumnScaler
    prior_outputs: np.ndarray  # (k,) what is predicted for a row without any modality
    scale: Scale | None = None  # of y, where it holds numbers
    score_models: Mapping[str, ScoreModel] = field(default_factory=dict)
    interaction: FittedInteraction | None = None
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    modality_weights: np.ndarray | None = None  # (m,) or (m, k), in the user's order
    converged: bool = True
    stream: StreamState | None = None  # what `partial_fit` remembers

    @property
    def target_scale(self) -> Scale:
        """The scale of y, which holds numbers."""
        assert self.scale is not None
        return self.scale

    @property
    def n_fused(self) -> int:
        """The number of fused values of a row."""
        return self.network.normalizer.mean.shape[1]

    def run(self, X: np.ndarray, device: str) -> FusionRun:
        """Prepare to run validated rows.

        Raises
        ------
        ValueError
            If a modality is NaN in some of its columns only.
        """
        return FusionRun(self, X, device)

    def measure_weights(
        self, X: np.ndarray, rows: TrainingRows, fixed: np.ndarray | None, device: str
    ) -> None:
        """Set how much each modality counts, if a number says so, by the training rows.

        ``fixed`` is alpha, where it was not learned.
        """
        rule = self.spec.rule
        if rule.weighs_rows:
            self.modality_weights = self._mean_row_weights(X, rows, device)
            return
        alpha = self.network.modality_weights.cpu().numpy() if fixed is None else fixed
        if not rule.normalizes:
            spread = self.network.normalizer.rms.cpu().numpy().astype(float)
            alpha = spread / spread.sum() if spread.any() else alpha
        elif not rule.has_weights:
            return
        self.modality_weights = self.columns.to_user(alpha)

    def weigh_parts(self) -> np.ndarray | None:
        """Return how much each modality counts, and last the interaction, if there is one."""
        if self.modality_weights is None or self.interaction is None:
            return self.modality_weights
        return self.parts_to_user(
            self.interaction.weigh(self.columns.to_network(self.modality_weights))
        )

    def parts_to_user(self, parts: np.ndarray, axis: int = 0) -> np.ndarray:
        """Reorder modalities along ``axis`` as the user does; the interaction stays the last."""
        modalities, last = np.split(parts, [len(self.columns.names)], axis=axis)
        return np.concatenate([self.columns.to_user(modalities, axis), last], axis=axis)

    def _mean_row_weights(self, X: np.ndarray, rows: TrainingRows, device: str) -> np.ndarray:
        sums = np.zeros(len(self.columns.names))
        for start in range(0, len(rows.index), PREDICTION_ROWS):  # X may be too large to copy
            chunk = slice(start, start + PREDICTION_ROWS)
            weights = self.run(X[rows.index[chunk]], device).row_weights()
            sums += (rows.weight[chunk, None] * weights).sum(0)
        return sum_over_processes(sums) / sum_over_processes(rows.weight.sum())

    def make_inputs(self, X: np.ndarray, rows: slice) -> np.ndarray:
        """Return what the network reads of some rows: scaled columns and scores, float32."""
        groups = self.columns.network_groups
        if not self.score_models:
            return self.scaler.transform(X, rows, np.concatenate(list(groups.values())))
        blocks = []
        for name, positions in groups.items():
            model = self.score_models.get(name)
            if model is None:
                blocks.append(self.scaler.transform(X, rows, positions))
            else:
                blocks.append(model.predict_present(X[rows][:, as_slice(positions)]))
        return np.hstack(blocks)

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, arrays, and lists and dicts of these; and the score models."""
        return {
            "network": pack_network(self.network, self.spec),
            "spec": self.spec.to_plain(),
            "columns": {"groups": self.columns.groups, "labels": self.columns.labels},
            "scaler": self.scaler.state,
            "prior_outputs": self.prior_outputs,
            "scale": None if self.scale is None else self.scale._asdict(),
            "score_models": {n: list(model) for n, model in self.score_models.items()},
            "interaction": None if self.interaction is None else self.interaction.to_plain(),
            "history": frame_to_plain(self.history),
            "modality_weights": self.modality_weights,
            "converged": self.converged,
            "stream": None if self.stream is None else self.stream.to_plain(),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> FittedFusion:
        """Undo `to_plain`."""
        from ._models import ScoreModel

        spec = NetworkSpec.from_plain(plain["spec"])
        stream, scale, interaction = plain["stream"], plain["scale"], plain["interaction"]
        if interaction is not None:
            from ._interaction import FittedInteraction

            interaction = FittedInteraction.from_plain(interaction)
        return cls(
            network=unpack_network(plain["network"], spec),
            spec=spec,
            columns=ModalityColumns(**plain["columns"]),
            scaler=ColumnScaler.from_state(plain["scaler"]),
            prior_outputs=plain["prior_outputs"],
            scale=None if scale is None else Scale(**scale),
            score_models={n: ScoreModel(*model) for n, model in plain["score_models"].items()},
            interaction=interaction,
            history=frame_from_plain(plain["history"]),
            modality_weights=plain["modality_weights"],
            converged=plain["converged"],
            stream=None if stream is None else StreamState(**stream),
        )


class FusionRun:
    """Rows that are run through a fitted network; what is read of them is in the user's order.

    Each method runs the network, a chunk of rows at a time, in float64.
    """

    def __init__(self, fitted: FittedFusion, X: np.ndarray, device: str):
        self._fitted, self._X = fitted, X
        self._device = choose_device(device)
        columns = fitted.columns
        self.present = find_present(X, columns.groups, columns.labels)  # (n, m)

    def outputs(self, fallback_name: str, *, members: bool = False) -> np.ndarray:
        """Compute the outputs of the network (n, k).

        Those of numbers are clipped to what `Scale` allows. Rows without any modality, or with an
        output that is not finite, get the prior outputs, with a warning that calls them
        ``fallback_name``. With ``members`` the outputs are those of each member of an ensemble
        (n, n_members, k).
        """
        outputs = self._evaluate(
            lambda network, values, weights: network.logits(weights, values), members=members
        )
        outputs = self._clip(outputs.astype(np.float64))
        interaction = self._fitted.interaction
        if interaction is not None and interaction.models:
            added = self._read_mixture(interaction.predict)
            outputs = outputs * interaction.network_coefficient
            outputs = self._clip(outputs + (added[:, None] if members else added))
        empty = self.without_modality
        broken = ~np.isfinite(outputs).reshape(len(outputs), -1).all(1) & ~empty
        for is_lacking, lack in ((empty, "no modality that counts"), (broken, "no finite output")):
            if is_lacking.any():
                warn_user(
                    f"{is_lacking.sum()} of {len(empty)} rows have {lack} (the first is row "
                    f"{is_lacking.argmax()}); their prediction is {fallback_name}.",
                )
                outputs[is_lacking] = self._fitted.prior_outputs
        return outputs

    def outputs_of_each(self) -> np.ndarray:
        """Compute the outputs of each modality alone (n, m, k); NaN where it is missing."""
        outputs = self._evaluate(
            lambda network, values, weights: network.logits_of_each(values), alone=True
        )
        outputs = self._clip(outputs.astype(np.float64))
        outputs = self._fitted.columns.to_user(outputs, axis=1)
        outputs[~self.present] = np.nan
        return outputs

    def contributions(self) -> np.ndarray:
        """Split the outputs by modality (n, m, k); with an interaction its part comes last.

        Of an output that is clipped all parts are multiplied by the same factor; 0 where an output
        is not finite.
        """
        contributions = self._evaluate(
            lambda network, values, weights: network.contributions(weights, values)
        )
        contributions = self._fitted.columns.to_user(contributions, axis=1).astype(np.float64)
        contributions = self._clip_sum(contributions)
        interaction = self._fitted.interaction
        if interaction is None:
            return contributions
        parts = self._fitted.parts_to_user(self._read_mixture(interaction.split), axis=1)
        parts[self.without_modality] = 0.0
        parts[:, :-1] += interaction.network_coefficient * contributions
        return self._clip_sum(parts)

    def _clip(self, outputs: np.ndarray) -> np.ndarray:
        """Clip outputs (..., k) that stand for numbers; others stay."""
        return outputs if self._fitted.scale is None else self._fitted.scale.clip(outputs)

    def _clip_sum(self, parts: np.ndarray) -> np.ndarray:
        """Multiply parts (n, m, k) by what clips their sum over modalities."""
        total = parts.sum(1, keepdims=True)
        clipped = self._clip(total)
        factor = np.divide(clipped, total, out=np.ones_like(total), where=clipped != total)
        return np.where(np.isfinite(clipped), parts * factor, 0.0)

    def _read_mixture(self, read: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Call ``read(z)`` for each chunk of rows as models of all columns read them."""
        fitted = self._fitted
        assert fitted.interaction is not None
        positions = np.concatenate(list(fitted.columns.network_groups.values()))
        present = fitted.columns.to_network(self.present, axis=1)
        results = []
        for start in range(0, len(self._X), PREDICTION_ROWS):
            rows = slice(start, start + PREDICTION_ROWS)
            if fitted.interaction.reducer is None:
                z = self._X[rows][:, as_slice(positions)]
            else:
                scaler = fitted.interaction.scaler or fitted.scaler
                x = scaler.transform(self._X, rows, positions)
                z = fitted.interaction.reducer.transform(x, present[rows])
            results.append(read(z))
        return np.concatenate(results)

    def fused(self) -> np.ndarray:
        """Compute what the rule makes of the modalities (n, q)."""
        return self._evaluate(lambda network, values, weights: network.fuse(weights, values))

    def row_weights(self) -> np.ndarray:
        """Compute the weights of each row (n, m), or of each class (n, m, k)."""
        weights = self._evaluate(lambda network, values, weights: weights)
        return self._fitted.columns.to_user(weights, axis=1)

    @property
    def without_modality(self) -> np.ndarray:
        """Which rows have no modality with a weight above 0 (n,)."""
        has_weight = self._fitted.network.has_weight.cpu().numpy()
        return ~np.any(self.present[:, self._fitted.columns.to_user(has_weight)], axis=1)

    def _evaluate(
        self,
        read: Callable[[FusionNetwork, Tensor, Tensor], Tensor],
        *,
        alone: bool = False,
        members: bool = False,
    ) -> np.ndarray:
        """Call ``read(network, values, weights)`` for each chunk of rows (n, ...).

        With ``alone`` each value is that of a row that has no other modality. Members of an
        ensemble are averaged, unless they are asked for (n, n_members, ...).
        """
        network = float64_network(self._fitted.network, self._device)
        present = self._fitted.columns.to_network(self.present, axis=1)
        results: np.ndarray | None = None
        for start in range(0, len(self._X), PREDICTION_ROWS):
            rows = slice(start, min(start + PREDICTION_ROWS, len(self._X)))
            x = torch.from_numpy(self._fitted.make_inputs(self._X, rows)).to(self._device)
            has = torch.from_numpy(present[rows]).to(self._device)
            with torch.inference_mode():
                values, weights = network.evaluate(to_float64(x), has, alone=alone)
                result = network.members(read(network, values, weights))  # (e, n, ...)
                chunk = (result.transpose(0, 1) if members else result.mean(0)).cpu().numpy()
            if results is None:
                results = np.empty((len(self._X), *chunk.shape[1:]), dtype=chunk.dtype)
            results[rows] = chunk
        assert results is not None  # X has rows: it was validated
        return results
