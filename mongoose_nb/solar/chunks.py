"""The network of one chunk: made from plain settings and arrays, so that it can be trained in any process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp

    from mongoose_nb.nn import Network


def weights_of(network: Network) -> dict[str, np.ndarray]:
    """Copies of the trained arrays by name."""
    return {name: parameter.value.copy() for name, parameter in network.parameters().items()}


def network_of(settings: dict[str, Any], weights: dict[str, np.ndarray], mapped: bool = False) -> Network:
    """A network with these weights, and without a memory of its training; mapped ones stay in their file."""
    from mongoose_nb.nn import Network

    network = Network(**settings)
    for name, parameter in network.parameters().items():
        if weights[name].shape != parameter.value.shape or not (mapped or np.isfinite(weights[name]).all()):
            raise ValueError(f"weights {name!r} are {weights[name].shape}, or not finite; needed are {parameter.value.shape}")
        if mapped:
            parameter.value = parameter.m = parameter.v = weights[name]
        else:
            parameter.value[...] = weights[name]
    return network


def train_chunk(task: tuple) -> dict[str, np.ndarray]:
    """The weights of one trained chunk.

    Parameters
    ----------
    task : tuple
        Settings of the network, weights to begin with or None, rows, buckets of the rows (n, buckets) CSR, epochs, and rows of a step.
    """
    from mongoose_nb.nn import Network
    from mongoose_nb.nn.auto import train_on

    settings, weights, X, targets, epochs, batch_size = task
    network = Network(**settings) if weights is None else network_of(settings, weights)
    if targets.nnz:
        network.fit(X, targets, epochs=epochs, batch_size=batch_size)
    else:  # a part of the data may have no labels
        train_on(network, X, targets, epochs, batch_size)
    return weights_of(network)


def log_probabilities(network: Network, X: sp.csr_matrix) -> np.ndarray:
    """Logarithms of the probabilities of the buckets, (n, buckets) float32."""
    logits = network.hidden_activations(X) @ network.output.weights.value.T + network.output.bias.value
    # min(z, 0) - log(1 + exp(-|z|)): never overflows, and takes an eighth of the time of logaddexp, which was half of a look-up
    rest = np.abs(logits)
    np.log1p(np.exp(np.negative(rest, out=rest), out=rest), out=rest)
    return np.subtract(np.minimum(logits, 0, out=logits), rest, out=logits)
