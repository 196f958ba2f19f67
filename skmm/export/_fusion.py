"""A fitted fusion estimator as an ONNX graph: from rows of features to what it predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._estimators import clip, fill_missing, place_errors
from ._graph import Graph
from ._mixture import convert_mixture, convert_scores
from ._network import export_network

if TYPE_CHECKING:
    from ..fusion._fitted import FittedFusion

LABELS = {"b": np.bool_, "i": np.int64, "u": np.int64, "f": np.float64}  # by the kind of classes


class Output(NamedTuple):
    """A value of a graph that is an output of the model."""

    value: str
    name: str
    dtype: Any
    shape: tuple[int, ...]  # of one row


class Presence(NamedTuple):
    """What rows have, modalities in the network's order."""

    present: str  # (n, m)
    missing: str  # (n, m)
    is_valid: str  # (n, 1) whether skmm would accept the row


def convert_fusion(graph: Graph, estimator: Any, X: str) -> list[Output]:
    """Add all that predicting takes, from rows ``X`` (n, d) in float32."""
    fitted: FittedFusion = estimator._fitted
    presence = _find_present(graph, fitted, X, estimator.n_features_in_)
    outputs = _compute_outputs(graph, fitted, X, presence)
    targets = getattr(estimator, "_targets", None)
    if targets is None:
        scale = fitted.target_scale
        values = graph.node("Add", graph.node("Mul", outputs, scale.spread), scale.centre)
        values = _blank_invalid(graph, values, presence)
        if not estimator._is_flat:
            return [Output(values, "prediction", np.float64, (len(scale.centre),))]
        return [Output(graph.node("Squeeze", values, [1]), "prediction", np.float64, ())]
    if targets.kind == "labels":
        proba = _blank_invalid(graph, graph.node("Sigmoid", outputs), presence)
        labels = graph.cast(graph.node("Greater", outputs, 0.0), np.int64)
        k = len(targets.classes)
        return [
            Output(labels, "label", np.int64, (k,)),
            Output(graph.cast(proba, np.float32), "probabilities", np.float32, (k,)),
        ]
    if targets.kind == "classes":
        return _read_classes(graph, outputs, targets.classes, presence, "")
    found: list[Output] = []
    start = 0
    for i, classes in enumerate(targets.classes):
        logits = graph.take(outputs, np.arange(start, start + len(classes)))
        found += _read_classes(graph, logits, classes, presence, f"_{i}")
        start += len(classes)
    return found


def _read_classes(
    graph: Graph, logits: str, classes: np.ndarray, presence: Presence, suffix: str
) -> list[Output]:
    proba = graph.node("Softmax", logits, attributes={"axis": 1})
    proba = graph.cast(_blank_invalid(graph, proba, presence), np.float32)
    label, dtype = label_of(graph, logits, classes)
    return [
        Output(label, f"label{suffix}", dtype, ()),
        Output(proba, f"probabilities{suffix}", np.float32, (len(classes),)),
    ]


def label_of(graph: Graph, scores: str, classes: np.ndarray) -> tuple[str, Any]:
    """Find the class with the highest of the scores (n, k); also return the type of classes."""
    if classes.dtype.kind in LABELS:
        dtype = LABELS[classes.dtype.kind]
    elif all(isinstance(value, str) for value in classes.tolist()):
        dtype = np.object_
    else:
        raise TypeError(
            f"The classes {classes.tolist()[:5]} are of a type that ONNX has not: fit with classes "
            "that are all strings or all numbers."
        )
    best = graph.node("ArgMax", scores, attributes={"axis": 1, "keepdims": 0})
    return graph.node("Gather", classes.astype(dtype), best), dtype


def _find_present(graph: Graph, fitted: FittedFusion, X: str, n_features: int) -> Presence:
    """Find which modalities rows have, and which rows are as skmm accepts them."""
    groups = fitted.columns.network_groups
    belongs = np.zeros((n_features, len(groups)), dtype=np.float32)
    for i, columns in enumerate(groups.values()):
        belongs[columns, i] = 1
    is_nan = graph.cast(graph.node("IsNaN", X), np.float32)
    counts = graph.node("MatMul", is_nan, belongs)  # (n, m) of columns that are NaN
    missing = graph.node("Equal", counts, belongs.sum(0))
    is_whole = graph.node("Or", missing, graph.node("Equal", counts, np.float32(0)))
    broken = graph.cast(graph.node("Not", is_whole), np.int64)
    infinite = graph.cast(graph.node("IsInf", X), np.int64)
    n_wrong = graph.join([broken, infinite])
    is_wrong = graph.node("ReduceMax", n_wrong, np.array([1]), attributes={"keepdims": 1})
    is_valid = graph.node("Equal", is_wrong, np.int64(0))
    return Presence(graph.node("Not", missing), missing, is_valid)


def _blank_invalid(graph: Graph, values: str, presence: Presence) -> str:
    """Put NaN into rows that skmm would not accept."""
    return graph.node("Where", presence.is_valid, values, np.float64(np.nan))


def _compute_outputs(graph: Graph, fitted: FittedFusion, X: str, presence: Presence) -> str:
    """Compute outputs (n, k), as `FusionRun.outputs`."""
    x = _make_inputs(graph, fitted, X, presence)
    network = export_network(fitted.network)
    outputs = _clip_outputs(graph, fitted, graph.inline(network, [x, presence.present])[0])
    interaction = fitted.interaction
    if interaction is not None and interaction.models:
        z = _make_mixture_rows(graph, fitted, X, presence)
        with place_errors("interaction"):
            added = convert_mixture(graph, interaction, z, presence.missing)
        scaled = graph.node("Mul", outputs, np.float64(interaction.network_coefficient))
        outputs = _clip_outputs(graph, fitted, graph.node("Add", scaled, added))
    has_weight = fitted.network.has_weight.cpu().numpy()
    counted = graph.cast(graph.node("And", presence.present, has_weight), np.int64)
    n_counted = graph.node("ReduceSum", counted, np.array([1]), attributes={"keepdims": 1})
    bad = graph.node("Or", graph.node("IsNaN", outputs), graph.node("IsInf", outputs))
    n_bad = graph.node(
        "ReduceSum", graph.cast(bad, np.int64), np.array([1]), attributes={"keepdims": 1}
    )
    is_good = graph.node(
        "And",
        graph.node("Greater", n_counted, np.int64(0)),
        graph.node("Equal", n_bad, np.int64(0)),
    )
    return graph.node("Where", is_good, outputs, np.asarray(fitted.prior_outputs, dtype=float))


def _clip_outputs(graph: Graph, fitted: FittedFusion, outputs: str) -> str:
    scale = fitted.scale
    if scale is None:
        return outputs
    # Not-finite outputs are found before they are clipped to something finite.
    finite = graph.node("Sub", outputs, outputs)  # 0, or NaN
    return graph.node("Add", clip(graph, outputs, scale.lowest, scale.highest), finite)


def _make_inputs(graph: Graph, fitted: FittedFusion, X: str, presence: Presence) -> str:
    """Compute what the network reads, in float64: as `FittedFusion.make_inputs`."""
    groups = fitted.columns.network_groups
    if not fitted.score_models:
        return _scale(graph, fitted.scaler, X, np.concatenate(list(groups.values())))
    blocks = []
    for i, (name, columns) in enumerate(groups.items()):
        model = fitted.score_models.get(name)
        if model is None:
            blocks.append(_scale(graph, fitted.scaler, X, columns))
            continue
        is_present = graph.take(presence.present, [i])  # (n, 1)
        x = fill_missing(graph, graph.cast(graph.take(X, columns), np.float64), 0.0)
        with place_errors(f"modality_model of {name!r}"):
            scores = convert_scores(graph, model, x, len(columns))
        blocks.append(graph.node("Where", is_present, scores, 0.0))
    return graph.join(blocks)


def _scale(graph: Graph, scaler: Any, X: str, columns: np.ndarray) -> str:
    """Scale columns, rounded to float32 as `ColumnScaler.transform` does, and 0 for NaN."""
    mean = scaler.mean_[columns]
    x = fill_missing(graph, graph.cast(graph.take(X, columns), np.float64), mean)
    x = clip(graph, x, scaler.lowest_[columns], scaler.highest_[columns])
    scaled = graph.node("Div", graph.node("Sub", x, mean), scaler.scale_[columns])
    return graph.cast(graph.cast(scaled, np.float32), np.float64)


def _make_mixture_rows(graph: Graph, fitted: FittedFusion, X: str, presence: Presence) -> str:
    """Compute rows as models of all columns read them (n, q), NaN where a modality is missing."""
    interaction = fitted.interaction
    assert interaction is not None
    groups = fitted.columns.network_groups
    reducer = interaction.reducer
    if reducer is None:
        columns = np.concatenate(list(groups.values()))
        return graph.cast(graph.take(X, columns), np.float64)
    scaler = interaction.scaler or fitted.scaler
    blocks = []
    parts = zip(groups.values(), reducer.means, reducer.components, strict=True)
    for i, (columns, mean, components) in enumerate(parts):
        block = _scale(graph, scaler, X, columns)
        if mean is not None and components is not None:
            centred = graph.node("Sub", block, mean.astype(float))
            reduced = graph.node("MatMul", centred, components.T.astype(float))
            reduced = graph.cast(graph.cast(reduced, np.float32), np.float64)
            block = graph.join([reduced, block]) if reducer.keeps_columns else reduced
        is_present = graph.take(presence.present, [i])
        blocks.append(graph.node("Where", is_present, block, np.float64(np.nan)))
    return graph.join(blocks)
