"""One range of rows of an output layer, with the moments of the optimiser; lives on a worker.

What it computes is what `nn.layers.WideOutput` computes of the same rows, by the same kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.arrays import Buffers, Parameter, Rows, aligned_zeros, read_only
from mongoose_nb.core.registry import make
from mongoose_nb.core.saving import join, restore, split, state_of
from mongoose_nb.nn.layers.gradients import SharedRowGradient
from mongoose_nb.nn.retrieval.exact import best_outputs
from mongoose_nb.nn.sampling.candidate_sets import check_sets
from mongoose_nb.nn.training.timing import PhaseTimer

KIND = "output shard"


class OutputShard:
    """Rows of an output layer; lives on a worker."""

    def open(self, source: str | dict[str, tuple[int, ...]], logistic: bool, sampler: dict | None) -> None:
        """Take the rows and their moments from a file, or make zeros of these shapes, into which `put` writes. The sampler is that of
        `Sampler.of_shard`; None where the client chooses candidates."""
        saved: dict[str, Any] = {}
        arrays: dict[str, Any] = {}
        if isinstance(source, str):
            saved, arrays = files.load(source, KIND)
        else:
            arrays.update(source)

        def take(key):
            array = arrays.pop(key)  # of a file, no more than one array is held twice
            return _own(array) if isinstance(source, str) else aligned_zeros(array)

        self.parameters = {}
        for name in ("weights", "bias"):
            parameter = self.parameters[name] = Parameter(take(name))
            for moment in ("m", "v"):
                if f"{name}.{moment}" in arrays:
                    setattr(parameter, moment, take(f"{name}.{moment}"))
        self.logistic, self.buffers = logistic, Buffers()
        self.kept: Any = None
        self.best_rows = {name: arrays[f"best.{name}"] for name in self.parameters if f"best.{name}" in arrays}
        state = {key.removeprefix("sampler."): array for key, array in arrays.items() if key.startswith("sampler.")}
        self.given, self.state = sampler, join(saved["sampler"], state) if "sampler" in saved else None
        self.sampler: Any = None

    def begin(self) -> None:
        """Tie the sampler to the rows, when all are there."""
        if self.given is not None:
            self.sampler = make("sampler", self.given["sampler"]).bind(*self.parameters.values(), self.given["seed"])
            if "told" in self.given:
                self.sampler.told = self.given["told"]
            if self.state is not None:
                restore(self.sampler, self.state, "sampler")
        self.state = None

    def put(self, lo: int, arrays: dict[str, np.ndarray]) -> None:
        """Write rows from `lo` on."""
        own = self._arrays()
        for key, array in arrays.items():
            own[key][lo:lo + len(array)] = array

    def get(self, lo: int, hi: int) -> dict[str, np.ndarray]:
        """Copies of rows and their moments."""
        return {key: array[lo:hi].copy() for key, array in self._arrays().items()}

    def _arrays(self):
        return {key: array for name, parameter in self.parameters.items() for key, array in parameter.arrays(name).items()}

    def choose(self, h: np.ndarray, own_count: np.ndarray, labels: np.ndarray, step: int, tables: bool) -> tuple:
        """What the shard's own sampler chooses: places of the labels, ids, shifts, and `Sampler.counts`."""
        rows = Rows(np.cumsum(own_count) - own_count, _own(own_count), _own(labels), np.zeros(0, np.float32))
        if tables and not getattr(self.sampler, "hard_negatives", True):
            self.sampler.judge(np.inf, step)
        chosen = check_sets(self.sampler, self.sampler.shared(_own(h), rows, step, PhaseTimer()), len(self.parameters["bias"].value))
        return chosen.pair_column, chosen.ids, chosen.shifts, self.sampler.counts()

    def forward(self, h: np.ndarray, count: np.ndarray, own_count: np.ndarray, columns: np.ndarray, ids: np.ndarray | None,
                shifts: np.ndarray, step: int, tables: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, float]]:
        """Normalisers, losses and logits of labels, each (n,), of the outputs `ids`, or of all, or of those that the shard's sampler
        chooses; and its counts.

        Parameters
        ----------
        h : (n, width) float32
        count, own_count : (n,) int64
            Labels of every sample, in all and here.
        columns : int32
            Places of the labels in the list, sample by sample; with a sampler, the labels.
        ids : int32 or None
        shifts : float32
        step : int
        tables : bool
            Whether the sampler may use tables.
        """
        from mongoose_nb.kernels.layers import wide

        get, n, width = self.buffers.get, len(h), h.shape[1]
        counts: dict[str, float] = {}
        self.step = step
        if self.sampler is not None:
            columns, ids, shifts, counts = self.choose(h, own_count, columns, step, tables)
        weights, bias = (self.parameters[name].value for name in ("weights", "bias"))
        everything = ids is None
        m = len(bias) if ids is None else len(ids)
        if not m:
            self.kept = None
            nothing = np.zeros(n, np.float32)
            return nothing if self.logistic else np.full(n, -np.inf, np.float32), nothing, nothing, counts
        h = _own(h)
        shared = wide.Shared(np.zeros(0, np.int32) if everything else _own(ids), everything, m, _own(shifts))
        rows = weights if everything else get("rows", (m, width))
        blocks = wide.count_blocks(m)
        Z, sums = get("Z", (m, n)), wide.Sums(get("top", (blocks, n)), get("total", (blocks, n)))
        targets = wide.Targets(_own(own_count), get("ptr", m + 1, np.int64), get("sample", len(columns), np.int32),
                               get("value", len(columns)))
        wide.group_targets(read_only(_own(columns)), self.logistic, targets)
        count = _own(count)
        if not self.logistic:
            targets.value[...] = (np.float32(1) / np.maximum(count, 1).astype(np.float32))[targets.sample]
        targets = targets._replace(count=count)
        wide.logits_shared(h, weights, bias, shared, targets, self.logistic, rows, Z, sums)
        losses, log_z = np.empty(n, np.float32), np.empty(n, np.float32)
        wide.finish_loss(targets, self.logistic, Z, sums, log_z, losses)
        labels = np.where(count > 0, log_z, np.float32(0)).astype(np.float64) - losses
        self.kept = h, shared, rows, Z, targets, blocks
        return log_z, losses, labels, counts

    def backward(self, n: int, log_z: np.ndarray, share: np.ndarray, clip: bool) -> tuple[np.ndarray, float]:
        """This shard's part of d loss / d h (n, width), and, with `clip`, the squared norm of the gradient of its rows."""
        import numba

        from mongoose_nb.kernels.layers import wide

        width = self.parameters["weights"].value.shape[1]
        if self.kept is None:
            return np.zeros((n, width), np.float32), 0.0
        h, shared, rows, Z, targets, blocks = self.kept
        get = self.buffers.get
        scratch = wide.Partial(get("part", (numba.get_num_threads(), n, width)), get("partial", (wide.count_groups(blocks), n, width)))
        G = get("G", (shared.n_rows, width)) if clip else np.zeros((0, width), np.float32)
        squares, grad = np.zeros(blocks if clip else 0), np.empty((n, width), np.float32)
        wide.backward_shared(h, rows, shared, targets, self.logistic, Z, _own(log_z), _own(share), scratch, grad,
                             wide.RowGradients(G, squares))
        return grad, float(squares.sum())

    def apply(self, method: int, constants: np.ndarray, bias_constants: np.ndarray) -> None:
        """Step of the optimiser on the rows of the last `backward`; then tables are kept up with the rows."""
        if self.kept is not None:
            h, shared, _, Z, _, _ = self.kept
            gradient = SharedRowGradient(self.parameters["weights"], self.parameters["bias"], shared, Z, h, None, self.buffers)
            gradient.apply(method, _own(constants), _own(bias_constants))
            if self.sampler is not None:
                self.sampler.after_update(self.step, PhaseTimer(), gradient.touched)

    def best(self, h: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The best k outputs of every row of `h`, or all where there are fewer: ids in the shard, and logits."""
        from mongoose_nb.core.threads import one_blas_thread

        weights, bias = (self.parameters[name].value for name in ("weights", "bias"))
        with one_blas_thread():
            return best_outputs(_own(h), weights, bias, min(k, len(bias)))

    def keep(self) -> None:
        """Keep a copy of the weights, for `go_back`."""
        self.best_rows = {name: parameter.value.copy() for name, parameter in self.parameters.items()}

    def go_back(self) -> None:
        """Put the kept weights back, and forget the copy."""
        for name, array in self.best_rows.items():
            self.parameters[name].value[...] = array
        self.best_rows = {}

    def save(self, path: str) -> None:
        """Write the rows, kept ones, and the state of the sampler to a file."""
        plain, arrays = ({}, {}) if self.sampler is None else split(state_of(self.sampler), "sampler.")
        files.save(path, KIND, {} if self.sampler is None else {"sampler": plain},
                   {**self._arrays(), **{f"best.{name}": array for name, array in self.best_rows.items()}, **arrays})


def _own(array):
    """A copy that may be written, at a place of its own: what Dask delivers is read-only and lies anywhere."""
    array = np.asarray(array)
    out = aligned_zeros(array.shape, array.dtype)
    out[...] = array
    return out
