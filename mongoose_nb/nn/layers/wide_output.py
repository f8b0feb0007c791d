"""The wide output layer and its loss: over all outputs, over a list shared by the batch, or over a list for each sample."""

import math

import numpy as np

from mongoose_nb.core.arrays import Buffers, Parameter, aligned_zeros
from mongoose_nb.core.validation import check_choice
from mongoose_nb.core.views import read_only
from mongoose_nb.nn.layers.row_update import RowUpdate
from mongoose_nb.nn.layers.sparse_input import fill_normal
from mongoose_nb.nn.retrieval.exact import best_outputs

LOSSES = ("softmax", "logistic")


class WideOutput:
    """Logits ``h @ W.T + b`` of the active outputs, and the loss on them.

    ``softmax`` is cross-entropy against the uniform distribution over a sample's true labels; ``logistic`` is one-vs-all. Both
    are means over the batch. Forward and backward are one fused step (`loss`), since the gradient to the layer below falls out
    of the pass that reads the weights.

    Parameters
    ----------
    n_inputs, n_outputs : int
    sampler : samplers.Sampler
        Chooses the active outputs; bound to this layer's weights.
    loss : {"softmax", "logistic"}
    rng : numpy.random.Generator
    init_std : float
    """

    def __init__(self, n_inputs, n_outputs, sampler, loss="softmax", *, rng, init_std):
        self.n_inputs, self.n_outputs = n_inputs, n_outputs
        self.logistic = check_choice("loss", loss, LOSSES) == "logistic"
        self.loss_name = loss
        weights = aligned_zeros((n_outputs, n_inputs))
        fill_normal(weights, rng, init_std)
        self.weights = Parameter(weights)
        self.bias = Parameter(aligned_zeros(n_outputs))
        self.sampler = sampler
        self._rows = None
        self._buffers = Buffers()

    def parameters(self):
        """Trained arrays by name."""
        return {"weights": self.weights, "bias": self.bias}

    def loss(self, h, labels, step, timer, clip=False):
        """Loss of every sample and d (mean loss) / d h.

        Parameters
        ----------
        h : (n, n_inputs) float32
        labels : Rows
        step : int
            Keys the random choices.
        timer : PhaseTimer
        clip : bool
            Whether `square_norm` will be asked for.

        Returns
        -------
        (n,) float32, (n, n_inputs) float32
        """
        if self.sampler.shape == "sample":
            return self._per_sample(h, labels, step, timer)
        return self._shared(h, labels, step, timer, clip)

    def _per_sample(self, h, labels, step, timer):
        from mongoose_nb.kernels.layers.active import loss_active

        get = self._buffers.get
        sets = self.sampler.per_sample(h, labels, step, timer)
        with timer("forward"):
            delta = get("delta", len(sets.ids))
            grad = get("grad", h.shape)
            loss = get("loss", len(h))
            loss_active(h, self.weights.value, self.bias.value, sets.start, sets.count, read_only(sets.ids), sets.n_label, sets.n_exact,
                        sets.shift, sets.shifts, self.logistic, np.float32(1.0 / len(h)), delta, grad, loss)
        self.sampler.after_loss(sets, delta)
        with timer("backward"):
            if self._rows is None:
                self._rows = RowUpdate(self.weights, self.bias)
            self._rows.load(sets.start, sets.count, sets.ids, delta, h)
        return loss, grad

    def _shared(self, h, labels, step, timer, clip):
        import numba

        from mongoose_nb.kernels.layers import wide

        get = self._buffers.get
        n, width = h.shape
        shared = self.sampler.shared(h, labels, step, timer)
        with timer("forward"):
            everything = shared.ids is None
            m = self.n_outputs if everything else len(shared.ids)
            ids = np.zeros(0, np.int32) if everything else shared.ids
            rows = self.weights.value if everything else get("rows", (m, width))
            blocks = wide.count_blocks(m)
            Z, top, total = get("Z", (m, n)), get("top", (blocks, n)), get("total", (blocks, n))
            columns = labels.flat()[1] if everything else shared.pair_column
            ptr, sample, value = get("ptr", m + 1, np.int64), get("sample", len(columns), np.int32), get("value", len(columns))
            wide.group_targets(labels.count, read_only(columns), self.logistic, ptr, sample, value)
            wide.logits_shared(h, self.weights.value, self.bias.value, ids, everything, m, shared.shifts, ptr, sample, self.logistic,
                               rows, Z, top, total)
            loss, log_z = np.empty(n, np.float32), get("log_z", n)
            wide.finish_loss(labels.count, self.logistic, Z, top, total, ptr, sample, value, log_z, loss)
        with timer("backward"):
            threads = numba.get_num_threads()
            part, partial = get("part", (threads, n, width)), get("partial", (wide.count_groups(blocks), n, width))
            G = get("G", (m, width)) if clip else np.zeros((0, width), np.float32)
            squares, grad = np.zeros(blocks if clip else 0), get("grad", h.shape)
            wide.backward_shared(h, rows, m, shared.shifts, self.logistic, Z, log_z, np.float32(1.0 / n), labels.count, ptr, sample,
                                 value, part, partial, grad, G, squares)
        self._step = (h, ids, everything, m, Z)
        self._squares = squares
        return loss, grad

    def square_norm(self):
        """Squared norm of the layer's gradient; asked for after ``loss(..., clip=True)``."""
        return self._rows.square_norm() if self.sampler.shape == "sample" else float(self._squares.sum())

    def update(self, kind, constants, bias_constants):
        """Optimiser step on the active rows."""
        if self.sampler.shape == "sample":
            self._rows.apply(kind, constants, bias_constants)
            return
        import numba

        from mongoose_nb.kernels.layers import wide

        w, b = self.weights, self.bias
        h, ids, everything, m, Z = self._step
        scratch = self._buffers.get("G block", (numba.get_num_threads(), wide.BLOCK, self.n_inputs))
        wide.apply_shared(h, w.value, w.m, w.v, b.value, b.m, b.v, ids, everything, m, Z, kind, constants, bias_constants, scratch)

    def touched(self):
        """Ids of the rows that the last step changed (int32, unsorted); None for all."""
        if self.sampler.shape == "sample":
            return self._rows.touched()
        _, ids, everything, _, _ = self._step
        return None if everything else ids

    def forget(self):
        """Drop what the last batch left."""
        self._step = None
        if self._rows is not None:
            self._rows.forget()

    def topk(self, h, k):
        """Exact best k outputs of every row of `h`: (ids (n, k) int32, logits (n, k) float32), best first, lower id first."""
        return best_outputs(h, self.weights.value, self.bias.value, k)

    def topk_of(self, h, k, sets):
        """Best k of the outputs listed for each row (`ActiveSets`): as `topk`, -1 and -inf where fewer than k are listed."""
        from mongoose_nb.kernels.layers.active import topk_active

        ids = np.empty((len(h), k), np.int32)
        scores = np.empty((len(h), k), np.float32)
        topk_active(h, self.weights.value, self.bias.value, sets.start, sets.count, sets.ids, scores, ids)
        return ids, scores


def default_init_std(n_inputs):
    """Standard deviation of initial output weights: logits of a unit-norm activation start near 1 / sqrt(n_inputs)."""
    return 1.0 / math.sqrt(n_inputs)
