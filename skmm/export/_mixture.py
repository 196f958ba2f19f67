"""Scores of estimators, as f_i and as f_inter, as parts of an ONNX graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_regressor

from ._estimators import clip, convert_predictor
from ._graph import Graph

if TYPE_CHECKING:
    from ..fusion._interaction import FittedInteraction
    from ..fusion._models import ScoreModel


def convert_scores(graph: Graph, model: ScoreModel, x: str, n_columns: int) -> str:
    """Compute scores (n, k) of rows (n, n_columns) in float64, as `ScoreModel.predict`."""
    if model.columns is not None:
        x, n_columns = graph.take(x, model.columns), len(model.columns)
    scores = [
        graph.repeat_row(np.asarray(constant, dtype=float), x)
        if estimator is None
        else _convert_target(graph, estimator, x, n_columns, len(constant), model.margin)
        for estimator, constant in zip(model.estimators, model.constants, strict=True)
    ]
    return graph.join(scores)


def _convert_target(
    graph: Graph, estimator: Any, x: str, n_columns: int, k: int, margin: float
) -> str:
    output = convert_predictor(graph, estimator, x, n_columns)
    if is_regressor(estimator):
        return output
    if k == 1:  # a label: the logarithm of its odds
        logs = graph.node("Log", clip(graph, output, margin, 1 - margin))
        return graph.node("MatMul", logs, np.array([[-1.0], [1.0]]))
    proba = align_classes(graph, np.asarray(estimator.classes_, dtype=int), output, k)
    logs = graph.node("Log", clip(graph, proba, margin, 1))
    return graph.node("MatMul", logs, np.eye(k) - 1 / k)  # centred over the classes


def align_classes(graph: Graph, positions: np.ndarray, proba: str, k: int) -> str:
    """Put probabilities of some of ``k`` classes at their positions; the others get 0."""
    return graph.node("MatMul", proba, np.eye(k)[positions])


def convert_mixture(graph: Graph, interaction: FittedInteraction, z: str, missing: str) -> str:
    """Compute the outputs of the mixture (n, k), as `FittedInteraction.predict`.

    ``z`` (n, q) are rows as its models read them, in float64, and ``missing`` (n, m) says which
    modalities they lack. Rows that lack one which no training row has lacked become several, one
    with each row of the background in its place; then all are run at once.
    """
    is_learned = np.asarray(interaction.is_learned, dtype=bool)
    if is_learned.all():
        return _mix(graph, interaction, z)
    assert interaction.background is not None
    unknown = graph.node("And", missing, ~is_learned)  # (n, m)
    lacking = _reduce(graph, "ReduceMax", graph.cast(unknown, np.int64), axis=1)
    is_lacking = graph.cast(lacking, np.bool_)  # (n,)
    is_complete = graph.node("Not", is_lacking)
    first = {"axis": 0}
    complete = graph.node("Compress", z, is_complete, attributes=first)  # (c, q)
    incomplete = graph.node("Compress", z, is_lacking, attributes=first)  # (i, q)
    is_replaced = graph.take(
        graph.node("Compress", unknown, is_lacking, attributes=first),
        np.repeat(np.arange(len(interaction.widths)), interaction.widths),
    )
    middle = np.array([1])
    background = interaction.background.astype(float)  # (b, q)
    crossed = graph.node(
        "Where",
        graph.node("Unsqueeze", is_replaced, middle),
        background[None],
        graph.node("Unsqueeze", incomplete, middle),
    )  # (i, b, q)
    b, q = background.shape
    flat = graph.node("Reshape", crossed, np.array([-1, q]))
    mixed = _mix(graph, interaction, graph.join([complete, flat], axis=0))
    n_complete = graph.node("Shape", complete, attributes={"start": 0, "end": 1})
    of_complete = graph.node("Slice", mixed, np.array([0]), n_complete)
    rest = graph.node("Slice", mixed, n_complete, np.array([np.iinfo(np.int64).max]))
    rest = graph.node("Reshape", rest, np.array([-1, b, interaction.n_outputs]))
    joined = graph.join([of_complete, _reduce(graph, "ReduceMean", rest, axis=1)], axis=0)
    order = graph.join([graph.node("NonZero", is_complete), graph.node("NonZero", is_lacking)])
    places = graph.node("Transpose", order)  # (n, 1)
    return graph.node("ScatterND", graph.node("Mul", joined, 0.0), places, joined)


def _mix(graph: Graph, interaction: FittedInteraction, z: str) -> str:
    total = ""
    for model, coefficient in zip(interaction.models, interaction.coefficients, strict=True):
        scores = convert_scores(graph, model, z, sum(interaction.widths))
        weighted = graph.node("Mul", scores, np.float64(coefficient))
        total = graph.node("Add", total, weighted) if total else weighted
    return total


def _reduce(graph: Graph, operator: str, value: str, axis: int) -> str:
    # In opset 18 axes are an input.
    return graph.node(operator, value, np.array([axis]), attributes={"keepdims": 0})
