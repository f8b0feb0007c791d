"""Gradients as values, and the optimiser step.

::

    np.ndarray           the whole gradient
    RowGradient          dW[row] = sum of coef * V[sample] over the pairs (row, sample) of a batch
    SharedRowGradient    dW[ids] = Z @ H, for outputs that are shared by a batch; never stored
    SummedRowGradient    the same, stored, as a sum over parts of the batch
    BiasGradient         of the bias beside the rows of one of these

Each has ``square_norm()``, ``apply(...)`` and, for checks, ``dense()``. `apply_gradients` takes them all by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import Buffers, Parameter, Rows, aligned_zeros, read_only

if TYPE_CHECKING:

    from mongoose_nb.kernels.layers.rows import Groups
    from mongoose_nb.kernels.layers.wide import Shared
    from mongoose_nb.nn.training.optimizers import Optimizer

# Ranges of rows that one thread owns: enough to balance, few enough for the counting sort to stay in cache.
MAX_RANGES = 256


def _state(parameter):
    from mongoose_nb.kernels.layers.rows import State

    return State(parameter.value, parameter.m, parameter.v)


class RowStore:
    """Scratch memory for the gradients of one matrix whose rows are touched sparsely, kept from batch to batch.

    Parameters
    ----------
    weights : Parameter
        Matrix (n_rows, width).
    bias : Parameter, optional
        Vector (n_rows,); its gradient is the sum of `coef`.
    """

    def __init__(self, weights: Parameter, bias: Parameter | None = None) -> None:
        self.weights, self.bias = weights, bias
        n_rows, width = weights.value.shape
        self.shift = max(0, int(n_rows - 1).bit_length() - MAX_RANGES.bit_length() + 1)
        self.ranges = ((n_rows - 1) >> self.shift) + 1
        self.cursor = np.zeros(n_rows, np.int32)
        self.scratch = aligned_zeros((self.ranges, width))
        self.buffers = Buffers()

    def sort(self, start: np.ndarray, count: np.ndarray, ids: np.ndarray, coef: np.ndarray) -> Groups:
        """`kernels.layers.rows.Groups` of pairs, in memory that is theirs as long as they are referred to."""
        from mongoose_nb.kernels.layers import rows as kernel

        get, lend, n = self.buffers.get, self.buffers.lend, int(count.sum())
        groups = kernel.Groups(lend("group sample", n, np.int32), lend("group value", n), lend("rows", n, np.int32),
                               lend("ends", n, np.int64), lend("part_ptr", self.ranges + 1, np.int64),
                               lend("part_rows", self.ranges, np.int64))
        scratch = kernel.SortScratch(self.cursor, get("hist", (kernel.CHUNKS, self.ranges), np.int64), get("key", n, np.int32),
                                     get("sample", n, np.int32), get("value", n))
        kernel.sort_pairs(kernel.Pairs(start, count, read_only(ids), read_only(coef)), self.shift, scratch, groups)
        return groups


class RowGradient:
    """Gradient of a matrix of which a batch touches few rows: ``dW[row] = sum of coef * V[sample]`` over pairs (row, sample).

    The pairs of sample i are ``ids[start[i] : start[i] + count[i]]`` with their `coef`. They are sorted by row when that is first needed;
    then one thread owns a row, so that the result is the same for any number of threads.

    Parameters
    ----------
    store : RowStore
        Of the matrix.
    start, count : (n,) int64 arrays
    ids : int32 array
    coef : float array like `ids`
    V : (n, width) array
    """

    def __init__(self, store: RowStore, start: np.ndarray, count: np.ndarray, ids: np.ndarray, coef: np.ndarray, V: np.ndarray) -> None:
        self.store, self.start, self.count, self.ids, self.coef, self.V = store, start, count, ids, coef, V
        self._groups = None
        self._twin: RowGradient | None = None

    @classmethod
    def of_rows(cls, store: RowStore, ids: np.ndarray, values: np.ndarray) -> RowGradient:
        """One pair for each row of `values`: ``dW[ids[i]] += values[i]``."""
        n = len(ids)
        return cls(store, np.arange(n), np.ones(n, np.int64), ids, np.ones(n, values.dtype), values)

    @property
    def bias(self) -> BiasGradient:
        """The gradient of the bias that lies beside the rows."""
        return BiasGradient(self)

    def sort_with(self, other: RowGradient) -> RowGradient:
        """Take over the sorted pairs of another gradient, of a matrix with as many rows, instead of sorting the same pairs again.

        Parameters
        ----------
        other : RowGradient
            With the same pairs.

        Returns
        -------
        RowGradient
            Itself.
        """
        if len(other.store.weights.value) != len(self.store.weights.value) or len(other.ids) != len(self.ids):
            raise ValueError(f"the other gradient has {len(other.ids):,} pairs of {len(other.store.weights.value):,} rows; needed are "
                             f"the same pairs, {len(self.ids):,} of {len(self.store.weights.value):,} rows")
        self._twin = other
        return self

    def groups(self) -> Groups:
        """The pairs by row (`kernels.layers.rows.Groups`)."""
        if self._twin is not None:
            return self._twin.groups()
        if self._groups is None:
            self._groups = self.store.sort(self.start, self.count, self.ids, self.coef)
        return self._groups

    def square_norm(self) -> float:
        """Squared Euclidean norm, with that of the bias if there is one."""
        from mongoose_nb.kernels.layers import rows as kernel

        out = np.zeros(self.store.ranges)
        kernel.square_rows(self.V, self.groups(), self.store.bias is not None, self.store.scratch, out)
        return float(out.sum())

    def apply(self, method: int, constants: np.ndarray, bias_constants: np.ndarray) -> None:
        """Optimiser step on the touched rows, and on their biases if there are any."""
        from mongoose_nb.kernels.layers import rows as kernel

        weights, bias = self.store.weights, self.store.bias
        none = np.zeros(0, np.float32)
        kernel.apply_rows(self.V, self.groups(), method, constants, bias_constants, _state(weights), bias is not None,
                          kernel.State(none, none, none) if bias is None else _state(bias), self.store.scratch)

    def touched(self) -> np.ndarray:
        """Ids of the touched rows, int32, in no order."""
        from mongoose_nb.kernels.layers.rows import list_rows

        groups = self.groups()
        out = np.empty(int(groups.part_rows.sum()), np.int32)
        list_rows(groups, out)
        return out

    def listed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(ids of the touched rows (n,) int32, their gradients (n, width), those of their biases (n,))."""
        from mongoose_nb.kernels.layers.rows import sum_groups

        ids, groups = self.touched(), self.groups()
        values, totals = np.empty((len(ids), self.V.shape[1]), np.float32), np.empty(len(ids), np.float32)
        sum_groups(self.V, groups, np.cumsum(groups.part_rows) - groups.part_rows, values, totals)
        return ids, values, totals

    def dense(self) -> np.ndarray:
        """The whole gradient of the matrix."""
        out = np.zeros_like(self.store.weights.value)
        sample, place = Rows(self.start, self.count, self.ids, None).places()
        np.add.at(out, self.ids[place], self.coef[place, None] * self.V[sample])
        return out

    def dense_bias(self) -> np.ndarray:
        """The whole gradient of the bias."""
        out = np.zeros_like(self.store.bias.value)
        place = Rows(self.start, self.count, self.ids, None).places()[1]
        np.add.at(out, self.ids[place], self.coef[place])
        return out


class SharedRowGradient:
    """Gradient of the rows of outputs that a batch shares, ``dW[ids] = Z @ H``, and of their biases; the product is never stored.

    Parameters
    ----------
    weights, bias : Parameter
    shared : kernels.layers.wide.Shared
        The outputs.
    Z : (n_rows, n) array
        d loss / d logits.
    H : (n, width) array
        Activations.
    squares : array or None
        Squared norms by block of rows, where clipping needs them.
    buffers : Buffers
        Scratch memory.
    """

    def __init__(self, weights: Parameter, bias: Parameter, shared: Shared, Z: np.ndarray, H: np.ndarray, squares: np.ndarray | None,
                 buffers: Buffers) -> None:
        self.weights, self.biases, self.shared, self.Z, self.H = weights, bias, shared, Z, H
        self._squares, self._buffers = squares, buffers

    @property
    def bias(self) -> BiasGradient:
        """The gradient of the biases."""
        return BiasGradient(self)

    def square_norm(self) -> float:
        """Squared Euclidean norm, with that of the biases."""
        if self._squares is None:
            raise ValueError("the norm of this gradient was not computed: give forward a Run with clip=True")
        return float(self._squares.sum())

    def apply(self, method: int, constants: np.ndarray, bias_constants: np.ndarray) -> None:
        """Optimiser step on the rows and their biases."""
        import numba

        from mongoose_nb.kernels.layers import wide

        scratch = self._buffers.get("G block", (numba.get_num_threads(), wide.BLOCK, self.H.shape[1]))
        wide.apply_shared(self.H, _state(self.weights), _state(self.biases), self.shared, self.Z, method, constants, bias_constants,
                          scratch)

    def touched(self) -> np.ndarray | None:
        """Ids of the rows, int32; None for all."""
        return None if self.shared.contiguous else self.shared.ids

    def _place(self, rows, like):
        out = np.zeros_like(like)
        out[slice(self.shared.n_rows) if self.shared.contiguous else self.shared.ids] = rows
        return out

    def dense(self) -> np.ndarray:
        """The whole gradient of the matrix."""
        return self._place(self.Z @ self.H, self.weights.value)

    def dense_bias(self) -> np.ndarray:
        """The whole gradient of the biases."""
        return self._place(self.Z.sum(axis=1), self.biases.value)


class SummedRowGradient(SharedRowGradient):
    """As `SharedRowGradient`, of a batch that comes in parts: ``dW[ids]`` is the sum of what was added.

    Parameters
    ----------
    weights, bias : Parameter
    shared : kernels.layers.wide.Shared
        The outputs.
    buffers : Buffers
        Memory for the sum, which is as large as the rows, and for scratch.
    """

    def __init__(self, weights: Parameter, bias: Parameter, shared: Shared, buffers: Buffers) -> None:
        from mongoose_nb.kernels.layers import wide

        self.weights, self.biases, self.shared, self._buffers = weights, bias, shared, buffers
        self._blocks = wide.count_blocks(shared.n_rows)
        self.rows = buffers.lend("sum", (shared.n_rows, weights.value.shape[1]))
        self.totals = buffers.lend("sum of biases", shared.n_rows)
        self.rows[...] = 0
        self.totals[...] = 0

    def add(self, Z: np.ndarray, H: np.ndarray) -> None:
        """Add the gradient of a part.

        Parameters
        ----------
        Z : (n_rows, n) array
            d loss / d logits.
        H : (n, width) array
            Activations.
        """
        import numba

        from mongoose_nb.kernels.layers import summed, wide

        scratch = self._buffers.get("G block", (numba.get_num_threads(), wide.BLOCK, H.shape[1]))
        summed.add_part(H, Z, self._blocks, self.rows, self.totals, scratch)

    def square_norm(self) -> float:
        """Squared Euclidean norm, with that of the biases."""
        from mongoose_nb.kernels.layers import summed

        squares = np.zeros(self._blocks)
        summed.square_sums(self.rows, self.totals, squares)
        return float(squares.sum())

    def apply(self, method: int, constants: np.ndarray, bias_constants: np.ndarray) -> None:
        """Optimiser step on the rows and their biases."""
        from mongoose_nb.kernels.layers import summed

        summed.apply_sums(self.rows, self.totals, self.shared, self._blocks, method, constants, bias_constants, _state(self.weights),
                          _state(self.biases))

    def dense(self) -> np.ndarray:
        """The whole gradient of the matrix."""
        return self._place(self.rows, self.weights.value)

    def dense_bias(self) -> np.ndarray:
        """The whole gradient of the biases."""
        return self._place(self.totals, self.biases.value)


class BiasGradient:
    """Gradient of the biases that lie beside touched rows. The gradient of the rows measures and applies it: one pass does both."""

    def __init__(self, rows: RowGradient | SharedRowGradient) -> None:
        self.rows = rows

    def square_norm(self) -> float:
        """0: it is part of the norm of the rows."""
        return 0.0

    def apply(self, method: int, constants: np.ndarray, bias_constants: np.ndarray) -> None:
        """Nothing: it is part of the step on the rows."""

    def dense(self) -> np.ndarray:
        """The whole gradient."""
        return self.rows.dense_bias()


def square_norm(gradient: Any) -> float:
    """Squared Euclidean norm of a gradient."""
    return float(np.square(gradient, dtype=np.float64).sum()) if isinstance(gradient, np.ndarray) else gradient.square_norm()


def as_dense(gradient: Any) -> np.ndarray:
    """A gradient as an array of the parameter's shape; for checks."""
    return gradient if isinstance(gradient, np.ndarray) else gradient.dense()


def apply_gradients(parameters: dict, gradients: dict, optimizer: Optimizer, step: int, rate: float = 1.0,
                    clip_norm: float | None = None) -> None:
    """One step of an optimiser on all parameters.

    Parameters
    ----------
    parameters : dict of str to Parameter
    gradients : dict of str to gradient
        By the names of `parameters`; those without a gradient stay as they are.
    optimizer : Optimizer
    step : int
        Steps taken before.
    rate : float
        Factor on the learning rate.
    clip_norm : float, optional
        Largest norm of all gradients together; longer ones are scaled to it.

    Notes
    -----
    Weight decay shrinks matrices. Vectors, which are biases and gains, are not decayed. A bias beside the rows of a matrix is stepped with
    them, at the learning rate of the matrix (`Parameter.lr_factor`).
    """
    from mongoose_nb.kernels.layers.rows import State, apply_dense

    scale = 1.0
    if clip_norm is not None:
        norm = float(np.sqrt(sum(square_norm(gradient) for gradient in gradients.values())))
        scale = min(1.0, clip_norm / max(norm, 1e-30))
    known: dict[float, tuple] = {}  # constants of matrices and of vectors, by factor on the learning rate
    for name, gradient in reversed(gradients.items()):  # the output layer first: rows on other machines are stepped meanwhile
        parameter = parameters.get(name)
        factor = 1.0 if parameter is None else parameter.lr_factor  # rows of other machines have no parameter here
        if factor not in known:
            known[factor] = tuple(optimizer.constants(step + 1, rate, scale, decay, factor) for decay in (True, False))
        constants, bias_constants = known[factor]
        if not isinstance(gradient, np.ndarray):
            gradient.apply(optimizer.method, constants, bias_constants)
            continue
        shape = (parameter.value.shape[0], -1) if parameter.decays else (1, -1)
        state = State(*(array.reshape(shape) for array in _state(parameter)))
        apply_dense(gradient.reshape(shape), optimizer.method, constants if parameter.decays else bias_constants, state)
