"""The wide output layer on a hashed array: its rows are made when candidates need them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.compress import View, make_compression
from mongoose_nb.core.arrays import Buffers, Parameter, Rows, read_only
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.layers.gradients import SummedRowGradient
from mongoose_nb.nn.layers.hashed import Hashed
from mongoose_nb.nn.layers.initial import filled, inverse_root
from mongoose_nb.nn.layers.losses import Loss
from mongoose_nb.nn.layers.wide_output import WideOutput
from mongoose_nb.nn.sampling.base import Sampler
from mongoose_nb.nn.sampling.candidate_sets import ActiveSets, check_sets


class VirtualWeights:
    """What samplers take for a `Parameter`: its ``value`` is a view, whose rows are made on the fly.

    Parameters
    ----------
    value : compress.View
    """

    def __init__(self, value: View) -> None:
        self.value = value


class HashedOutput(Hashed, WideOutput):
    """As `WideOutput`, with W (units, n_inputs) a view of a hashed array and a bias for each output.

    Samplers hash the rows as they would those of an array. Rows that a batch needs are made once: with candidates per sample, those in the
    set of any sample.

    Parameters
    ----------
    units : int
    sampler : str or Sampler
    loss : str or Loss
    init_std : float, optional
        Standard deviation of the initial weights; 1 / sqrt(n_inputs) by default.
    compress : float, str or compress.Compress
        How small, and by which map.
    """

    def __init__(self, units: int, sampler: str | dict | Sampler, loss: str | Loss = "softmax", *, init_std: float | None = None,
                 compress: Any = "robe") -> None:
        super().__init__(units, sampler, loss, init_std=init_std)
        self.compress = make_compression(compress)

    def config(self) -> dict[str, Any]:
        """See `Registered.config`."""
        known = super().config()
        del known["regularizer"]  # it has none
        return {**known, "compress": self.compress}

    def build(self, n_inputs: int, rng: np.random.Generator) -> HashedOutput:
        """As `Layer.build`."""
        self.n_inputs, self.n_outputs = n_inputs, self.units
        self.view = self.make_view((self.units, n_inputs), self.init_std or inverse_root(n_inputs), rng)
        self.weights = VirtualWeights(self.view)
        self.bias = Parameter(filled(self.units, 0.0))
        self._store = None
        self._buffers = Buffers()
        return self

    def dense_weights(self) -> np.ndarray:
        """See `Hashed.dense_weights`."""
        return self.view[:].T

    def _per_sample(self, h, labels, run, share):
        from mongoose_nb.kernels.layers.active import Lists, loss_active

        sets = check_sets(self.sampler, self.sampler.per_sample(h, labels, run.step, run.timer), self.units)
        lend = self._buffers.lend
        delta, grad, losses = lend("delta", len(sets.ids)), lend("grad", h.shape), lend("loss", len(h))
        with run.timer("forward"):
            place = self._buffers.get("place", self.units, np.int32)
            place[:] = -1
            place[sets.ids] = 0
            ids = np.flatnonzero(place == 0)
            place[ids] = np.arange(len(ids), dtype=np.int32)
            bases = self.view.map.bases(ids)
            rows = self.view.gather(ids, bases=bases, out=self._buffers.get("virtual", (len(ids), self.n_inputs)))
            lists = Lists(sets.start, sets.count, read_only(place[sets.ids]), sets.n_label, sets.n_exact, sets.shift, sets.shifts,
                          sets.n_label)
            loss_active(h, rows, self.bias.value[ids], lists, self.loss_kind.logistic, share, delta, grad, losses,
                        self._buffers.get("log_z", len(h)))
        self.sampler.after_loss(sets, delta)
        with run.timer("backward"):
            touched, values, totals = self._row_gradient(sets, delta, h).listed()
            touched = touched.astype(np.int64)
        return losses, (grad, (touched, values, bases[place[touched]], totals))

    def _shared(self, h, labels, run, share):
        from mongoose_nb.core.threads import one_blas_thread
        from mongoose_nb.kernels.layers import wide
        from mongoose_nb.kernels.layers.dense import matmul

        chosen = check_sets(self.sampler, self.sampler.shared(h, labels, run.step, run.timer), self.units)
        everything = chosen.ids is None
        ids = np.arange(self.units) if everything else chosen.ids.astype(np.int64)
        with run.timer("forward"):
            bases = self.all_bases(self.view) if everything else self.view.map.bases(ids)
            rows = self.view.gather(ids, bases=bases, out=self._buffers.get("virtual", (len(ids), self.n_inputs)))
        shared = wide.Shared(np.zeros(0, np.int32), True, len(ids), chosen.shifts)
        columns, bias = labels.flat()[1] if everything else chosen.pair_column, self.bias.value[ids]
        if 0 < run.micro_batch_size < len(h):
            made = SummedRowGradient(Parameter(rows), Parameter(bias), shared, self._buffers)
            losses, grad = self._pass_parts(h, labels, columns, shared, rows, bias, run, share, made.add)
            return losses, (grad, (ids, made.rows, bases, made.totals))
        losses, grad, Z, _ = self._pass(h, labels, columns, shared, rows, bias, run, share)
        with run.timer("backward"), one_blas_thread():
            values = self._buffers.lend("values", rows.shape)
            matmul(Z, h, values)
        return losses, (grad, (ids, values, bases, Z.sum(axis=1)))

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """See `WideOutput.backward`."""
        grad, (ids, values, bases, g_bias) = cache
        return grad, {**self.cell_gradient(self.view, ids, values, bases), "bias": ListedGradient(self.bias, ids, g_bias)}

    def after_update(self, run: Run, gradients: dict[str, Any]) -> None:
        """Keep the sampler's tables up to date; rows share cells, so that all may have moved."""
        self.sampler.after_update(run.step, run.timer, _any)

    def topk_of(self, h: np.ndarray, k: int, sets: ActiveSets) -> tuple[np.ndarray, np.ndarray]:
        """See `WideOutput.topk_of`."""
        from mongoose_nb.kernels.layers.active import topk_active

        at = Rows(sets.start, sets.count, sets.ids, None).places()[1]  # there may be room between the sets
        listed, own = np.unique(sets.ids[at], return_inverse=True)
        place = np.zeros(len(sets.ids), np.int32)
        place[at] = own.reshape(-1)
        ids, scores = np.empty((len(h), k), np.int32), np.empty((len(h), k), np.float32)
        if not len(listed):
            ids[:], scores[:] = -1, -np.inf
            return ids, scores
        topk_active(h, self.view.gather(listed.astype(np.int64)), self.bias.value[listed], sets.start, sets.count,
                    read_only(place), scores, ids)
        return np.where(ids >= 0, listed[ids], -1).astype(np.int32), scores


def check_matrix(output: WideOutput, why: str) -> None:
    """Refuse an output layer whose rows live in a hashed array.

    Parameters
    ----------
    output : WideOutput
    why : str
        What they are needed for.

    Raises
    ------
    TypeError
        It says what to compress instead.
    """
    if isinstance(output.weights, VirtualWeights):
        raise TypeError(f"the output layer is on a hashed array, {why}, or compress other layers only, with "
                        "Compress(..., only=['hidden0'])")


def _any():
    """The rows that a step has changed: any."""
    return None


class ListedGradient:
    """Gradient of some entries of a vector; the others are not touched.

    Parameters
    ----------
    parameter : Parameter
    ids : (n,) int64
        Each once.
    values : (n,) float32
    """

    def __init__(self, parameter: Parameter, ids: np.ndarray, values: np.ndarray) -> None:
        self.parameter, self.ids, self.values = parameter, ids, values

    def square_norm(self) -> float:
        """Squared Euclidean norm."""
        return float(np.square(self.values, dtype=np.float64).sum())

    def dense(self) -> np.ndarray:
        """The whole gradient."""
        out = np.zeros_like(self.parameter.value)
        out[self.ids] = self.values
        return out

    def apply(self, method: int, constants: np.ndarray, bias_constants: np.ndarray) -> None:
        """Optimiser step on the entries."""
        from mongoose_nb.kernels.layers.rows import State, apply_dense

        p, ids = self.parameter, self.ids
        value = p.value[None, ids]
        m, v = (value if a is p.value else a[None, ids] for a in (p.m, p.v))
        apply_dense(self.values[None], method, bias_constants, State(value, m, v))
        p.value[ids] = value[0]
        for kept, new in ((p.m, m), (p.v, v)):
            if kept is not p.value:
                kept[ids] = new[0]
