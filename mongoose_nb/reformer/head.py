"""From vectors to tokens: logits, cross-entropy and its gradient, over all tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter, Rows
from mongoose_nb.nn.layers.base import Layer, Run
from mongoose_nb.nn.layers.initial import filled, uniform

# Logits held at once.
CHUNK = 1 << 22


def logits(h: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """``h @ weights.T + bias``, (n, n_tokens)."""
    from mongoose_nb.kernels.layers.dense import matmul

    out = np.empty((len(h), len(weights)), h.dtype)
    matmul(h, weights.T, out)
    out += bias
    return out


def logits_by_rows(h: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """As `logits`, where the bits of a row do not depend on how many others there are."""
    from mongoose_nb.kernels.common.row_products import dot_rows

    out = np.empty((len(h), len(weights)), h.dtype)
    dot_rows(h, weights, bias, out)
    return out


def chunks(n: int, n_tokens: int) -> list[slice]:
    """Slices of n rows, each with no more than `CHUNK` logits."""
    size = max(1, CHUNK // n_tokens)
    return [slice(lo, min(n, lo + size)) for lo in range(0, n, size)]


def cross_entropy(z: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(losses (n,), probabilities (n, n_tokens)) from logits, which are overwritten."""
    rows = np.arange(len(z))
    z -= z.max(axis=1, keepdims=True)
    at_target = z[rows, targets]
    np.exp(z, out=z)
    total = z.sum(axis=1, keepdims=True)
    z /= total
    return np.log(total[:, 0]) - at_target, z


def scores(h: np.ndarray, weights: np.ndarray, bias: np.ndarray, targets: np.ndarray,
           product: Callable[..., np.ndarray] = logits) -> tuple[np.ndarray, np.ndarray]:
    """(losses (n,), best token (n,)) over all tokens, with logits by `logits` or `logits_by_rows`."""
    losses, best = np.empty(len(h), h.dtype), np.empty(len(h), np.int64)
    for part in chunks(len(h), len(weights)):
        z = product(h[part], weights, bias)
        best[part] = z.argmax(axis=1)
        losses[part] = cross_entropy(z, targets[part])[0]
    return losses, best


def one_label(targets: np.ndarray) -> Rows:
    """`Rows` with one label each."""
    n = len(targets)
    return Rows(np.arange(n), np.ones(n, np.int64), np.ascontiguousarray(targets, np.int32), np.ones(n, np.float32))


class SoftmaxHead(Layer):
    """Every token's logit; W (n_tokens, width) starts uniform in [-0.1, 0.1). Log-probabilities exist by chunks of rows only.

    It takes the place of `nn.layers.wide_output.WideOutput`, which computes few tokens of many, and is used alike.
    """

    def __init__(self, n_tokens: int, dtype: str = "float32") -> None:
        self.n_tokens, self.dtype = n_tokens, dtype

    def build(self, n_inputs: int, rng: np.random.Generator) -> SoftmaxHead:
        self.n_outputs = self.n_tokens
        self.weights = Parameter(uniform(rng, (self.n_tokens, n_inputs), 0.1, self.dtype))
        self.bias = Parameter(filled(self.n_tokens, 0.0, self.dtype))
        return self

    def loss(self, h: np.ndarray, labels: Rows, run: Run) -> tuple:
        """h (n, width) and one label each (`one_label`) -> losses (n,) and a cache, which holds the gradient of their mean."""
        from mongoose_nb.kernels.layers.dense import count_parts, matmul, matmul_tn

        targets, w = labels.ids, self.weights.value
        losses, dh, dw, db = np.empty(len(h), h.dtype), np.empty_like(h), np.zeros_like(w), np.zeros_like(self.bias.value)
        more = np.empty_like(w)
        with run.timer("forward"):
            for part in chunks(len(h), len(w)):
                losses[part], p = cross_entropy(logits(h[part], w, self.bias.value), targets[part])
                p[np.arange(len(p)), targets[part]] -= 1
                p /= len(h)
                matmul(p, w, dh[part])
                matmul_tn(p, h[part], np.empty((count_parts(len(p)), *w.shape), w.dtype), more)
                dw += more
                db += p.sum(axis=0)
        return losses, (dh, {"weights": dw, "bias": db})

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """Gradients of the mean of the losses: `g` is 1."""
        return cache
