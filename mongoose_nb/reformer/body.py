"""All layers of a language model below the head, as one layer."""

import numpy as np

from mongoose_nb.nn.layers.base import Layer, named, part_of
from mongoose_nb.reformer.reversible import to_stream, to_values


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

    def __init__(self, embedding, blocks, norm, dtype="float32"):
        self.embedding, self.blocks, self.norm, self.dtype = embedding, blocks, norm, dtype

    def parameters(self):
        """Those of all layers."""
        return named([("embedding", self.embedding.parameters()), ("norm", self.norm.parameters()),
                      *((f"block{i}", block.parameters()) for i, block in enumerate(self.blocks))])

    def forward(self, x, run):
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

    def backward(self, g, cache, need_input=True):
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

    def after_update(self, run, gradients):
        """Told to all blocks."""
        for i, block in enumerate(self.blocks):
            block.after_update(run, part_of(gradients, f"block{i}"))
