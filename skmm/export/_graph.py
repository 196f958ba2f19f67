"""An ONNX graph that is put together node by node, and from whole models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._optional import import_optional

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

OPSET = 18
ML_OPSET = 3  # of ai.onnx.ml: trees whose thresholds and leaves are float64
MAX_BYTES = 2**31 - 1  # of a protobuf message, which an ONNX file is
ML = "ai.onnx.ml"
OPSETS = {"": OPSET, ML: ML_OPSET}


def import_onnx() -> Any:
    """Return the package onnx, with what is used of it."""
    purpose = "skmm.export.to_onnx"
    import_optional("onnx.compose", extra="export", purpose=purpose)
    import_optional("onnx.numpy_helper", extra="export", purpose=purpose)
    return import_optional("onnx", extra="export", purpose=purpose)


class Graph:
    """Nodes, and the constants that they read; each value has a name."""

    def __init__(self):
        self._onnx = import_onnx()
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._n_names = 0

    def _make_name(self, prefix: str) -> str:
        self._n_names += 1
        return f"{prefix}_{self._n_names}"

    def constant(self, values: Any) -> str:
        """Add an array, or what numpy makes one of; return its name."""
        name = self._make_name("constant")
        self._constants.append(self.to_tensor(values, name))
        return name

    def to_tensor(self, values: Any, name: str = "values") -> TensorProto:
        """Convert an array into what an attribute of a node may hold."""
        array = np.asarray(values)
        array = array.astype(object) if array.dtype.kind in "OU" else array
        return self._onnx.numpy_helper.from_array(array, name)

    def node(
        self,
        operator: str,
        *inputs: Any,
        attributes: Mapping[str, Any] | None = None,
        output: str | None = None,
        domain: str = "",
    ) -> str:
        """Add a node with one output, and return the name of that.

        Inputs are names, or arrays, which become constants.
        """
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        output = self._make_name(operator.lower()) if output is None else output
        node = self._onnx.helper.make_node(
            operator, names, [output], name=output, domain=domain, **(attributes or {})
        )
        self._nodes.append(node)
        return output

    def cast(self, value: str, dtype: Any) -> str:
        """Convert a value to a type of numpy."""
        to = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", value, attributes={"to": to})

    def take(self, value: str, columns: Sequence[int] | np.ndarray) -> str:
        """Take columns of a value (n, q), in this order."""
        return self.node("Gather", value, np.asarray(columns), attributes={"axis": 1})

    def join(self, values: Sequence[str], axis: int = 1) -> str:
        """Put values side by side, or along another axis."""
        if len(values) == 1:
            return values[0]
        return self.node("Concat", *values, attributes={"axis": axis})

    def repeat_row(self, row: np.ndarray, value: str) -> str:
        """Repeat a row (k,) for each row of a value (n, q): (n, k)."""
        n_rows = self.node("Shape", value, attributes={"start": 0, "end": 1})
        shape = self.node("Concat", n_rows, np.array([len(row)]), attributes={"axis": 0})
        return self.node("Expand", row[None], shape)

    def inline(self, model: ModelProto, inputs: Sequence[str]) -> list[str]:
        """Add the nodes of a model that reads the values ``inputs``; return its outputs' names."""
        prefix = self._make_name("model") + "/"
        model = self._onnx.compose.add_prefix(model, prefix)
        for value, given in zip(model.graph.input, inputs, strict=True):
            self.node("Identity", given, output=value.name)
        self._constants.extend(model.graph.initializer)
        self._nodes.extend(model.graph.node)
        return [value.name for value in model.graph.output]

    def build(
        self, inputs: Sequence[Any], outputs: Sequence[Any], metadata: Mapping[str, str]
    ) -> ModelProto:
        """Make a checked model whose inputs and outputs are described by `describe`.

        Raises
        ------
        ValueError
            If it is larger than a file may be.
        """
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, "skmm", inputs, outputs, self._constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
            producer_name="skmm",
        )
        helper.set_model_props(model, dict(metadata))
        if model.ByteSize() > MAX_BYTES:
            raise ValueError(
                f"The model takes {model.ByteSize():,} bytes, and an ONNX file at most "
                f"{MAX_BYTES:,}. Fit with interaction=None, which leaves its trees out."
            )
        self._onnx.checker.check_model(model)
        return model

    def describe(self, name: str, dtype: Any, shape: Sequence[Any]) -> Any:
        """Describe an input or output; strings in its shape stand for any number."""
        to = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._onnx.helper.make_tensor_value_info(name, to, list(shape))
