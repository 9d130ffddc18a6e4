"""A network as a part of a larger ONNX graph."""

from typing import TYPE_CHECKING

import numpy as np

from chexnet.inference.whole_image.operators import Tensor

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

    from chexnet.inference.whole_image.operators import GraphBuilder


def embed(model: "ModelProto", argument: Tensor, half: bool = False) -> Tensor:
    """Add a network to the graph of a tensor, without the nodes that compute nothing.

    Args:
        model: the network, with one input and one output float32.
        argument: its input.
        half: store matrices and kernels as float16, which a node converts to float32 again.

    Returns:
        Its output.
    """
    graph = argument.graph
    names = {model.graph.input[0].name: argument.name}
    nodes, constants = [], [(tensor.name, tensor) for tensor in model.graph.initializer]
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants.append((node.output[0], node.attribute[0].t))
        elif node.op_type == "Identity":
            names[node.output[0]] = names.get(node.input[0], node.input[0])
        else:
            nodes.append(node)
    for name, tensor in constants:
        _add_weights(graph, name, tensor, half)
    for node in nodes:
        node.name = node.output[0]
        inputs = [names.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
    graph.nodes.extend(nodes)
    result = model.graph.output[0].name
    return Tensor(graph, names.get(result, result), np.dtype(np.float32))


def _add_weights(graph: "GraphBuilder", name: str, tensor: "TensorProto", half: bool) -> None:
    from onnx import TensorProto, helper, numpy_helper

    values = numpy_helper.to_array(tensor)
    fits = values.dtype == np.float32 and values.ndim > 1 and np.abs(values).max() <= np.finfo(np.float16).max
    if half and fits:
        stored = f"{name}_float16"
        graph.initializers[stored] = numpy_helper.from_array(values.astype(np.float16), stored)
        graph.nodes.append(helper.make_node("Cast", [stored], [name], name=name, to=TensorProto.FLOAT))
        return
    tensor.name = name
    graph.initializers[name] = tensor
