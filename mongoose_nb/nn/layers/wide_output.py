"""The wide output layer and its loss: over all outputs, over candidates shared by the batch, or over candidates per sample."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Rows, read_only
from mongoose_nb.core.registry import make
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.layers.gradients import SharedRowGradient, SummedRowGradient
from mongoose_nb.nn.layers.losses import Loss, shares
from mongoose_nb.nn.layers.regularizers import Regularizer
from mongoose_nb.nn.layers.sampled import Sampled
from mongoose_nb.nn.retrieval.exact import best_outputs
from mongoose_nb.nn.sampling.base import Sampler
from mongoose_nb.nn.sampling.candidate_sets import ActiveSets, check_sets


def parts_of(n: int, size: int) -> list[slice]:
    """Slices of n rows, of `size` rows each but the last one.

    Parameters
    ----------
    n, size : int
    """
    return [slice(lo, min(lo + size, n)) for lo in range(0, n, size)]


class WideOutput(Sampled):
    """Logits ``h @ W.T + b`` of the active outputs, and the loss on them; W (units, n_inputs).

    One pass over the weights computes the loss and its gradient, so that `loss` takes the place of `forward`.

    Parameters
    ----------
    units : int
        Outputs.
    sampler : str or Sampler
        Chooses the active outputs.
    loss : str or Loss
    init_std : float, optional
        Standard deviation of the initial weights; 1 / sqrt(n_inputs) by default.
    regularizer : str or Regularizer, optional
        Changes the rows of W after each step, such as `SpreadOut`.
    """

    def __init__(self, units: int, sampler: str | dict | Sampler, loss: str | Loss = "softmax", *, init_std: float | None = None,
                 regularizer: str | dict | Regularizer | None = None) -> None:
        self.units = check_int("units", units, low=1, high=2**31 - 2)
        self.sampler, self.loss_kind = make("sampler", sampler), make("loss", loss)
        self.regularizer = None if regularizer is None else make("regularizer", regularizer)
        self.init_std = None if init_std is None else check_number("init_std", init_std, low=0.0, open_low=True)

    def config(self) -> dict[str, Any]:
        """See `Registered.config`."""
        return {"units": self.units, "sampler": self.sampler, "loss": self.loss_kind, "init_std": self.init_std,
                "regularizer": self.regularizer}

    def loss(self, h: np.ndarray, labels: Rows, run: Run, share: np.ndarray | None = None) -> tuple:
        """Loss of every sample over the outputs that the sampler picks.

        Parameters
        ----------
        h : (n, n_inputs) float32
        labels : Rows
        run : Run
            With ``clip`` where the norm of the gradient is needed. With ``micro_batch_size``, logits of the outputs that the batch shares
            are held for so many rows at a time; candidates are those of the whole batch.
        share : (n,) float32, optional
            Of every sample in the mean of the losses: by default equal shares of those that `Loss.weights` counts.

        Returns
        -------
        losses : (n,) float32
        cache
            For `backward`.
        """
        share = shares(self.loss_kind.weights(labels)) if share is None else share
        return (self._per_sample if self.sampler.shape == "sample" else self._shared)(h, labels, run, share)

    def backward(self, g: np.ndarray, cache: Any, need_input: bool = True) -> tuple:
        """Gradients of the weighted mean of the losses: `g` is 1."""
        grad, rows = cache
        return grad, {"weights": rows, "bias": rows.bias}

    def _per_sample(self, h, labels, run, share):
        from mongoose_nb.kernels.layers.active import Lists, loss_active

        lend = self._buffers.lend
        sets = check_sets(self.sampler, self.sampler.per_sample(h, labels, run.step, run.timer), self.units)
        with run.timer("forward"):
            delta, grad, losses = lend("delta", len(sets.ids)), lend("grad", h.shape), lend("loss", len(h))
            lists = Lists(sets.start, sets.count, read_only(sets.ids), sets.n_label, sets.n_exact, sets.shift, sets.shifts,
                          sets.n_label)
            loss_active(h, self.weights.value, self.bias.value, lists, self.loss_kind.logistic, share, delta, grad, losses,
                        self._buffers.get("log_z", len(h)))
        self.sampler.after_loss(sets, delta)
        return losses, (grad, self._row_gradient(sets, delta, h))

    def _shared(self, h, labels, run, share):
        from mongoose_nb.kernels.layers import wide

        chosen = check_sets(self.sampler, self.sampler.shared(h, labels, run.step, run.timer), self.units)
        everything = chosen.ids is None
        shared = wide.Shared(np.zeros(0, np.int32) if everything else chosen.ids, everything,
                             self.units if everything else len(chosen.ids), chosen.shifts)
        columns = labels.flat()[1] if everything else chosen.pair_column
        if 0 < run.micro_batch_size < len(h):
            rows = SummedRowGradient(self.weights, self.bias, shared, self._buffers)
            losses, grad = self._pass_parts(h, labels, columns, shared, self.weights.value, self.bias.value, run, share, rows.add)
            return losses, (grad, rows)
        losses, grad, Z, squares = self._pass(h, labels, columns, shared, self.weights.value, self.bias.value, run, share)
        return losses, (grad, SharedRowGradient(self.weights, self.bias, shared, Z, h, squares, self._buffers))

    def _pass_parts(self, h, labels, columns, shared, weights, bias, run, share, add):
        """Losses and d loss / d h, from one `_pass` for so many rows at a time; ``add(Z, h)`` takes the gradient of each."""
        losses, grad = np.empty(len(h), np.float32), self._buffers.lend("grad of parts", h.shape)
        part = dataclasses.replace(run, clip=False)
        first = np.concatenate([[0], np.cumsum(labels.count)])
        for rows in parts_of(len(h), run.micro_batch_size):
            mine = Rows(labels.start[rows], labels.count[rows], labels.ids, None)
            some = self._buffers.get("h of a part", h[rows].shape)  # the last bit must not depend on where the part begins
            some[...] = h[rows]
            losses[rows], grad[rows], Z, _ = self._pass(some, mine, columns[first[rows.start]:first[rows.stop]], shared, weights, bias,
                                                        part, share[rows])
            with run.timer("backward"):
                add(Z, some)
            del Z  # its memory is lent to the next part
        return losses, grad

    def _pass(self, h, labels, columns, shared, weights, bias, run, share):
        """Losses, d loss / d h, d loss / d logits, and squared norms of the rows' gradients where clipping needs them."""
        import numba

        from mongoose_nb.kernels.layers import wide

        get, lend, logistic = self._buffers.get, self._buffers.lend, self.loss_kind.logistic
        (n, width), m = h.shape, shared.n_rows
        with run.timer("forward"):
            rows = weights if shared.contiguous else get("rows", (m, width))
            blocks = wide.count_blocks(m)
            Z, sums = lend("Z", (m, n)), wide.Sums(get("top", (blocks, n)), get("total", (blocks, n)))
            targets = wide.Targets(labels.count, get("ptr", m + 1, np.int64), get("sample", len(columns), np.int32),
                                   get("value", len(columns)))
            wide.group_targets(read_only(columns), logistic, targets)
            wide.logits_shared(h, weights, bias, shared, targets, logistic, rows, Z, sums)
            losses, log_z = np.empty(n, np.float32), get("log_z", n)
            wide.finish_loss(targets, logistic, Z, sums, log_z, losses)
        with run.timer("backward"):
            scratch = wide.Partial(get("part", (numba.get_num_threads(), n, width)), get("partial", (wide.count_groups(blocks), n, width)))
            G = get("G", (m, width)) if run.clip else np.zeros((0, width), np.float32)
            squares, grad = np.zeros(blocks if run.clip else 0), lend("grad", h.shape)
            wide.backward_shared(h, rows, shared, targets, logistic, Z, log_z, share, scratch, grad,
                                 wide.RowGradients(G, squares))
        return losses, grad, Z, squares if run.clip else None

    def after_update(self, run: Run, gradients: dict[str, Any]) -> None:
        """See `Layer.after_update`: the regularizer goes first, so that hash tables see what it did."""
        if self.regularizer is not None:
            self._regularize(self.regularizer, gradients["weights"].touched(), run)
        super().after_update(run, gradients)

    def _regularize(self, regularizer, touched, run):
        """A step of the regularizer on the touched rows, all where `touched` is None."""
        with run.timer("update"):
            if touched is None:
                rows = regularizer.step(self.weights.value, run.rate)
                if rows is not self.weights.value:
                    self.weights.value[:] = rows
            elif len(touched):
                ids = np.sort(touched)
                self.weights.value[ids] = regularizer.step(self.weights.value[ids], run.rate)

    def topk(self, h: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Exact best k outputs of every row of `h`: (ids (n, k) int32, logits (n, k) float32), best first, lower id first."""
        return best_outputs(h, self.weights.value, self.bias.value, k)

    def topk_of(self, h: np.ndarray, k: int, sets: ActiveSets) -> tuple[np.ndarray, np.ndarray]:
        """Best k of the outputs listed for each row (`ActiveSets`): as `topk`, -1 and -inf where fewer than k are listed."""
        from mongoose_nb.kernels.layers.active import topk_active

        ids = np.empty((len(h), k), np.int32)
        scores = np.empty((len(h), k), np.float32)
        topk_active(h, self.weights.value, self.bias.value, sets.start, sets.count, sets.ids, scores, ids)
        return ids, scores
