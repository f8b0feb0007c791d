"""The output layer of a network in shards: each worker has a range of rows, with the moments of the optimiser.

::

    client                                        shard, on a worker
    h, labels, candidates of its range       ->   logits Z; logarithm of the sum of exp(Z), and losses, by sample
    log Z of all shards, shares of samples   ->   d loss / d Z; its part of d loss / d h
    constants of the optimiser's step        ->   step on its rows

What a shard computes is what `nn.layers.WideOutput` computes of the same rows, by the same kernels.
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import Any

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.arrays import Buffers, Parameter, Rows, aligned_zeros, read_only
from mongoose_nb.distributed.actors import LostError, Shards
from mongoose_nb.nn.layers.gradients import SharedRowGradient
from mongoose_nb.nn.sampling.candidate_sets import check_sets

KIND = "output shard"
# Bytes of rows that are sent at once when a shard is filled or read.
BLOCK = 1 << 25


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


class OutputShard:
    """Rows of an output layer; lives on a worker."""

    def open(self, source: str | dict[str, tuple[int, ...]], logistic: bool) -> None:
        """Take the rows and their moments from a file, or make zeros of these shapes, into which `put` writes."""
        arrays: dict = files.load(source, KIND)[1] if isinstance(source, str) else dict(source)

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

    def forward(self, h: np.ndarray, count: np.ndarray, own_count: np.ndarray, columns: np.ndarray, ids: np.ndarray | None,
                shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Normalisers, losses and logits of labels, each (n,), of the outputs `ids`, or of all.

        Parameters
        ----------
        h : (n, width) float32
        count, own_count : (n,) int64
            Labels of every sample, in all and here.
        columns : int32
            Places of the labels in the list, sample by sample.
        ids : int32 or None
        shifts : float32
        """
        from mongoose_nb.kernels.layers import wide

        get, n, width = self.buffers.get, len(h), h.shape[1]
        weights, bias = (self.parameters[name].value for name in ("weights", "bias"))
        everything = ids is None
        m = len(bias) if ids is None else len(ids)
        if not m:
            self.kept = None
            nothing = np.zeros(n, np.float32)
            return nothing if self.logistic else np.full(n, -np.inf, np.float32), nothing, nothing
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
        return log_z, losses, labels

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
        """Step of the optimiser on the rows of the last `backward`."""
        if self.kept is not None:
            h, shared, _, Z, _, _ = self.kept
            SharedRowGradient(self.parameters["weights"], self.parameters["bias"], shared, Z, h, None, self.buffers).apply(
                method, _own(constants), _own(bias_constants))

    def save(self, path: str) -> None:
        """Write them to a file."""
        files.save(path, KIND, {}, self._arrays())


def _own(array):
    """A copy that may be written, at a place of its own: what Dask delivers is read-only and lies anywhere."""
    array = np.asarray(array)
    out = aligned_zeros(array.shape, array.dtype)
    out[...] = array
    return out


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
        self.output, self.loss_kind, self.sampler = output, output.loss_kind, output.sampler
        self.bounds = [output.units * i // shards for i in range(shards + 1)]
        self.base: list[str | None] = [None] * shards if files is None else list(files)
        self._logged, self._ready = logged, False
        self._log: list[list] = [[] for _ in range(shards)]
        self._pending: tuple | None = None
        #: bytes of arrays that were sent to and came from shards
        self.sent = self.received = 0
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
        yield "open", (self.base[i] or {key: array.shape for key, array in own.items()}, self.loss_kind.logistic)
        if self.base[i] is None:
            for lo, hi in self._blocks(i):
                yield "put", (lo, {key: array[lo:hi] for key, array in own.items() if array[lo:hi].any()})
        yield from self._log[i]

    def _slices(self, i):
        rows = slice(self.bounds[i], self.bounds[i + 1])
        return {key: array[rows] for name in ("weights", "bias") for key, array in getattr(self.output, name).arrays(name).items()}

    def _blocks(self, i):
        """Ranges of rows of a shard that are sent at once."""
        n = self.bounds[i + 1] - self.bounds[i]
        step = max(1, BLOCK // (12 * self.output.n_inputs))
        return [(lo, min(n, lo + step)) for lo in range(0, n, step)]

    def _call(self, method, arguments):
        self.settle()
        results = self.shards.call_or_raise(method, arguments)
        self._note(method, arguments)
        self.received += _nbytes(results)
        return results

    def _note(self, method, arguments):
        self.sent += _nbytes(arguments)
        if self._logged:
            for log, given in zip(self._log, arguments, strict=True):
                log.append((method, given))

    # --- a step -------------------------------------------------------------------------------------------------------

    def loss(self, h: np.ndarray, labels: Rows, run: Any, share: np.ndarray) -> tuple:
        """As `WideOutput.loss`."""
        chosen = check_sets(self.sampler, self.sampler.shared(h, labels, run.step, run.timer), self.output.units)
        with run.timer("forward"):
            h, count = h.copy(), np.array(labels.count, np.int64)
            sample, label = labels.flat()
            parts = []
            for lo, hi in zip(self.bounds, self.bounds[1:], strict=False):
                if chosen.ids is None:
                    mine, ids, shifts = (label >= lo) & (label < hi), None, chosen.shifts
                    columns = label[mine] - lo
                else:
                    at = np.flatnonzero((chosen.ids >= lo) & (chosen.ids < hi))
                    place = np.full(len(chosen.ids), -1, np.int32)
                    place[at] = np.arange(len(at))
                    mine = place[chosen.pair_column] >= 0
                    ids, columns = chosen.ids[at] - lo, place[chosen.pair_column][mine]
                    shifts = chosen.shifts[at] if len(chosen.shifts) else chosen.shifts
                own = np.bincount(sample[mine], minlength=len(h))
                parts.append((h, count, own, columns.astype(np.int32), None if ids is None else ids.astype(np.int32), shifts))
            log_z, losses, logits = (np.stack(part) for part in zip(*self._call("forward", parts), strict=True))
            log_z, losses = join_normalisers(log_z, losses, self.loss_kind.logistic)
            if not self.loss_kind.logistic:
                losses = np.where(count > 0, log_z - logits.sum(axis=0), 0).astype(np.float32)
        return losses, (len(h), log_z, share, run)

    def backward(self, g: float, cache: Any, need_input: bool = True) -> tuple:
        """As `WideOutput.backward`."""
        n, log_z, share, run = cache
        with run.timer("backward"):
            done = self._call("backward", [(n, log_z, np.array(share), run.clip)] * self.shards.n)
            grad = done[0][0].copy()
            for part, _ in done[1:]:
                grad += part
        return grad, {"weights": ShardGradient(self, sum(squares for _, squares in done))}

    def begin_apply(self, method: int, constants: np.ndarray, bias_constants: np.ndarray) -> None:
        """Send the step of the optimiser, without waiting for it."""
        given = (method, constants, bias_constants)
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
                asked = [own[turn] if turn < len(own) else None for own in blocks]
                for first, rows, arrays in zip(self.bounds, asked, self.shards.call_or_raise("get", asked), strict=False):
                    for key, array in arrays.items() if rows is not None else ():
                        came[key].seek((first + rows[0]) * array[0].nbytes)
                        came[key].write(memoryview(array).cast("B"))
            for i in range(self.shards.n):
                for key, own in self._slices(i).items():
                    came[key].seek(self.bounds[i] * own[0].nbytes)
                    came[key].readinto(memoryview(own).cast("B"))


def _nbytes(values):
    if isinstance(values, np.ndarray):
        return values.nbytes
    return sum(_nbytes(value) for value in values) if isinstance(values, list | tuple) else 8 * isinstance(values, int | float)
