"""The defaults and options that are switched, each with what it is compared with."""

from typing import NamedTuple

from skmm import LBFGS, MLP, AdamW
from skmm.fusion import Late

DEFAULT = "default"
NETWORK = "network"  # alone, which is the base of its options
SEVERAL, CLASSES = "several modalities", "classes"


class Option(NamedTuple):
    """What is changed in the parameters of ``base``, another option."""

    parameters: dict
    base: str | None = NETWORK
    needs: tuple = ()  # of a table, for the option to mean something


def find_traits(table, features):
    """Return which of the needs of options a table meets."""
    n_modalities = features.columns.str.split("__").str[0].nunique()
    is_met = {SEVERAL: n_modalities > 1, CLASSES: not table.is_regression}
    return {trait for trait, met in is_met.items() if met}


def merge_parameters(name):
    """Return the parameters of an option and of all that it is based on."""
    option = OPTIONS[name]
    base = {} if option.base is None else merge_parameters(option.base)
    return base | option.parameters


CALIBRATE = {"solver": AdamW(calibrate="temperature")}

OPTIONS = {
    DEFAULT: Option({}, base=None),
    NETWORK: Option({"interaction": None}, base=DEFAULT),
    "weighted": Option({"fusion": "weighted"}, needs=(SEVERAL,)),
    "calibrate": Option(CALIBRATE, needs=(CLASSES,)),
    "weighted calibrate": Option(CALIBRATE, base="weighted", needs=(SEVERAL, CLASSES)),
    "default calibrate": Option(CALIBRATE, base=DEFAULT, needs=(CLASSES,)),
    "modality dropout": Option({"modality_dropout": 0.2}, needs=(SEVERAL,)),
    "uniform": Option({"modality_weights": "uniform"}, needs=(SEVERAL,)),
    "loss weight 0": Option({"modality_loss_weight": 0.0}, needs=(SEVERAL,)),
    "loss weight 1": Option({"modality_loss_weight": 1.0}, needs=(SEVERAL,)),
    "per class": Option({"fusion": Late(per_class=True)}, needs=(SEVERAL, CLASSES)),
    "concat": Option({"fusion": "concat"}, needs=(SEVERAL,)),
    "concat calibrate": Option(CALIBRATE, base="concat", needs=(SEVERAL, CLASSES)),
    "additive": Option({"fusion": "additive"}, needs=(SEVERAL,)),
    "gated": Option({"fusion": "gated"}, needs=(SEVERAL,)),
    "attention": Option({"fusion": "attention"}, needs=(SEVERAL,)),
    "bilinear": Option({"fusion": "bilinear"}, needs=(SEVERAL,)),
    "early stopping": Option({"solver": AdamW(early_stopping=True)}),
    "early stopping calibrate": Option(
        {"solver": AdamW(early_stopping=True, calibrate="temperature")},
        base="early stopping",
        needs=(CLASSES,),
    ),
    "linear": Option({"modality_model": MLP(hidden_layer_sizes=())}),
    "lbfgs": Option({"solver": LBFGS()}, base="linear"),
    "no dropout": Option({"modality_model": MLP(dropout=0)}),
    "members": Option({"modality_model": MLP(n_members=4)}),
    "deep": Option({"modality_model": MLP((256, 256))}),
    "share layers": Option(
        {"modality_model": MLP((256, 256), sharing="layers")}, base="deep", needs=(SEVERAL,)
    ),
    "share parameters": Option({"modality_model": MLP(sharing="parameters")}, needs=(SEVERAL,)),
    "share representation": Option(
        {"modality_model": MLP(sharing="representation")}, needs=(SEVERAL,)
    ),
    "contrastive": Option({"alignment": "contrastive"}, needs=(SEVERAL,)),
    "cosine": Option({"alignment": "cosine"}, needs=(SEVERAL,)),
    "mse": Option({"alignment": "mse"}, needs=(SEVERAL,)),
    "kl": Option({"alignment": "kl"}, needs=(SEVERAL, CLASSES)),
    "correlation": Option({"alignment": "correlation"}, needs=(SEVERAL,)),
}
