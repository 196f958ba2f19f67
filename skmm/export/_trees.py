"""Trees of scikit-learn as ONNX nodes.

skl2onnx converts them too, but sends NaN to the wrong side where trees have learned from rows with
NaN (1.20), as those of an interaction have, and fails on `HistGradientBoosting...` of
scikit-learn 1.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from ._graph import ML, Graph

FORESTS = ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
TREES = DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
BOOSTING = HistGradientBoostingClassifier, HistGradientBoostingRegressor
IDENTITY_LOSSES = "squared_error", "absolute_error", "quantile"


class Nodes(NamedTuple):
    """The nodes of one tree, the root first."""

    feature: np.ndarray  # (n,)
    threshold: np.ndarray  # (n,) what is not larger goes left
    nan_goes_left: np.ndarray  # (n,) boolean
    left: np.ndarray  # (n,) numbers of nodes
    right: np.ndarray  # (n,)
    is_leaf: np.ndarray  # (n,) boolean
    values: np.ndarray  # (n, k) of leaves


def is_tree_model(estimator: Any) -> bool:
    """Return whether `convert_trees` converts an estimator."""
    return type(estimator) in (*FORESTS, *TREES, *BOOSTING)


def convert_trees(
    graph: Graph, estimator: Any, x: str, edges: Sequence[np.ndarray] | None = None
) -> str:
    """Compute probabilities (n, k) or predictions (n, 1), float64, of rows (n, q), float64.

    With ``edges`` the estimator has read not the rows but the number of each value's bin, of which
    these are the edges; thresholds are converted, not the values.
    """
    if type(estimator) in BOOSTING:
        trees = _read_boosting(estimator)
    else:
        members = estimator.estimators_ if type(estimator) in FORESTS else [estimator]
        trees = [_read_tree(tree.tree_, len(members)) for tree in members]
        # These trees compare float32.
        x = graph.cast(graph.cast(x, np.float32), np.float64)
    if edges is not None:
        trees = [_undo_binning(tree, edges) for tree in trees]
    summed = _sum_trees(graph, trees, x)
    return _link(graph, estimator, summed) if type(estimator) in BOOSTING else summed


def _read_tree(tree: Any, n_trees: int) -> Nodes:
    nodes = tree.__getstate__()["nodes"]
    values = tree.value[:, 0]  # of the one target
    if tree.max_n_classes > 1:
        values = values / values.sum(1, keepdims=True)
    return Nodes(
        feature=nodes["feature"],
        threshold=nodes["threshold"],
        nan_goes_left=nodes["missing_go_to_left"] > 0,
        left=nodes["left_child"],
        right=nodes["right_child"],
        is_leaf=nodes["left_child"] < 0,
        values=values / n_trees,
    )


def _read_boosting(estimator: Any) -> list[Nodes]:
    return [
        _read_predictor(predictor.nodes, output, len(predictors), estimator)
        for predictors in estimator._predictors
        for output, predictor in enumerate(predictors)
    ]


def _link(graph: Graph, estimator: Any, summed: str) -> str:
    """Convert what the trees of boosting add up to into probabilities or predictions."""
    baseline = np.reshape(estimator._baseline_prediction, (1, -1)).astype(float)
    raw = graph.node("Add", summed, baseline)
    if isinstance(estimator, HistGradientBoostingClassifier):
        if baseline.shape[1] > 1:
            return graph.node("Softmax", raw, attributes={"axis": 1})
        return graph.join(
            [graph.node("Sigmoid", graph.node("Neg", raw)), graph.node("Sigmoid", raw)]
        )
    return raw if estimator.loss in IDENTITY_LOSSES else graph.node("Exp", raw)


def _undo_binning(tree: Nodes, edges: Sequence[np.ndarray]) -> Nodes:
    """Let a tree read values: as many edges as a bin's number are smaller than what is in it."""
    threshold = tree.threshold.copy()
    for i in np.flatnonzero(~tree.is_leaf):
        column, last = edges[tree.feature[i]], int(np.floor(threshold[i]))
        threshold[i] = column[last] if last < len(column) else np.inf
    return tree._replace(threshold=threshold)


def _read_predictor(nodes: np.ndarray, output: int, n_outputs: int, estimator: Any) -> Nodes:
    if nodes["is_categorical"].any():
        raise TypeError(
            f"{type(estimator).__name__} with categorical_features is not converted: its splits by "
            "category have no counterpart in ONNX. Fit it without them."
        )
    return Nodes(
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        nan_goes_left=nodes["missing_go_to_left"] > 0,
        left=nodes["left"].astype(int),
        right=nodes["right"].astype(int),
        is_leaf=nodes["is_leaf"] > 0,
        values=nodes["value"][:, None] * np.eye(n_outputs)[output],
    )


def _sum_trees(graph: Graph, trees: Sequence[Nodes], x: str) -> str:
    """Sum the values of the leaves that rows (n, q) reach, over trees: (n, k)."""
    sizes = [len(tree.feature) for tree in trees]
    tree_ids = np.repeat(np.arange(len(trees)), sizes)
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    feature, threshold, nan_goes_left, left, right, is_leaf, values = (
        np.concatenate(parts) for parts in zip(*trees, strict=True)
    )
    leaf, k = np.flatnonzero(is_leaf), values.shape[1]
    where, what = np.repeat(leaf, k), np.tile(np.arange(k), len(leaf))
    weights = values[leaf].ravel()
    kept = (weights != 0) | (what == 0)  # each leaf has one value at least
    where, what, weights = where[kept], what[kept], weights[kept]
    tensor = graph.to_tensor
    attributes = {
        "n_targets": k,
        "nodes_treeids": tree_ids.tolist(),
        "nodes_nodeids": node_ids.tolist(),
        "nodes_featureids": np.where(is_leaf, 0, feature).tolist(),
        "nodes_modes": np.where(is_leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_values_as_tensor": tensor(np.where(is_leaf, 0.0, threshold)),
        "nodes_truenodeids": np.where(is_leaf, 0, left).tolist(),
        "nodes_falsenodeids": np.where(is_leaf, 0, right).tolist(),
        "nodes_missing_value_tracks_true": np.where(is_leaf, 0, nan_goes_left).tolist(),
        "target_treeids": tree_ids[where].tolist(),
        "target_nodeids": node_ids[where].tolist(),
        "target_ids": what.tolist(),
        "target_weights_as_tensor": tensor(weights),
    }
    summed = graph.node("TreeEnsembleRegressor", x, attributes=attributes, domain=ML)
    return graph.cast(summed, np.float64)
