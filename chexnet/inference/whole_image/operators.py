"""Building an ONNX graph from tensors with Python's operators."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chexnet.inference import graph_export

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, ValueInfoProto

IR_VERSION = 8
"""Version of ONNX's file format, which ONNX Runtime 1.10 and later read."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of a graph. An arithmetic operation with it adds a node; a Python number takes the type of the tensor.

    Attributes:
        graph: the graph that computes it.
        name: its name there.
        dtype: its type.
    """

    graph: "GraphBuilder"
    name: str
    dtype: np.dtype

    def __add__(self, other: Any) -> "Tensor":
        return self.graph.op("Add", self, other)

    def __sub__(self, other: Any) -> "Tensor":
        return self.graph.op("Sub", self, other)

    def __mul__(self, other: Any) -> "Tensor":
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other: Any) -> "Tensor":
        return self.graph.op("Div", self, other)

    def __matmul__(self, other: Any) -> "Tensor":
        return self.graph.op("MatMul", self, other)

    def __and__(self, other: Any) -> "Tensor":
        return self.graph.op("And", self, other)

    def __ge__(self, other: Any) -> "Tensor":
        return self.graph.op("GreaterOrEqual", self, other, dtype=np.bool_)

    def __le__(self, other: Any) -> "Tensor":
        return self.graph.op("LessOrEqual", self, other, dtype=np.bool_)

    def equals(self, other: Any) -> "Tensor":
        """Return where both are equal, of type bool."""
        return self.graph.op("Equal", self, other, dtype=np.bool_)

    def cast(self, dtype: Any) -> "Tensor":
        """Convert to another type; numbers are rounded towards 0."""
        from onnx import helper

        return self.graph.op("Cast", self, dtype=dtype, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def floor(self) -> "Tensor":
        """Round down."""
        return self.graph.op("Floor", self)

    def round(self) -> "Tensor":
        """Round to the nearest integer, halves to even."""
        return self.graph.op("Round", self)

    def log(self) -> "Tensor":
        """Return the natural logarithm."""
        return self.graph.op("Log", self)

    def sigmoid(self) -> "Tensor":
        """Return 1 / (1 + exp(-x))."""
        return self.graph.op("Sigmoid", self)

    def unsqueeze(self, *axes: int) -> "Tensor":
        """Insert axes of length 1."""
        return self.graph.op("Unsqueeze", self, np.array(axes, np.int64))

    def absolute(self) -> "Tensor":
        """Return the absolute value."""
        return self.graph.op("Abs", self)

    def minimum(self, other: "Tensor | float") -> "Tensor":
        """Return the smaller of two."""
        return self.graph.op("Min", self, other)

    def maximum(self, other: "Tensor | float") -> "Tensor":
        """Return the larger of two."""
        return self.graph.op("Max", self, other)

    def clip(self, low: float, high: "Tensor | float") -> "Tensor":
        """Limit to `low` ... `high`."""
        return self.maximum(low).minimum(high)

    def reshape(self, *shape: "int | Tensor") -> "Tensor":
        """Change the shape; a tensor in it is an integer without dimensions, 0 the present length, and -1 the rest."""
        return self.graph.op("Reshape", self, self.graph.vector(*shape))

    def transpose(self, *axes: int) -> "Tensor":
        """Reorder the axes."""
        return self.graph.op("Transpose", self, perm=list(axes))

    def take(self, indices: "Tensor | np.ndarray | int", axis: int = 0) -> "Tensor":
        """Select along an axis."""
        if isinstance(indices, int):
            indices = np.array(indices, np.int64)
        return self.graph.op("Gather", self, indices, axis=axis)

    def sum(self, axis: int) -> "Tensor":
        """Sum over an axis, which remains with length 1."""
        return self.graph.op("ReduceSum", self, np.array([axis], np.int64))

    def mean(self, *axes: int) -> "Tensor":
        """Average over axes, which go away."""
        return self.graph.op("ReduceMean", self, axes=list(axes), keepdims=0)


class GraphBuilder:
    """An ONNX graph under construction.

    Attributes:
        nodes: its nodes, in an order in which they can be computed.
        initializers: its constants by name.
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Tensor] = {}
        self._values: dict[str, np.ndarray] = {}
        self.initializers: dict[str, TensorProto] = {}
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []

    def input(self, name: str, dtype: Any, shape: "list[int | str]") -> Tensor:
        """Add an input; a string in its shape names a dimension of any length."""
        self._inputs.append(_value_info(name, dtype, shape))
        return Tensor(self, name, np.dtype(dtype))

    def output(self, name: str, tensor: Tensor, shape: "list[int | str]") -> None:
        """Add an output."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [tensor.name], [name], name=name))
        self._outputs.append(_value_info(name, tensor.dtype, shape))

    def op(self, kind: str, *inputs: Any, dtype: Any = None, **attributes: Any) -> Tensor:
        """Add a node with one output.

        Args:
            kind: name of the operator.
            inputs: tensors, arrays, or numbers, which take the type of the first tensor.
            dtype: type of the output; None for that of the first tensor.
            attributes: attributes of the node.
        """
        from onnx import helper

        first = next((value.dtype for value in inputs if isinstance(value, Tensor)), np.dtype(np.int64))
        names = [self._operand(value, first).name for value in inputs]
        result = Tensor(self, f"{kind.lower()}_{len(self.nodes)}", np.dtype(dtype or first))
        self.nodes.append(helper.make_node(kind, names, [result.name], name=result.name, **attributes))
        return result

    def constant(self, value: Any, dtype: Any = None) -> Tensor:
        """Add a constant; equal ones are stored once."""
        from onnx import numpy_helper

        array = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            tensor = Tensor(self, f"constant_{len(self._constants)}", array.dtype)
            self._constants[key] = tensor
            self.initializers[tensor.name] = numpy_helper.from_array(array, tensor.name)
            self._values[tensor.name] = array
        return self._constants[key]

    def vector(self, *values: "int | Tensor") -> Tensor:
        """Join integers to a tensor int64 [N]; the tensors among them have no dimensions."""
        if not any(isinstance(value, Tensor) for value in values):
            return self.constant(list(values), np.int64)
        parts = [
            value.cast(np.int64).unsqueeze(0) if isinstance(value, Tensor) else self.constant([value], np.int64)
            for value in values
        ]
        return self.op("Concat", *parts, axis=0)

    def shape(self, tensor: Tensor) -> Tensor:
        """Return the shape of a tensor, int32 [axes]."""
        return self.op("Shape", tensor, dtype=np.int64).cast(np.int32)

    def count(self, length: Tensor) -> Tensor:
        """Return 0, 1, ... length - 1: int32 [length]."""
        known = self._values.get(length.name)
        if known is not None:
            return self.constant(np.arange(int(known), dtype=np.int32))
        return self.op("Range", np.int32(0), length, np.int32(1), dtype=np.int32)

    def divide(self, dividend: Tensor, divisor: Tensor) -> tuple[Tensor, Tensor]:
        """Divide integers exactly: quotient, rounded down, and remainder, both int32.

        OpenVINO divides int32 as float32, whose quotient may be off by one; multiplication and subtraction are exact.

        Args:
            dividend: int32 from 0 to 2^31 minus the divisor; the quotient is below 2^21.
            divisor: int32 above 0.
        """
        estimate = (dividend.cast(np.float32) / divisor.cast(np.float32)).cast(np.int32)
        rest = dividend - estimate * divisor
        correction = (rest >= divisor).cast(np.int32) - (rest <= -1).cast(np.int32)
        return estimate + correction, rest - correction * divisor

    def where(self, condition: Tensor, yes: Any, no: Any) -> Tensor:
        """Select one of two values; a number takes the type of the tensor among them."""
        dtype = yes.dtype if isinstance(yes, Tensor) else no.dtype
        return self.op("Where", condition, self._operand(yes, dtype), self._operand(no, dtype), dtype=dtype)

    def model(self, name: str, metadata: Mapping[str, str]) -> bytes:
        """Return the content of the finished model's file, without constants that no node reads.

        Raises:
            onnx.checker.ValidationError: the graph is not valid ONNX.
        """
        from onnx import checker, helper

        used = {name for node in self.nodes for name in node.input}
        model = helper.make_model(
            helper.make_graph(self.nodes, name, self._inputs, self._outputs),
            opset_imports=[helper.make_opsetid("", graph_export.ONNX_OPSET)],
            ir_version=IR_VERSION,
            producer_name="paddle-chexnet",
        )
        # Last, because every message that contains the weights has its own copy of them.
        model.graph.initializer.extend(tensor for key, tensor in self.initializers.items() if key in used)
        helper.set_model_props(model, dict(metadata))
        content = bytes(model.SerializeToString())
        checker.check_model(content, full_check=True)
        return content

    def _operand(self, value: Any, dtype: np.dtype) -> Tensor:
        if isinstance(value, Tensor):
            return value
        return self.constant(value) if isinstance(value, np.ndarray | np.generic) else self.constant(value, dtype)


def _value_info(name: str, dtype: Any, shape: "list[int | str]") -> "ValueInfoProto":
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
