"""Which parameters of the fusion estimators go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._tasks import Task

FUSIONS = ("late", "weighted", "concat", "additive", "gated", "attention", "bilinear")
SCORE_FUSIONS = ("late", "additive")  # they fuse the scores of each modality
WEIGHTED_FUSIONS = ("late", "weighted", "concat", "gated")  # alpha has a meaning
EXACT_FUSIONS = ("late", "weighted", "additive", "gated")  # a logit is a sum of modalities' parts


def learns_weights(parameters: Mapping[str, Any]) -> bool:
    """Whether alpha is learned, by cross-fitting."""
    is_learned = parameters["modality_weights"] in (None, "per_class")
    return is_learned and parameters["fusion"] in WEIGHTED_FUSIONS


def check_combination(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that contradict each other, naming both.

    Raises
    ------
    ValueError
        If they do, or ``hidden_layer_sizes`` holds anything but positive integers.
    """
    fusion = parameters["fusion"]
    sizes = np.atleast_1d(parameters["hidden_layer_sizes"])
    if len(sizes) and (sizes.ndim > 1 or sizes.dtype.kind not in "iu" or sizes.min() < 1):
        raise ValueError(
            "hidden_layer_sizes must hold positive integers, "
            f"got {parameters['hidden_layer_sizes']!r}."
        )
    if len(sizes) == 0 and fusion not in SCORE_FUSIONS:
        raise ValueError(
            "hidden_layer_sizes=() leaves each modality as wide as it came, and "
            f'fusion="{fusion}" needs the same width for all: give at least one hidden layer.'
        )
    allowed = (None, "uniform") if fusion == "additive" else (None,)
    if fusion not in WEIGHTED_FUSIONS and parameters["modality_weights"] not in allowed:
        raise ValueError(
            f'fusion="{fusion}" has no weights to set, so modality_weights must be '
            f"{' or '.join(map(repr, allowed))}, got {parameters['modality_weights']!r}. "
            f"Those with weights are {WEIGHTED_FUSIONS}."
        )
    if parameters["modality_weights"] == "per_class" and fusion != "late":
        raise ValueError(
            'modality_weights="per_class" weighs the scores of each class, which only '
            f'fusion="late" does, got fusion="{fusion}".'
        )
    _check_sharing(parameters, n_layers=len(sizes))
    if parameters["n_ensembles"] > 1 and fusion in ("attention", "bilinear"):
        raise ValueError(
            f'fusion="{fusion}" cannot train several members at once, and n_ensembles='
            f"{parameters['n_ensembles']}. Average classifiers of several random_state, with "
            "VotingClassifier, or take n_ensembles=1."
        )
    if parameters["guard"] and parameters["warm_start"]:
        raise ValueError(
            "guard=True may fit another model than the one that warm_start=True goes on with: set "
            "one of them to False."
        )
    if parameters["solver"] == "lbfgs":
        _check_full_batch(parameters, n_layers=len(sizes))


def check_losses(
    parameters: Mapping[str, Any], lambda_: np.ndarray, gamma: np.ndarray, tasks: Sequence[Task]
) -> None:
    """Refuse weights of the loss terms that contradict another parameter, naming both.

    Raises
    ------
    ValueError
        If predictions of modalities are to agree that nothing teaches to predict, or that are no
        probabilities.
    """
    if parameters["modality_weights"] == "per_class" and [t.kind for t in tasks] != ["multiclass"]:
        raise ValueError(
            'modality_weights="per_class" needs y to be one column of classes; for '
            "labels or several targets take modality_weights=None."
        )
    if (
        parameters["sharing"] == "representation"
        and parameters["fusion"] not in SCORE_FUSIONS
        and not lambda_.any()
    ):
        raise ValueError(
            'sharing="representation" has each modality read by one head, and with '
            f'fusion="{parameters["fusion"]}" only modality_loss_weight asks the head to read them '
            "one by one: give at least one modality a weight above 0."
        )
    if parameters["balance"] is not None and len(lambda_) > 1:
        _check_balance(parameters, lambda_)
    numbers = [task.kind for task in tasks if task.kind not in ("multiclass", "multilabel")]
    if parameters["alignment"] == "kl" and numbers and gamma.any():
        raise ValueError(
            'alignment="kl" compares probabilities, and alignment_weight is not 0, but y holds '
            f'numbers (loss="{numbers[0]}"): take alignment="mse".'
        )
    aligned = (gamma > 0).any(0) | (gamma > 0).any(1)
    untaught = aligned & (lambda_ == 0) & (parameters["fusion"] not in SCORE_FUSIONS)
    if parameters["alignment"] == "kl" and untaught.any():
        raise ValueError(
            'alignment="kl" compares the predictions of each modality on its own, and with '
            f'fusion="{parameters["fusion"]}" only modality_loss_weight teaches a modality to '
            "predict: give each modality that is aligned one above 0."
        )


def _check_sharing(parameters: Mapping[str, Any], n_layers: int) -> None:
    """Refuse to share what there is not."""
    sharing, fusion = parameters["sharing"], parameters["fusion"]
    if sharing is None:
        return
    alone = ("concat",) if sharing != "representation" else ("concat", "attention", "bilinear")
    if fusion in alone:
        what = "layers" if fusion == "concat" else "head that reads one modality alone"
        raise ValueError(
            f'sharing="{sharing}" does not go with fusion="{fusion}": there a modality has no '
            f"{what} that it could share."
        )
    if sharing == "layers" and n_layers < 2:
        raise ValueError(
            'sharing="layers" leaves each modality its own first layer and needs a second one to '
            f"share, got hidden_layer_sizes={parameters['hidden_layer_sizes']!r}."
        )
    if n_layers == 0:
        raise ValueError(
            "hidden_layer_sizes=() leaves each modality as wide as it came, and "
            f'sharing="{sharing}" needs the same width for all: give at least one hidden layer.'
        )


def _check_balance(parameters: Mapping[str, Any], lambda_: np.ndarray) -> None:
    """Refuse to balance what has no loss of its own, or has no steps."""
    if parameters["solver"] == "lbfgs":
        raise ValueError(
            f"balance={parameters['balance']!r} changes the step sizes of gradient descent, and "
            'solver="lbfgs" takes one step for all: set balance=None.'
        )
    if np.size(parameters["hidden_layer_sizes"]) == 0:
        raise ValueError(
            f"balance={parameters['balance']!r} slows down the hidden layers of a modality, and "
            "hidden_layer_sizes=() leaves none: set balance=None."
        )
    if (lambda_ == 0).any():
        raise ValueError(
            f"balance={parameters['balance']!r} compares the losses of the modalities, and "
            "modality_loss_weight is 0 for at least one: give each a number above 0."
        )


def _check_full_batch(parameters: Mapping[str, Any], n_layers: int) -> None:
    """Refuse what makes the loss another function at each step, or too coarse a one."""
    if parameters["precision"] != "float32":
        raise ValueError(
            f'solver="lbfgs" computes in float64, and precision={parameters["precision"]!r} is for '
            'solver="adamw": set precision="float32".'
        )
    drops = [name for name in ("dropout", "modality_dropout") if parameters[name]]
    if not n_layers and "dropout" in drops:
        drops.remove("dropout")  # there are no hidden units that it could leave out
    if drops:
        raise ValueError(
            f'solver="lbfgs" minimises one fixed function, and {drops[0]}='
            f"{parameters[drops[0]]} makes it another one at each step: set {drops[0]}=0, or take "
            'solver="adamw".'
        )


def check_stream(parameters: Mapping[str, Any]) -> None:
    """Refuse what `partial_fit` cannot do, one batch at a time."""
    for name, given, why in [
        ("solver", parameters["solver"] == "lbfgs", "which needs all rows at once"),
        ("early_stopping", parameters["early_stopping"], "for which no rows are held out"),
        ("class_weight", parameters.get("class_weight") == "balanced", "for which all are counted"),
        ("n_ensembles", parameters["n_ensembles"] > 1, "whose members are trained in fit alone"),
    ]:
        if given:
            raise ValueError(
                f"partial_fit does not go with {name}={parameters[name]!r}, {why}: use fit, or "
                f"another {name}."
            )
