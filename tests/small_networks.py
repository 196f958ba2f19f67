"""Networks of two modalities, and how they are trained, without an estimator around them."""

import torch
from nested_settings import RULES

from skmm._torch.perceptrons import PerceptronSpec
from skmm._torch.solvers import TrainingSettings
from skmm._torch.tasks import Task
from skmm._torch.tensors import TrainingTensors
from skmm.datasets import make_multimodal_classification
from skmm.fusion._architecture import NetworkSpec, build_network
from skmm.fusion._cross_fitting import Learned, Split
from skmm.fusion._objective import FusionObjective


def make_spec(
    fusion="late",
    *,
    n_features=(3, 2),
    n_outputs=(6,),
    hidden_layer_sizes=(4,),
    dropout=0.0,
    modality_heads=True,
    **others,
):
    """Return what a network is built from, its rule with the default parameters."""
    rule = next(rule for rule in RULES if rule.name == fusion)
    perceptron = PerceptronSpec(hidden_layer_sizes, "relu", dropout, 0.4 * dropout)
    return NetworkSpec(
        list(n_features),
        list(n_outputs),
        fusion,
        rule().get_params(),
        [perceptron] * len(n_features),
        modality_heads,
        **others,
    )


def make_network(fusion="late", **parameters):
    """Build a network with equal weights of its modalities, always the same one."""
    spec = make_spec(fusion, **parameters)
    torch.manual_seed(0)
    m = len(spec.n_features)
    return build_network(spec, torch.full((m,), 1 / m))


def make_training(fusion="late", **settings):
    """Return what `train` takes: 400 rows of which the last quarter is held out, and no dropout."""
    X, y = make_multimodal_classification(
        400, n_features=(10, 10), n_classes=3, informativeness=(0.7, 0.4), random_state=0
    )
    rows = TrainingTensors(
        torch.tensor(X.to_numpy()),
        torch.ones(400, 2, dtype=torch.bool),
        torch.from_numpy(y)[:, None],
        torch.ones(400),
    )
    network = make_network(fusion, n_features=(10, 10), n_outputs=(3,), hidden_layer_sizes=(32,))
    split = Split(
        torch.arange(300), [torch.arange(150), torch.arange(150, 300)], torch.arange(300, 400)
    )
    tasks = [Task("multiclass", slice(0, 3), slice(0, 1), 1.0)]
    objective = FusionObjective({0: 0.3, 1: 0.3}, {}, None, tasks)
    given = {
        "solver": "adamw",
        "learning_rate_init": 0.02,
        "weight_decay": 0.0,
        "batch_size": 30,
        "max_iter": 100,
        "tol": 1e-4,
        "n_iter_no_change": 5,
    }
    learned = Learned(alpha=True, scale=fusion == "late", calibration=False)
    return network, rows, split, objective, TrainingSettings(**{**given, **settings}), learned
