"""What `CrossModalAligner.fit` is asked for: its parameters, resolved and checked together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._hyperparameters import MLP, AdamW, SolverDefaults, resolve_solver

if TYPE_CHECKING:
    from .._torch.solvers import TrainingSettings

COLLAPSING = {"cosine", "mse", "kl"}  # which are least where all rows are one point
DEFAULTS = SolverDefaults(
    learning_rate_init=0.0003, weight_decay=0.1, max_iter=20, batch_size=(256, 256)
)


@dataclass(frozen=True)
class AlignmentSettings:
    """The parameters of an aligner, resolved."""

    alignment: str  # "contrastive", "correlation" or "cca"
    modality_model: MLP
    n_components: int  # at most
    regularization: float
    init: str
    temperature: float | None  # None: it is learned
    solver: AdamW
    store_embeddings: bool
    random_state: int | np.random.RandomState | None
    device: str
    verbose: bool

    @property
    def is_closed_form(self) -> bool:
        """Whether nothing is trained."""
        return self.alignment == "cca"

    @property
    def uses_correlations(self) -> bool:
        """Whether the maps are canonical correlations, or start from them."""
        return self.is_closed_form or self.init == "cca"

    @property
    def linear_dropout(self) -> float:
        """The share of the linear maps' inputs that are left out in training."""
        model = self.modality_model
        return float(model.dropout if model.input_dropout is None else model.input_dropout)

    def training(self, n_rows: int) -> TrainingSettings:
        """Return plain numbers for training on ``n_rows`` rows."""
        return self.solver._training_settings(n_rows, DEFAULTS, 0.0, bool(self.verbose))


def resolve_settings(aligner) -> AlignmentSettings:
    """Resolve the parameters of a `CrossModalAligner`.

    Raises
    ------
    ValueError
        If one of them, or of an object among them, cannot be used; it is named.
    """
    if aligner.alignment in COLLAPSING:
        raise ValueError(
            f'alignment="{aligner.alignment}" is least where every row is mapped to one point, '
            'and nothing here keeps rows apart. Take "contrastive", "correlation" or "cca"; in '
            "FusionClassifier, where a target keeps them apart, it is a term among others."
        )
    return AlignmentSettings(
        alignment=aligner.alignment,
        modality_model=_resolve_model(aligner.modality_model),
        n_components=int(aligner.n_components),
        regularization=aligner.regularization,
        init=aligner.init,
        temperature=aligner.temperature,
        solver=_resolve_solver(aligner.solver),
        store_embeddings=aligner.store_embeddings,
        random_state=aligner.random_state,
        device=aligner.device,
        verbose=aligner.verbose,
    )


def _resolve_model(modality_model: str | MLP) -> MLP:
    """Return the perceptron that a name stands for, checked."""
    model = MLP(hidden_layer_sizes=()) if isinstance(modality_model, str) else modality_model
    model._check()
    _check_defaults(
        "modality_model",
        model,
        n_members="one map of each modality is trained, not an ensemble",
        sharing="each modality has a map of its own",
    )
    return model


def _resolve_solver(solver: str | AdamW) -> AdamW:
    """Return the settings that a name stands for, checked."""
    resolved = resolve_solver(solver)
    assert isinstance(resolved, AdamW)
    _check_defaults(
        "solver",
        resolved,
        precision="cosines are compared in it",
        calibrate="there are no logits of classes",
    )
    if resolved.batch_size == 1:
        raise ValueError(
            "solver has batch_size=1, and a row has to find its own among others of its batch: set "
            'batch_size to 2 or more, or to "auto".'
        )
    return resolved


def _check_defaults(parameter: str, value: MLP | AdamW, **reasons: str) -> None:
    """Raise if a parameter of ``value`` that does not apply here is not at its default."""
    defaults = type(value)().get_params()
    for name, reason in reasons.items():
        if getattr(value, name) != defaults[name]:
            raise ValueError(
                f"{parameter} has {name}={getattr(value, name)!r}, and CrossModalAligner takes "
                f"{name}={defaults[name]!r} alone: {reason}."
            )
