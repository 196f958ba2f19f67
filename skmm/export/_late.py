"""A fitted `LateFusionClassifier` as an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._estimators import convert_predictor, fill_missing, place_errors
from ._fusion import Output, label_of
from ._graph import Graph
from ._mixture import align_classes


def convert_late_fusion(graph: Graph, model: Any, X: str) -> list[Output]:
    """Add the classifiers and their weighted average, from rows ``X`` (n, d) in float32."""
    labels = list(getattr(model, "feature_names_in_", range(model.n_features_in_)))
    k = len(model.classes_)
    total = weights = ""
    for name, columns in model.modalities_.items():
        estimator, alpha = model.named_estimators_[name], model.modality_weights_[name]
        positions = np.array([labels.index(column) for column in columns])
        block = graph.cast(graph.take(X, positions), np.float64)
        is_nan = graph.cast(graph.node("IsNaN", block), np.int64)
        is_missing = graph.cast(
            graph.node("ReduceMin", is_nan, np.array([1]), attributes={"keepdims": 1}), np.bool_
        )  # (n, 1)
        zeros = fill_missing(graph, block, 0.0)
        x = graph.node("Where", is_missing, zeros, block)
        with place_errors(f"The estimator of modality {name!r}"):
            proba = convert_predictor(graph, estimator, x, len(positions))
        proba = align_classes(graph, np.searchsorted(model.classes_, estimator.classes_), proba, k)
        weight = graph.node("Where", is_missing, 0.0, np.float64(alpha))
        weighted = graph.node("Mul", proba, weight)
        total = graph.node("Add", total, weighted) if total else weighted
        weights = graph.node("Add", weights, weight) if weights else weight
    is_counted = graph.node("Greater", weights, 0.0)
    average = graph.node("Div", total, graph.node("Where", is_counted, weights, 1.0))
    proba = graph.node("Where", is_counted, average, np.asarray(model.class_prior_, dtype=float))
    label, dtype = label_of(graph, proba, model.classes_)
    return [
        Output(label, "label", dtype, ()),
        Output(graph.cast(proba, np.float32), "probabilities", np.float32, (k,)),
    ]
