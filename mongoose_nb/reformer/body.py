"""All layers of a language model below the head, as one layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.nn.layers.base import Layer, Run, named, part_of
from mongoose_nb.nn.layers.dense import Dense
from mongoose_nb.nn.layers.dropout import Dropout
from mongoose_nb.nn.layers.layer_norm import LayerNorm
from mongoose_nb.nn.layers.sequential import Sequential
from mongoose_nb.reformer.attention import MultiHeadAttention
from mongoose_nb.reformer.cores import make_core
from mongoose_nb.reformer.embedding import Embedding
from mongoose_nb.reformer.feedforward import FeedForward
from mongoose_nb.reformer.positions import make_positions
from mongoose_nb.reformer.reversible import Reversible, to_stream, to_values


class Body(Layer):
    """Tokens (batch, length) to vectors (batch, length, width): embedding, reversible blocks, normalisation.

    Parameters
    ----------
    embedding : Layer
        Tokens to vectors, with positions.
    blocks : list of Reversible
    norm : Layer
    dtype : str
    """

    def __init__(self, embedding: Layer, blocks: list[Reversible], norm: Layer, dtype: str = "float32") -> None:
        self.embedding, self.blocks, self.norm, self.dtype = embedding, blocks, norm, dtype

    def parameters(self) -> dict[str, Parameter]:
        """Those of all layers."""
        return named([("embedding", self.embedding.parameters()), ("norm", self.norm.parameters()),
                      *((f"block{i}", block.parameters()) for i, block in enumerate(self.blocks))])

    def forward(self, x: np.ndarray, run: Run) -> tuple:
        """Vectors above the last block, and caches from the bottom to the top."""
        x, bottom = self.embedding.forward(x, run)
        stream = to_stream(x)
        pair, caches = (stream, stream), []
        for block in self.blocks:
            pair, cache = block.forward(pair, run)
            caches.append(cache if run.train else None)
        dtype = np.dtype(self.dtype)
        mean = to_values(pair[0], dtype)
        mean += to_values(pair[1], dtype)
        mean *= dtype.type(0.5)
        h, norm = self.norm.forward(mean, run)
        return h, (bottom, caches, pair if run.train and not self.blocks[0].store else None, norm)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """There is nothing below tokens: the first result is None. Caches are dropped on the way down."""
        bottom, caches, pair, norm = cache
        g, gradients = self.norm.backward(g, norm)
        parts = [("norm", gradients)]
        half = g * g.dtype.type(0.5)
        both = (half, half, pair)
        for i in range(len(self.blocks) - 1, -1, -1):
            both, gradients = self.blocks[i].backward(both, caches.pop())
            parts.append((f"block{i}", gradients))
        parts.append(("embedding", self.embedding.backward(both[0] + both[1], bottom)[1]))
        return None, named(parts)

    def after_update(self, run: Run, gradients: dict[str, Any]) -> None:
        """Call all blocks."""
        for i, block in enumerate(self.blocks):
            block.after_update(run, part_of(gradients, f"block{i}"))


def make_body(model: Any, rng: Callable[[], np.random.Generator], seed: Callable[[], int]) -> Body:
    """The body of a model, built.

    Parameters
    ----------
    model : ReformerLM
        Its settings are read.
    rng, seed : callable
        ``rng()`` gives the generator and ``seed()`` the seed of the next layer: their order is part of what a seed of the model means.
    """
    dtype, width = model.dtype, model.width

    def sequential(**layers):
        return Sequential(layers.values(), layers)

    first = rng()
    bottom = {"tokens": Embedding(model.embedding_width, dtype)}
    if model.embedding_width != width:
        bottom["bridge"] = Dense(width, "identity", init="glorot", dtype=dtype)
    bottom["positions"] = make_positions(model.positions, model.max_length, dtype)
    embedding = sequential(**bottom, dropout=Dropout(model.dropout, seed())).build(model.n_tokens, first)
    blocks = []
    for i in range(model.n_layers):
        first = rng()
        attend = MultiHeadAttention(model.n_heads, make_core(model, i, seed()), dtype=dtype, kind=model.projections)
        forward = FeedForward(model.ff_width, model.activation, chunks=model.ff_chunks, dtype=dtype, kind=model.ff)
        f = sequential(norm=LayerNorm(dtype), heads=attend, dropout=Dropout(model.dropout, seed()))
        g = sequential(norm=LayerNorm(dtype), layers=forward, dropout=Dropout(model.dropout, seed()))
        blocks.append(Reversible(f, g, store=not model.reversible, dtype=dtype).build(width, first))
    return Body(embedding, blocks, LayerNorm(dtype).build(width, first), dtype)
