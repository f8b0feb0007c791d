"""Token by token through a model, with keys and values of earlier tokens in caches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.attention.caches import KVCache
from mongoose_nb.core.threads import compute_threads
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.reformer.head import logits
from mongoose_nb.reformer.reversible import add, to_stream, to_values


def make_caches(cache: Any, n_layers: int) -> list[KVCache]:
    """One empty cache for each layer, from True, the name of a policy, a `KVCache` whose settings to use, or a sequence of these."""
    given = list(cache) if isinstance(cache, Sequence) and not isinstance(cache, str) else [cache] * n_layers
    if len(given) != n_layers:
        raise ValueError(f"cache must be one value, or one for each of n_layers={n_layers} layers; got {len(given)}")
    out = []
    for one in given:
        if one is True:
            one = KVCache()
        elif isinstance(one, str):
            one = KVCache(one)
        elif not isinstance(one, KVCache):
            raise TypeError(f"cache must be True, the name of a policy, a KVCache, or one of these for each layer; got "
                            f"{type(one).__name__}")
        out.append(one.fresh())
    return out


class Decoder:
    """Reads one sequence token by token. A token's logits have the same bits however many tokens a call reads.

    Parameters
    ----------
    model : ReformerLM
        No layer attends in a way that depends on later tokens (`AttentionKind.is_strict`).
    body, head : Layer
        Those of the model.
    caches : list of KVCache
        Empty ones, one for each layer.
    step : int
        Keys random rotations.
    """

    def __init__(self, model: Any, body: Any, head: Any, caches: list[KVCache], step: int) -> None:
        self.body, self.head = body, head
        self.model, self.caches, self.step, self.position = model, caches, step, 0
        for i, core in enumerate(model.cores):
            if not core.is_strict(model.max_length):
                raise ValueError(f"a cache needs attention that never depends on later tokens: exact (attention='full'), 'performer', or "
                                 f"hashed with strict=True; layer {i} has {model.attention[i]!r}. Leave cache out, or train a model with "
                                 "strict=True")
        self._readers = [core.attention(model.max_length).reader(cache, step) for core, cache in zip(model.cores, caches)]

    def read(self, tokens: np.ndarray) -> np.ndarray:
        """Logits (n, n_tokens) behind each of the tokens (n,)."""
        if self.position + len(tokens) > self.model.max_length:
            raise ValueError(f"a cache holds a sequence of at most max_length={self.model.max_length} tokens; this one has "
                             f"{self.position + len(tokens)}. Ask for fewer tokens, or leave cache out, which looks at the last ones")
        out = np.empty((len(tokens), self.model.n_tokens), self.model.dtype)
        with compute_threads(0):
            for i, token in enumerate(tokens):
                out[i] = self._read(token)
        return out

    def _read(self, token):
        model, body, run = self.model, self.body, Run(self.step, train=False)
        dtype = np.dtype(model.dtype)
        x = np.array([[token]], np.int32)
        for name, layer in zip(body.embedding.names, body.embedding.layers):
            x = x + layer.vectors(np.array([self.position])) if name == "positions" else layer.forward(x, run)[0]
        x1 = x2 = to_stream(np.ascontiguousarray(x, dtype))
        for block, reader in zip(body.blocks, self._readers):
            normed = block.attention["norm"].forward(to_values(x2, dtype), run)[0]
            x1 = add(x1, self._attend(block.attention["heads"], reader, normed, run))
            x2 = add(x2, block.feedforward.forward(to_values(x1, dtype), run)[0])
        mean = to_values(x1, dtype)
        mean += to_values(x2, dtype)
        mean *= dtype.type(0.5)
        h = body.norm.forward(mean, run)[0]
        self.position += 1
        return logits(np.ascontiguousarray(h[:, -1]), self.head.weights.value, self.head.bias.value)[0]

    def _attend(self, layer, reader, x, run):
        q, v = (np.ascontiguousarray(part.forward(x, run)[0]).reshape(layer.n_heads, -1) for part in (layer.qk, layer.v))
        return layer.out.forward(reader.read(q, v).reshape(1, 1, -1), run)[0]
