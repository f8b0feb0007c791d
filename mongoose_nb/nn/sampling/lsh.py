"""Labels, outputs that hash tables retrieve, and random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import fresh, make, register
from mongoose_nb.core.validation import check_choice, check_int, check_number
from mongoose_nb.nn.sampling import queries  # noqa: F401  (registers them)
from mongoose_nb.nn.sampling.base import SHAPES, Sampler
from mongoose_nb.nn.sampling.candidate_sets import ActiveSetBuilder
from mongoose_nb.nn.sampling.corrections import Importance, Tail, make_correction
from mongoose_nb.nn.sampling.head_split import HeadSplit, tail_variance
from mongoose_nb.nn.sampling.proposals import make_proposal
from mongoose_nb.nn.sampling.shards import part_of_sampler
from mongoose_nb.nn.sampling.table_settings import Tables
from mongoose_nb.nn.training.timing import PhaseTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mongoose_nb.core.arrays import Parameter
    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets, SharedSet
    from mongoose_nb.nn.sampling.corrections import Correction
    from mongoose_nb.nn.sampling.proposals import Proposal
    from mongoose_nb.nn.sampling.queries import TableQuery
    from mongoose_nb.nn.sampling.strategies import Strategy
    from mongoose_nb.rehash import Schedule
    from mongoose_nb.tables import LSHTables

# Retrieved outputs that a sample adds to the set of its batch. The more, the fewer samples are looked up.
EACH = 16


@register("sampler", "lsh")
class LSH(Sampler):
    """Labels, a head of outputs that hash tables retrieve for the activation, and a random tail.

    The head is exact; the tail is sampled from the rest and re-weighted, so the partition function is unbiased whatever the
    tables return. Good tables lower its variance.

    Parameters
    ----------
    candidates : int
        Outputs beside the labels, for each sample or for the batch.
    shape : {"sample", "batch"}
        Candidates for each sample (SLIDE), or shared by the batch.
    head : float or "auto"
        Share of `candidates` that may come from the tables; random outputs make up the rest. ``"auto"``, for candidates per sample with
        the correction ``"tail"``: the share with which the random outputs estimate the rest best, see `head_split`.
    fill : bool
        Without it only labels and retrieved outputs are computed.
    correction : str or Correction, optional
        ``"tail"``, ``"none"``, or, for candidates per sample and families of the cosine, ``"importance"``; see `corrections`. The default
        is that of `Uniform`.
    proposal : str or Proposal
        What random candidates of a sample are drawn from: ``"uniform"``, ``"frequency"`` (of labels) or ``"mixture"`` (of both), or an
        object; see `proposals`.
    strategy : str or Strategy
        How candidates are taken from the buckets: ``"topk"``, ``"vanilla"``, or ``nn.Threshold(min_votes=2)``.
    tables : Tables, optional
        The hash tables; ``nn.Tables()`` by default.
    query : str or TableQuery
        What a sample looks up in training: ``"embedding"``, its activation, or ``"label"``, the weights of a label of its own, which
        finds outputs that are similar to it; see `queries`.

    Attributes
    ----------
    manager : TableManager
        Of a bound sampler: its tables, with what keeps them up with the weights.

    Examples
    --------
    >>> from mongoose_nb import nn
    >>> sampler = nn.LSH(400, tables=nn.Tables(K=8, L=20, rehash=100))
    """

    def __init__(self, candidates: int = 1000, *, shape: str = "sample", head: float | str = 0.5, fill: bool = True,
                 correction: None | str | dict | Correction = None, proposal: str | dict | Proposal = "uniform",
                 strategy: str | dict | Strategy = "topk", tables: None | dict | Tables = None,
                 query: str | dict | TableQuery = "embedding") -> None:
        self.candidates = check_int("candidates", candidates, low=1, high=2**31 - 2)
        self.shape = check_choice("shape", shape, SHAPES)
        self.head = head if isinstance(head, str) and head == "auto" else check_number("head", head, low=0.0, high=1.0)
        self.fill = bool(fill)
        self.tables = (Tables() if tables is None else make("table settings", tables)).for_shape(shape)
        self.correction = make_correction(correction, shape, self.tables.family_class, self.tables.learn)
        self.proposal = make_proposal(proposal, shape, self.correction, self.fill)
        self.strategy = make("selection strategy", strategy)
        self.query = make("table query", query)
        if isinstance(self.correction, Importance) and not isinstance(self.query, queries.Embedding):
            raise ValueError(f"correction='importance' needs query='embedding', whose probabilities are known; got query={query!r}")
        if self.head == "auto" and not (self.shape == "sample" and isinstance(self.correction, Tail) and self.fill):
            raise ValueError(f"head='auto' needs shape='sample', correction='tail' and fill=True; got shape={shape!r}, "
                             f"correction={self.correction!r}, fill={fill}")
        if self.strategy.min_votes > self.tables.L:
            raise ValueError(f"min_votes={self.strategy.min_votes} is more than the L={self.tables.L} tables can give")

    def bind_layer(self, weights: Parameter, bias: Parameter, seed: int) -> None:
        """Prepare the tables of one layer; see `Sampler`."""
        self._builder = ActiveSetBuilder(len(bias.value), seed=seed, strategy=self.strategy)
        self._split = HeadSplit() if self.head == "auto" else None
        self.manager = self.tables.bind(weights, bias, shape=self.shape, room=self._room(), seed=seed)
        self._corrector, self._proposal = fresh(self.correction), fresh(self.proposal)
        self._corrector.bind_layer(weights, bias, self.manager, self.strategy)
        self._proposal.bind_layer(len(bias.value))
        self.saved_state = ("manager", *("_split",) * (self._split is not None),
                            *(name for name in ("_corrector", "_proposal") if getattr(self, name).saved_state))

    def _room(self, train=False):
        """Most outputs that the tables give; while training with a head of its own choice, those of the share whose turn it is."""
        if self._split is None:
            return round(self.head * self.candidates)
        return round((self._split.next() if train else self._split.share) * self.candidates)

    @property
    def fired(self) -> int:
        """As `Sampler.fired`."""
        return self.manager.fired

    @property
    def hash_tables(self) -> LSHTables:
        """The hash tables (`tables.LSHTables`) of a bound sampler."""
        return self.manager.tables

    @property
    def schedule(self) -> Schedule:
        """The rehash schedule of a bound sampler."""
        return self.manager.schedule

    def per_sample(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer, train: bool = True) -> ActiveSets:
        """`ActiveSets` of every sample."""
        if train:
            self.manager.observe(h, labels)
        views = self.query.views(self.manager, h, labels, step, timer) if train else self.manager.views(h, timer)
        with timer("retrieve"):
            if train:
                self._proposal.observe(labels)
            sets = self._builder.per_sample(labels, self.candidates, step=step if train else 0, views=views, alike=not train,
                                            head=self._room(train), fill=self.fill, alias=self._proposal.alias)
            sets = self._corrector.per_sample(h, sets)
        return self.count(sets) if train else sets

    def shared(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer) -> SharedSet:
        """`SharedSet` of the batch: `EACH` retrieved ids, or more, of as many samples as the head has room for."""
        self.manager.observe(h, labels)
        return self.count(self._shared(h, labels, step, timer))

    def _shared(self, h, labels, step, timer):
        n, head = len(h), self._room()
        m = min(n, max(1, head // EACH))
        some = (np.arange(m) * n // m + step) % n
        views = self.query.views(self.manager, h[some], Rows(labels.start[some], labels.count[some], labels.ids, None), step, timer)
        with timer("retrieve"):
            heads = self._builder.per_sample(Rows.empty(m), head // m, step=step, views=views, head=head // m, fill=False)
            shared = self._builder.shared(labels, self.candidates if self.fill else 0, step=step, heads=heads)
            return self._corrector.shared(labels, shared)

    def of_shard(self, i: int, n: int) -> dict[str, Any] | None:
        """As `Sampler.of_shard`: tables of its own rows, with K and L as for so many outputs, and its part of the candidates."""
        return part_of_sampler(self, i, n, self._builder.n_rows, self._builder.seed)

    def watch(self, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer, best: Callable[[np.ndarray], np.ndarray]) -> bool:
        """As `Sampler.watch`: the mean of the activations, by which queries are centred, and the labels that a proposal counts."""
        self.manager.observe(h, labels)
        self._proposal.observe(labels)
        return True

    def peek(self, h: np.ndarray) -> ActiveSets | SharedSet:
        """As `Sampler.peek`, from the tables as training finds them."""
        labels = Rows.empty(len(h))
        if self.shape == "batch":
            return self._shared(h, labels, 0, PhaseTimer())
        views = self.manager.views(h, PhaseTimer())
        return self._builder.per_sample(labels, self.candidates, step=0, views=views, head=self._room(), fill=self.fill,
                                        alias=self._proposal.alias)

    def after_loss(self, sets: ActiveSets | SharedSet, delta: np.ndarray) -> None:
        """Let the split of head and tail adapt."""
        if self._split is not None:
            self._split.observe(tail_variance(sets, delta))

    def after_update(self, step: int, timer: PhaseTimer, touched: Callable[[], np.ndarray | None] | None = None) -> None:
        """Rehash, or move rows, when the schedule says so."""
        self.manager.after_update(step, timer, touched)

    def rehash_now(self) -> None:
        """Rehash, whatever the schedule says."""
        self.manager.rehash()

    def retrieve(self, h: np.ndarray, n: int, timer: PhaseTimer, step: int | None = None) -> ActiveSets:
        """`ActiveSets` of at most `n` retrieved outputs for each row of `h`: what prediction without `fit_serving` scores.

        Where the weights moved since the tables were built, they are hashed into other tables, so that training stays as it is.
        """
        views = self.manager.serving_views(h, timer)
        return self._builder.per_sample(Rows.empty(len(h)), n, step=0, alike=True, views=views, head=n, fill=False)

    def counts(self) -> dict[str, float]:
        """As `Sampler.counts`; with a schedule that measures drift also firings since the last report, and the last changed share."""
        head = {} if self._split is None else {"head_share": self._split.share}
        return {**self._counts, **self.manager.counts(), **head}

    def report(self) -> dict[str, float]:
        """With a schedule that measures drift: firings, rows re-inserted by them, and the mean changed share of the looks. Where hash
        functions learn, also what `hashing.LearnedHash.report` gives."""
        return self.manager.report()
