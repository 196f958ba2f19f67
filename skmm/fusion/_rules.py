"""The fusion rules: what is summed, and of what the network is made for it.

A rule is an object with its parameters; `RULES` names them all. Its attributes say what goes with
it, and `_build` makes its modules. Another rule is another class in this file and a row of `RULES`.
"""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

if TYPE_CHECKING:
    from torch import nn

    from .._torch.perceptrons import PerceptronSpec


class RuleParts(NamedTuple):
    """The modules of a rule."""

    fuse: nn.Module  # from weights (n, m) and values (n, m, q) to what is fused (n, q)
    head: nn.Module  # from what is fused to logits (n, k)
    gate: nn.Module | None = None  # scores each modality of a row (n, m)


class RuleSizes(NamedTuple):
    """The sizes that a rule's modules are built from."""

    n_modalities: int
    width: int  # of a representation f_i
    n_outputs: list[int]  # of each task
    spec: PerceptronSpec
    n_members: int

    @property
    def k(self) -> int:
        """The number of outputs of all tasks."""
        return sum(self.n_outputs)


class FusionRule(BaseEstimator):
    """What the fusion rules have in common; take one of them.

    Examples
    --------
    >>> from skmm.fusion import FusionRule, Late
    >>> isinstance(Late(), FusionRule)
    True
    """

    name: ClassVar[str]
    fuses_scores: ClassVar[bool] = False  # of each modality; otherwise its representation
    has_weights: ClassVar[bool] = True  # alpha
    normalizes: ClassVar[bool] = True  # what is weighted
    is_exact: ClassVar[bool] = True  # a logit is a sum of contributions of the modalities
    learns_scale: ClassVar[bool] = False  # of the fused scores, on rows that no f_i has seen
    reads_inputs: ClassVar[bool] = False  # f_i is the first layer of one network, and linear
    shares_head: ClassVar[bool] = True  # one head can read each modality, too
    takes_ensembles: ClassVar[bool] = True
    weighs_rows: ClassVar[bool] = False  # by what is in them, beside alpha
    per_class: bool = False  # whether alpha is one number for each class
    _parameter_constraints: ClassVar[dict] = {}

    @abstractmethod
    def _build(self, sizes: RuleSizes) -> RuleParts:
        """Make the modules of the rule, drawing head, gate and what fuses in this order."""


class Late(FusionRule):
    """Late fusion: the scores of each modality, weighted, with one scale and a bias per class.

    Parameters
    ----------
    per_class : bool, default=False
        Whether alpha, where it is learned, is one number for each modality and class; y is one
        column of classes then. A class has weights of its own as far as its rows prove them.

    Examples
    --------
    >>> from skmm import FusionClassifier
    >>> from skmm.fusion import Late
    >>> FusionClassifier(Late(per_class=True)).fusion
    Late(per_class=True)
    """

    name = "late"
    fuses_scores = True
    learns_scale = True
    _parameter_constraints: ClassVar[dict] = {"per_class": ["boolean"]}

    def __init__(self, *, per_class: bool = False):
        self.per_class = per_class

    def _build(self, sizes: RuleSizes) -> RuleParts:
        """Make the modules of the rule."""
        from .._torch import fusing

        return RuleParts(fusing.WeightedSum(), fusing.TemperatureHead(sizes.n_outputs))


class Weighted(FusionRule):
    """The representation of each modality, weighted; one linear layer reads their sum.

    Examples
    --------
    >>> from skmm import FusionClassifier
    >>> from skmm.fusion import Weighted
    >>> model = FusionClassifier(Weighted())  # the same as FusionClassifier("weighted")
    """

    name = "weighted"

    def _build(self, sizes: RuleSizes) -> RuleParts:
        """Make the modules of the rule."""
        from .._torch import fusing

        return RuleParts(fusing.WeightedSum(), _linear_head(sizes))


class Concat(FusionRule):
    """One network on all columns side by side; what is weighted adds to its first layer.

    Examples
    --------
    >>> from skmm import FusionClassifier
    >>> from skmm.fusion import Concat
    >>> model = FusionClassifier(Concat())  # the same as FusionClassifier("concat")
    """

    name = "concat"
    is_exact = False
    reads_inputs = True
    shares_head = False

    def _build(self, sizes: RuleSizes) -> RuleParts:
        """Make the modules of the rule."""
        from .._torch import fusing
        from .._torch.perceptrons import make_following_layers

        head = make_following_layers(sizes.spec, sizes.k, sizes.n_members)
        return RuleParts(fusing.WeightedSum(), head)


class Additive(FusionRule):
    """The scores of each modality as they are, neither normalised nor weighted.

    A generalised additive model of the modalities: ``m / m_present`` times the sum over those of
    the m that a row has.

    Examples
    --------
    >>> from skmm import FusionClassifier
    >>> from skmm.fusion import Additive
    >>> model = FusionClassifier(Additive())  # the same as FusionClassifier("additive")
    """

    name = "additive"
    fuses_scores = True
    has_weights = False
    normalizes = False

    def _build(self, sizes: RuleSizes) -> RuleParts:
        """Make the modules of the rule."""
        from .._torch import fusing

        return RuleParts(fusing.WeightedSum(), fusing.SumHead(sizes.n_modalities, sizes.k))


class Gated(FusionRule):
    """As weighted, by weights that depend on the row (Arevalo et al. 2017).

    Alpha times scores that a small network reads from all representations of the row.

    Examples
    --------
    >>> from skmm import FusionClassifier
    >>> from skmm.fusion import Gated
    >>> model = FusionClassifier(Gated())  # the same as FusionClassifier("gated")
    """

    name = "gated"
    weighs_rows = True

    def _build(self, sizes: RuleSizes) -> RuleParts:
        """Make the modules of the rule."""
        from .._torch import fusing

        head = _linear_head(sizes)  # drawn first
        dropout = sizes.spec.dropout
        gate = fusing.Gate(sizes.n_modalities, sizes.width, dropout, sizes.n_members)
        return RuleParts(fusing.WeightedSum(), head, gate)


class Attention(FusionRule):
    """One token for each modality, one layer of a Transformer encoder, the mean of the tokens.

    Parameters
    ----------
    n_heads : int, default=4
        The number of attention heads; the greatest common divisor with the width is taken.

    Examples
    --------
    >>> from skmm import FusionClassifier
    >>> from skmm.fusion import Attention
    >>> FusionClassifier(Attention(n_heads=2)).fusion
    Attention(n_heads=2)
    """

    name = "attention"
    has_weights = False
    is_exact = False
    shares_head = False
    takes_ensembles = False
    _parameter_constraints: ClassVar[dict] = {
        "n_heads": [Interval(Integral, 1, None, closed="left")]
    }

    def __init__(self, *, n_heads: int = 4):
        self.n_heads = n_heads

    def _build(self, sizes: RuleSizes) -> RuleParts:
        """Make the modules of the rule."""
        from .._torch import fusing

        head = _linear_head(sizes)  # drawn first
        dropout = sizes.spec.dropout
        fuse = fusing.AttentionFusion(sizes.n_modalities, sizes.width, dropout, self.n_heads)
        return RuleParts(fuse, head)


class Bilinear(FusionRule):
    """Products of the representations, of low rank (Liu et al. 2018).

    Each factor is bounded by tanh, and a product of any number of them by 16.

    Parameters
    ----------
    rank : int, default=4
        The number of products that are averaged.

    Examples
    --------
    >>> from skmm import FusionClassifier
    >>> from skmm.fusion import Bilinear
    >>> FusionClassifier(Bilinear(rank=8)).fusion
    Bilinear(rank=8)
    """

    name = "bilinear"
    has_weights = False
    is_exact = False
    shares_head = False
    takes_ensembles = False
    _parameter_constraints: ClassVar[dict] = {"rank": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, *, rank: int = 4):
        self.rank = rank

    def _build(self, sizes: RuleSizes) -> RuleParts:
        """Make the modules of the rule."""
        from .._torch import fusing

        head = _linear_head(sizes)  # drawn first
        dropout = sizes.spec.dropout
        fuse = fusing.BilinearFusion(sizes.n_modalities, sizes.width, dropout, self.rank)
        return RuleParts(fuse, head)


RULES: dict[str, type[FusionRule]] = {
    rule.name: rule for rule in (Late, Weighted, Concat, Additive, Gated, Attention, Bilinear)
}


def resolve_rule(fusion: str | FusionRule) -> FusionRule:
    """Return the rule that a name stands for, its parameters checked.

    Raises
    ------
    ValueError
        If the rule is not in the table, from which a saved network is built again.
    """
    rule = RULES[fusion]() if isinstance(fusion, str) else fusion
    if type(rule) not in RULES.values():
        raise ValueError(
            f"fusion must be one of {[*RULES]} or an object of one of these rules, got {rule!r}: a "
            "rule of another class is not in skmm.fusion._rules.RULES."
        )
    rule._validate_params()
    return rule


def names_of(attribute: str) -> tuple[str, ...]:
    """Return the names of the rules that have an attribute, for a message."""
    return tuple(name for name, rule in RULES.items() if getattr(rule, attribute))


def _linear_head(sizes: RuleSizes) -> nn.Module:
    from torch import nn

    from .._torch.layers import Dropout, make_linear

    linear = make_linear(sizes.n_members, sizes.width, sizes.k)
    return nn.Sequential(Dropout(sizes.spec.dropout), linear)
