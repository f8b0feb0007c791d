"""The layers of a network from its settings."""

from __future__ import annotations

import copy
import numbers
from typing import Any

import numpy as np

from mongoose_nb.compress import Compress
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Layer
from mongoose_nb.nn.layers.dense import Dense
from mongoose_nb.nn.layers.hashed import Shared
from mongoose_nb.nn.layers.hashed_dense import HashedDense
from mongoose_nb.nn.layers.hashed_input import HashedInput
from mongoose_nb.nn.layers.hashed_output import HashedOutput
from mongoose_nb.nn.layers.initial import inverse_root
from mongoose_nb.nn.layers.sparse_input import SparseInput
from mongoose_nb.nn.layers.wide_output import WideOutput


def build_layers(network: Any, activation: Activation) -> tuple[list[Layer], WideOutput]:
    """The hidden layers and the output layer of a network, built.

    Every layer draws from a random stream of its own, and its sampler, if it has one, from another. The order of the streams is part of
    what a seed of the network means.

    Parameters
    ----------
    network : Network
        Its settings are read.
    activation : Activation
        For layers that have none of their own.

    Raises
    ------
    ValueError
        If a layer cannot follow the one before it.
    """
    hidden = network.hidden
    if not hidden or not (isinstance(hidden[0], numbers.Integral) or getattr(hidden[0], "sparse_input", False)):
        raise ValueError(f"hidden={hidden!r}: the first hidden layer must be a width such as 128, or take sparse "
                         "rows, as InputDropout does")
    streams = iter(np.random.SeedSequence(network.seed).spawn(2 * len(hidden) + 2))

    def build(layer, width):
        if layer.activation is None:
            layer.activation = activation
        layer.build(width, np.random.Generator(np.random.Philox(next(streams))))
        if hasattr(layer, "bind_sampler"):
            layer.bind_sampler(int(next(streams).generate_state(1, np.uint32)[0]))
        return layer

    compress = network.compress
    shared = None if compress is None else shared_array(network, compress)
    listed = None if compress is None else compress.only

    def hashes(name):
        return shared is not None and (listed is None or name in listed)

    def shares(layer):
        layer.share(shared)
        return layer

    layers, width, sparse = [], network.n_features, True
    for i, spec in enumerate(hidden):
        if isinstance(spec, Layer):
            layer = copy.deepcopy(spec)  # with the layers that it is made of
        elif sparse:
            first = not any(before.parameters() for before in layers)
            units, std = check_int(f"hidden[{i}]", spec, low=1), network.init_std if first else None
            layer = (shares(HashedInput(units, compress=compress, init_std=std)) if hashes(f"hidden{i}")
                     else SparseInput(units, init_std=std))
        else:
            if not isinstance(spec, numbers.Integral):
                raise TypeError(f"hidden[{i}] must be an integer, or a layer such as nn.Monarch(1024); got {spec!r}")
            units = check_int(f"hidden[{i}]", spec, low=1)
            layer = shares(HashedDense(units, compress=compress)) if hashes(f"hidden{i}") else Dense(units)
        if layer.sparse_input != sparse:
            takes = "sparse" if layer.sparse_input else "dense"
            raise ValueError(f"hidden={hidden!r}: a {type(layer).__name__} layer takes {takes} input; put a width before it")
        try:
            layers.append(build(layer, width))
        except (ValueError, TypeError) as error:
            raise type(error)(f"hidden[{i}]: {error}") from error
        wrong = [name for name, parameter in layer.parameters().items() if parameter.value.dtype != np.float32]
        if wrong:
            raise ValueError(f"hidden[{i}]: parameter {wrong[0]!r} is {layer.parameters()[wrong[0]].value.dtype}; a network computes in "
                             "float32, another dtype serves to check a layer by itself")
        width, sparse = layer.n_outputs, layer.sparse_output
    if sparse:
        raise ValueError(f"hidden={hidden!r}: the last hidden layer must be a width, not {layer!r}; add one after it")
    settings = network.n_outputs, network.sampler, network.loss
    output = (shares(HashedOutput(*settings, init_std=network.output_init_std, compress=compress)) if hashes("output")
              else WideOutput(*settings, init_std=network.output_init_std))
    return layers, build(output, width)


def shared_array(network: Any, compress: Compress) -> Shared:
    """The array of a network's compressed layers: those that are widths, and the output layer, unless `only` names others.

    Parameters
    ----------
    network : Network
    compress : Compress

    Raises
    ------
    ValueError
        If `only` names what is not there.
    """
    shapes, width = {}, network.n_features
    for i, spec in enumerate(network.hidden):
        units = spec if isinstance(spec, numbers.Integral) else getattr(spec, "units", width)
        if isinstance(spec, numbers.Integral):
            shapes[f"hidden{i}"] = (width, units)
        width = units
    shapes["output"] = (network.n_outputs, width)
    only = list(shapes) if compress.only is None else compress.only
    wrong = [name for name in only if name not in shapes]
    if wrong or not only:
        raise ValueError(f"compress names the layers {only}; it can be some of {list(shapes)}")
    array = compress.array([shapes[name] for name in only], init_std=network.output_init_std or inverse_root(width), seed=network.seed)
    return Shared(array)
