"""Samplers: which outputs of a wide layer a training step computes.

    Full      all of them; the exact twin of the others
    Uniform   labels and uniform ones
    LSH       labels, the head that hash tables retrieve, and a uniform tail that stands for the rest

A sampler is a description (settings only) until `bind` ties it to the weights of one layer.
"""

from typing import NamedTuple

import numpy as np

from mongoose_nb.errors import check_choice, check_int, check_number
from mongoose_nb.hashing.inner_product import CenteredInnerProduct, center_queries
from mongoose_nb.nn.arrays import Rows
from mongoose_nb.nn.timing import PhaseTimer
from mongoose_nb.tables.active import STRATEGIES, ActiveSetBuilder, SharedSet, Views

SHAPES = ("sample", "batch")
# Outputs per bucket that the default number of hashes aims at.
BUCKET_LOAD = 64


def check_correction(correction, shape):
    """The correction asked for, or the one that goes with the shape."""
    if correction is None:
        return "tail" if shape == "sample" else "none"
    return check_choice("correction", correction, ("tail", "none"))


class Sampler:
    """What samplers share: settings, binding, and the counts of the last step."""

    shape = "all"

    def bind(self, weights, bias, seed):
        """A working copy for one layer: `weights` and `bias` are its `Parameter`s, `seed` an int."""
        bound = type(self)(**{k: v for k, v in self.settings().items() if k != "name"})
        bound._bind(weights, bias, seed)
        return bound

    def settings(self):
        """Constructor arguments, for saving."""
        return {"name": type(self).__name__.lower(), **{k: v for k, v in vars(self).items() if not k.startswith("_")}}

    def after_update(self, step, timer):
        """Called after every optimiser step: the place for table maintenance."""

    def rehash_now(self):
        """Bring tables up to date with the weights, if there are any."""

    def counts(self):
        """Mean numbers of the last step: labels, retrieved, filler, and share of labels the buckets returned."""
        return dict(self._counts)

    def state(self):
        """(settings, arrays) that `load_state` takes back."""
        return {}, {}

    def load_state(self, settings, arrays):
        """Put back what `state` gave."""

    def __repr__(self):
        inner = ", ".join(f"{k}={v!r}" for k, v in self.settings().items() if k != "name")
        return f"{type(self).__name__}({inner})"


class Full(Sampler):
    """Every output of every sample: the exact layer."""

    def _bind(self, weights, bias, seed):
        self._n_rows = len(bias.value)
        self._counts = {"labels": 0.0, "retrieved": float(self._n_rows), "filler": 0.0}

    def shared(self, h, labels, step, timer):
        """All outputs."""
        return SharedSet(None, 0, self._n_rows, np.float32(0.0), None)


class Uniform(Sampler):
    """Labels and outputs drawn uniformly without replacement.

    Parameters
    ----------
    candidates : int
        Outputs beside the labels.
    shape : {"sample", "batch"}
        A list for each sample, or one for the batch, on which the other samples' labels are candidates too.
    correction : {"tail", "none"}, optional
        See `tables.active.ActiveSetBuilder`. By default ``"tail"`` for lists of a sample and ``"none"`` for lists of a batch, where
        the other samples' labels are hard negatives that a re-weighted tail would drown (P@1 after two epochs on 100,000 outputs:
        0.62 without, 0.31 with).
    """

    def __init__(self, candidates=1000, *, shape="batch", correction=None):
        self.candidates = check_int("candidates", candidates, low=1)
        self.shape = check_choice("shape", shape, SHAPES)
        self.correction = check_correction(correction, shape)

    def _bind(self, weights, bias, seed):
        self._builder = ActiveSetBuilder(len(bias.value), seed=seed, correction=self.correction)
        self._counts = {}

    def per_sample(self, h, labels, step, timer, train=True):
        """`ActiveSets` of every sample."""
        with timer("retrieve"):
            sets = self._builder.per_sample(labels, self.candidates, step=step if train else 0, alike=not train)
        if train:
            self._counts = count_sets(sets)
        return sets

    def shared(self, h, labels, step, timer):
        """`SharedSet` of the batch."""
        with timer("retrieve"):
            shared = self._builder.shared(labels, self.candidates, step=step)
        self._counts = count_shared(shared)
        return shared


class LSH(Sampler):
    """Labels, a head of outputs that hash tables retrieve for the activation, and a uniform tail.

    The head is exact; the tail is sampled from the rest and re-weighted, so the partition function is unbiased whatever the
    tables return. Good tables lower its variance.

    Parameters
    ----------
    candidates : int
        Outputs beside the labels, for each sample or for the batch.
    head : float
        Share of `candidates` that may come from the tables; the filler makes up the rest.
    shape : {"sample", "batch"}
        A list for each sample (SLIDE), or one for the batch.
    correction : {"tail", "none"}, optional
        As for `Uniform`.
    fill : bool
        Without filler only labels and retrieved outputs are computed.
    family : {"simhash", "dwta"}
    K, L : int, optional
        Hashes per table and tables. By default K is such that a bucket holds about 64 outputs, and L is 50 for lists of a sample and 16
        for lists of a batch, to which a sample adds few outputs.
    strategy : {"topk", "vanilla", "threshold"}
    min_votes : int
        For ``"threshold"``.
    capacity : int or None
        Most outputs in a bucket, which bounds the work of a look-up; None for no bound.
    policy : {"reservoir", "fifo"}
        Which outputs a full bucket keeps.
    center : bool
        Hash centred activations against centred weights and biases (`hashing.inner_product`) instead of both as they are.
    rehash : int or schedule.Schedule, optional
        Steps between rehashes (same functions, new rows), or a schedule. By default `schedule.ExponentialDecay` from 100 steps on, or
        from 300 on with lists of a batch, where a step takes a fraction of the time.
    rebuild : int or None
        Rehashes between rebuilds (new functions); None keeps the functions.
    """

    def __init__(self, candidates=1000, *, head=0.5, shape="sample", correction=None, fill=True, family="simhash", K=None, L=None,
                 strategy="topk", min_votes=2, capacity=128, policy="reservoir", center=True, rehash=None, rebuild=None):
        from mongoose_nb.schedule import ExponentialDecay, make_schedule

        self.candidates = check_int("candidates", candidates, low=1)
        self.head = check_number("head", head, low=0.0, high=1.0)
        self.shape = check_choice("shape", shape, SHAPES)
        self.correction = check_correction(correction, shape)
        self.fill = bool(fill)
        self.family = check_choice("family", family, ("simhash", "dwta"))
        self.K = K if K is None else check_int("K", K, low=1)
        self.L = check_int("L", (50 if shape == "sample" else 16) if L is None else L, low=1)
        self.strategy = check_choice("strategy", strategy, STRATEGIES)
        self.min_votes = check_int("min_votes", min_votes, low=1, high=self.L if strategy == "threshold" else None)
        self.capacity = capacity if capacity is None else check_int("capacity", capacity, low=1)
        self.policy = check_choice("policy", policy, ("reservoir", "fifo"))
        self.center = bool(center)
        self.rehash = ExponentialDecay(100 if shape == "sample" else 300, 0.05) if rehash is None else rehash
        make_schedule(self.rehash)  # refuses what it cannot use
        self.rebuild = rebuild if rebuild is None else check_int("rebuild", rebuild, low=1)

    def settings(self):
        """Constructor arguments, for saving."""
        out = super().settings()
        if hasattr(self.rehash, "settings"):
            out["rehash"] = self.rehash.settings()
        return out

    def _bind(self, weights, bias, seed):
        from mongoose_nb.hashing import DWTA, SimHash
        from mongoose_nb.schedule import make_schedule
        from mongoose_nb.tables import LSHTables

        n_rows, width = weights.value.shape
        self._weights, self._bias = weights, bias
        bits = max(2.0, np.log2(max(1.0, n_rows / BUCKET_LOAD)))
        dim = width + 1 if self.center else width
        if self.family == "simhash":
            family = SimHash(dim, self.K or round(bits), self.L, seed=seed)
        else:
            family = DWTA(dim, self.K or max(1, round(bits / 3)), self.L, seed=seed, zeros="value")
        self._tables = LSHTables(family, capacity=self.capacity, policy=self.policy, seed=seed)
        self._builder = ActiveSetBuilder(n_rows, seed=seed, strategy=self.strategy, min_votes=self.min_votes,
                                         correction=self.correction)
        self._schedule = make_schedule(self.rehash)
        self._mean = np.zeros(width, np.float32)  # running mean of the activations, and mean length around it
        self._length = 0.0
        self._observed = 0
        self._query = (np.zeros(width, np.float32), np.float32(1.0))  # how queries are centred since the last rehash
        self._rehashes = 0
        self._moved = 0  # steps since the last rehash
        self._serving = None  # (key, tables, query centring) of the weights as they were when last asked
        self._seed = seed
        self._counts = {}

    @property
    def tables(self):
        """The hash tables (`tables.LSHTables`) of a bound sampler."""
        return self._tables

    def _observe(self, h):
        """Follow the mean activation and the mean length around it: the average at first, then over about 100 batches."""
        observed = min(self._observed + 1, 100)
        mean = self._mean + (h.mean(axis=0) - self._mean) / np.float32(observed)
        length = float(np.sqrt(np.square(h - mean).sum(axis=1)).mean())
        if not np.isfinite(length):
            raise FloatingPointError("activations are not finite, or beyond float32 when squared, and cannot be hashed; the weights are "
                                     "as before this step: lower the learning rate or set clip_norm")
        self._observed, self._mean = observed, mean
        self._length += (length - self._length) / observed

    def _build(self, timer):
        with timer("rehash"):
            if self.rebuild and self._rehashes and self._rehashes % self.rebuild == 0:
                self._tables.family.rebuild()
            self._query = self._load(self._tables)
            self._rehashes += 1
            self._moved = 0

    def _load(self, tables):
        """Hash the weights as they are into `tables`; returns how queries are to be centred."""
        rows, query = self._weights.value, self._query
        if self.center:
            rows = CenteredInnerProduct(rows, self._bias.value, self._mean, self._length)
            query = (rows.query_mean, rows.extra)
        try:
            tables.build(rows)
        except ValueError as error:
            # the shape fits, so all that a hash family can refuse is a value
            raise FloatingPointError("the weights are no longer finite and cannot be hashed: go back to a saved network and lower "
                                     "the learning rate or set clip_norm") from error
        return query

    def _views(self, h, timer, tables, query):
        with timer("hash"):
            # one width of codes, whatever the family's: kernels are compiled once
            codes = tables.codes(center_queries(h, *query) if self.center else h).astype(np.uint32, copy=False)
        return Views(*tables.views(), codes)

    def per_sample(self, h, labels, step, timer, train=True):
        """`ActiveSets` of every sample."""
        if train:
            self._observe(h)
        if not self._tables.built:
            self._build(timer)
        views = self._views(h, timer, self._tables, self._query)
        with timer("retrieve"):
            sets = self._builder.per_sample(labels, self.candidates, step=step if train else 0, views=views, alike=not train,
                                            head=round(self.head * self.candidates), fill=self.fill)
        if train:
            self._counts = count_sets(sets)
        return sets

    def shared(self, h, labels, step, timer):
        """`SharedSet` of the batch: an equal number of retrieved ids from every sample."""
        self._observe(h)
        if not self._tables.built:
            self._build(timer)
        views = self._views(h, timer, self._tables, self._query)
        with timer("retrieve"):
            each = max(1, round(self.head * self.candidates / len(h)))
            heads = self._builder.per_sample(Rows.empty(len(h)), each, step=step, views=views, head=each, fill=False)
            shared = self._builder.shared(labels, self.candidates if self.fill else 0, step=step, heads=heads)
        self._counts = count_shared(shared)
        return shared

    def after_update(self, step, timer):
        """Rehash when the schedule says so."""
        self._moved += 1
        if self._schedule.due(step):
            self._build(timer)

    def rehash_now(self):
        """Rehash, whatever the schedule says."""
        self._build(PhaseTimer())

    def candidates_for(self, h, n, timer):
        """Retrieved outputs only, at most `n` for each row of `h`: what LSH inference scores.

        Where the weights moved since the tables were built, tables of the weights as they are answer. They are kept apart, so that
        asking a network changes nothing about its training.
        """
        from mongoose_nb.tables import LSHTables

        tables, query = self._tables, self._query
        if self._moved or not tables.built:
            key = (self._rehashes, self._moved)
            if self._serving is None or self._serving[0] != key or not self._serving[1].built:
                fresh = LSHTables(tables.family, capacity=self.capacity, policy=self.policy, seed=self._seed)
                self._serving = (key, fresh, self._load(fresh))
            _, tables, query = self._serving
        return self._builder.per_sample(Rows.empty(len(h)), n, step=0, alike=True,
                                        views=self._views(h, timer, tables, query), head=n, fill=False)

    def state(self):
        """(settings, arrays) from which the sampler continues exactly."""
        settings, arrays = self._tables.state() if self._tables.built else (None, {})
        out = {"tables": settings, "observed": self._observed, "length": self._length, "extra": float(self._query[1]),
               "rehashes": self._rehashes, "moved": self._moved, "schedule": self._schedule.state()}
        return out, {"mean": self._mean, "query_mean": self._query[0], **{f"tables.{k}": v for k, v in arrays.items()}}

    def load_state(self, settings, arrays):
        """Put back what `state` gave."""
        from mongoose_nb.tables import LSHTables

        n_rows, width = self._weights.value.shape
        for name in ("mean", "query_mean"):
            if arrays[name].shape != (width,):
                raise ValueError(f"the sampler's {name} has shape {arrays[name].shape}; the layer's width is {width}")
        self._mean = np.array(arrays["mean"], np.float32)
        self._observed, self._length = settings["observed"], settings["length"]
        self._query = (np.array(arrays["query_mean"], np.float32), np.float32(settings["extra"]))
        self._rehashes, self._moved = settings["rehashes"], settings["moved"]
        self._schedule.load_state(settings["schedule"])
        if settings["tables"] is not None:
            prefix = "tables."
            tables = LSHTables.from_state(settings["tables"],
                                          {k[len(prefix):]: v for k, v in arrays.items() if k.startswith(prefix)})
            if tables.family.dim != self._tables.family.dim or len(tables) != n_rows:
                raise ValueError(f"the saved tables hold {len(tables)} rows hashed in {tables.family.dim} dimensions; the layer has "
                                 f"{n_rows} rows, hashed in {self._tables.family.dim}")
            self._tables = tables


class Counts(NamedTuple):
    """Names of what a step reports about its active sets."""

    labels: float
    retrieved: float
    filler: float
    active: float


def count_sets(sets):
    """Mean counts of per-sample sets, and the share of labels that the buckets returned."""
    labels, exact, active = sets.n_label.mean(), sets.n_exact.mean(), sets.count.mean()
    return {**Counts(labels, exact - labels, active - exact, active)._asdict(),
            "label_recall": sets.n_hit.sum() / max(1, sets.n_label.sum())}


def count_shared(shared):
    """Counts of a shared set."""
    n = len(shared.ids)
    return Counts(shared.n_label, shared.n_exact - shared.n_label, n - shared.n_exact, n)._asdict()


SAMPLERS = {"full": Full, "uniform": Uniform, "lsh": LSH}


def make_sampler(sampler):
    """A sampler from its name, its saved settings, or itself."""
    if isinstance(sampler, Sampler):
        return sampler
    settings = dict(sampler) if isinstance(sampler, dict) else {"name": sampler}
    name = settings.pop("name", None)
    if name not in SAMPLERS:
        raise ValueError(f"sampler={sampler!r} is unknown; give one of {sorted(SAMPLERS)} or a Sampler object such as nn.LSH(...)")
    return SAMPLERS[name](**settings)
