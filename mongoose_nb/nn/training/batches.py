"""Where the batches of a training come from: rows that are at hand, or that come chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import is_own
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.training.finite import largest
from mongoose_nb.nn.training.lr import Constant
from mongoose_nb.nn.training.progress import Progress, data_mark
from mongoose_nb.nn.training.row_sampling import BatchSampler, UniformBatches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import scipy.sparse



# Steps that the default number of epochs takes at least: ten passes over a few hundred rows would learn nothing.
MIN_STEPS = 200
# The same for rows with dense columns.
DENSE_STEPS = 600


def default_epochs(n_rows: int, batch_size: int, dense: bool = False) -> int:
    """Passes over so many rows where none are given: 10, and more where these would be fewer than 200 steps; 600 of `dense` rows."""
    return max(10, -(-(DENSE_STEPS if dense else MIN_STEPS) // -(-n_rows // batch_size)))


class Batch(NamedTuple):
    """What one step learns from."""

    data: tuple  # positional arguments of the model's ``loss_and_gradients``
    samples: int


class Source:
    """A source of batches."""

    #: samples of an epoch, where they are known
    samples: int | None = None
    #: what chooses the rows of a step and is saved in checkpoints, where there is such a thing
    sampler: BatchSampler | None = None

    def epoch(self, model: Any, progress: Progress) -> Iterator[Batch]:
        """The batches of one epoch that `progress` has not counted yet."""
        raise NotImplementedError  # abstract

    def batches(self, batch_size: int) -> int | None:
        """Number of batches in an epoch, None if it is not known."""
        raise NotImplementedError  # abstract

    def logs(self) -> dict[str, Any]:
        """Entries of the logs of ``on_fit_begin``, beside the size of the run."""
        return {"samples": self.samples}

    def report(self, progress: Progress) -> dict[str, Any]:
        """Figures for the entry of an epoch."""
        return {}


class RowSource(Source):
    """Batches of rows of X and Y. Subclasses iterate over parts (X, Y, weights of the rows or None); the rows of a part are shuffled, and
    batches end with it."""

    sampler: BatchSampler

    def epoch(self, model: Any, progress: Progress) -> Iterator[Batch]:
        """See `Source.epoch`; the sampler chooses the rows, by default all in a random order."""
        first = True
        for part, (X, Y, weight) in enumerate(self):
            if part < progress.part:
                continue
            n, batch_size, peak = X.shape[0], progress.batch_size, largest(X.data)
            self.sampler.begin(model, X, Y, (model.epoch, part), first and progress.batch > 0)
            first, mean = False, None
            for lo in range(progress.batch * batch_size, n, batch_size):
                rows, importance = self.sampler.draw(model, lo // batch_size, lo, min(batch_size, n - lo))
                own = None if weight is None else weight[rows]
                if importance is None:
                    yield Batch((Rows.of(X, rows), Rows.of(Y, rows), peak, own), len(rows))
                    continue
                rows, importance = checked(self.sampler, rows, importance, min(batch_size, n - lo), n)
                # drawn losses are divided by what the weights of the rows add up to on average, which leaves the mean without bias
                mean = float(model.output.loss_kind.weights(Rows.of(Y), weight).mean()) if mean is None else mean
                own = importance if own is None else own * importance
                yield Batch((Rows.of(X, rows), Rows.of(Y, rows), peak, own, mean * len(rows)), len(rows))
            progress.part, progress.batch = part + 1, 0


def checked(sampler: BatchSampler, rows: np.ndarray, importance: np.ndarray, size: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """What a batch sampler has drawn; of a user's own it is looked at, since kernels read by these rows.

    Raises
    ------
    ValueError
        For rows that there are not, and weights that are not positive.
    """
    if is_own(type(sampler)):
        rows, importance = np.asarray(rows), np.asarray(importance, np.float64)
        if rows.shape != (size,) or importance.shape != (size,) or rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n:
            raise ValueError(f"batch sampler {type(sampler).__qualname__} must draw {size} rows of 0 to {n - 1}, and as many weights; got "
                             f"shapes {rows.shape} and {importance.shape}")
        if not (np.isfinite(importance) & (importance > 0)).all():
            raise ValueError(f"batch sampler {type(sampler).__qualname__} gave weights that are not finite and positive; give one over "
                             "(n times the probability of the row)")
    return rows, importance


class Whole(RowSource):
    """X and Y at hand, memory-mapped or not: one part."""

    def __init__(self, X: np.ndarray | scipy.sparse.csr_matrix, Y: Any, weight: np.ndarray | None = None) -> None:
        self.X, self.Y, self.weight, self.samples = X, Y, weight, X.shape[0]
        self.sampler = UniformBatches()

    def __iter__(self) -> Iterator[tuple]:
        yield self.X, self.Y, self.weight

    def mark(self) -> int:
        """A checksum for `Progress`."""
        return data_mark(self.X, self.Y, weight=self.weight)

    def batches(self, batch_size: int) -> int | None:
        """Batches of an epoch."""
        return -(-self.X.shape[0] // batch_size)

    def work(self, work: Callable, batch_size: int) -> float:
        """Multiplications of a step."""
        return work(self.X, batch_size)

    def logs(self) -> dict[str, Any]:
        return {"samples": self.samples, "X": self.X, "Y": self.Y}


class Chunks(RowSource):
    """Pairs (X, Y), or triples (X, Y, weights), that come one after the other, each checked when it comes; only one is held.

    Parameters
    ----------
    chunks : iterable
        Whose ``iter`` starts again from the first chunk; one that cannot may be gone through once.
    check : callable
        ``check(X, Y, weight)`` gives all in canonical form.
    epochs : int
    steps : int or None
        Batches of an epoch, where it is known.
    schedule : callable
        Of the learning rate.
    """

    def __init__(self, chunks: Iterable, check: Callable, epochs: int, steps: int | None, schedule: Callable) -> None:
        if not hasattr(chunks, "__iter__") or hasattr(chunks, "shape"):
            raise TypeError(f"Y is a NoneType: give labels, or an iterable of (X, Y) chunks as X, which is a {type(chunks).__name__}")
        if epochs > 1 and iter(chunks) is chunks:
            raise ValueError(f"{type(chunks).__name__} can be gone through only once, for epochs=1; for epochs={epochs} give a list, or an "
                             "object whose __iter__ starts from the first one each time, such as data.XCChunks")
        if steps is None and not isinstance(schedule, Constant):
            raise ValueError("this learning-rate schedule has to know the length of the run: give steps_per_epoch")
        self._chunks, self._check = chunks, check
        self.sampler = UniformBatches()
        self._steps = None if steps is None else check_int("steps_per_epoch", steps, low=1)

    def __iter__(self) -> Iterator[tuple]:
        empty, labels = True, 0
        for pair in self._chunks:
            if not isinstance(pair, tuple | list) or len(pair) not in (2, 3):
                raise TypeError(f"a chunk must be a pair (X, Y), or (X, Y, sample_weight); got {type(pair).__name__}")
            X, Y, weight = self._check(*pair, *[None] * (3 - len(pair)))
            empty, labels = False, labels + Y.nnz
            yield X, Y, weight
        if empty:
            raise ValueError("there are no chunks to train on")
        if not labels:  # some chunks may have none
            raise ValueError("none of the rows of all chunks has a label, so there is nothing to learn: give rows with labels")

    def mark(self) -> int:
        """A checksum for `Progress`: that of the chunks themselves, or one over chunks that are in memory; 0 for others, which are not
        read for it."""
        if hasattr(self._chunks, "mark"):
            return check_int("mark() of the chunks", self._chunks.mark(), low=0, high=2**63 - 1)
        if isinstance(self._chunks, list | tuple):
            parts = list(self)
            given = [weight for _, _, weight in parts if weight is not None]
            return data_mark(*(matrix for X, Y, _ in parts for matrix in (X, Y)), weight=np.concatenate(given) if given else None)
        return 0

    def batches(self, batch_size: int) -> int | None:
        """Number of batches in an epoch, None if it is not known."""
        return self._steps

    def work(self, work: Callable, batch_size: int) -> float:
        """Enough for all threads."""
        return float("inf")

    def logs(self) -> dict[str, Any]:
        return {"samples": None, "X": None, "Y": None}
