"""A linear map by a Monarch matrix, and an activation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.initial import normal
from mongoose_nb.nn.layers.linear_map import LinearMap
from mongoose_nb.structured.layout import layout_of
from mongoose_nb.structured.monarch import MonarchMatrix, monarch_project


@register("layer", "monarch")
class Monarch(LinearMap):
    """``activation(X @ M.T + b)`` for a Monarch matrix M: two factors of blocks along the diagonal, and a stride permutation.

    By default a layer of n inputs and n units has 2 n sqrt(n) weights, and as many multiplications a sample. `Dense` has n * n.

    A block has fewer inputs than a dense layer, so that steps of the same length change its values less. The learning rate of a factor is
    therefore multiplied by the root of (inputs of the layer / inputs of a block): ``parameters()["left"].lr_factor``.

    Parameters
    ----------
    units : int
    blocks : int or (int, int), optional
        Groups of outputs and of inputs, which are the numbers of blocks of the left and of the right factor; see `monarch_project`. By
        default near the square roots of units and inputs. Without `rank`, fewer blocks have more weights: about 2 n n / blocks.
    rank : int, optional
        Rank of the part of M between a group of inputs and a group of outputs. By default so that the values between the factors are as
        many as the smaller of inputs and units; `monarch_project` has this by ``rank=None``, and rank 1 by default. At a given rank,
        fewer blocks have fewer weights: about 2 n blocks rank.
    activation, use_bias, init, dtype
        As for `Dense`; values start with the same variance.

    References
    ----------
    Dao et al., "Monarch: Expressive structured matrices for efficient and accurate training", ICML 2022.
    """

    def __init__(self, units: int, blocks: int | Sequence[int] | None = None, rank: int | None = None,
                 activation: str | Activation | None = None, *, use_bias: bool = True, init: str = "he", dtype: str = "float32") -> None:
        super().__init__(units, activation, use_bias=use_bias, init=init, dtype=dtype)
        pair = blocks if isinstance(blocks, list | tuple) else [blocks]
        self.blocks = blocks if blocks is None else type(pair)(check_int("blocks", b, low=1) for b in pair) if pair is blocks else (
            check_int("blocks", blocks, low=1))
        self.rank = None if rank is None else check_int("rank", rank, low=1)

    def _build_map(self, rng, gain):
        self.layout = layout_of(self.units, self.n_inputs, self.blocks, self.rank)
        # all but a cut block have `columns` inputs; the values between have the variance of the inputs
        (K, middle, columns), (J, rows, inner) = self.layout.right_shape, self.layout.left_shape
        self.right, self.left = (Parameter(normal(rng, shape, std).astype(self.dtype, copy=False), self._lr_factor(shape[1]))
                                 for shape, std in (((K * middle, columns), columns ** -0.5), ((J * rows, inner), (gain / inner) ** 0.5)))

    def _factors(self):
        return self.left.value.reshape(self.layout.left_shape), self.right.value.reshape(self.layout.right_shape)

    def to_matrix(self) -> MonarchMatrix:
        """M (units, n_inputs), a copy of the weights."""
        L, R = self._factors()
        return MonarchMatrix(L.copy(), R.copy(), (self.units, self.n_inputs))

    def dense_weights(self) -> np.ndarray:
        return np.ascontiguousarray(self.to_matrix().to_dense().T)

    def scale_weights(self, factor: float) -> None:
        self.left.value *= self.left.value.dtype.type(factor)

    def _take(self, weights):
        layout = self.layout
        M, _ = monarch_project(weights.T, (layout.row_groups, layout.column_groups), layout.rank)
        self.left.value[...] = M.L.reshape(self.left.value.shape)
        self.right.value[...] = M.R.reshape(self.right.value.shape)

    def _scratch(self, name, shape, run):
        return self._buffers.lend(name, shape, self.dtype) if run.train else np.empty(shape, self.dtype)

    def _multiply(self, rows, run):
        import numba

        from mongoose_nb.kernels.structured.orders import order_of

        L, R = self._factors()
        order = order_of(L.shape, R.shape)
        shape = order.scratch(len(rows), R.shape[0] * R.shape[1])
        U = self._scratch("U", shape, run)
        Z = self._scratch("Z", (numba.get_num_threads(), L.shape[0] * L.shape[1], shape[2]), run)
        out = np.empty((len(rows), self.units), self.dtype)
        order.forward(rows, R, L, self.bias_value, U, Z, out)
        return out, U

    def _multiply_backward(self, g, rows, cache, need_input):
        from mongoose_nb.kernels.structured.monarch import monarch_gradients
        from mongoose_nb.kernels.structured.orders import order_of

        U, (L, R) = cache, self._factors()
        G = self._buffers.lend("G", (len(U), L.shape[0] * L.shape[1], U.shape[2]), self.dtype)
        dU = self._buffers.lend("dU", U.shape, self.dtype)
        dx = np.empty((len(rows) if need_input else 0, self.n_inputs), self.dtype)
        order_of(L.shape, R.shape).backward(g, R, L, G, dU, dx)
        dL, dR = np.zeros(L.shape, self.dtype), np.zeros(R.shape, self.dtype)
        monarch_gradients(rows, U, G, dU, dR, dL)
        return dx, {"right": dR.reshape(self.right.value.shape), "left": dL.reshape(self.left.value.shape)}
