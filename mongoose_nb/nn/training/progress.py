"""The position of a call of `fit`: together with the network, all that is needed to continue it.

The order of the rows in an epoch follows from the seed and the epoch, so a number of batches is a position in the data. Sums of the
epoch that runs and the histories of those before are kept too: what a run reports is the same, interrupted or not.
"""

from __future__ import annotations

import dataclasses
import math
import time
import zlib
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.saving import Stateful, restore

if TYPE_CHECKING:
    import os

    import scipy.sparse

# Values of a matrix that its mark looks at, at most; of all row pointers it sees every one.
MARKED = 1 << 20


@dataclasses.dataclass
class Progress(Stateful):
    """The state of a training loop.

    Attributes
    ----------
    first_epoch : int
        Epochs that the network had taken when the call began.
    epochs : int
        Epochs of the call.
    batch_size, samples : int
        Of the call; a position in the data has no meaning under others.
    mark : int
        Checksum of the data, or 0 where there is none.
    batch : int
        Batches taken of the epoch that runs.
    history : list of dict
        Entries of the epochs that ended.
    stopped : bool
        Whether a callback has stopped the training.
    done : bool
        Whether the call has ended.
    seconds, loss, active : float
        Sums over the batches taken, of which the epoch's entry is made.
    counts, phases : dict
        Likewise: what the sampler counted, seconds by phase.
    skipped : int
        Samples of batches that were left out.
    part : int
        Chunks taken of the epoch that runs; `batch` counts in the next one.
    seen : int
        Samples of the batches taken.
    first_step : int
        Steps that the network had taken when the call began.
    weight : float
        Sum of the weights of the samples over the batches taken, as the loss counts them; files of earlier versions do not have it.
    micro_batch_size : int
        Of the call, 0 for whole batches: sums over parts round otherwise.
    """

    first_epoch: int
    epochs: int
    batch_size: int
    samples: int
    mark: int = 0
    batch: int = 0
    history: list = dataclasses.field(default_factory=list)
    stopped: bool = False
    done: bool = False
    seconds: float = 0.0
    loss: float = 0.0
    active: float = 0.0
    counts: dict = dataclasses.field(default_factory=dict)
    phases: dict = dataclasses.field(default_factory=dict)
    skipped: int = 0
    part: int = 0
    seen: int = 0
    first_step: int = 0
    weight: float = 0.0
    micro_batch_size: int = 0

    _start = None  # on the clock, while an epoch runs
    skip = False  # of this call: whether batches whose loss is not finite are left out

    def begin_epoch(self) -> None:
        """Nothing taken yet."""
        self._start = None
        self.batch, self.seconds, self.loss, self.active, self.counts, self.phases, self.skipped = 0, 0.0, 0.0, 0.0, {}, {}, 0
        self.part = self.seen = 0
        self.weight = 0.0

    def start(self) -> None:
        """Set the clock of the epoch, less what it has run already."""
        self._start = time.perf_counter() - self.seconds

    def tick(self) -> None:
        """Seconds of the epoch up to now."""
        if self._start is not None:
            self.seconds = time.perf_counter() - self._start

    def agree(self, other: Progress, path: str | os.PathLike) -> None:
        """Raise ValueError where `other`, of the call at hand, is not one that this, from the file at `path`, can go on as."""
        for name, what in (("samples", "rows"), ("batch_size", "rows in a batch"), ("micro_batch_size", "rows in a micro-batch")):
            mine, given = (getattr(progress, name) or "all" for progress in (self, other))
            if mine != given:
                raise ValueError(f"{path!r} was written by a training with {mine} {what}, this one has {given}: give the same data, "
                                 "batch_size and micro_batch_size to go on, or remove the file to start from the beginning")
        if self.mark not in (0, other.mark):
            raise ValueError(f"{path!r} was written by a training on other data, or other chunks of them: their checksum was "
                             f"{self.mark:08x} and is {other.mark:08x} now: give the same data to go on, or remove the file to start from "
                             "the beginning")
        taken = len(self.history) + (self.batch > 0 or self.part > 0)
        if taken > other.epochs:
            raise ValueError(f"epochs={other.epochs} counts from where the training at {path!r} began, which has taken {len(self.history)} "
                             f"epochs{'' if taken == len(self.history) else ' and a part of one'}: give epochs={taken} or more, or load "
                             "an older file")

    @classmethod
    def from_state(cls, state: dict) -> Progress:
        """The progress whose state this is; ValueError where it cannot have been that."""
        out = cls(0, 0, 0, 0, weight=math.nan)
        restore(out, state)
        return out

    def state_restored(self) -> None:
        """Refuse numbers below zero."""
        if math.isnan(self.weight):  # every sample of earlier versions counted
            self.weight = float(self.seen - self.skipped)
        for name in self.saved_state:
            value = getattr(self, name)
            if isinstance(value, int | float) and value < 0:
                raise ValueError(f"{name} = {value!r} is below zero")


Progress.saved_state = tuple(field.name for field in dataclasses.fields(Progress))
Progress.optional = tuple(field.name for field in dataclasses.fields(Progress) if field.default is not dataclasses.MISSING)


def data_mark(*matrices: scipy.sparse.csr_matrix, weight: np.ndarray | None = None) -> int:
    """A checksum of CSR matrices: shapes, all row pointers, and up to a million of the other entries, evenly spread; and of weights.

    It tells data from other data, not from every version of itself.
    """
    out = 0
    for matrix in matrices:
        out = zlib.crc32(np.array(matrix.shape, "<i8"), out)
        out = zlib.crc32(np.ascontiguousarray(matrix.indptr, "<i8"), out)
        step = -(-max(1, len(matrix.indices)) // MARKED)
        out = zlib.crc32(np.ascontiguousarray(matrix.indices[::step], "<i8"), out)
        out = zlib.crc32(np.ascontiguousarray(matrix.data[::step], "<f4"), out)
    return out if weight is None else zlib.crc32(np.ascontiguousarray(weight, "<f8"), out)
