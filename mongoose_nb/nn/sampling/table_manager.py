"""The hash tables of one layer, kept up with its weights as a schedule says."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.saving import Stateful
from mongoose_nb.hashing.inner_product import CenteredInnerProduct, center_queries
from mongoose_nb.kernels.tables.bundles import Views
from mongoose_nb.nn.sampling.activation_buffer import ActivationBuffer
from mongoose_nb.nn.training.timing import PhaseTimer
from mongoose_nb.rehash import Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mongoose_nb.core.arrays import Parameter, Rows
    from mongoose_nb.hashing.learned import LearnedHash
    from mongoose_nb.rehash import Schedule
    from mongoose_nb.tables import LSHTables


@contextlib.contextmanager
def hashable() -> Iterator[None]:
    """Turn a hash family's refusal into what it means here: the shapes fit, so all that it can refuse is a value."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # the family looks at the outcome
            yield
    except ValueError as error:
        raise FloatingPointError("the weights are no longer finite and cannot be hashed: go back to a saved network and lower "
                                 "the learning rate or set clip_norm") from error


class TableManager(Stateful):
    """Hash tables over the rows of a weight matrix, built, moved and looked up with one centring of the queries.

    Parameters
    ----------
    weights, bias : Parameter
        (n, d) and (n,).
    tables : tables.LSHTables
        Over d coordinates, or d + 1 with `center`.
    schedule : rehash.Schedule
        Bound to these weights; not shared.
    center : bool
        Hash centred activations against centred weights and biases (`hashing.inner_product`).
    rebuild : int or None
        Rehashes between rebuilds (new functions).
    learner : hashing.LearnedHash, optional
        Bound to the tables' family: trained before every rehash that the schedule orders.

    Notes
    -----
    The centring of queries holds from one build to the next, also for rows that are moved meanwhile: a look-up can only compare
    rows that were transformed with one query mean. The mean of the rows is taken as it is at each move. If all rows have moved by
    one vector since the build, that vector is part of the mean, and a row inserted now lines up with the rows that stayed.
    """

    optional = ("tables",)

    def __init__(self, weights: Parameter, bias: Parameter, tables: LSHTables, schedule: Schedule, *, center: bool, rebuild: int | None,
                 learner: LearnedHash | None = None) -> None:
        self._weights, self._bias = weights, bias
        self.tables, self.schedule = tables, schedule
        self.center, self._rebuild = center, rebuild
        width = weights.value.shape[1]
        self.mean = np.zeros(width, np.float32)  # running mean of the activations, and mean length around it
        self.length = 0.0
        self._observed = 0
        self.learner = learner
        self.recent = None if learner is None else ActivationBuffer(learner.queries, width)
        self.query_mean, self.query_extra = np.zeros(width, np.float32), np.float32(1.0)  # how queries are centred since the last build
        self.rehashes = 0
        self._moved = 0  # steps since the last build
        self._fired = self._reinserted = 0  # since the last report
        learning = ("learner", "recent") if learner is not None else ()
        self.saved_state = ("schedule", *learning, "tables", "mean", "length", "query_mean", "query_extra", "_observed", "rehashes",
                            "_moved", "_fired", "_reinserted")
        self._serving = None  # (key, tables, query centring) of the weights as they were when last asked

    # ------------------------------------------------------------------ queries

    @property
    def query(self) -> tuple[np.ndarray, np.float32]:
        """(mean, extra coordinate) by which queries are centred since the last build."""
        return self.query_mean, self.query_extra

    def observe(self, h: np.ndarray, labels: Rows | None = None) -> None:
        """Follow the mean activation and the mean length around it: the average at first, then over about 100 batches. Where hash
        functions learn, keep the activations with their `labels` (Rows)."""
        observed = min(self._observed + 1, 100)
        mean = self.mean + (h.mean(axis=0) - self.mean) / np.float32(observed)
        length = float(np.sqrt(np.square(h - mean).sum(axis=1)).mean())
        if not np.isfinite(length):
            raise FloatingPointError("activations are not finite, or beyond float32 when squared, and cannot be hashed; the weights are "
                                     "as before this step: lower the learning rate or set clip_norm")
        self._observed, self.mean = observed, mean
        self.length += (length - self.length) / observed
        if self.recent is not None:
            self.recent.add(h, labels)

    def views(self, h: np.ndarray, timer: PhaseTimer) -> Views:
        """`Views` of the tables for activations `h`; builds tables that are not."""
        if not self.tables.built:
            self.rehash(timer)
        return self._views(h, timer, self.tables, self.query, self.schedule.always)

    def serving_views(self, h: np.ndarray, timer: PhaseTimer) -> Views:
        """As `views`, of tables of the weights as they are now.

        Where the weights moved since the tables were built, these are others, kept apart: asking changes nothing about training.
        """
        from mongoose_nb.tables import LSHTables

        tables, query = self.tables, self.query
        if self._moved or not tables.built:
            key = (self.rehashes, self._moved)
            if self._serving is None or self._serving[0] != key or not self._serving[1].built:
                fresh = LSHTables(tables.family, capacity=tables.capacity, policy=tables.policy, seed=tables.seed)
                self._serving = (key, fresh, self._load(fresh))
            _, tables, query = self._serving
        return self._views(h, timer, tables, query)

    def _views(self, h, timer, tables, query, *always):
        with timer("hash"):
            # one width of codes, whatever the family's: kernels are compiled once
            codes = tables.codes(center_queries(h, *query) if self.center else h).astype(np.uint32, copy=False)
        return Views(*tables.views(), codes, *always)

    # ------------------------------------------------------------------ rows

    def after_update(self, step: int, timer: PhaseTimer, touched: Callable[[], np.ndarray | None] | None = None) -> None:
        """Do what the schedule says after a step; `touched` gives the ids of the rows that the step changed."""
        self._moved += 1
        with timer("check"), hashable():
            ids = touched() if touched is not None and self.schedule.needs_touched else None
            answer = self.schedule.after_step(step, ids, self._stored())
        if answer is None:
            return
        self._fired += 1
        if isinstance(answer, str) or not self.tables.built:
            self._learn(timer)
            self.rehash(timer)
            self._reinserted += len(self.tables)
            return
        with timer("rehash"), hashable():
            rows = self._weights.value
            if self.center:
                rows = CenteredInnerProduct(rows, self._bias.value, self.query[0], self.length, extra=self.query[1])
            self.tables.move(answer, rows[answer])
            self.schedule.rebuilt(self._stored(), answer)
        self._reinserted += len(answer)

    def rehash(self, timer: PhaseTimer | None = None) -> None:
        """Build the tables from the weights as they are."""
        with (timer or PhaseTimer())("rehash"):
            if self._rebuild and self.rehashes and self.rehashes % self._rebuild == 0:
                self.tables.family.rebuild()
            self.query_mean, self.query_extra = self._load(self.tables)
            self.rehashes += 1
            self._moved = 0
            with hashable():
                self.schedule.rebuilt(self._stored())

    def _learn(self, timer):
        """Train the hash functions on the recent activations and the weights as they are; the tables are stale then."""
        if self.learner is None or not len(self.recent):
            return
        weights, bias = self._weights.value, self._bias.value
        h, labels = self.recent.h, self.recent.labels
        with timer("mine"):
            retrieved = None
            if self.tables.built:
                def retrieved(h: np.ndarray):
                    return self.tables.candidates(center_queries(h, *self.query) if self.center else h)
            examples = self.learner.mine(h, weights, bias, labels, retrieved)
        with timer("learn"), hashable():
            rows, queries = weights, h
            if self.center:
                rows = CenteredInnerProduct(weights, bias, self.mean, self.length)
                queries = center_queries(h, rows.query_mean, rows.extra)
            self.learner.learn(queries, rows, examples)

    def _load(self, tables):
        """Hash the weights as they are into `tables`; returns how queries are to be centred."""
        rows, query = self._weights.value, self.query
        if self.center:
            rows = CenteredInnerProduct(rows, self._bias.value, self.mean, self.length)
            query = (rows.query_mean, rows.extra)
        with hashable():
            tables.build(rows)
        return query

    def _stored(self):
        return Stored(self._weights.value, *self.query) if self.center else Stored(self._weights.value)

    # ------------------------------------------------------------------ figures

    @property
    def fired(self) -> int:
        """Firings since the last report, whatever the schedule."""
        return self._fired

    def counts(self) -> dict[str, float]:
        """Firings since the last report and the share of changed bits at the last look, where the schedule measures it."""
        if not self.schedule.measures:
            return {}
        return {"firings": self._fired, "changed_share": self.schedule.changed_share or 0.0}

    def report(self) -> dict[str, float]:
        """The same since the last report, with the rows that were re-inserted."""
        figures = self.schedule.report()
        if self.schedule.measures:
            figures = {"firings": self._fired, "reinserted": self._reinserted, **figures}
        self._fired = self._reinserted = 0
        if self.learner is not None:
            figures = {**figures, **self.learner.report()}
        return figures

    # ------------------------------------------------------------------ saving

    def state_restored(self) -> None:
        """Refuse what does not fit the layer; let the learner go on with the functions of the restored tables."""
        n_rows = len(self._bias.value)
        for name in ("length", "_observed", "rehashes", "_moved", "_fired", "_reinserted"):
            if not 0 <= getattr(self, name) < 2**62:
                raise ValueError(f"the saved {name.lstrip('_')} of the tables is {getattr(self, name)}; needed is a number from 0 on")
        dim = self.mean.shape[0] + self.center
        if self.tables.family.dim != dim or (self.tables.built and len(self.tables) != n_rows):
            raise ValueError(f"the saved tables hold {len(self.tables)} rows hashed in {self.tables.family.dim} dimensions; the layer has "
                             f"{n_rows} rows, hashed in {dim}")
        self._serving = None
        if self.learner is not None:
            self.learner.follow(self.tables.family)
            labels = self.recent.labels
            if labels.size and not -1 <= labels.min() <= labels.max() < n_rows:
                raise ValueError(f"the saved labels of activations must be ids of the layer's {n_rows} rows")
