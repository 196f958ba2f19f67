"""to_onnx: a fitted fusion model as one ONNX file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._files import replace_file
from ..fusion import FusionClassifier, FusionRegressor, LateFusionClassifier
from ._checking import check_same_predictions, warn_of_coarse_columns
from ._estimators import convert_steps, place_errors
from ._graph import Graph
from ._model import split_steps


def to_onnx(model, path):
    """Write a fitted fusion model as one ONNX file, from features to what it predicts.

    The file has one input, ``X``, float32 of shape (rows, n_features), with one row or more: the
    columns in the order of `fit`, NaN in all columns of a modality that a row lacks. Its outputs
    are ``label``, the class (int64, double, bool or a string), and ``probabilities``, float32 in
    the order of ``classes_``; for several targets ``label_0``, ``probabilities_0`` and so on; of a
    regressor ``prediction``, float64. Opset 18, and 3 of ai.onnx.ml; onnxruntime runs it, on a CPU.

    All that `predict_proba` or `predict` does is in it, in float64 but for the sums of trees:
    scaling, f_i, fusion, members, calibration, interaction, what a row without modalities gets.
    Trees are converted by skmm, and other estimators of scikit-learn by skl2onnx. Before the file
    is written, it is run beside the model on rows drawn at random.

    Parameters
    ----------
    model : FusionClassifier, FusionRegressor, LateFusionClassifier or Pipeline
        A fitted model, or a pipeline whose last step is one; the other steps read numbers. Of a
        search the best is exported.
    path : str or path-like
        The file. It is replaced as a whole or not at all.

    Raises
    ------
    ImportError
        If a package of the extra is not installed (``pip install 'skmm[export]'``).
    TypeError
        If the model, a step or an estimator in it cannot be converted; it says which.
    ValueError
        If the file would be larger than 2 GiB.
    RuntimeError
        If what was converted predicts something else than the model.

    Notes
    -----
    Rows that are errors here get NaN there, for a graph cannot raise: rows with NaN in some of the
    columns of a modality, and with infinite values. No warning says which rows had no modality.

    float32 has 7 digits: there is a warning if a column needs more, such as a time in seconds since
    1970, unless other steps read it before.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import onnxruntime
    >>> from skmm import MLP, AdamW, FusionClassifier
    >>> from skmm.datasets import make_multimodal_classification
    >>> from skmm.export import to_onnx
    >>> X, y = make_multimodal_classification(100, random_state=0)
    >>> model = FusionClassifier(modality_model=MLP(8), solver=AdamW(max_iter=5), interaction=None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.onnx")
    ...     to_onnx(model.fit(X, y), path)
    ...     session = onnxruntime.InferenceSession(path)
    >>> label, proba = session.run(None, {"X": X.to_numpy("float32")})
    >>> bool(abs(proba - model.predict_proba(X.astype("float32"))).max() < 1e-5)
    True
    """
    steps, fusion = split_steps(model)
    if not isinstance(fusion, FusionClassifier | FusionRegressor | LateFusionClassifier):
        raise TypeError(
            "to_onnx needs a FusionClassifier, FusionRegressor or LateFusionClassifier, or a "
            f"pipeline whose last step is one, got {type(fusion).__name__}."
        )
    check_is_fitted(model)
    first = steps[0][1] if steps else fusion
    n_features = first.n_features_in_
    graph = Graph()
    value = "X"
    if steps:
        value = graph.cast(value, np.float64)
        with place_errors("A step before the fusion (leave it out: export the last step alone)"):
            value, _ = convert_steps(graph, steps, value, n_features)
        value = graph.cast(value, np.float32)
    if isinstance(fusion, LateFusionClassifier):
        from ._late import convert_late_fusion as convert
    else:
        from ._fusion import convert_fusion as convert
    outputs = convert(graph, fusion, value)
    for output in outputs:
        graph.node("Identity", output.value, output=output.name)
    described = [graph.describe(o.name, o.dtype, ("rows", *o.shape)) for o in outputs]
    inputs = [graph.describe("X", np.float32, ("rows", n_features))]
    if not steps:
        warn_of_coarse_columns(fusion)
    content = graph.build(inputs, described, _describe(fusion)).SerializeToString()
    check_same_predictions(model, content)
    replace_file(Path(os.fspath(path)), lambda file: file.write(content))


def _describe(fusion: Any) -> dict[str, str]:
    """Return what the file says of itself."""
    from .. import __version__

    columns = {name: [str(c) for c in columns] for name, columns in fusion.modalities_.items()}
    return {
        "estimator": f"skmm {__version__} {type(fusion).__name__}",
        "modalities": json.dumps(columns),
    }
