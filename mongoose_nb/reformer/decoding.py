"""Parts of sequences through a model, with keys and values of earlier tokens in caches.

Every product of a row has the same bits for any number of rows (`nn.layers.linear_map.LinearMap.by_rows`), and so has attention
(`attention.caches.readers`): a token alone, after many that are cached, has the bits that it has among all tokens of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from mongoose_nb.attention.caches import KVCache
from mongoose_nb.core.locks import FairLock
from mongoose_nb.core.registry import name_of
from mongoose_nb.core.threads import kernel_threads
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.reformer.head import logits_by_rows
from mongoose_nb.reformer.reversible import add, to_stream, to_values
from mongoose_nb.reformer.tasks import as_tokens

# Rows that go through the layers at once.
ROWS = 2048


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


def check_causal(model: Any, name: str) -> None:
    """Refuse an argument that needs layers that do not depend on later tokens in any way."""
    for i, core in enumerate(model.cores):
        if not core.is_strict(model.max_length):
            kind = name_of(type(core.instead[0]))
            raise ValueError(f"{name} needs attention that never depends on later tokens: exact (attention='full'), 'performer', or hashed "
                             f"with strict=True; layer {i} has {kind!r}. Leave {name} out, or train a model with strict=True")


class Decoder:
    """Reads a sequence in parts. A token's logits have the same bits however many tokens a call reads. Threads take turns.

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
        self.body, self.head, self.lock = body, head, FairLock()
        self.model, self.caches, self.step, self.position, self.failed = model, caches, step, 0, False
        check_causal(model, "cache")
        self.readers = [core.attention(model.max_length).reader(cache, step) for core, cache in zip(model.cores, caches)]

    def read(self, tokens: np.ndarray) -> np.ndarray:
        """Logits (n, n_tokens) behind each of the tokens (n,)."""
        tokens = as_tokens("tokens", tokens, self.model.n_tokens)
        if tokens.ndim != 1:
            raise ValueError(f"tokens must be those of one sequence, of shape (n,); got shape {tokens.shape}")
        return logits_by_rows(read_together([self], [tokens])[0], self.head.weights.value, self.head.bias.value)

    def check_room(self, n: int) -> None:
        """Refuse more tokens than fit, and any behind a call that failed half-way."""
        if self.failed:
            raise ValueError("an earlier call failed half-way, and left tokens in the caches of some layers alone; make a new decoder with "
                             "model.decoder(), and read the text from its beginning")
        if self.position + n > self.model.max_length:
            raise ValueError(f"a cache holds a sequence of at most max_length={self.model.max_length} tokens; this one has "
                             f"{self.position + n}. Ask for fewer tokens, or leave cache out, which looks at the last ones")


def read_together(decoders: Sequence[Decoder], sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Vectors (n, width) below the head of the next tokens of several sequences, with the bits of each sequence alone.

    Parameters
    ----------
    decoders : sequence of Decoder
        Of one model.
    sequences : sequence of (n,) int32 arrays

    Returns
    -------
    list of arrays
    """
    with ExitStack() as turn:
        for decoder in sorted(decoders, key=id):  # two calls with the same decoders do not wait for each other
            turn.enter_context(decoder.lock)
        return _read(decoders, sequences)


def _read(decoders, sequences):
    for decoder, tokens in zip(decoders, sequences):
        decoder.check_room(len(tokens))
    found: list[list[np.ndarray]] = [[] for _ in decoders]
    part = max(1, ROWS // max(1, len(decoders)))
    for lo in range(0, max(map(len, sequences), default=0), part):
        parts = [tokens[lo:lo + part] for tokens in sequences]
        try:
            rows = _read_part(decoders, parts)
        except BaseException:
            for decoder in decoders:
                decoder.failed = True
            raise
        for own, piece in zip(found, np.split(rows, np.cumsum([len(tokens) for tokens in parts])[:-1])):
            own.append(piece)
    return [np.concatenate(own) if own else np.empty((0, decoder.model.width), decoder.model.dtype)
            for own, decoder in zip(found, decoders)]


def _read_part(decoders, sequences):
    """Vectors of all tokens of a part of the sequences, one sequence after the other."""
    first = decoders[0]
    model, body, run = first.model, first.body, Run(first.step, train=False)
    dtype = np.dtype(model.dtype)
    ends = np.cumsum([0, *map(len, sequences)])
    places = np.concatenate([np.arange(decoder.position, decoder.position + len(tokens)) for decoder, tokens in zip(decoders, sequences)])
    with kernel_threads(len(places) * model.width * (4 * model.width + model.max_length)):
        x = np.concatenate(sequences)
        for name, layer in zip(body.embedding.names, body.embedding.layers):
            x = x + layer.vectors(places) if name == "positions" else by_rows(layer, x, run)
        x1 = x2 = to_stream(np.ascontiguousarray(x, dtype))
        for i, block in enumerate(body.blocks):
            heads = block.attention["heads"]
            normed = block.attention["norm"].forward(to_values(x2, dtype), run)[0]
            q, v = (part.by_rows(normed).reshape(len(normed), heads.n_heads, -1) for part in (heads.qk, heads.v))
            out = np.empty_like(q)
            for decoder, lo, hi in zip(decoders, ends, ends[1:]):
                if hi > lo:
                    out[lo:hi] = decoder.readers[i].read(q[lo:hi], v[lo:hi])
            x1 = add(x1, heads.out.by_rows(out.reshape(normed.shape)))
            normed = block.feedforward["norm"].forward(to_values(x1, dtype), run)[0]
            x2 = add(x2, block.feedforward["layers"].by_rows(normed))
        mean = to_values(x1, dtype)
        mean += to_values(x2, dtype)
        mean *= dtype.type(0.5)
        rows = body.norm.forward(mean, run)[0]
    for decoder, tokens in zip(decoders, sequences):
        decoder.position += len(tokens)
    return rows


def by_rows(layer: Any, x: np.ndarray, run: Run) -> np.ndarray:
    """The values of rows, whose bits do not depend on how many others there are, of a layer that may have linear maps."""
    return layer.by_rows(x) if hasattr(layer, "by_rows") else layer.forward(x, run)[0]
