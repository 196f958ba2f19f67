"""Training a fusion network in memory: tensors in, losses out.

First, networks are trained on all folds of the rows but one. On the rows that a network has not
seen, alpha, the temperature of late fusion and the penalty of a missing modality are learned
(cross-fitting). Then the network itself is trained on all rows, with these fixed. On its own
training rows a modality looks the better the more it can memorise: 200 columns of noise would get
their share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.std import tqdm

from .._progress import progress_bar, shorten
from .._torch.checkpoint import Checkpoint
from .._torch.fusing import TemperatureHead
from .._torch.layers import copy_to_members
from .._torch.loop import EpochLoop, History, warn_of_interrupt
from .._torch.processes import sum_over_processes
from .._torch.solvers import TrainingSettings
from .._torch.tensors import TrainingTensors, to_float64
from .._warnings import warn_user
from ._network import FusionNetwork
from ._objective import FusionObjective, unseen_logits
from ._weights import OutOfFold, learn_calibration, learn_weights

CROSS_FIT_STEPS = 120  # of training without a fold
CROSS_FIT_SHARES = (0.2, 0.5)  # of the epochs, at least and at most
WEIGHING_ROWS = 5000  # of each fold, at most


class Split(NamedTuple):
    """Which rows are used for what, as positions; in an order that the data determine."""

    fitting: Tensor  # trained on
    folds: list[Tensor]  # a partition of these, for cross-fitting
    held_out: Tensor | None  # for early stopping


class Learned(NamedTuple):
    """What is learned on rows that no network was trained on."""

    alpha: bool
    scale: bool  # of late fusion
    calibration: bool
    interaction: bool = False

    @property
    def needs_folds(self) -> bool:
        """Whether rows have to be held out."""
        return self.alpha or self.scale or self.calibration or self.interaction


class TrainedFold(NamedTuple):
    """A network that has not seen the rows of a fold, and what it computes of them."""

    network: FusionNetwork
    unseen: OutOfFold
    terms: list[list[float]]  # of the loss, after each epoch


class Training(NamedTuple):
    """What comes of training a network, beside the network."""

    history: History
    out_of_fold: Tensor | None  # (n, k) logits of rows by networks that have not seen them
    is_whole: bool  # False after an interrupt


def train(
    network: FusionNetwork,
    rows: TrainingTensors,
    split: Split,
    objective: FusionObjective,
    settings: TrainingSettings,
    learned: Learned,
    checkpoint: Checkpoint | None = None,
) -> Training:
    """Train ``network`` in place, from where ``checkpoint`` says that the fit had stopped."""
    calibrate_later = learned.calibration and split.held_out is not None and not learned.interaction
    learned = learned._replace(calibration=learned.calibration and not calibrate_later)
    if not learned.calibration:  # an earlier fit has learned it of other rows
        network.calibration.log_scale.zero_()
    folds = split.folds if learned.needs_folds and len(split.folds) > 1 else []
    n_short = count_cross_fit_epochs(settings, sum_over_processes(len(split.fitting)))
    n_epochs = settings.max_iter + n_short * len(folds)
    dtype, used = network.modality_weights.dtype, rows
    if settings.solver == "lbfgs":  # which ends early where a float32 cannot show progress
        used = rows._replace(x=to_float64(rows.values), weight=to_float64(rows.weight))
        network.to(used.values.dtype)
    loop: EpochLoop | None = None
    trained: list[TrainedFold] = []
    out_of_fold, is_whole = None, True
    with progress_bar(desc="fusion", total=n_epochs, verbose=settings.verbose) as bar:
        try:
            if folds and not (checkpoint and checkpoint.find(len(folds))):
                trained_on = 1 - 1 / len(folds)  # as many steps in an epoch as with all rows
                short = settings._replace(
                    max_iter=n_short, batch_size=math.ceil(settings.batch_size * trained_on)
                )
                for fold in train_folds(network, used, folds, objective, short, bar, checkpoint):
                    trained.append(fold)
                out_of_fold = learn_of_folds(
                    network, trained, used, folds, objective, learned, checkpoint
                )
            elif checkpoint and folds:
                shorten(bar, n_short * len(folds))
                if learned.interaction:
                    out_of_fold = checkpoint.results[0]["out_of_fold"]
            loop = EpochLoop(network, used, split.fitting, split.held_out, objective, settings)
            loop.run(bar, checkpoint, len(folds))
        except KeyboardInterrupt:
            is_whole = False
            if loop is not None and loop.history.terms:
                warn_of_interrupt(len(loop.history.terms), settings.max_iter)
            elif trained:
                keep_first_fold(network, trained, objective, learned)
                _warn_of_interrupted_folds(trained, len(folds))
            else:
                raise
    if loop is None or not loop.history.terms:
        history = History(trained[0].terms, [])
    else:
        history = loop.history._replace(converged=loop.converged)
    network.to(dtype)
    network.store_statistics(rows, split.fitting)
    if calibrate_later and split.held_out is not None:
        logits = torch.cat(list(unseen_logits(network, rows, split.held_out)))
        target, weight = rows.target[split.held_out], rows.weight[split.held_out]
        learn_calibration(network, logits, target, weight, objective.tasks)
    return Training(history, out_of_fold, is_whole)


def count_cross_fit_epochs(settings: TrainingSettings, n_rows: int) -> int:
    """Return the number of epochs with which networks are trained on all folds but one.

    As many as take `CROSS_FIT_STEPS`: later ones change little in what unseen rows say.
    """
    n_steps = settings.max_iter * math.ceil(n_rows / settings.batch_size)
    least, most = CROSS_FIT_SHARES
    return max(1, round(settings.max_iter * min(max(CROSS_FIT_STEPS / n_steps, least), most)))


def train_folds(
    network: FusionNetwork,
    rows: TrainingTensors,
    folds: Sequence[Tensor],
    objective: FusionObjective,
    settings: TrainingSettings,
    bar: tqdm,
    checkpoint: Checkpoint | None,
) -> Iterator[TrainedFold]:
    """Train a copy of ``network`` without each fold; of an ensemble, copies of one member.

    If the first one is interrupted, it comes as far as it got before the interrupt is raised.
    """
    single = objective._replace(n_members=1)
    for i, fold in enumerate(folds):
        trained, is_interrupted = network.first_member(), False
        sample = rows.take(fold[:: math.ceil(len(fold) / WEIGHING_ROWS)])
        if checkpoint and i < len(checkpoint.results):
            shorten(bar, settings.max_iter)
            result, device = checkpoint.results[i], sample.weight.device
            trained.eval().load_state_dict(result["network"])
            values, gate_scores = result["values"].to(device), result["gate_scores"].to(device)
            terms = result["terms"]
        else:
            rest = torch.cat([part for j, part in enumerate(folds) if j != i])
            loop = EpochLoop(trained, rows, rest, None, single, settings)
            try:
                loop.run(bar, checkpoint, i)
            except KeyboardInterrupt:
                if i > 0 or not loop.history.terms:
                    raise
                is_interrupted = True
            trained.store_statistics(rows, rest)
            values, gate_scores = evaluate_unseen(trained, sample)
            terms = loop.history.terms
            if checkpoint and not is_interrupted:
                state = trained.state_dict()
                result = {"network": state, "values": values, "gate_scores": gate_scores}
                checkpoint.results.append({**result, "terms": terms})
        data = sample.present, sample.target, sample.weight
        yield TrainedFold(trained, OutOfFold(trained.head, values, gate_scores, *data), terms)
        if is_interrupted:
            raise KeyboardInterrupt


def learn_of_folds(
    network: FusionNetwork,
    trained: Sequence[TrainedFold],
    rows: TrainingTensors,
    folds: Sequence[Tensor],
    objective: FusionObjective,
    learned: Learned,
    checkpoint: Checkpoint | None,
) -> Tensor | None:
    """Set what is learned on unseen rows.

    Returns the logits of the rows of the folds (n, k), if the interaction is learned of them.
    """
    _learn_weights(network, trained, objective, learned)
    logits = None
    if learned.interaction:
        logits = _fold_logits(network, [fold.network for fold in trained], rows, folds)
    if checkpoint:  # the rest of what came of them is in the network
        checkpoint.results = [] if logits is None else [{"out_of_fold": logits}]
    return logits


def keep_first_fold(
    network: FusionNetwork,
    trained: Sequence[TrainedFold],
    objective: FusionObjective,
    learned: Learned,
) -> None:
    """Take the network of the first fold, and what unseen rows of all that are trained say."""
    copy_to_members(trained[0].network, network)
    _learn_weights(network, trained, objective, learned)


def _learn_weights(
    network: FusionNetwork,
    trained: Sequence[TrainedFold],
    objective: FusionObjective,
    learned: Learned,
) -> None:
    samples = [fold.unseen for fold in trained]
    alpha, calibrate = learned.alpha, learned.calibration
    learn_weights(network, samples, objective.tasks, alpha=alpha, calibrate=calibrate)


def _warn_of_interrupted_folds(trained: Sequence[TrainedFold], n_folds: int) -> None:
    warn_user(
        f"Training was interrupted when {len(trained)} of {n_folds} folds were trained, from whose "
        "unseen rows modality weights are learned, and none of the epochs on all rows: the "
        f"estimator has the network of the first fold, after {len(trained[0].terms)} epochs on "
        f"{n_folds - 1} of {n_folds} parts of the rows."
    )


def _fold_logits(
    network: FusionNetwork,
    networks: Sequence[FusionNetwork],
    rows: TrainingTensors,
    folds: Sequence[Tensor],
) -> Tensor:
    """Compute logits of the rows of each fold by its network, with what ``network`` has learned."""
    k = sum(network.calibration.n_outputs.tolist())
    logits = torch.zeros(len(rows.weight), k, dtype=torch.float64, device=rows.weight.device)
    for trained, fold in zip(networks, folds, strict=True):
        trained.modality_weights.copy_(network.modality_weights)
        trained.missing_penalty.copy_(network.missing_penalty)
        trained.calibration.load_state_dict(network.calibration.state_dict())
        if isinstance(trained.head, TemperatureHead) and isinstance(network.head, TemperatureHead):
            with torch.no_grad():
                trained.head.log_scale.copy_(network.head.log_scale)
        logits[fold] = torch.cat(list(unseen_logits(trained, rows, fold))).double()
    return logits


@torch.no_grad()
def evaluate_unseen(network: FusionNetwork, sample: TrainingTensors) -> tuple[Tensor, Tensor]:
    """Compute the values (n, m, q) and gate scores (n, m) of rows, in evaluation mode."""
    network.eval()
    values, _ = network.evaluate(sample.values, sample.present)
    return values, network.gate_scores(sample.present, values)
