"""Samplers: which outputs of a wide layer a training step computes.

    Full      all of them; the exact twin of the others
    Uniform   labels and uniform ones
    LSH       labels, the head that hash tables retrieve, and a uniform tail that stands for the rest
    Auto      one of them, by the number of outputs

A sampler is a description (settings only) until `bind` ties it to the weights of one layer.
"""

import copy
from typing import NamedTuple

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import describe
from mongoose_nb.core.validation import check_choice, check_int, check_number
from mongoose_nb.nn.sampling.candidate_sets import NO_SHIFTS, STRATEGIES, ActiveSetBuilder, SharedSet
from mongoose_nb.nn.sampling.corrections import HASHED, UNIFORM, check_correction
from mongoose_nb.nn.sampling.head_split import HeadSplit, tail_variance
from mongoose_nb.nn.sampling.importance import Importance
from mongoose_nb.nn.sampling.table_manager import KeptTables
from mongoose_nb.nn.training.timing import PhaseTimer

SHAPES = ("sample", "batch")
# Outputs per bucket that the default number of hashes aims at.
BUCKET_LOAD = 64
# Retrieved outputs that a sample adds to the list of its batch. The more, the fewer samples are looked up. P@1 with 8, 16 and 32: Gowalla
# 0.107, 0.110, 0.106, 75,049 words 0.423, 0.424, 0.422, synthetic 100,000 outputs 0.630, 0.632, 0.626; looking up takes 1.6, 1.1 and 0.7 of
# 8 seconds (words).
EACH = 16
# Learned functions have to follow the queries too, which no turning of rows shows: the longest time between trainings that drift
# orders, for lists of a sample. Diginetica, one epoch of 2,811 steps at a rate that falls from 0.006, three seeds: P@1 0.0548 and 14
# trainings with it, 0.0547 and 15 with 300 steps; 0.0507 and 11 without, one seed.
LONGEST = 400
# Finding the best outputs of 2,048 activations takes as long as a hundred steps with lists of a batch; 512 train functions as well.
BATCH_LEARNER = {"queries": 512}


def default_bits(n_rows, load=BUCKET_LOAD):
    """Bits per table with which a bucket holds about `load` of so many outputs; at least 2."""
    return round(max(2.0, np.log2(max(1.0, n_rows / load))))


class Sampler:
    """What samplers share: settings, binding, and the counts of the last step."""

    shape = "all"
    #: how often the schedule of the tables fired since the last `report`
    fired = 0

    def bind(self, weights, bias, seed):
        """A working copy for one layer: `weights` and `bias` are its `Parameter`s, `seed` an int."""
        bound = copy.copy(self)  # a schedule of the user's own cannot be made from settings
        bound._bind(weights, bias, seed)
        return bound

    def settings(self):
        """Constructor arguments, for saving."""
        return {"name": type(self).__name__.lower(), **{k: v for k, v in vars(self).items() if not k.startswith("_")}}

    def after_loss(self, sets, delta):
        """Called with the lists of the samples and the gradients d mean loss / d z of their outputs, before the optimiser's step."""

    def after_update(self, step, timer, touched=None):
        """Called after every optimiser step: the place for table maintenance. ``touched()`` gives the ids of the rows that the step
        changed, or None for all."""

    def rehash_now(self):
        """Bring tables up to date with the weights, if there are any."""

    def peek(self, h):
        """The list (`SharedSet`) or lists (`ActiveSets`) that a training step would compute for activations `h`, labels left out.

        Nothing changes: neither the counts nor what training does next.
        """
        raise NotImplementedError  # abstract

    def counts(self):
        """Mean numbers of the last step: labels, retrieved, filler, and share of labels the buckets returned."""
        return dict(self._counts)

    def report(self):
        """Figures of table maintenance since this was last asked, for the history."""
        return {}

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
        return SharedSet(None, 0, self._n_rows, NO_SHIFTS, None)

    def peek(self, h):
        """All outputs."""
        return SharedSet(None, 0, self._n_rows, NO_SHIFTS, None)


class Uniform(Sampler):
    """Labels and outputs drawn uniformly without replacement.

    Parameters
    ----------
    candidates : int
        Outputs beside the labels.
    shape : {"sample", "batch"}
        A list for each sample, or one for the batch, on which the other samples' labels are candidates too.
    correction : {"tail", "logq", "none"}, optional
        See `tables.active.ActiveSetBuilder`. By default ``"tail"`` for lists of a sample and ``"none"`` for lists of a batch, where
        the other samples' labels are hard negatives that a re-weighted tail would drown (P@1 after two epochs on 100,000 outputs:
        0.62 without, 0.31 with). ``"logq"``, for lists of a batch: every output but the sample's own labels stands for
        1 / q, q its probability to be in the list as a label of another sample or as filler; the frequencies of labels are those
        seen so far (`tables.corrections`). EURLEX57K, 400 candidates, P@1 after three epochs: 0.819 with none, 0.816 with logq, 0.799
        with tail.
    """

    def __init__(self, candidates=1000, *, shape="batch", correction=None):
        self.candidates = check_int("candidates", candidates, low=1, high=2**31 - 2)
        self.shape = check_choice("shape", shape, SHAPES)
        self.correction = check_correction(correction, shape, UNIFORM)

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

    def peek(self, h):
        """As `Sampler.peek`; one draw for all samples where the list is the batch's."""
        return self._builder.per_sample(Rows.empty(len(h)), self.candidates, step=0, alike=self.shape == "batch")

    def state(self):
        """(settings, arrays): what `logq` counted."""
        frequency = self._builder.frequency
        return ({}, {}) if frequency is None else ({"samples": frequency.samples}, {"label_counts": frequency.counts.copy()})

    def load_state(self, settings, arrays):
        """Put back what `state` gave."""
        frequency = self._builder.frequency
        if frequency is not None:
            if arrays["label_counts"].shape != frequency.counts.shape:
                raise ValueError(f"the saved label counts have shape {arrays['label_counts'].shape}; the layer has "
                                 f"{len(frequency.counts)} outputs")
            frequency.samples, frequency.counts[:] = int(settings["samples"]), arrays["label_counts"]


class LSH(Sampler):
    """Labels, a head of outputs that hash tables retrieve for the activation, and a uniform tail.

    The head is exact; the tail is sampled from the rest and re-weighted, so the partition function is unbiased whatever the
    tables return. Good tables lower its variance.

    Parameters
    ----------
    candidates : int
        Outputs beside the labels, for each sample or for the batch.
    head : float or "auto"
        Share of `candidates` that may come from the tables; the filler makes up the rest. ``"auto"``, for lists of a sample with the
        correction ``"tail"``: the share with which the filler estimates the rest best, see `nn.split`.
    shape : {"sample", "batch"}
        A list for each sample (SLIDE), or one for the batch.
    correction : {"tail", "none", "importance"}, optional
        As for `Uniform`, without ``"logq"``. ``"importance"``, for lists of a sample and SimHash: every output but the labels counts
        1 / q, q its probability to be in the list over the draw of the hash functions; see `nn.importance`.
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
        Hash centred activations against centred weights and biases (`hashing.inner_product`) instead of both as they are. Centred lists
        of a sample are better with few outputs (EURLEX57K, 213 candidates: P@1 0.847, uncentred 0.817). With 40,000 and more
        ``center=False, L=16`` takes half the time; after the same seconds it is ahead of uniform lists on three sets of five and about
        level on two, which centred ones are on none (``docs/ablation.md``). Such tables are for training alone: for prediction without
        visiting all outputs call `Network.fit_serving`.
    rehash : int, str or schedule.Schedule, optional
        Steps between rehashes (same functions, new rows), ``"drift"`` or ``"auto"`` for when the weights have turned
        (`schedule.Drift`; where functions learn for lists of a sample, after 400 steps at the latest), or a schedule. By default
        `schedule.ExponentialDecay` from 100 steps on, or from 300 on with lists of a batch, where a step takes a fraction of the time.
    rebuild : int or None
        Rehashes between rebuilds (new functions); None keeps the functions.
    learn : None, str or schedule.LearnedHash
        Whether the hash functions are trained before a rehash that the schedule orders, on recent activations: ``"contrast"``, or
        ``"triplet"`` or ``"logistic"`` for comparison (`schedule.LearnedHash`; with lists of a batch on 512 activations). Needs
        ``family="simhash"`` and no `rebuild`.
    """

    def __init__(self, candidates=1000, *, head=0.5, shape="sample", correction=None, fill=True, family="simhash", K=None, L=None,
                 strategy="topk", min_votes=2, capacity=128, policy="reservoir", center=True, rehash=None, rebuild=None, learn=None):
        from mongoose_nb.hashing.learned import make_learned
        from mongoose_nb.rehash import ExponentialDecay, make_schedule

        self.candidates = check_int("candidates", candidates, low=1, high=2**31 - 2)
        self.head = head if head == "auto" else check_number("head", head, low=0.0, high=1.0)
        self.shape = check_choice("shape", shape, SHAPES)
        self.correction = check_correction(correction, shape, HASHED)
        self.fill = bool(fill)
        if self.head == "auto" and not (self.shape == "sample" and self.correction == "tail" and self.fill):
            raise ValueError(f"head='auto' weighs the correction 'tail' of lists of a sample with filler; got shape={shape!r}, "
                             f"correction={self.correction!r}, fill={fill}")
        self.family = check_choice("family", family, ("simhash", "dwta"))
        if self.correction == "importance" and family != "simhash":
            raise ValueError(f"correction='importance' needs family='simhash', whose collision probability follows from the angle; "
                             f"got family={family!r}")
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
        make_learned(learn)
        self.learn = learn
        if learn is not None and self.family != "simhash":
            raise ValueError(f"learn={learn!r} trains the projections of SimHash, but family={family!r}; use family='simhash'")
        if learn is not None and self.correction == "importance":
            raise ValueError(f"correction='importance' needs random hash functions, but learn={learn!r} trains them; give one of the two")
        if learn is not None and rebuild is not None:
            raise ValueError(f"rebuild={rebuild} would replace by random functions what learn={learn!r} has trained; give one of the two")

    def settings(self):
        """Constructor arguments, for saving."""
        out = super().settings()
        out["rehash"] = describe(self.rehash, "sampler.rehash")
        if hasattr(self.learn, "settings"):
            out["learn"] = self.learn.settings()
        return out

    def _bind(self, weights, bias, seed):
        from mongoose_nb.hashing import DWTA, SimHash
        from mongoose_nb.hashing.learned import make_learned
        from mongoose_nb.rehash import make_schedule
        from mongoose_nb.tables import LSHTables

        n_rows, width = weights.value.shape
        dim = width + 1 if self.center else width
        if self.family == "simhash":
            family = SimHash(dim, self.K or default_bits(n_rows), self.L, seed=seed)
        else:
            bits = max(2.0, np.log2(max(1.0, n_rows / BUCKET_LOAD)))
            family = DWTA(dim, self.K or max(1, round(bits / 3)), self.L, seed=seed, zeros="value")
        tables = LSHTables(family, capacity=self.capacity, policy=self.policy, seed=seed)
        by_output = self.correction == "importance"
        self._builder = ActiveSetBuilder(n_rows, seed=seed, strategy=self.strategy, min_votes=self.min_votes,
                                         correction="none" if by_output else self.correction)
        each_learns = self.learn is not None and self.shape == "sample"
        schedule = make_schedule(self.rehash, **({"longest": LONGEST} if each_learns else {}))
        self._split = HeadSplit() if self.head == "auto" else None
        schedule.bind(n_rows, width, family=family, seed=seed, room=self._room())
        learner = make_learned(self.learn, **(BATCH_LEARNER if self.shape == "batch" else {}))
        if learner is not None:
            learner.bind(family, seed)
        self._kept = KeptTables(weights, bias, tables, schedule, center=self.center, rebuild=self.rebuild, learner=learner)
        self._importance = Importance(weights, bias, self._kept, self.center, self._builder.min_votes) if by_output else None
        self._counts = {}

    def _room(self, train=False):
        """Most outputs that the tables give; while training with a head of its own choice, those of the share whose turn it is."""
        if self._split is None:
            return round(self.head * self.candidates)
        return round((self._split.next() if train else self._split.share) * self.candidates)

    @property
    def fired(self):
        """As `Sampler.fired`."""
        return self._kept.fired

    @property
    def tables(self):
        """The hash tables (`tables.LSHTables`) of a bound sampler."""
        return self._kept.tables

    @property
    def schedule(self):
        """The schedule of a bound sampler."""
        return self._kept.schedule

    def per_sample(self, h, labels, step, timer, train=True):
        """`ActiveSets` of every sample."""
        if train:
            self._kept.observe(h, labels)
        views = self._kept.views(h, timer)
        with timer("retrieve"):
            sets = self._builder.per_sample(labels, self.candidates, step=step if train else 0, views=views, alike=not train,
                                            head=self._room(train), fill=self.fill)
            if self._importance is not None:
                sets = self._importance.correct(h, sets)
        if train:
            self._counts = count_sets(sets)
        return sets

    def shared(self, h, labels, step, timer):
        """`SharedSet` of the batch: `EACH` retrieved ids, or more, of as many samples as the head has room for."""
        self._kept.observe(h, labels)
        shared = self._shared(h, labels, step, timer)
        self._counts = count_shared(shared)
        return shared

    def _shared(self, h, labels, step, timer):
        n, head = len(h), self._room()
        m = min(n, max(1, head // EACH))
        views = self._kept.views(np.ascontiguousarray(h[(np.arange(m) * n // m + step) % n]), timer)
        with timer("retrieve"):
            heads = self._builder.per_sample(Rows.empty(m), head // m, step=step, views=views, head=head // m, fill=False)
            return self._builder.shared(labels, self.candidates if self.fill else 0, step=step, heads=heads)

    def peek(self, h):
        """As `Sampler.peek`, from the tables as training finds them."""
        labels = Rows.empty(len(h))
        if self.shape == "batch":
            return self._shared(h, labels, 0, PhaseTimer())
        views = self._kept.views(h, PhaseTimer())
        return self._builder.per_sample(labels, self.candidates, step=0, views=views, head=self._room(), fill=self.fill)

    def after_loss(self, sets, delta):
        """Let the split of head and tail adapt."""
        if self._split is not None:
            self._split.observe(tail_variance(sets, delta))

    def after_update(self, step, timer, touched=None):
        """Rehash, or move rows, when the schedule says so."""
        self._kept.after_update(step, timer, touched)

    def rehash_now(self):
        """Rehash, whatever the schedule says."""
        self._kept.rehash()

    def candidates_for(self, h, n, timer):
        """Retrieved outputs only, at most `n` for each row of `h`: what LSH inference scores."""
        views = self._kept.serving_views(h, timer)
        return self._builder.per_sample(Rows.empty(len(h)), n, step=0, alike=True, views=views, head=n, fill=False)

    def counts(self):
        """As `Sampler.counts`; with a schedule that measures drift also firings since the last report, and the last changed share."""
        head = {} if self._split is None else {"head_share": self._split.share}
        return {**self._counts, **self._kept.counts(), **head}

    def report(self):
        """With a schedule that measures drift: firings, rows re-inserted by them, and the mean changed share of the looks. With `learn`
        also what `schedule.LearnedHash.report` gives."""
        return self._kept.report()

    def state(self):
        """(settings, arrays) from which the sampler continues exactly."""
        settings, arrays = self._kept.state()
        if self._split is not None:
            settings["split"], more = self._split.state()
            arrays = {**arrays, **{f"split.{k}": v for k, v in more.items()}}
        return settings, arrays if self._importance is None else {**arrays, **self._importance.state()}

    def load_state(self, settings, arrays):
        """Put back what `state` gave."""
        self._kept.load_state(settings, arrays)
        if self._split is not None:
            self._split.load_state(settings["split"], {k: arrays[f"split.{k}"] for k in ("sums", "turns")})
        if self._importance is not None:
            self._importance.load_state(arrays)


class Auto(Sampler):
    """A sampler by the number of outputs, and by how training goes: a rule of thumb.

    Up to `ALL_UP_TO` outputs all of them: their products cost about as much as choosing some, and nothing is lost (EURLEX57K, 4,271
    outputs, ten epochs: P@1 0.853, with lists of a batch 0.834). Above, a list of 1,000 candidates shared by the batch, uniform at first;
    from when labels stand out on, half of it are outputs that hash tables retrieve (`Later`). Where the limit lies between 4,271 and
    40,981 outputs was not measured. A bound sampler is the one that was chosen: ``network.output.sampler``.
    """

    #: outputs up to which all are computed
    ALL_UP_TO = 8192

    def choose(self, n_outputs):
        """The sampler for so many outputs."""
        from mongoose_nb.nn.sampling.adaptive import Later

        return Full() if n_outputs <= self.ALL_UP_TO else Later(1000)

    def bind(self, weights, bias, seed):
        """As `Sampler.bind`, of the chosen one."""
        return self.choose(len(bias.value)).bind(weights, bias, seed)


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


SAMPLERS = {"full": Full, "uniform": Uniform, "lsh": LSH, "auto": Auto}


def make_sampler(sampler):
    """A sampler from its name, its saved settings, or itself."""
    if isinstance(sampler, Sampler):
        return sampler
    settings = dict(sampler) if isinstance(sampler, dict) else {"name": sampler}
    name = settings.pop("name", None)
    if name not in SAMPLERS:
        raise ValueError(f"sampler={sampler!r} is unknown; give one of {sorted(SAMPLERS)} or a Sampler object such as nn.LSH(...)")
    return SAMPLERS[name](**settings)
