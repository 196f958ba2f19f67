"""What `FusionTextGenerator.fit` is asked for: its parameters, resolved and checked together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from .._data.columns import ModalityColumns
from .._data.persistence import describe_value
from .._data.weights import resolve_modality_weights
from .._hyperparameters import AdamW, SolverDefaults

if TYPE_CHECKING:
    from .._torch.solvers import TrainingSettings

FROM_NOTHING = SolverDefaults(
    learning_rate_init=0.002, weight_decay=0.1, max_iter=30, batch_size=(16, 128)
)
PRETRAINED = SolverDefaults(
    learning_rate_init=0.0003, weight_decay=0.01, max_iter=10, batch_size=(8, 32)
)
SOURCE = "source"  # the name of the source text among those of modalities
PRIOR = "prior"  # of what is likely before anything of a row is known
PATIENCE = 5  # epochs, where solver is "adamw"
# Parameters that say nothing of what is learned.
INCIDENTAL = {"checkpoint", "device", "num_beams", "random_state", "transformer", "verbose"}


class TextTransformer(BaseEstimator):
    """A small Transformer that writes texts, trained from nothing, as a decoder.

    It reads the fused modalities and, where there is a source text, its subwords, all of which see
    each other, and writes subword after subword [1]_. Its subwords are learned from the texts
    [2]_, in any script.

    Parameters
    ----------
    n_layers : int, default=2
        The number of layers.
    width : int, default=128
        The length of each vector; a multiple of ``n_heads``.
    n_heads : int, default=4
        The number of heads of attention.
    dropout : float, default=0.2
        The share of values that are left out in training, in [0, 1).
    vocabulary_size : int, default=2000
        The number of subwords; more where the texts have more characters.

    See Also
    --------
    FusionTextGenerator : Takes it as ``decoder``.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention is all you need", NeurIPS 2017.
    .. [2] R. Sennrich, B. Haddow, A. Birch, "Neural machine translation of rare words with subword
       units", ACL 2016.

    Examples
    --------
    >>> from skmm.generation import FusionTextGenerator, TextTransformer
    >>> generator = FusionTextGenerator(decoder=TextTransformer(n_layers=1, width=64))
    >>> generator.set_params(decoder__dropout=0.3).decoder
    TextTransformer(dropout=0.3, n_layers=1, width=64)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "vocabulary_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_layers: int = 2,
        width: int = 128,
        n_heads: int = 4,
        *,
        dropout: float = 0.2,
        vocabulary_size: int = 2000,
    ):
        self.n_layers = n_layers
        self.width = width
        self.n_heads = n_heads
        self.dropout = dropout
        self.vocabulary_size = vocabulary_size

    def _check(self) -> None:
        """Raise if a parameter is out of range."""
        self._validate_params()
        if self.width % self.n_heads:
            raise ValueError(
                f"width={self.width} is no multiple of n_heads={self.n_heads}; each head has a "
                "share of it."
            )


@dataclass(frozen=True)
class GenerationSettings:
    """The parameters of a generator, resolved; modalities in the network's order."""

    decoder: TextTransformer | str | None  # a str is the name or folder of a model
    alpha: np.ndarray | None  # of the inputs, (m,) or (m + 1,) with the source; None: learned
    modality_dropout: float
    prefix_length: int
    n_neighbors: int
    finetune: str | None
    num_beams: int
    max_new_tokens: int | None
    solver: AdamW
    checkpoint: str | os.PathLike | None
    random_state: int | np.random.RandomState | None
    device: str
    verbose: bool
    identity: dict[str, str]  # what a checkpoint has to agree with

    @property
    def holds_out(self) -> bool:
        """Whether rows are held out: to end training, or to learn how much the decoder counts."""
        return self.decoder is not None and (self.solver.early_stopping or self.n_neighbors > 0)

    def training(self, n_rows: int) -> TrainingSettings:
        """Return plain numbers for training on ``n_rows`` rows."""
        defaults = PRETRAINED if isinstance(self.decoder, str) else FROM_NOTHING
        return self.solver._training_settings(n_rows, defaults, self.modality_dropout, self.verbose)


def resolve_settings(generator, columns: ModalityColumns) -> GenerationSettings:
    """Resolve the parameters of a `FusionTextGenerator`.

    Raises
    ------
    ValueError
        If one of them, or of an object among them, cannot be used; it is named.
    """
    decoder = _resolve_decoder(generator.decoder)
    if decoder is None and generator.neighbors == 0:
        raise ValueError(
            "With decoder=None and neighbors=0 nothing writes texts: set neighbors to 1 or more, "
            'or decoder to "transformer".'
        )
    if generator.finetune is not None and not isinstance(decoder, str):
        raise ValueError(
            f"finetune={generator.finetune!r} adapts a pretrained decoder, and decoder="
            f"{generator.decoder!r} is none: give the name or the folder of one."
        )
    return GenerationSettings(
        decoder=decoder,
        alpha=_resolve_weights(generator, columns),
        modality_dropout=float(generator.modality_dropout),
        prefix_length=int(generator.prefix_length),
        n_neighbors=int(generator.neighbors),
        finetune=generator.finetune,
        num_beams=int(generator.num_beams),
        max_new_tokens=generator.max_new_tokens,
        solver=_resolve_solver(generator.solver),
        checkpoint=generator.checkpoint,
        random_state=generator.random_state,
        device=generator.device,
        verbose=bool(generator.verbose),
        identity=describe_parameters(generator, columns.names),
    )


def _resolve_weights(generator, columns: ModalityColumns) -> np.ndarray | None:
    """Return fixed weights of the inputs in the network's order, the source text last."""
    if generator.modality_weights is None:
        return None
    m = len(columns.names)
    names = [*columns.names, *([SOURCE] if generator.source is not None else [])]
    alpha = resolve_modality_weights(generator.modality_weights, names)
    return np.concatenate([columns.to_network(alpha[:m]), alpha[m:]])


def describe_parameters(generator, names: Sequence[str]) -> dict[str, str]:
    """Return the parameters that decide what is learned, equal ones as equal strings."""
    parameters = {
        **generator.get_params(deep=False),
        "decoder": _resolve_decoder(generator.decoder),
        "modalities": list(names),
        "solver": _resolve_solver(generator.solver),
    }
    return {n: describe_value(value) for n, value in parameters.items() if n not in INCIDENTAL}


def _resolve_decoder(decoder) -> TextTransformer | str | None:
    """Return the settings that "transformer" stands for, or a model's name, checked."""
    if decoder is None:
        return None
    if isinstance(decoder, str | os.PathLike):
        name = os.fspath(decoder)
        return TextTransformer() if name == "transformer" else name
    decoder._check()
    return decoder


def _resolve_solver(solver: str | AdamW) -> AdamW:
    """Return the settings that a name stands for, checked."""
    if isinstance(solver, str):
        return AdamW(early_stopping=True, n_iter_no_change=PATIENCE)
    solver._validate_params()
    if solver.calibrate is not None:
        raise ValueError(
            f"solver has calibrate={solver.calibrate!r}, and FusionTextGenerator takes "
            "calibrate=None alone: there are no logits of classes."
        )
    return solver
