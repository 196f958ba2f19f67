"""Estimators of scikit-learn as parts of an ONNX graph, in float64."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from .._data.reduction import BOUND, BoundedScaler, PiecewiseLinearEncoder, QuantileBinner
from .._optional import import_optional
from ._graph import OPSETS, Graph
from ._trees import convert_trees, is_tree_model

PURPOSE = "skmm.export.to_onnx of an estimator of scikit-learn"


@contextmanager
def place_errors(place: str) -> Iterator[None]:
    """Let errors of what is not converted say where in the model it stands."""
    try:
        yield
    except TypeError as e:
        raise TypeError(f"{place}: {e}") from e


def convert_predictor(graph: Graph, estimator: Any, x: str, n_columns: int) -> str:
    """Compute probabilities (n, k) or predictions (n, 1) of rows (n, n_columns) in float64.

    Raises
    ------
    TypeError
        If the estimator cannot be converted; it says which and why.
    """
    if isinstance(estimator, Pipeline):
        steps, last = estimator.steps[:-1], estimator[-1]
        binner = steps[-1][1] if steps and isinstance(steps[-1][1], QuantileBinner) else None
        if binner is not None and is_tree_model(last):
            x, _ = convert_steps(graph, steps[:-1], x, n_columns)
            return convert_trees(graph, last, x, binner.edges_)
        x, n_columns = convert_steps(graph, steps, x, n_columns)
        return convert_predictor(graph, last, x, n_columns)
    if is_tree_model(estimator):
        return convert_trees(graph, estimator, x)
    if is_classifier(estimator):
        return _by_skl2onnx(graph, estimator, x, n_columns, {id(estimator): {"zipmap": False}})
    predicted = _by_skl2onnx(graph, estimator, x, n_columns, None)
    return graph.node("Reshape", predicted, np.array([-1, 1]))


def convert_steps(
    graph: Graph, steps: list[tuple[str, Any]], x: str, n_columns: int
) -> tuple[str, int]:
    """Compute what steps of a pipeline make of rows, and how many columns that has."""
    for _, transformer in steps:
        if transformer in (None, "passthrough"):
            continue
        x = _convert_transformer(graph, transformer, x, n_columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # columns without names
            n_columns = transformer.transform(np.zeros((1, n_columns))).shape[1]
    return x, n_columns


def _convert_transformer(graph: Graph, transformer: Any, x: str, n_columns: int) -> str:
    if isinstance(transformer, Pipeline):
        return convert_steps(graph, transformer.steps, x, n_columns)[0]
    if isinstance(transformer, BoundedScaler):
        return _convert_bounded_scaler(graph, transformer, x)
    if isinstance(transformer, PiecewiseLinearEncoder):
        return _convert_piecewise_linear_encoder(graph, transformer, x)
    return _by_skl2onnx(graph, transformer, x, n_columns, None)


def clip(graph: Graph, x: str, low: Any, high: Any) -> str:
    """Clip values to float64 ends, which are one number or one for each column."""
    return graph.node("Min", graph.node("Max", x, np.float64(low)), np.float64(high))


def fill_missing(graph: Graph, x: str, values: Any) -> str:
    """Put ``values`` in the place of NaN."""
    return graph.node("Where", graph.node("IsNaN", x), np.float64(values), x)


def _convert_bounded_scaler(graph: Graph, scaler: BoundedScaler, x: str) -> str:
    x = fill_missing(graph, x, scaler.mean_)
    centred = graph.node("Sub", x, scaler.mean_.astype(float))
    scaled = graph.node("Div", centred, scaler.scale_.astype(float))
    return clip(graph, scaled, -BOUND, BOUND)


def _convert_piecewise_linear_encoder(graph: Graph, encoder: PiecewiseLinearEncoder, x: str) -> str:
    x = graph.take(fill_missing(graph, x, encoder.mean_), encoder.columns_)
    above = graph.node("Sub", x, encoder.starts_.astype(float))
    return clip(graph, graph.node("Div", above, encoder.widths_.astype(float)), 0, 1)


def _by_skl2onnx(graph: Graph, estimator: Any, x: str, n_columns: int, options: Any) -> str:
    """Inline what skl2onnx makes of an estimator, in float64 where it can be run."""
    types = import_optional("skl2onnx.common.data_types", extra="export", purpose=PURPOSE)
    skl2onnx = import_optional("skl2onnx", extra="export", purpose=PURPOSE)
    runtime = import_optional("onnxruntime", extra="export", purpose=PURPOSE)
    errors = []
    for dtype, tensor in (np.float64, types.DoubleTensorType), (np.float32, types.FloatTensorType):
        try:
            model = skl2onnx.to_onnx(
                estimator,
                initial_types=[("X", tensor([None, n_columns]))],
                target_opset=OPSETS,
                options=options,
            )
            runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        except Exception as e:  # of any kind: what skl2onnx or onnxruntime cannot do
            errors.append(e)
            continue
        outputs = graph.inline(model, [graph.cast(x, dtype)])
        return graph.cast(outputs[-1], np.float64)
    reason = str(errors[0]).strip().splitlines()[0][:200]
    raise TypeError(
        f"{type(estimator).__name__} cannot be exported, for skl2onnx does not convert it "
        f"({type(errors[0]).__name__}: {reason}). Choose another estimator, or pickle the model."
    ) from errors[0]
