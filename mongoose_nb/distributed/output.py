"""The output layer of a network in shards: each worker has a range of rows, with the moments of the optimiser.

::

    client                                        shard, on a worker
    h, labels, candidates of its range,
    shares of samples in the mean            ->   logits Z; logarithm of the sum of exp(Z), and losses, by sample
    log Z of all shards                      ->   d loss / d Z; its part of d loss / d h [of a part of the batch, and forward again]
    constants of the optimiser's step        ->   step on its rows

Candidates are chosen by the client, or, where that takes tables of the weights or lists of each sample, by each shard from its own rows.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter, Rows
from mongoose_nb.distributed.actors import LostError, Shards
from mongoose_nb.distributed.cluster import check_room
from mongoose_nb.distributed.merging import merge_answers
from mongoose_nb.distributed.output_shard import OutputShard
from mongoose_nb.nn.sampling.candidate_sets import check_sets
from mongoose_nb.nn.sampling.shards import range_of

# Bytes of rows that are sent at once when a shard is filled or read.
BLOCK = 1 << 25
# Phase of the time of a training in which no shard computes.
MESSAGES = "messages"


def join_normalisers(log_z: np.ndarray, losses: np.ndarray, logistic: bool) -> tuple[np.ndarray, np.ndarray]:
    """Normalisers and losses (n,) of whole rows from those of shards (shards, n), in the order of the shards.

    Parameters
    ----------
    log_z, losses : (shards, n) float32
        Losses of a shard are its normalisers, less its share of the logits of labels; of a sample without labels 0.
    logistic : bool
    """
    if logistic:
        return np.zeros(log_z.shape[1], np.float32), losses.sum(axis=0, dtype=np.float64).astype(np.float32)
    wide = log_z.astype(np.float64)
    peak = wide.max(axis=0)
    whole = (peak + np.log(np.exp(wide - peak).sum(axis=0))).astype(np.float32)
    return whole, losses


class ShardGradient:
    """The gradient of all rows, which is on the workers."""

    def __init__(self, output: ShardedOutput, squares: float) -> None:
        self._output, self._squares = output, squares

    def square_norm(self) -> float:
        """Squared Euclidean norm, with that of the biases."""
        return self._squares

    def apply(self, method: int, constants: np.ndarray, bias_constants: np.ndarray) -> None:
        """Send the step of the optimiser; it runs while the client goes on."""
        self._output.begin_apply(method, constants, bias_constants)


class ShardedOutput:
    """Takes the place of `WideOutput` while a network is trained on a cluster.

    Parameters
    ----------
    output : WideOutput
        Its arrays are the first state of the shards, and get the last one by `collect`.
    client : distributed.Client
    shards : int
    logged : bool
        Whether to keep what was sent since the last checkpoint, from which a lost shard comes back.
    files : list of str, optional
        Files of the shards, in place of the arrays.
    """

    def __init__(self, output: Any, client: Any, shards: int, logged: bool, files: list[str] | None = None) -> None:
        self.output, self.loss_kind = output, output.loss_kind
        self.sampler: Any = output.sampler
        self.samplers = [output.sampler.of_shard(i, shards) for i in range(shards)]
        self._counts: dict[str, float] = {}
        self.bounds = [range_of(i, shards, output.units)[0] for i in range(shards)] + [output.units]
        self.base: list[str | None] = [None] * shards if files is None else list(files)
        self._logged, self._ready = logged, False
        self._log: list[list] = [[] for _ in range(shards)]
        self._pending: tuple | None = None
        #: bytes of arrays that were sent to and came from shards
        self.sent = self.received = 0
        own = self._slices(max(range(shards), key=lambda i: self.bounds[i + 1] - self.bounds[i]))
        check_room(client, sum(array.nbytes for array in own.values()), shards)
        self.shards = Shards(client, OutputShard, shards, self._recipe)
        self._ready = True

    def parameters(self) -> dict[str, Parameter]:
        """None that are here."""
        return {}

    def _recipe(self, i):
        if self._ready and not self._logged:
            raise LostError(f"the worker of shard {i} died, and its weights with it: call fit with checkpoint=DIRECTORY, which all workers "
                            "can read, to have lost shards come back")
        own = self._slices(i)
        yield "open", (self.base[i] or {key: array.shape for key, array in own.items()}, self.loss_kind.logistic, self.samplers[i])
        if self.base[i] is None:
            for lo, hi in self._blocks(i):
                yield "put", (lo, {key: array[lo:hi] for key, array in own.items() if array[lo:hi].any()})
        yield "begin", ()
        yield from self._log[i]

    def _slices(self, i):
        rows = slice(self.bounds[i], self.bounds[i + 1])
        return {key: array[rows] for name in ("weights", "bias") for key, array in getattr(self.output, name).arrays(name).items()}

    def _blocks(self, i):
        """Ranges of rows of a shard that are sent at once."""
        n = self.bounds[i + 1] - self.bounds[i]
        step = max(1, BLOCK // (12 * self.output.n_inputs))
        return [(lo, min(n, lo + step)) for lo in range(0, n, step)]

    def _call(self, method, arguments, run=None, phase=""):
        """Call a method of all shards; of the time of a phase, what they do not compute is that of messages."""
        self.settle()
        start = time.perf_counter()
        results = self.shards.call_or_raise(method, arguments)
        if run is not None:
            self._on_the_wire(start, run, phase)
        self._note(method, arguments)
        self.received += _nbytes(results)
        return results

    def _on_the_wire(self, start, run, phase):
        run.timer.move(max(0.0, time.perf_counter() - start - max(self.shards.seconds)), phase, MESSAGES)

    def _note(self, method, arguments):
        self.sent += _nbytes(arguments)
        if self._logged:
            for log, given in zip(self._log, arguments, strict=True):
                log.append((method, given))

    # --- a step -------------------------------------------------------------------------------------------------------

    def loss(self, h: np.ndarray, labels: Rows, run: Any, share: np.ndarray) -> tuple:
        """As `WideOutput.loss`."""
        h, count = h.copy(), np.array(labels.count, np.int64)
        sample, label = labels.flat()
        own = self.samplers[0] is not None
        if own:
            tables, chosen = self.sampler.watch(h, labels, run.step, run.timer, lambda h: self.best(h, 1)[0][:, 0]), None
        else:
            tables, chosen = False, check_sets(self.sampler, self.sampler.shared(h, labels, run.step, run.timer), self.output.units)
        with run.timer("forward"):
            share = np.array(share)
            given = [(h, share, count, *self._part(i, chosen, len(h), sample, label), run.step, tables, run.micro_batch_size)
                     for i in range(self.shards.n)]
        with run.timer("update"):  # of the step before, while the client has come to this point
            start = time.perf_counter()
            self.settle()
            self._on_the_wire(start, run, "update")
        with run.timer("forward"):
            *found, counts = zip(*self._call("forward", given, run, "forward"), strict=True)
            self._counts = self.sampler.joined_counts(counts) if own else self.sampler.counts()
            log_z, losses = self._joined(found, count)
        grads, done = [], [losses]
        with run.timer("backward"):
            while (reached := sum(map(len, done))) < len(h):
                grad, *found = zip(*self._call("turn", [(log_z,)] * self.shards.n, run, "backward"), strict=True)
                grads.append(_summed(grad))
                log_z, losses = self._joined(found, count[reached:])
                done.append(losses)
        return np.concatenate(done), (log_z, grads, run)

    def _joined(self, found, count):
        """Normalisers and losses of whole samples, `count` their numbers of labels, from normalisers, losses and logits by shard."""
        log_z, losses, logits = (np.stack(part) for part in found)
        log_z, losses = join_normalisers(log_z, losses, self.loss_kind.logistic)
        if not self.loss_kind.logistic:
            losses = np.where(count[:len(log_z)] > 0, log_z - logits.sum(axis=0), 0).astype(np.float32)
        return log_z, losses

    def _part(self, i, chosen, n, sample, label):
        """What a shard gets of a batch: numbers of its labels by sample, their places in its list, ids of the list, and shifts."""
        lo, hi = self.bounds[i], self.bounds[i + 1]
        if chosen is None or chosen.ids is None:
            mine = (label >= lo) & (label < hi)
            ids, columns, shifts = None, label[mine] - lo, np.zeros(0, np.float32) if chosen is None else chosen.shifts
        else:
            at = np.flatnonzero((chosen.ids >= lo) & (chosen.ids < hi))
            place = np.full(len(chosen.ids), -1, np.int32)
            place[at] = np.arange(len(at))
            mine = place[chosen.pair_column] >= 0
            ids, columns = (chosen.ids[at] - lo).astype(np.int32), place[chosen.pair_column][mine]
            shifts = chosen.shifts[at] if len(chosen.shifts) else chosen.shifts
        return np.bincount(sample[mine], minlength=n), columns.astype(np.int32), ids, shifts

    def best(self, h: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The best k outputs of every row of `h`: ids (n, k) int32 and logits, best first, lower id first."""
        self.settle()
        found = self.shards.call_or_raise("best", [(h, k)] * self.shards.n)
        answers = [(ids.astype(np.int64) + lo, -logits) for lo, (ids, logits) in zip(self.bounds, found, strict=False)]
        ids, scores = merge_answers(answers, k)
        return ids.astype(np.int32), -scores

    def counts(self) -> dict[str, float]:
        """As `Sampler.counts`, of all shards."""
        return dict(self._counts)

    def keep(self) -> None:
        """Have every shard keep a copy of its weights, for `go_back`."""
        self._call("keep", [()] * self.shards.n)

    def go_back(self) -> None:
        """Put the kept weights back."""
        self._call("go_back", [()] * self.shards.n)

    def backward(self, g: float, cache: Any, need_input: bool = True) -> tuple:
        """As `WideOutput.backward`."""
        log_z, grads, run = cache
        with run.timer("backward"):
            parts, squares = zip(*self._call("backward", [(log_z, run.clip)] * self.shards.n, run, "backward"), strict=True)
            last = _summed(parts)
            grad = np.concatenate([*grads, last]) if grads else last
        return grad, {"weights": ShardGradient(self, sum(squares))}

    def begin_apply(self, method: int, constants: np.ndarray, bias_constants: np.ndarray) -> None:
        """Send the step of the optimiser, without waiting for it."""
        given = (method, constants, bias_constants)
        self.shards.seconds = [0.0] * self.shards.n
        self._pending = given, [self.shards.begin(i, "apply", given) for i in range(self.shards.n)]

    def settle(self) -> None:
        """Wait for a step of the optimiser that was sent."""
        if self._pending is None:
            return
        (given, started), self._pending = self._pending, None
        for i, one in enumerate(started):
            result = self.shards.end(i, one, "apply", given)
            if isinstance(result, Exception):
                raise result
        self._note("apply", [given] * self.shards.n)

    # --- state --------------------------------------------------------------------------------------------------------

    def save(self, paths: list[str]) -> None:
        """Have every shard write a file."""
        self.settle()
        self.shards.call_or_raise("save", [(path,) for path in paths])

    def saved(self, paths: list[str]) -> None:
        """From now on lost shards come back from these files."""
        self.base, self._log = list(paths), [[] for _ in paths]

    def collect(self) -> None:
        """Bring the rows and their moments back into the layer, which is as it was until all have come."""
        self.settle()
        with contextlib.ExitStack() as stack:
            came = {key: stack.enter_context(tempfile.TemporaryFile()) for key in self._slices(0)}
            blocks = [self._blocks(i) for i in range(self.shards.n)]
            for turn in range(max(map(len, blocks))):
                asked: list[tuple | None] = [own[turn] if turn < len(own) else None for own in blocks]
                for first, rows, arrays in zip(self.bounds, asked, self.shards.call_or_raise("get", asked), strict=False):
                    if rows is not None:
                        for key, array in arrays.items():
                            came[key].seek((first + rows[0]) * array[0].nbytes)
                            came[key].write(memoryview(array).cast("B"))
            for i in range(self.shards.n):
                for key, own in self._slices(i).items():
                    came[key].seek(self.bounds[i] * own[0].nbytes)
                    came[key].readinto(memoryview(own).cast("B"))


def _summed(parts):
    """The sum of arrays, in their order."""
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def _nbytes(values):
    if isinstance(values, np.ndarray):
        return values.nbytes
    return sum(_nbytes(value) for value in values) if isinstance(values, list | tuple) else 8 * isinstance(values, int | float)
