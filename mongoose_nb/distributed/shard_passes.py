"""A pass through the rows of a shard: over outputs that a batch shares, or over candidates of each sample.

A pass goes forward when it is made. ``log_z``, ``losses`` and ``labels`` (logits of labels, as in the loss), each (n,), are those of its
outputs alone. `backward` is given the normalisers of whole samples; then ``gradient`` is that of the rows, None without rows. Of a batch in
parts, these are those of a part; `turn` goes on to the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mongoose_nb.core.arrays import Buffers, Parameter, aligned_zeros, read_only
from mongoose_nb.nn.layers.gradients import RowGradient, RowStore, SharedRowGradient, SummedRowGradient
from mongoose_nb.nn.layers.wide_output import parts_of
from mongoose_nb.nn.sampling.candidate_sets import ActiveSets


def own(array: Any) -> np.ndarray:
    """A copy that may be written, at a place of its own: what Dask delivers is read-only and lies anywhere."""
    array = np.asarray(array)
    out = aligned_zeros(array.shape, array.dtype)
    out[...] = array
    return out


class Layer(NamedTuple):
    """Rows of an output layer on one shard."""

    weights: Parameter
    bias: Parameter
    logistic: bool
    buffers: Buffers
    store: RowStore


class SharedPass:
    """Outputs that a batch shares, or all.

    Parameters
    ----------
    layer : Layer
    h : (n, width) float32
    share : (n,) float32
        Of every sample in the mean of the losses.
    count, own_count : (n,) int64
        Labels of every sample, in all and here.
    columns : int32
        Places of the labels in the list, sample by sample.
    ids : int32 or None
        None: all outputs.
    shifts : float32
    """

    def __init__(self, layer: Layer, h: np.ndarray, share: np.ndarray, count: np.ndarray, own_count: np.ndarray, columns: np.ndarray,
                 ids: np.ndarray | None, shifts: np.ndarray) -> None:
        from mongoose_nb.kernels.layers import wide

        self._layer, self._h, self._share = layer, h, share
        get, n, width = layer.buffers.get, len(h), h.shape[1]
        weights, bias, logistic = layer.weights.value, layer.bias.value, layer.logistic
        self.gradient: SharedRowGradient | None = None
        everything = ids is None
        self._m = m = len(bias) if ids is None else len(ids)
        self.labels = np.zeros(n)
        if not m:
            self.losses = np.zeros(n, np.float32)
            self.log_z = self.losses if logistic else np.full(n, -np.inf, np.float32)
            return
        self._shared = shared = wide.Shared(np.zeros(0, np.int32) if everything else own(ids), everything, m, own(shifts))
        self._rows = rows = weights if everything else get("rows", (m, width))
        self._blocks = blocks = wide.count_blocks(m)
        self._Z, sums = get("Z", (m, n)), wide.Sums(get("top", (blocks, n)), get("total", (blocks, n)))
        targets = wide.Targets(own_count, get("ptr", m + 1, np.int64), get("sample", len(columns), np.int32), get("value", len(columns)))
        wide.group_targets(read_only(own(columns)), logistic, targets)
        if not logistic:
            targets.value[...] = (np.float32(1) / np.maximum(count, 1).astype(np.float32))[targets.sample]
        self._targets = targets = targets._replace(count=count)
        wide.logits_shared(h, weights, bias, shared, targets, logistic, rows, self._Z, sums)
        self.losses, self.log_z = np.empty(n, np.float32), np.empty(n, np.float32)
        wide.finish_loss(targets, logistic, self._Z, sums, self.log_z, self.losses)
        self.labels = np.where(count > 0, self.log_z, np.float32(0)).astype(np.float64) - self.losses

    def backward(self, log_z: np.ndarray, clip: bool) -> tuple[np.ndarray, float]:
        """This shard's part of d loss / d h (n, width), and, with `clip`, the squared norm of the gradient of its rows."""
        import numba

        from mongoose_nb.kernels.layers import wide

        n, width = self._h.shape
        if not self._m:
            return np.zeros((n, width), np.float32), 0.0
        get, blocks = self._layer.buffers.get, self._blocks
        scratch = wide.Partial(get("part", (numba.get_num_threads(), n, width)), get("partial", (wide.count_groups(blocks), n, width)))
        G = get("G", (self._m, width)) if clip else np.zeros((0, width), np.float32)
        squares, grad = np.zeros(blocks if clip else 0), np.empty((n, width), np.float32)
        wide.backward_shared(self._h, self._rows, self._shared, self._targets, self._layer.logistic, self._Z, log_z, self._share, scratch,
                             grad, wide.RowGradients(G, squares))
        self.gradient = SharedRowGradient(self._layer.weights, self._layer.bias, self._shared, self._Z, self._h, None, self._layer.buffers)
        return grad, float(squares.sum())


class PartedPass:
    """As `SharedPass`, of a batch in parts: logits are held of one part at a time, and the gradients of the rows are summed.

    Parameters
    ----------
    layer, h, share, count, own_count, columns, ids, shifts
        Of the batch, as there.
    size : int
        Samples of a part.
    """

    def __init__(self, layer: Layer, h: np.ndarray, share: np.ndarray, count: np.ndarray, own_count: np.ndarray, columns: np.ndarray,
                 ids: np.ndarray | None, shifts: np.ndarray, size: int) -> None:
        self._layer, self._of_samples, self._columns, self._listed = layer, (h, share, count, own_count), columns, (ids, shifts)
        self._first = np.concatenate([[0], np.cumsum(own_count)])
        self._parts = parts_of(len(h), size)
        self.gradient: SummedRowGradient | None = None
        self._forward()

    def _forward(self):
        rows = self._parts.pop(0)
        h, *others = (array[rows] for array in self._of_samples)
        columns = self._columns[self._first[rows.start]:self._first[rows.stop]]
        self._part = SharedPass(self._layer, own(h), *others, columns, *self._listed)
        self.log_z, self.losses, self.labels = self._part.log_z, self._part.losses, self._part.labels

    def turn(self, log_z: np.ndarray) -> np.ndarray:
        """d loss / d h of the part; then the next one goes forward."""
        grad, _ = self.backward(log_z, False)
        self._forward()
        return grad

    def backward(self, log_z: np.ndarray, clip: bool) -> tuple[np.ndarray, float]:
        """As `SharedPass.backward`, of the part; the squared norm is that of the gradient so far."""
        grad, _ = self._part.backward(log_z, False)
        if self._part.gradient is not None:
            made = self._part.gradient
            if self.gradient is None:
                self.gradient = SummedRowGradient(made.weights, made.biases, made.shared, self._layer.buffers)
            self.gradient.add(made.Z, made.H)
        return grad, self.gradient.square_norm() if clip and self.gradient is not None else 0.0


class ListedPass:
    """Candidates of each sample.

    The kernel of `WideOutput` goes forward and backward at once, with the normaliser of the outputs here. `backward` brings its gradients
    to the normaliser of all shards; of one shard they are the same, to the last bit.

    Parameters
    ----------
    layer : Layer
    h : (n, width) float32
    share : (n,) float32
        Of every sample in the mean of the losses.
    count : (n,) int64
        Labels of every sample in all.
    sets : ActiveSets
        Of outputs here.
    after_loss : callable
        See `Sampler.after_loss`.
    """

    def __init__(self, layer: Layer, h: np.ndarray, share: np.ndarray, count: np.ndarray, sets: ActiveSets,
                 after_loss: Callable[[ActiveSets, np.ndarray], None]) -> None:
        from mongoose_nb.kernels.layers.active import Lists, loss_active

        self._layer, self._h, self._share, self._count, self._sets, self._after_loss = layer, h, share, count, sets, after_loss
        n = len(h)
        self._delta, self._grad = np.zeros(len(sets.ids), np.float32), np.empty(h.shape, np.float32)
        self.losses, self.log_z = np.empty(n, np.float32), np.empty(n, np.float32)
        lists = Lists(sets.start, sets.count, read_only(sets.ids), sets.n_label, sets.n_exact, sets.shift, sets.shifts, count)
        loss_active(h, layer.weights.value, layer.bias.value, lists, layer.logistic, share, self._delta, self._grad, self.losses,
                    self.log_z)
        self.labels = np.where(sets.count > 0, self.log_z, np.float32(0)).astype(np.float64) - self.losses

    def backward(self, log_z: np.ndarray, clip: bool) -> tuple[np.ndarray, float]:
        """As `SharedPass.backward`."""
        from mongoose_nb.kernels.layers.active import sum_rows

        sets = self._sets
        if not self._layer.logistic:
            factor = np.exp(self.log_z.astype(np.float64) - log_z).astype(np.float32)
            room = np.diff(sets.start, append=len(sets.ids))  # a list may be shorter than its place
            place = np.arange(len(sets.ids)) - np.repeat(sets.start, room)
            # what the label has beside the softmax does not go with the factor: it is taken out and put back
            target = (factor - 1) * self._share / np.maximum(self._count, 1).astype(np.float32)
            back = np.where(place < np.repeat(sets.n_label, room), np.repeat(target, room), np.float32(0))
            self._delta *= np.repeat(factor, room)
            self._delta += back
            labels = np.empty(self._h.shape, np.float32)
            sum_rows(sets.start, sets.n_label, read_only(sets.ids), read_only(back), self._layer.weights.value,
                     np.zeros(self._h.shape[1], np.float32), labels)
            self._grad *= factor[:, None]
            self._grad += labels
        self._after_loss(sets, self._delta)
        self.gradient = RowGradient(self._layer.store, sets.start, sets.count, sets.ids, self._delta, self._h)
        return self._grad, self.gradient.square_norm() if clip else 0.0
