"""What fit is asked for: the problem, which is X and y as arrays, and the settings.

Settings are the parameters, resolved against the modalities and checked together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from .._data.columns import ModalityColumns, find_present
from .._data.persistence import describe_value
from .._data.weights import (
    resolve_alignment_weight,
    resolve_modality_loss_weight,
    resolve_modality_weights,
)
from .._hyperparameters import LBFGS, MLP, AdamW, SolverDefaults, resolve_solver
from .._torch.tasks import Task
from ._models import check_score_model, resolve_models
from ._rules import FusionRule, names_of, resolve_rule

if TYPE_CHECKING:
    from .._torch.perceptrons import PerceptronSpec
    from .._torch.solvers import TrainingSettings

N_DIGITS = 12  # to which normalised weights are equal
INCIDENTAL = {"checkpoint", "device", "random_state", "verbose"}  # predict depends on none of them
DEFAULTS = SolverDefaults(
    learning_rate_init=0.005, weight_decay=0.5, max_iter=40, batch_size=(16, 256)
)


class FusionProblem(NamedTuple):
    """Rows of X and y as validated, before any is selected or scaled; they live for one fit.

    Modalities are in the network's order.
    """

    X: np.ndarray  # (n, n_columns), NaN where a modality is missing
    target: np.ndarray  # (n, t) class numbers, -1 where not known; or values, NaN where not known
    weight: np.ndarray  # (n,)
    present: np.ndarray  # (n, m) which modalities each row has
    columns: ModalityColumns
    tasks: Sequence[Task]
    target_names: Sequence
    prior_outputs: np.ndarray  # (k,) what is predicted for a row without any modality
    groups: np.ndarray | None = None  # (n,) group labels: held-out rows are whole groups

    @property
    def is_numeric(self) -> bool:
        """Whether y holds numbers, which are scaled before they are learned."""
        return self.tasks[0].is_numeric

    @property
    def network_columns(self) -> np.ndarray:
        """The positions of all modalities' columns, in the network's order."""
        return np.concatenate(list(self.columns.network_groups.values()))


def make_problem(
    X: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    columns: ModalityColumns,
    tasks: Sequence[Task],
    target_names: Sequence,
    prior_outputs: np.ndarray,
    groups: np.ndarray | None = None,
) -> FusionProblem:
    """Find out which modalities each row has.

    Raises
    ------
    ValueError
        If a modality is NaN in some of its columns only.
    """
    present = columns.to_network(find_present(X, columns.groups, columns.labels), axis=1)
    return FusionProblem(
        X, target, weight, present, columns, tasks, target_names, prior_outputs, groups
    )


@dataclass(frozen=True)
class FusionSettings:
    """The parameters of a fusion estimator, resolved; modalities in the network's order."""

    rule: FusionRule
    models: dict[str, BaseEstimator]  # f_i: an MLP or another estimator
    alpha: np.ndarray  # (m,) fixed, or where learning starts
    learns_alpha: bool
    modality_loss_weight: np.ndarray  # (m,) lambda
    alignment: str | None
    alignment_weight: np.ndarray  # (m, m) gamma
    modality_dropout: float
    interaction: str | BaseEstimator | None  # f_inter, which reads all columns
    solver: AdamW | LBFGS
    random_state: int | np.random.RandomState | None
    device: str
    checkpoint: str | os.PathLike | None
    verbose: bool
    identity: Mapping[str, str]  # the parameters that the result depends on, as strings

    @property
    def fixed_alpha(self) -> np.ndarray | None:
        """alpha, if it is not learned."""
        return None if self.learns_alpha else self.alpha

    @property
    def mlp(self) -> MLP:
        """The perceptron whose settings of the network as a whole are taken."""
        return next((model for model in self.models.values() if isinstance(model, MLP)), MLP())

    @property
    def perceptrons(self) -> list[PerceptronSpec | None]:
        """What each f_i is built from; None for the scores of an estimator."""
        return [m._spec() if isinstance(m, MLP) else None for m in self.models.values()]

    @property
    def score_models(self) -> dict[str, BaseEstimator]:
        """The modalities whose f_i is an estimator of scikit-learn."""
        return {name: m for name, m in self.models.items() if not isinstance(m, MLP)}

    def training(self, n_rows: int) -> TrainingSettings:
        """Return plain numbers for training on ``n_rows`` rows."""
        return self.solver._training_settings(
            n_rows, DEFAULTS, self.modality_dropout, bool(self.verbose)
        )

    def start_weights(self, tasks: Sequence[Task]) -> np.ndarray:
        """Return alpha (m,), or of classes (m, k), as it is fixed or where learning starts."""
        if not self.rule.per_class:
            return self.alpha
        return np.repeat(self.alpha[:, None], tasks[0].n_outputs, axis=1)


def resolve_settings(estimator, columns: ModalityColumns, tasks: Sequence[Task]) -> FusionSettings:
    """Resolve the parameters of a fusion estimator.

    Raises
    ------
    ValueError
        If one names an unknown modality, or two contradict each other; it names both.
    """
    names = columns.names
    models = resolve_models(estimator.modality_model, names)
    rule = resolve_rule(estimator.fusion)
    gamma = _resolve_gamma(estimator, names)
    lambda_ = resolve_modality_loss_weight(estimator.modality_loss_weight, names)
    lambda_ = np.where([isinstance(models[name], MLP) for name in names], lambda_, 0.0)
    settings = FusionSettings(
        rule=rule,
        models={name: models[name] for name in columns.network_names},
        alpha=columns.to_network(resolve_modality_weights(estimator.modality_weights, names)),
        learns_alpha=estimator.modality_weights is None and rule.has_weights,
        modality_loss_weight=columns.to_network(lambda_),
        alignment=estimator.alignment,
        alignment_weight=columns.to_network(columns.to_network(gamma, axis=0), axis=1),
        modality_dropout=estimator.modality_dropout,
        interaction=resolve_interaction(estimator),
        solver=resolve_solver(estimator.solver),
        random_state=estimator.random_state,
        device=estimator.device,
        checkpoint=estimator.checkpoint,
        verbose=estimator.verbose,
        identity={
            **describe_parameters(estimator, names),
            "modalities": describe_groups(columns.groups),
        },
    )
    _check_rule(estimator, settings, tasks)
    _check_models(settings, tasks)
    _check_sharing(settings)
    _check_solver(settings, tasks)
    _check_alignment(settings, tasks)
    return settings


def resolve_interaction(estimator) -> str | BaseEstimator | None:
    """Return f_inter, or "auto"; None where it is not wanted."""
    interaction = estimator.interaction
    if isinstance(interaction, str):
        is_late = resolve_rule(estimator.fusion).name == "late"
        return interaction if is_late and estimator.modality_weights is None else None
    return interaction


def describe_parameters(estimator, names: Sequence[str]) -> dict[str, str]:
    """Return the parameters that predictions depend on, equal ones as equal strings.

    One value for all modalities, and a dict of such, are equal. All but ``modalities``: widths,
    slices and names may say the same, and only with the columns of X do they say what.
    """
    models = resolve_models(estimator.modality_model, names)
    alpha, lambda_, gamma = (
        dict(zip(names, array.round(N_DIGITS), strict=True))
        for array in (
            resolve_modality_weights(estimator.modality_weights, names),
            resolve_modality_loss_weight(estimator.modality_loss_weight, names),
            _resolve_gamma(estimator, names),
        )
    )
    parameters = {
        **estimator.get_params(deep=False),
        "fusion": resolve_rule(estimator.fusion),
        "solver": resolve_solver(estimator.solver),
        "modality_model": {
            name: model._canonical() if isinstance(model, MLP) else model
            for name, model in models.items()
        },
        "modality_weights": None if estimator.modality_weights is None else alpha,
        "modality_loss_weight": lambda_,
        "alignment_weight": gamma,
    }
    left_out = {*INCIDENTAL, "modalities"}
    return {n: describe_value(value) for n, value in parameters.items() if n not in left_out}


def describe_groups(groups: Mapping[str, np.ndarray]) -> str:
    """Return which columns each modality has, in the order of the modalities, as a string."""
    return describe_value(list(groups.items()))


def _resolve_gamma(estimator, names: Sequence[str]) -> np.ndarray:
    gamma = resolve_alignment_weight(estimator.alignment_weight, names)
    return gamma if estimator.alignment is not None else np.zeros_like(gamma)


def _check_rule(estimator, settings: FusionSettings, tasks: Sequence[Task]) -> None:
    """Raise if the rule does not go with weights or the kind of target."""
    rule, name = settings.rule, settings.rule.name
    allowed = (None, "uniform") if rule.fuses_scores else (None,)
    if not rule.has_weights and estimator.modality_weights not in allowed:
        raise ValueError(
            f'fusion="{name}" has no weights to set, so modality_weights must be '
            f"{' or '.join(map(repr, allowed))}, got {estimator.modality_weights!r}. "
            f"Those with weights are {names_of('has_weights')}."
        )
    if rule.per_class and estimator.modality_weights is not None:
        raise ValueError(
            "fusion=Late(per_class=True) learns the weights of each class, so modality_weights "
            f"must be None, got {estimator.modality_weights!r}."
        )
    if rule.per_class and [task.kind for task in tasks] != ["multiclass"]:
        raise ValueError(
            "fusion=Late(per_class=True) needs y to be one column of classes; for labels, several "
            "targets or numbers take Late()."
        )


def _check_models(settings: FusionSettings, tasks: Sequence[Task]) -> None:
    """Raise if the models f_i do not go with the rule, or with each other."""
    rule, mlps = settings.rule, [m for m in settings.models.values() if isinstance(m, MLP)]
    if settings.interaction is not None and not isinstance(settings.interaction, str):
        check_score_model("interaction", settings.interaction, numeric=tasks[0].is_numeric)
    for name, model in settings.score_models.items():
        check_score_model(f"modality_model of {name!r}", model, numeric=tasks[0].is_numeric)
        if not rule.fuses_scores:
            raise ValueError(
                f"modality_model of {name!r} is a {type(model).__name__}, of which only scores can "
                f'be fused, and fusion="{rule.name}" fuses representations: take one of '
                f"{names_of('fuses_scores')}."
            )
    for parameter in ("n_members", "sharing"):
        if len({getattr(model, parameter) for model in mlps}) > 1:
            raise ValueError(
                f"modality_model has perceptrons with different {parameter}, which is of the "
                "network as a whole: set it to the same for all."
            )
    sizes = {model._spec().hidden_layer_sizes for model in mlps}
    if () in sizes and not rule.fuses_scores:
        raise ValueError(
            "MLP(hidden_layer_sizes=()) leaves each modality as wide as it came, and "
            f'fusion="{rule.name}" needs the same width for all: give it at least one hidden layer.'
        )
    has_pairs = settings.alignment not in (None, "kl") and settings.alignment_weight.any()
    if len({size[-1:] for size in sizes}) > 1 and (has_pairs or not rule.fuses_scores):
        raise ValueError(
            "modality_model has perceptrons whose last layers differ in width, "
            f"{sorted(sizes)}, and what is fused or aligned needs the same width for all."
        )
    if len(sizes) > 1 and rule.reads_inputs:
        raise ValueError(
            f'fusion="{rule.name}" is one network of all modalities: modality_model must have the '
            f"same hidden_layer_sizes for all, got {sorted(sizes)}."
        )
    if settings.mlp.n_members > 1 and not rule.takes_ensembles:
        raise ValueError(
            f'fusion="{rule.name}" cannot train several members at once, and modality_model is '
            f"MLP(n_members={settings.mlp.n_members}). Average classifiers of several "
            "random_state, with VotingClassifier, or take n_members=1."
        )
    if settings.mlp.n_members > 1 and settings.score_models:
        raise ValueError(
            "modality_model has estimators beside perceptrons, which are "
            f"MLP(n_members={settings.mlp.n_members}): take n_members=1."
        )


def _check_sharing(settings: FusionSettings) -> None:
    """Raise if there is nothing to share, or nothing that uses what is shared."""
    sharing, rule = settings.mlp.sharing, settings.rule
    if sharing is None:
        return
    specs = {m._spec() if isinstance(m, MLP) else None for m in settings.models.values()}
    if len(specs) > 1:
        raise ValueError(
            f'MLP(sharing="{sharing}") needs one and the same MLP for all modalities as '
            "modality_model."
        )
    if rule.reads_inputs or (sharing == "representation" and not rule.shares_head):
        what = "layers" if rule.reads_inputs else "head that reads one modality alone"
        raise ValueError(
            f'MLP(sharing="{sharing}") does not go with fusion="{rule.name}": there a modality has '
            f"no {what} that it could share."
        )
    sizes = settings.mlp._spec().hidden_layer_sizes
    if sharing == "layers" and len(sizes) < 2:
        raise ValueError(
            'MLP(sharing="layers") leaves each modality its own first layer and needs a second one '
            f"to share, got hidden_layer_sizes={settings.mlp.hidden_layer_sizes!r}."
        )
    if not sizes:
        raise ValueError(
            "MLP(hidden_layer_sizes=()) leaves each modality as wide as it came, and "
            f'sharing="{sharing}" needs the same width for all: give it at least one hidden layer.'
        )
    lambda_ = settings.modality_loss_weight
    if sharing == "representation" and not rule.fuses_scores and not lambda_.any():
        raise ValueError(
            'MLP(sharing="representation") has each modality read by one head, and with '
            f'fusion="{rule.name}" only modality_loss_weight asks the head to read them '
            "one by one: give at least one modality a weight above 0."
        )


def _check_solver(settings: FusionSettings, tasks: Sequence[Task]) -> None:
    """Raise if the solver does not go with the target or the models."""
    solver = settings.solver
    if solver.calibrate and tasks[0].is_numeric:
        raise ValueError(
            f"AdamW(calibrate={solver.calibrate!r}) scales logits, and y holds numbers: set "
            "calibrate=None."
        )
    if isinstance(solver, LBFGS):
        _check_full_batch(settings)


def _mlps(settings: FusionSettings) -> list[MLP]:
    return [model for model in settings.models.values() if isinstance(model, MLP)]


def _check_full_batch(settings: FusionSettings) -> None:
    """Raise if something makes the loss another function at each step."""
    drops = [("modality_dropout", settings.modality_dropout, "modality_dropout=0")]
    for model in _mlps(settings):
        spec = model._spec()
        if spec.hidden_layer_sizes:  # without hidden units there are none to leave out
            fix = "modality_model=MLP(dropout=0, input_dropout=0)"
            drops += [("dropout", spec.dropout, fix), ("input_dropout", spec.input_dropout, fix)]
    for name, rate, fix in sorted(drops):
        if rate:
            raise ValueError(
                f'solver="lbfgs" minimises one fixed function, and {name}={rate} makes it another '
                f'one at each step: set {fix}, or take solver="adamw".'
            )


def _check_alignment(settings: FusionSettings, tasks: Sequence[Task]) -> None:
    """Raise if modalities are to be aligned that have no representation, or predict nothing."""
    gamma, rule = settings.alignment_weight, settings.rule
    aligned = np.any((gamma > 0) | (gamma.T > 0), axis=0)
    for name, is_aligned in zip(settings.models, aligned, strict=True):
        if is_aligned and name in settings.score_models:
            raise ValueError(
                f"alignment brings the layers of modalities together, and the modality_model of "
                f"{name!r} is an estimator: give alignment_weight as a dict of pairs without it."
            )
    if settings.alignment != "kl":
        return
    if tasks[0].is_numeric and gamma.any():
        raise ValueError(
            'alignment="kl" compares probabilities, and alignment_weight is not 0, but y holds '
            f'numbers (loss="{tasks[0].kind}"): take alignment="mse".'
        )
    untaught = aligned & (settings.modality_loss_weight == 0) & (not rule.fuses_scores)
    if untaught.any():
        raise ValueError(
            'alignment="kl" compares the predictions of each modality on its own, and with '
            f'fusion="{rule.name}" only modality_loss_weight teaches a modality to '
            "predict: give each modality that is aligned one above 0."
        )


def check_stream(estimator, settings: FusionSettings) -> None:
    """Raise on what `partial_fit` cannot do, one batch at a time."""
    solver, n_members = settings.solver, settings.mlp.n_members
    for given, is_wrong, why in [
        ('solver="lbfgs"', isinstance(solver, LBFGS), "which needs all rows at once"),
        ("AdamW(early_stopping=True)", solver.early_stopping, "for which no rows are held out"),
        (
            'class_weight="balanced"',
            estimator.class_weight == "balanced",
            "for which all rows are counted",
        ),
        (f"MLP(n_members={n_members})", n_members > 1, "whose members are trained in fit alone"),
    ]:
        if is_wrong:
            raise ValueError(f"partial_fit does not go with {given}, {why}: use fit, or leave it.")
