"""A linear map by sparse blocks plus a low-rank matrix (Pixelated Butterfly), and an activation."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.layers.initial import filled, normal
from mongoose_nb.nn.layers.linear_map import LinearMap
from mongoose_nb.structured.butterfly import grid_of, pixelfly_mask, split_layer

# Blocks that a layer of default settings has along its shorter side: more have more strides, larger ones are faster.
SIDE = 32


@register("layer", "pixelfly")
class Pixelfly(LinearMap):
    """``activation(X @ W.T + b)`` for ``W = mix * B + (1 - mix) * up @ down``: B has the blocks of `pixelfly_mask`, and `mix` is learned.

    As those of `Monarch`, the learning rates of the blocks and of `up` are multiplied by the root of (inputs of the layer / their inputs).

    Parameters
    ----------
    units : int
    density : float
        Share of a dense layer's weights that the layer has at most, where `butterfly_size` or `rank` is left out. A quarter of them
        or more are those of the low-rank matrix.
    block : int, optional
        Rows and columns of a block; by default a power of two, so that there are 32 along the shorter side, from 8 to 128, or smaller
        where `density` does not pay for the diagonal.
    butterfly_size : int, optional
        The strides are the powers of two below; see `pixelfly_mask`.
    rank : int, optional
        Of the low-rank matrix; 0 for none.
    n_global : int
        First block rows and block columns that are stored as a whole.
    mask : (block rows, block columns) bool array, optional
        Which blocks are stored instead of those of a butterfly.
    activation, use_bias, init, dtype
        As for `Dense`; values start with the same variance.

    References
    ----------
    Chen et al., "Pixelated Butterfly: Simple and efficient sparse training for neural network models", ICLR 2022.
    """

    def __init__(self, units: int, density: float = 0.2, block: int | None = None, butterfly_size: int | None = None,
                 rank: int | None = None, *, n_global: int = 0, mask: Any = None, activation: str | Activation | None = None,
                 use_bias: bool = True, init: str = "he", dtype: str = "float32") -> None:
        super().__init__(units, activation, use_bias=use_bias, init=init, dtype=dtype)
        self.density = check_number("density", density, low=0.0, high=1.0, open_low=True)
        self.block = None if block is None else check_int("block", block, low=1)
        self.butterfly_size = None if butterfly_size is None else check_int("butterfly_size", butterfly_size, low=1)
        self.rank = None if rank is None else check_int("rank", rank, low=0)
        self.n_global = check_int("n_global", n_global, low=0)
        self.mask = None if mask is None else np.array(mask)
        if self.mask is not None and (self.mask.ndim != 2 or self.mask.dtype != bool):
            raise ValueError(f"mask must be a matrix of booleans, one for each block; got {self.mask.dtype} of shape {self.mask.shape}")
        if self.mask is not None and not self.mask.any():
            raise ValueError(f"mask must store at least one block; got {self.mask.shape} with none: for low rank alone put a narrow dense "
                             "layer before a wide one")

    def _settings(self):
        """(block, mask, rank) of a matrix of this shape."""
        out, in_ = self.units, self.n_inputs
        size, rank, mask = self.butterfly_size, self.rank, self.mask
        if rank is not None:
            check_int("rank", rank, low=0, high=min(out, in_))
        block = self.block or 1 << min(7, max(3, (min(out, in_) // SIDE).bit_length() - 1))
        if mask is None:
            if size is None:
                paid = self.density * out * in_ - (rank or 0) * (out + in_)
                while self.block is None and block > 1 and int(pixelfly_mask(out, in_, block, 1).sum()) * block**2 > paid:
                    block //= 2  # a small matrix
                size, extra = split_layer(out, in_, block, paid, **({} if rank is None else {"low_rank": 0.0}))
                rank = extra if rank is None else rank
            mask = pixelfly_mask(out, in_, block, size, 0, self.n_global)
        elif mask.shape != grid_of(out, in_, block):
            raise ValueError(f"mask must have the shape {grid_of(out, in_, block)}, one entry for each block of {block} of a matrix of "
                             f"{out} x {in_}; got {mask.shape}")
        if rank is None:  # what the blocks leave
            rank = max(0, int((self.density * out * in_ - int(mask.sum()) * block**2) // (out + in_)))
        return block, mask, check_int("rank", rank, low=0, high=min(out, in_))

    def _build_map(self, rng, gain):
        from mongoose_nb.kernels.structured.blocks import Pattern

        block, self.block_mask, rank = self._settings()
        row, column = (np.ascontiguousarray(ids, np.int64) for ids in np.nonzero(self.block_mask))
        by_column = np.argsort(column, kind="stable").astype(np.int64)
        self._pattern = Pattern(row, column, by_column)
        self._block = block
        # Half of the values' variance comes from the blocks, and half from the low-rank matrix, whatever stores how much (mix = 1/2 halves
        # the values). A row of blocks has the inputs of its blocks.
        alone = rank == 0
        share = gain if alone else 2.0 * gain
        inputs = np.maximum(1, self._cut(self.block_mask.astype(np.int64), block).sum(axis=1))
        blocks = normal(rng, (len(row), block, block), 1.0) * np.sqrt(share / inputs[row])[:, None, None]
        self.blocks = Parameter(self._inside(blocks).reshape(-1, block).astype(self.dtype), self._lr_factor(inputs.mean()))
        self.down, self.up, self.mix = None, None, None
        if not alone:
            self.down = Parameter(normal(rng, (rank, self.n_inputs), self.n_inputs ** -0.5).astype(self.dtype, copy=False))
            up = normal(rng, (self.units, rank), (share / rank) ** 0.5)
            self.up = Parameter(up.astype(self.dtype, copy=False), self._lr_factor(rank))
            self.mix = Parameter(filled(1, 0.5, self.dtype))

    def _cut(self, mask, block):
        """Numbers of columns of the matrix in each block."""
        columns = np.minimum(block, self.n_inputs - block * np.arange(mask.shape[1]))
        return mask * columns

    def _inside(self, blocks):
        """The blocks, zero beyond the matrix; in place."""
        b = self._block
        for e in np.flatnonzero((self._pattern.row + 1) * b > self.units):
            blocks[e, self.units - self._pattern.row[e] * b:] = 0
        for e in np.flatnonzero((self._pattern.column + 1) * b > self.n_inputs):
            blocks[e, :, self.n_inputs - self._pattern.column[e] * b:] = 0
        return blocks

    def _arrays(self):
        """(blocks, down, up, scales) as the kernels take them."""
        b = self._block
        blocks = self.blocks.value.reshape(-1, b, b)
        if self.mix is None:
            none = np.zeros((0, self.n_inputs), self.dtype), np.zeros((self.units, 0), self.dtype)
            return (blocks, *none, np.array([1.0, 0.0], self.dtype))
        mix = self.mix.value[0]
        return blocks, self.down.value, self.up.value, np.array([mix, 1 - mix], self.dtype)

    def dense_weights(self) -> np.ndarray:
        blocks, down, up, scales = self._arrays()
        b, grid = self._block, self.block_mask.shape
        whole = np.zeros((grid[0], b, grid[1], b), self.dtype)
        whole[self._pattern.row, :, self._pattern.column, :] = scales[0] * blocks
        whole = whole.reshape(grid[0] * b, grid[1] * b)[:self.units, :self.n_inputs]
        return np.ascontiguousarray((whole + scales[1] * (up @ down)).T)

    def scale_weights(self, factor: float) -> None:
        for parameter in (self.blocks, self.up):
            if parameter is not None:
                parameter.value *= parameter.value.dtype.type(factor)

    def _take(self, weights):
        """The low-rank matrix takes what it can of the part outside of the blocks, the blocks take the rest exactly."""
        b, grid = self._block, self.block_mask.shape
        whole = np.zeros((grid[0] * b, grid[1] * b))
        whole[:self.units, :self.n_inputs] = weights.T
        low = np.zeros_like(whole)
        if self.mix is not None:
            stored = np.kron(self.block_mask, np.ones((b, b), bool))
            u, s, vh = np.linalg.svd(np.where(stored, 0.0, whole)[:self.units, :self.n_inputs], full_matrices=False)
            root = np.sqrt(s[:len(self.down.value)])
            self.up.value[...] = 2 * u[:, :len(root)] * root
            self.down.value[...] = root[:, None] * vh[:len(root)]
            self.mix.value[...] = 0.5
            low[:self.units, :self.n_inputs] = 0.5 * (self.up.value @ self.down.value)
        parts = (whole - low).reshape(grid[0], b, grid[1], b)[self._pattern.row, :, self._pattern.column, :]
        self.blocks.value[...] = self._inside(parts * (1.0 if self.mix is None else 2.0)).reshape(-1, b)

    def _multiply(self, rows, run: Run):
        from mongoose_nb.kernels.structured.blocks import blocks_forward

        blocks, down, up, scales = self._arrays()
        H, out = np.empty((len(rows), len(down)), self.dtype), np.empty((len(rows), self.units), self.dtype)
        blocks_forward(rows, blocks, self._pattern, down, up, scales, self.bias_value, H, out)
        return out, H

    def _multiply_backward(self, g, rows, cache, need_input):
        from mongoose_nb.kernels.structured.blocks import blocks_backward, blocks_gradients

        H, (blocks, down, up, scales) = cache, self._arrays()
        dH, dx = np.empty_like(H), np.empty((len(rows) if need_input else 0, self.n_inputs), self.dtype)
        blocks_backward(g, blocks, self._pattern, down, up, scales, dH, dx)
        lend, names = self._buffers.lend, ("blocks", "down", "up")
        found = tuple(lend(name, value.shape, self.dtype) for name, value in zip(names, (blocks, down, up)))
        if self.units % self._block or self.n_inputs % self._block:
            found[0][...] = 0
        products = lend("products", len(blocks) + self.block_mask.shape[0], np.float64)
        blocks_gradients(rows, g, self._pattern, H, dH, (blocks, down, up), scales, found, products)
        gradients = {"blocks": found[0].reshape(self.blocks.value.shape)}
        if self.mix is not None:
            mix = products[:len(blocks)].sum() - products[len(blocks):].sum()
            gradients.update(down=found[1], up=found[2], mix=np.array([mix], self.dtype))
        return dx, gradients
