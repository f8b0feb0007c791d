"""A trained network for other programs: an ONNX file, a summary as text.

Layers are translated by `onnx_layer`, a generic function: a layer of your own is exported when its translation is registered with
``onnx_layer.register(YourLayer)``.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

from mongoose_nb.core.registry import Registered, name_of, parameters
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.features import StandardColumns
from mongoose_nb.nn.layers.dropout import Dropout
from mongoose_nb.nn.layers.hashed import Hashed
from mongoose_nb.nn.layers.layer_norm import EPS, LayerNorm
from mongoose_nb.nn.layers.linear_map import LinearMap
from mongoose_nb.nn.layers.sequential import Sequential
from mongoose_nb.nn.layers.sparse_input import SparseInput

OPSET = 20
# What one file of ONNX holds; larger arrays go into a file beside it.
LARGEST = 1 << 30
# Operators of ONNX, and their attributes, by the names of activations; None: nothing to do.
ACTIVATIONS: dict[str, tuple[str, dict] | None] = {
    "relu": ("Relu", {}), "leaky_relu": ("LeakyRelu", {"alpha": 0.01}), "elu": ("Elu", {}), "gelu": ("Gelu", {"approximate": "tanh"}),
    "tanh": ("Tanh", {}), "sigmoid": ("Sigmoid", {}), "identity": None,
}


class Graph:
    """An ONNX graph that is being built, one chain of nodes."""

    def __init__(self) -> None:
        self.nodes: list[tuple] = []
        self.arrays: dict[str, np.ndarray] = {}

    def constant(self, array: np.ndarray) -> str:
        """The name of an array."""
        name = f"array{len(self.arrays)}"
        self.arrays[name] = array
        return name

    def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """The name of what an operator gives; a tuple of names where that are several."""
        names = tuple(f"value{len(self.nodes)}_{i}" for i in range(outputs))
        self.nodes.append((operator, inputs, names, attributes))
        return names[0] if outputs == 1 else names

    def activation(self, activation: Any, x: str) -> str:
        """The name of the activation's values."""
        name = name_of(type(activation))
        if name not in ACTIVATIONS:
            raise ValueError(f"activation {name!r} has no translation to ONNX; there is one of {sorted(ACTIVATIONS)}")
        translated = ACTIVATIONS[name]
        return x if translated is None else self.node(translated[0], x, **translated[1])


@functools.singledispatch
def onnx_layer(layer: Any, x: str, graph: Graph) -> str:
    """Add a layer to a graph.

    Parameters
    ----------
    layer : Layer
    x : str
        Name of its input.
    graph : Graph

    Returns
    -------
    str
        Name of its value.

    Raises
    ------
    ValueError
        For a kind of layer that has no translation.
    """
    raise ValueError(f"a layer {name_of(type(layer))!r} has no translation to ONNX; register one with nn.export.onnx_layer.register")


@functools.singledispatch
def onnx_features(step: Any, x: str, graph: Graph) -> str:
    """Add a feature step to a graph; see `onnx_layer`."""
    raise ValueError(f"features {name_of(type(step))!r} have no translation to ONNX; register one with nn.export.onnx_features.register")


@onnx_features.register
def _(step: StandardColumns, x: str, graph: Graph) -> str:
    mean, scale = (graph.constant(array.astype(np.float32)) for array in (step.mean, step.scale))
    return graph.node("Div", graph.node("Sub", x, mean), scale)


def _affine(layer, weights, x, graph):
    inputs = [x, graph.constant(weights)]
    if layer.bias is not None:
        inputs.append(graph.constant(layer.bias.value))
    return graph.activation(layer.activation, graph.node("Gemm", *inputs))


@onnx_layer.register
def _(layer: SparseInput, x: str, graph: Graph) -> str:
    return _affine(layer, layer.weights.value, x, graph)


@onnx_layer.register
def _(layer: LinearMap, x: str, graph: Graph) -> str:  # structured ones as the dense matrix that they are
    return _affine(layer, layer.dense_weights(), x, graph)


@onnx_layer.register
def _(layer: Hashed, x: str, graph: Graph) -> str:  # as the matrix that the array stands for
    return _affine(layer, layer.dense_weights(), x, graph)


@onnx_layer.register
def _(layer: Dropout, x: str, graph: Graph) -> str:
    return x


@onnx_layer.register
def _(layer: LayerNorm, x: str, graph: Graph) -> str:
    return graph.node("LayerNormalization", x, graph.constant(layer.gain.value), graph.constant(layer.bias.value), epsilon=float(EPS))


@onnx_layer.register
def _(layer: Sequential, x: str, graph: Graph) -> str:
    for part in layer.layers:
        x = onnx_layer(part, x, graph)
    return x


def to_arrays(network: Any) -> dict[str, np.ndarray]:
    """Copies of the trained arrays of a network, with the matrices of compressed layers; see `Network.to_arrays`."""
    out = {name: parameter.value.copy() for name, parameter in network.parameters().items()}
    for i, layer in enumerate(network.layers):
        if isinstance(layer, Hashed):
            out[f"hidden{i}.weights"] = layer.dense_weights()
    if "output.weights" not in out:
        out["output.weights"] = network.output.weights.value[:]
    return out


def write_onnx(network: Any, path: str | os.PathLike, k: int | None = None) -> None:
    """Write a network as an ONNX file; see `Network.to_onnx`."""
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise ImportError("the export needs onnx: pip install 'mongoose_nb[onnx]'") from None
    k = None if k is None else check_int("k", k, low=1, high=network.n_outputs)
    graph = Graph()
    x = "X" if network.features is None else onnx_features(network.features, "X", graph)
    for layer in network.layers:
        x = onnx_layer(layer, x, graph)
    output = network.output
    x = graph.node("Gemm", x, graph.constant(output.weights.value[:]), graph.constant(output.bias.value), transB=1)
    results = [("logits", x, TensorProto.FLOAT, network.n_outputs)]
    if k is not None:
        scores, ids = graph.node("TopK", x, graph.constant(np.array([k], np.int64)), outputs=2)
        results = [("ids", ids, TensorProto.INT64, k), ("scores", scores, TensorProto.FLOAT, k)]
    nodes = [helper.make_node(operator, list(inputs), list(names), **attributes) for operator, inputs, names, attributes in graph.nodes]
    nodes += [helper.make_node("Identity", [name], [result]) for result, name, _, _ in results]
    model = helper.make_model(helper.make_graph(
        nodes, "mongoose_nb", [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", network.n_features])],
        [helper.make_tensor_value_info(result, kind, ["n", width]) for result, _, kind, width in results],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in graph.arrays.items()]),
        opset_imports=[helper.make_opsetid("", OPSET)], producer_name="mongoose_nb", ir_version=9)
    large = sum(array.nbytes for array in graph.arrays.values()) > LARGEST
    onnx.save(model, os.fspath(path), save_as_external_data=large, location=f"{os.path.basename(os.fspath(path))}.data" if large else None)


def brief(obj: Any) -> str:
    """An object with those of its arguments that are not the defaults."""
    if not isinstance(obj, Registered):
        return repr(obj)
    shown = []
    for name, default in parameters(type(obj)).items():
        value = getattr(obj, name, default)
        usual = value is default or default is None or (isinstance(value, Registered) and name_of(type(value)) == default)
        if not usual and not (type(value) is type(default) and value == default):
            shown.append(f"{name}={brief(value)}")
    return f"{type(obj).__name__}({', '.join(shown)})"


def summary(network: Any) -> str:
    """The layers of a network, and what it is trained and served with, as text; see `Network.summary`."""
    rows, width = [("layer", "output", "parameters", "kind")], network.n_features
    total = 0
    layers = [*((f"hidden{i}", layer) for i, layer in enumerate(network.layers)), ("output", network.output)]
    for name, layer in layers:
        count = sum(parameter.value.size for parameter in layer.parameters().values())
        total += count
        activation = layer.activation if "activation" in parameters(type(layer)) else None
        kind = type(layer).__name__ + ("" if activation is None else f", {name_of(type(activation))}")
        if isinstance(layer, Hashed):
            shapes = " and ".join(" x ".join(f"{n:,}" for n in view.shape) for view in layer.views())
            view = layer.views()[0]
            kind += f", {shapes} by {name_of(type(view.map))} in {view.array.cells:,} cells"
        rows.append((name, f"{layer.n_outputs:,}", f"{count:,}", kind))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}" for row in rows]
    size = sum(array.nbytes for parameter in network.parameters().values() for array in parameter.arrays("").values())
    loss = name_of(type(network.output.loss_kind))
    more = [f"input {width:,} features; {total:,} parameters, {size / 1e6:.1f} MB with the optimiser's moments",
            f"sampler {brief(network.output.sampler)}, loss {loss}, optimizer {brief(network.optimizer)}",
            f"{network.epoch} epochs, {network.step:,} steps"]
    parts = (("text", network.text), ("features", network.features), ("retriever", network.retriever))
    more += [f"{name} {brief(part)}" for name, part in parts if part is not None]
    if network.ranking is not None:
        more.append("ranking by fit_ranking")
    if network.label_names is not None:
        shown = ", ".join(str(name) for name in network.label_names[:3])
        more.append(f"labels {shown}{', ...' if network.n_outputs > 3 else ''}")
    return "\n".join([*lines, *more])
