"""One range of rows of an output layer, with the moments of the optimiser; lives on a worker.

What it computes is what `nn.layers.WideOutput` computes of the same rows, by the same kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.arrays import Buffers, Parameter, Rows, aligned_zeros
from mongoose_nb.core.registry import make
from mongoose_nb.core.saving import join, restore, split, state_of
from mongoose_nb.distributed.cluster import check_directory
from mongoose_nb.distributed.shard_passes import Layer, ListedPass, PartedPass, SharedPass, own
from mongoose_nb.nn.layers.gradients import RowStore
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
            check_directory(source)
            saved, arrays = files.load(source, KIND)
        else:
            arrays.update(source)

        def take(key):
            array = arrays.pop(key)  # of a file, no more than one array is held twice
            return own(array) if isinstance(source, str) else aligned_zeros(array)

        self.parameters = {}
        for name in ("weights", "bias"):
            parameter = self.parameters[name] = Parameter(take(name))
            for moment in ("m", "v"):
                if f"{name}.{moment}" in arrays:
                    setattr(parameter, moment, take(f"{name}.{moment}"))
        weights, bias = self.parameters["weights"], self.parameters["bias"]
        self.layer = Layer(weights, bias, logistic, Buffers(), RowStore(weights, bias))
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
        there = self._arrays()
        for key, array in arrays.items():
            there[key][lo:lo + len(array)] = array

    def get(self, lo: int, hi: int) -> dict[str, np.ndarray]:
        """Copies of rows and their moments."""
        return {key: array[lo:hi].copy() for key, array in self._arrays().items()}

    def _arrays(self):
        return {key: array for name, parameter in self.parameters.items() for key, array in parameter.arrays(name).items()}

    def choose(self, h: np.ndarray, own_count: np.ndarray, labels: np.ndarray, step: int, tables: bool) -> tuple:
        """What the shard's own sampler chooses: places of the labels, ids, shifts, and `Sampler.counts`."""
        if tables and not getattr(self.sampler, "hard_negatives", True):
            self.sampler.judge(np.inf, step)
        chosen = self.sampler.shared(h, _rows(own_count, labels), step, PhaseTimer())
        check_sets(self.sampler, chosen, len(self.layer.bias.value))
        return chosen.pair_column, chosen.ids, chosen.shifts, self.sampler.counts()

    def forward(self, h: np.ndarray, share: np.ndarray, count: np.ndarray, own_count: np.ndarray, columns: np.ndarray,
                ids: np.ndarray | None, shifts: np.ndarray, step: int, tables: bool,
                micro_batch_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, float]]:
        """Normalisers, losses and logits of labels, each (n,), of the outputs `ids`, or of all, or of those that the shard's sampler
        chooses; and its counts. Of a batch in parts, those of the first part.

        Parameters
        ----------
        h : (n, width) float32
        share : (n,) float32
            Of every sample in the mean of the losses.
        count, own_count : (n,) int64
            Labels of every sample, in all and here.
        columns : int32
            Places of the labels in the list, sample by sample; with a sampler, the labels.
        ids : int32 or None
        shifts : float32
        step : int
        tables : bool
            Whether the sampler may use tables.
        micro_batch_size : int
            Samples of a part, of which logits are held at once; 0 for all. Candidates of each sample are never in parts.
        """
        counts: dict[str, float] = {}
        self.step = step
        h, share, count, own_count = (own(array) for array in (h, share, count, own_count))
        if self.sampler is not None and self.sampler.shape == "sample":
            sets = self.sampler.per_sample(h, _rows(own_count, columns), step, PhaseTimer())
            check_sets(self.sampler, sets, len(self.layer.bias.value))
            counts = self.sampler.counts()
            self.kept = ListedPass(self.layer, h, share, count, sets, self.sampler.after_loss)
        else:
            if self.sampler is not None:
                columns, ids, shifts, counts = self.choose(h, own_count, columns, step, tables)
            batch = self.layer, h, share, count, own_count, columns, ids, shifts
            parted = 0 < micro_batch_size < len(h)
            self.kept = PartedPass(*batch, micro_batch_size) if parted else SharedPass(*batch)
        return self.kept.log_z, self.kept.losses, self.kept.labels, counts

    def turn(self, log_z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """This shard's part of d loss / d h of a part of the batch; then normalisers, losses and logits of labels of the next part."""
        return self.kept.turn(own(log_z)), self.kept.log_z, self.kept.losses, self.kept.labels

    def backward(self, log_z: np.ndarray, clip: bool) -> tuple[np.ndarray, float]:
        """This shard's part of d loss / d h (n, width), and, with `clip`, the squared norm of the gradient of its rows."""
        return self.kept.backward(own(log_z), clip)

    def apply(self, method: int, constants: np.ndarray, bias_constants: np.ndarray) -> None:
        """Step of the optimiser on the rows of the last `backward`; then tables are kept up with the rows."""
        gradient = self.kept.gradient
        if gradient is not None:
            gradient.apply(method, own(constants), own(bias_constants))
            if self.sampler is not None:
                self.sampler.after_update(self.step, PhaseTimer(), gradient.touched)

    def best(self, h: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The best k outputs of every row of `h`, or all where there are fewer: ids in the shard, and logits."""
        from mongoose_nb.core.threads import one_blas_thread

        weights, bias = (self.parameters[name].value for name in ("weights", "bias"))
        with one_blas_thread():
            return best_outputs(own(h), weights, bias, min(k, len(bias)))

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
        check_directory(path)
        plain, arrays = ({}, {}) if self.sampler is None else split(state_of(self.sampler), "sampler.")
        files.save(path, KIND, {} if self.sampler is None else {"sampler": plain},
                   {**self._arrays(), **{f"best.{name}": array for name, array in self.best_rows.items()}, **arrays})


def _rows(count, labels):
    """Labels of the samples."""
    return Rows(np.cumsum(count) - count, count, own(labels), np.zeros(0, np.float32))
