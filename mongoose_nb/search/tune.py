"""Choose K, L, probes and rerank for a recall: the cheapest setting that reaches it on queries that were put aside.

1. Some rows are put aside as queries, or the caller gives some. One half of them chooses, the other half measures what to expect.
2. For some K, tables are made once, as many as memory and `MOST_TABLES` allow. For each query and each of its true neighbours, the codes
   tell at which probe of which table they would meet. So the recall of every (L, probes) is known without a search, and the entries of
   the probed buckets tell the work.
3. The cheapest settings with some margins are built, and for each the least rerank is sought with which the measured recall is reached
   with a standard error to spare. Of three that reach it the cheapest is taken, and its probes are lowered as far as the recall allows:
   the steps of the tables in 2 are coarse, and a recall beyond the one asked for costs time at every query.

Rows are projected once, for all settings. Costs are counted, not timed, so the choice is the same on a busy machine.

Where queries are not like rows, as activations are not like output weights, random functions meet few neighbours. Given queries, half of
them train functions (`mongoose_nb.hashing.LearnedHash`), and tables of these are plans like others.
"""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.search.builder import Builder
from mongoose_nb.search.snapshot import DEFAULT_PROBES, MANY, Search

if TYPE_CHECKING:
    import scipy.sparse

    Rows = np.ndarray | scipy.sparse.csr_matrix

MOST_TABLES = 32
# Queries from which functions are trained, and the most that train.
ENOUGH, MOST_TRAINED = 1000, 4096
TABLES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
PROBES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
FIRST_RERANK, MOST_RERANK = 4, 128
# Nanoseconds of a table, a probe, and an entry that is looked at, of sketched rows and of others; measured on MNIST and EURLEX57K.
_TABLE, _PROBE, _SKETCHED, _EXACT = 150, 15, 9, 80
# Above the recall asked for, tried one after the other.
_MARGINS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1)


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What `LSHIndex.tune` chose and what it expects.

    Attributes
    ----------
    K, L, probes, rerank : int
        The setting; rerank may be None.
    learned : bool
        Whether the functions were trained on queries.
    recall : float
        Share of the k nearest rows that queries found which took no part in the choice.
    error : float
        Standard error of that share.
    worst_tenth : float
        The same share, of the tenth of those queries that found least.
    candidates : float
        Mean number of candidates of those queries.
    memory : int
        Bytes, by `LSHIndex.memory_usage`.
    reached : bool
        Whether the recalls asked for were reached; else the setting is the best that was found.
    """

    K: int
    L: int
    probes: int
    rerank: int | None
    learned: bool
    recall: float
    error: float
    worst_tenth: float
    candidates: float
    memory: int
    reached: bool


# Rounding of a float32 distance, as a part of it; rows may be in any unit and lie as near as they like, so no absolute number is small.
_ROUNDING = 1e-5


def recall_of(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share (n,) of the k found distances that are no farther than the k-th true one; ties count, as in ann-benchmarks."""
    bound = truth[:, -1:] + _ROUNDING * np.abs(truth[:, -1:])
    exists = np.isfinite(truth)
    bound = np.where(np.isfinite(bound), bound, np.inf)
    hits = (np.isfinite(found) & (found <= bound)).sum(axis=1)
    return np.minimum(hits / np.maximum(exists.sum(axis=1), 1), 1.0)


def worst_tenth(shares: np.ndarray) -> np.ndarray:
    """The lowest tenth of the shares (n,), at least one."""
    m = -(-len(shares) // 10)
    return np.partition(shares, m - 1)[:m]


class _Goals(NamedTuple):
    """The recalls that are asked for."""

    mean: float
    worst: float  # of the worst tenth; minus infinity: any

    def planned(self, mean, worst, margin):
        """Whether these recalls exceed the goals by a margin, as far as there is room for one."""
        return mean >= min(self.mean + margin, 1.0) and worst >= min(self.worst + margin, 1.0)

    def slack(self, mean, worst):
        """By how much recalls exceed both goals; negative where they do not."""
        return min(mean - self.mean, worst - self.worst)

    def measured(self, shares):
        """The slack of measured shares, and whether they exceed the goals by a standard error."""
        worst = worst_tenth(shares)
        enough = all(found.mean() >= min(goal + found.std() / np.sqrt(len(found)), 1.0)
                     for found, goal in ((shares, self.mean), (worst, self.worst)))
        return self.slack(shares.mean(), worst.mean()), enough


class _Trial:
    """Tables with some settings over the rows, and how they are searched."""

    def __init__(self, builder, learned, rerank, n_threads, max_candidates):
        self.builder, self.learned, self.rerank, self._n_threads, self._budget = builder, learned, rerank, n_threads, max_candidates
        self.probes = min(DEFAULT_PROBES, builder.functions.most_probes)

    def search(self, k):
        """How to search for k rows."""
        return Search(self.probes, self._budget or MANY, MANY if self.rerank is None else self.rerank * k)

    def shares(self, Q, truth, k):
        """`recall_of` the k nearest rows of queries."""
        _, batch = self.builder.check(Q)
        return recall_of(self.builder.snapshot().query(batch, k, self.search(k), self._n_threads)[1], truth)


class _Trials:
    """Builders over the same rows with tables of their own; what is common to them is computed once."""

    def __init__(self, builder, X, n_threads, max_candidates):
        self.settings, self.n_threads, self.max_candidates = builder, n_threads, max_candidates
        self.plain = self.settings.like(train_size=X.shape[0] + 1)
        self.plain.add(self.plain.ids.fresh(X.shape[0]), *self.plain.arrive(X))  # ids are slots here
        self._learned = {}  # functions by K
        if self.settings.metric.projected:
            self.plain.use_projection(self.plain.learn_projection())
        self.rows = self.plain.hashed()

    def exact(self, Q, k):
        """Slots and distances of the k nearest rows."""
        return self.plain.snapshot().query(self.plain.check(Q)[1], k, Search(), self.n_threads)

    def learn(self, Q, k, K, L):
        """Functions of L tables of K hashes, trained to find the k nearest rows of the queries Q; the first of them serve fewer tables."""
        from mongoose_nb.hashing.learned import LearnedHash
        from mongoose_nb.hashing.learned_losses import Examples

        projection, seed = self.plain.projection, self.settings.seed
        nearest = self.exact(Q, k)[0]
        aimed = projection.aim(projection.project(self.plain.check(Q)[1], queries=True)[0])
        hashed = np.ascontiguousarray(aimed[:, :projection.hashed])
        family = self.settings.family.make(projection.hashed, K, L, seed)
        family.set_functions(family.functions * np.float32(np.sqrt(projection.hashed)))  # entries of unit variance, as training expects
        none = (np.zeros(0, np.int64),) * 2
        LearnedHash(positives=k).bind(family, seed).learn(hashed, self.rows, Examples(nearest, none, none))
        self._learned[K] = family.functions

    def make(self, K, L, probes=None, learned=False):
        """A trial of these settings."""
        family = None
        if learned:
            family = self.settings.family.make(self.rows.shape[1], K, L, self.settings.seed)
            family.set_functions(self._learned[K][:, :K * L])
        builder = self.plain.with_tables(self.rows, family, K=K, L=L)
        rerank = None if builder.sketches is None else FIRST_RERANK
        trial = _Trial(builder, learned, rerank, self.n_threads, self.max_candidates)
        if probes is not None:
            trial.probes = min(probes, builder.functions.most_probes)
        return trial


def _stored(X):
    return X.nnz / max(X.shape[0], 1) if hasattr(X, "nnz") else None


def _hash_choices(builder, n):
    """Hashes per table to try, in a spread around those of the default."""
    dim = min(builder.dim, 32) if builder.metric.projected else builder.dim
    middle = builder.family.hashes_for(n, dim)
    return sorted({max(1, middle + step) for step in ((-4, -2, 0, 1, 2) if builder.family.one_bit else (-2, -1, 0, 1, 2))})


def _plans(builder, Q, truth):
    """(L, probes, recall of the candidates, that of the worst tenth of the queries, entries looked at) of a builder's tables."""
    most = min(PROBES[-1], builder.functions.most_probes)
    codes = builder.snapshot().codes(builder.check(Q)[1], most)  # (n, L, P)
    rows = builder.tables.codes_of(truth.ravel()).reshape(-1, *truth.shape)  # (L, n, k)
    spans = builder.tables.flat_views()[2]
    # first[t, q, j]: the probe of table t that would meet neighbour j of query q
    first = np.empty((builder.L, *truth.shape), np.int32)
    entries = np.empty((builder.L, most))
    for t in range(builder.L):
        meets = codes[:, t, None, :] == rows[t, :, :, None]
        first[t] = np.where(meets.any(axis=2), meets.argmax(axis=2), most)
        entries[t] = spans[t, codes[:, t, :], 1].mean(axis=0)
    soonest = np.minimum.accumulate(first, axis=0)
    work = np.cumsum(np.cumsum(entries, axis=1), axis=0)
    for L in TABLES:
        for P in PROBES:
            if L <= builder.L and P <= most:
                shares = (soonest[L - 1] < P).mean(axis=1)
                yield L, P, float(shares.mean()), float(worst_tenth(shares).mean()), float(work[L - 1, P - 1])


def choose(builder: Builder, X: "Rows", *, queries: "Rows | None" = None, learn: bool | None = None, recall: float = 0.9, k: int = 10,
           memory: int | None = None, n_queries: int = 2000, seed: int = 0, n_threads: int | None = None,
           max_candidates: int | None = None, worst: float | None = None) -> tuple[Tuned, Builder]:
    """The cheapest setting of an index for a recall, and the builder that was measured with it.

    Parameters
    ----------
    builder : Builder
        Its metric, family, capacity, policy and seed are taken.
    X, queries, learn, recall, k, memory, n_queries, seed
        See `LSHIndex.tune`.
    n_threads, max_candidates : int, optional
        Of the index.
    worst : float, optional
        See ``worst_tenth`` of `LSHIndex.tune`.

    Returns
    -------
    tuned : Tuned
    chosen : Builder
        For `Builder.adopt`.

    Raises
    ------
    ValueError
        See `LSHIndex.tune`.
    """
    goals = _Goals(check_number("recall", recall, low=0, high=1, open_low=True),
                   -np.inf if worst is None else check_number("worst_tenth", worst, low=0, high=1, open_low=True))
    k = check_int("k", k, low=1)
    if learn:
        if queries is None:
            raise ValueError("learn=True needs queries; give queries like those to come")
        builder.family.require("trainable", "learn=True")
    X, train, Q = _put_aside(X, queries, learn, builder.family.trainable, n_queries, seed)
    n, m = X.shape[0], Q.shape[0]
    if m < 20 or n < max(k, 20):
        raise ValueError(f"there are {m} queries and {n} rows to tune by; give at least 20 queries and {max(k, 20)} rows")
    choose, held = np.arange(0, m, 2), np.arange(1, m, 2)
    trials, stored = _Trials(builder, X, n_threads, max_candidates), _stored(X)
    truth = trials.exact(Q, k)
    plans = []
    for K in _hash_choices(builder, n):
        fits = [L for L in TABLES if L <= MOST_TABLES * (1 if builder.metric.projected else 4)
                and (memory is None or builder.like(K=K, L=L).memory_usage(n, stored) <= memory)]
        if not fits:
            continue
        if train is not None:
            trials.learn(train, k, K, max(fits))
        for learned in (False, True)[:1 + (train is not None)]:
            made = trials.make(K, max(fits), learned=learned).builder
            each = _EXACT if made.sketches is None else _SKETCHED
            for L, P, *reach, work in _plans(made, Q[choose], truth[0][choose]):
                plans.append((L * (_TABLE + _PROBE * P) + each * work, K, L, P, learned, *reach))
    if not plans:
        raise ValueError(f"no setting fits into memory={memory}; one table takes {builder.like(L=1).memory_usage(n, stored)}")
    plans.sort()
    reached, trial = _measured(trials, Q[choose], truth[1][choose], k, goals, plans, stored)
    shares = trial.shares(Q[held], truth[1][held], k)
    chosen = trial.builder
    sizes = np.diff(chosen.snapshot().candidates(chosen.check(Q[held])[1], trial.search(k))[0])
    error = float(shares.std() / np.sqrt(len(shares)))
    memory = builder.like(K=chosen.K, L=chosen.L).memory_usage(n, stored)
    tuned = Tuned(chosen.K, chosen.L, trial.probes, trial.rerank, trial.learned, float(shares.mean()), error,
                  float(worst_tenth(shares).mean()), float(sizes.mean()), memory, reached)
    return tuned, chosen


def _put_aside(X, queries, learn, can_learn, n_queries, seed):
    """(rows, queries that train or None, queries that choose and measure)."""
    X = X if hasattr(X, "tocsr") else np.asarray(X)
    order = np.random.default_rng(seed).permutation(X.shape[0])
    if queries is None:
        m = min(n_queries, X.shape[0] // 10)
        return X[np.sort(order[m:])], None, X[np.sort(order[:m])]
    queries = queries if hasattr(queries, "tocsr") else np.asarray(queries)
    order = np.random.default_rng(seed).permutation(queries.shape[0])
    learn = can_learn and queries.shape[0] >= ENOUGH if learn is None else bool(learn)
    trained = min(queries.shape[0] // 2, MOST_TRAINED) if learn else 0
    rest = queries[np.sort(order[trained:trained + n_queries])]
    return X, queries[np.sort(order[:trained])] if learn else None, rest


def _measured(trials, Q, truth, k, goals, plans, stored):
    """(whether the recalls were reached, trial of the setting)."""
    def reaches(trial):
        slack, enough = goals.measured(trial.shares(Q, truth, k))
        if best[1] is None or slack > best[0]:
            best[:] = slack, trial, (trial.probes, trial.rerank)
        return enough

    best, reached, tried = [0.0, None, None], [], []
    exact = trials.plain.dim / 3 if stored is None else stored + 50  # nanoseconds of an exact distance
    for margin in _MARGINS:
        fit = [p for p in plans if goals.planned(*p[-2:], margin)]
        # where no plan reaches that far: the one that reaches farthest
        cost, *setting, _, _ = fit[0] if fit else max(plans, key=lambda p: (goals.slack(*p[-2:]), -p[0]))
        if setting in tried:
            continue
        tried.append(setting)
        most = MOST_RERANK if not reached else (min(reached)[0] - cost) / (k * exact)  # beyond, it is not the cheapest
        if most < 1:
            break
        trial = trials.make(*setting)
        low = 0
        found = reaches(trial)
        while not found and trial.rerank is not None and 2 * trial.rerank <= min(most, MOST_RERANK):
            low, trial.rerank = trial.rerank, 2 * trial.rerank
            found = reaches(trial)
        if found:
            if trial.rerank is not None:
                _lower(trial, "rerank", reaches, low)
            reached.append((cost + (trial.rerank or 0) * k * exact, len(reached), trial))
        if len(reached) == 3 or not fit:
            break
    if reached:
        trial = min(reached)[2]
        _lower(trial, "probes", reaches, 0)
        return True, trial
    _, trial, (trial.probes, trial.rerank) = best
    return bool(best[0] >= 0), trial


def _lower(trial, name, reaches, low):
    """Set a number, with which the recall is reached, to about the least with which it is; with `low` it is not."""
    high = getattr(trial, name)
    while high - low > max(1, high // 16):
        middle = (low + high) // 2
        setattr(trial, name, middle)
        low, high = (low, middle) if reaches(trial) else (middle, high)
    setattr(trial, name, high)
