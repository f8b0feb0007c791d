"""Choose K, L, probes and rerank for a recall: the cheapest setting that reaches it on queries that were put aside.

1. Some rows are put aside as queries (or the caller gives some); one half serves to choose, the other to say what to expect.
2. For some K, tables are made once, as many as memory and `MOST_TABLES` allow. For each query and each of its true neighbours the bucket
   codes tell at which probe of which table they would meet; so the recall of every (L, probes) is known without a search, and the
   entries of the probed buckets tell the work.
3. The cheapest settings with some margins are built, and for each the least rerank is sought with which the measured recall is there
   with a standard error to spare. Of three that get there the cheapest is taken, and its probes are lowered as far as that goes: the
   steps of the tables in 2 are coarse, and a recall beyond the one asked for is paid at every query.

Rows are projected once, for all settings. Costs are counted, not timed, so the choice is the same on a busy machine.

Where queries are not like rows, as activations are not like output weights, random functions meet few neighbours: given queries, half of
them train functions (`schedule.LearnedHash`), and tables of these are plans like others. Recall@10 of the rows that share a bucket,
K = 10, L = 64, random and trained: 0.27 of 2,980 rows and 0.82 of 4,360 (40,981 x 129 weights trained on Gowalla), 0.42 of 7,730 and
0.75 of 8,150 (100,000 x 129, synthetic).
"""

import dataclasses

import numpy as np

from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.search import functions
from mongoose_nb.search.families import default_bits, make_family, takes_projection

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
    """What `tune` chose and what it expects.

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
    candidates : float
        Mean number of candidates of those queries.
    memory : int
        Bytes, by `LSHIndex.memory_usage`.
    reached : bool
        Whether the recall asked for was reached; else the setting is the best that was found.
    """

    K: int
    L: int
    probes: int
    rerank: int | None
    learned: bool
    recall: float
    error: float
    candidates: float
    memory: int
    reached: bool


def recall_of(found, truth):
    """Share (n,) of the k found distances that are no farther than the k-th true one; ties count, as in ann-benchmarks."""
    bound = truth[:, -1:] + 1e-5 * np.abs(truth[:, -1:]) + 1e-7
    exists = np.isfinite(truth)
    bound = np.where(np.isfinite(bound), bound, np.inf)
    hits = (np.isfinite(found) & (found <= bound)).sum(axis=1)
    return np.minimum(hits / np.maximum(exists.sum(axis=1), 1), 1.0)


def _like(index, **changes):
    """An index without rows and with the settings of another."""
    from mongoose_nb.search.storage import PARAMETERS

    settings = {name: getattr(index, name) for name in PARAMETERS} | changes
    return type(index)(settings.pop("metric"), settings.pop("dim"), **settings)


class _Trials:
    """Indexes over the same rows with tables of their own; what is common to them is computed once."""

    def __init__(self, index, X):
        self.index, self.n = index, X.shape[0]
        self.plain = _like(index, train_size=self.n + 1)
        self.plain.add(X)
        if takes_projection(index.metric):
            functions.use_projection(self.plain, functions.learn_projection(self.plain, self.n))
            self.rows = functions.hashed_rows(self.plain)
        self._trained = {}  # functions by K

    def train(self, Q, k, K, L):
        """Functions of L tables of K hashes, trained to find the k nearest rows of the queries Q; the first of them serve fewer tables."""
        from mongoose_nb.hashing.learned import LearnedHash
        from mongoose_nb.hashing.learned_losses import Examples

        projection, rows = self.plain._projection, self.plain._rows
        nearest = self.plain.query(Q, k, exact=True)[0].astype(np.int32)  # ids are slots here
        hashed = np.ascontiguousarray(projection.project(rows.check(Q), queries=True)[0][:, :projection.hashed])
        family = make_family(self.index.family, self.index.metric)(projection.hashed, K, L, self.index.seed)
        family.set_functions(family.functions * np.float32(np.sqrt(projection.hashed)))  # entries of unit variance, as training expects
        none = (np.zeros(0, np.int64),) * 2
        LearnedHash(positives=k).bind(family, self.index.seed).learn(hashed, self.rows, Examples(nearest, none, none))
        self._trained[K] = family.functions

    def make(self, K, L, probes=None, learned=False):
        """An index with these settings."""
        trial = _like(self.index, K=K, L=L, probes=probes, train_size=2, max_candidates=None, exact_fallback=False)
        for part in ("_rows", "_map", "_projection", "_sketches"):
            setattr(trial, part, getattr(self.plain, part))
        rows, family = functions.hashed_rows(trial) if trial._projection is None else self.rows, None
        if learned:
            family = make_family(self.index.family, self.index.metric)(rows.shape[1], K, L, self.index.seed)
            family.set_functions(self._trained[K][:, :K * L])
        functions.load_tables(trial, rows, family)
        trial.learned = learned
        return trial


def _stored(X):
    return X.nnz / max(X.shape[0], 1) if hasattr(X, "nnz") else None


def _hash_choices(index, n):
    """Hashes per table to try, in a spread around those of the default."""
    dim = index.dim if not takes_projection(index.metric) else min(index.dim, 32)
    middle = default_bits(index.family, dim, n)
    wide = index.family in ("simhash", "bitsampling")
    return sorted({max(1, middle + step) for step in ((-4, -2, 0, 1, 2) if wide else (-2, -1, 0, 1, 2))})


def _plans(trial, Q, truth, k):
    """(recall of the candidates, entries looked at) by L and probes of an index."""
    batch = trial._rows.check(Q)
    Y, _ = functions.project(trial, batch, queries=True)
    family = trial._tables.family
    most = min(PROBES[-1], (1 << min(family.code_bits, 20)) if trial._own_probes else getattr(family, "max_probes", 1))
    codes = functions.codes_of(trial, batch, Y, most)  # (n, L, P)
    slots = trial._map.slots(truth.ravel()).reshape(truth.shape)
    rows = trial._tables.codes_of(slots.ravel()).reshape(-1, *truth.shape)  # (L, n, k)
    spans = trial._tables.flat_views()[2]
    # first[t, q, j]: the probe of table t that would meet neighbour j of query q
    first = np.empty((trial.L, *truth.shape), np.int32)
    entries = np.empty((trial.L, most))
    for t in range(trial.L):
        meets = codes[:, t, None, :] == rows[t, :, :, None]
        first[t] = np.where(meets.any(axis=2), meets.argmax(axis=2), most)
        entries[t] = spans[t, codes[:, t, :], 1].mean(axis=0)
    soonest = np.minimum.accumulate(first, axis=0)
    work = np.cumsum(np.cumsum(entries, axis=1), axis=0)
    for L in TABLES:
        for P in PROBES:
            if L <= trial.L and P <= most:
                yield L, P, float((soonest[L - 1] < P).mean()), float(work[L - 1, P - 1])


def tune(index, X, *, queries=None, learn=None, recall=0.9, k=10, memory=None, n_queries=2000, seed=0):
    """Choose K, L, probes and rerank of an index for rows and queries like these, and set them.

    Parameters
    ----------
    index : LSHIndex
        Gets the setting and the functions that were measured; where it holds rows they are hashed anew. `X` is not added. The functions
        stay until the rows are four times those of X.
    X : (n, dim)
        The rows that the index is to hold, or as many like them: recall depends on their number.
    queries : (m, dim), optional
        Queries like those to come. Without them, rows of X are put aside for it.
    learn : bool, optional
        Whether functions may be trained on a half of the queries, at most `MOST_TRAINED`; they serve where that is cheaper. By default
        if the family is simhash and there are `ENOUGH` queries.
    recall : float
        Wanted share of the k nearest rows.
    k : int
    memory : int, optional
        Most bytes, by `LSHIndex.memory_usage`.
    n_queries : int
        Most queries that are looked at; one half chooses, the other measures. The more, the closer the expectation.
    seed : int
        Of the rows put aside.

    Returns
    -------
    Tuned

    Raises
    ------
    ValueError
        Fewer than 20 queries or rows, no setting within the memory, or ``learn=True`` without queries or with another family.
    """
    recall = check_number("recall", recall, low=0, high=1, open_low=True)
    k = check_int("k", k, low=1)
    X = X if hasattr(X, "tocsr") else np.asarray(X)
    order = np.random.default_rng(seed).permutation(X.shape[0])
    can = index.family == "simhash" and queries is not None
    if learn and not can:
        raise ValueError(f"learn=True needs queries, and family 'simhash'; family is {index.family!r}, "
                         f"queries are {'missing' if queries is None else 'given'}")
    if queries is None:
        m = min(n_queries, X.shape[0] // 10)
        Q, X = X[np.sort(order[:m])], X[np.sort(order[m:])]
    else:
        queries = queries if hasattr(queries, "tocsr") else np.asarray(queries)
        order = np.random.default_rng(seed).permutation(queries.shape[0])
        learn = can and queries.shape[0] >= ENOUGH if learn is None else bool(learn)
        trained = min(queries.shape[0] // 2, MOST_TRAINED) if learn else 0
        train, Q = queries[np.sort(order[:trained])], queries[np.sort(order[trained:trained + n_queries])]
    n, m = X.shape[0], Q.shape[0]
    if m < 20 or n < max(k, 20):
        raise ValueError(f"there are {m} queries and {n} rows to tune by; give at least 20 queries and {max(k, 20)} rows")
    choose, held = np.arange(0, m, 2), np.arange(1, m, 2)
    trials = _Trials(index, X)
    truth = trials.plain.query(Q, k, exact=True)
    plans = []
    for K in _hash_choices(index, n):
        fits = [L for L in TABLES if L <= MOST_TABLES * (1 if takes_projection(index.metric) else 4)
                and (memory is None or _like(index, K=K, L=L).memory_usage(n, stored=_stored(X)) <= memory)]
        if not fits:
            continue
        if learn:
            trials.train(train, k, K, max(fits))
        for learned in (False, True)[:1 + bool(learn)]:
            trial = trials.make(K, max(fits), learned=learned)
            each = _SKETCHED if trial._sketches is not None else _EXACT
            for L, P, reach, work in _plans(trial, Q[choose], truth[0][choose], k):
                plans.append((L * (_TABLE + _PROBE * P) + each * work, K, L, P, learned, reach))
    if not plans:
        raise ValueError(f"no setting fits into memory={memory}; one table takes "
                         f"{_like(index, L=1).memory_usage(n, stored=_stored(X))}")
    plans.sort()
    reached, trial = _measured(trials, Q[choose], truth[1][choose], k, recall, plans, _stored(X))
    shares = recall_of(trial.query(Q[held], k)[1], truth[1][held])
    sizes = np.diff(trial.candidates(Q[held])[0])
    index._writable()
    with index._lock.writing():
        index.K, index.L, index.probes, index.rerank = trial.K, trial.L, trial._probes, trial.rerank
        index._tuned = n, trial._projection, trial._tables.family
        index._reload()
    error = float(shares.std() / np.sqrt(len(shares)))
    return Tuned(trial.K, trial.L, trial._probes, trial.rerank, trial.learned, float(shares.mean()), error, float(sizes.mean()),
                 index.memory_usage(n, stored=_stored(X)), reached)


def _measured(trials, Q, truth, k, recall, plans, stored):
    """(whether the recall was reached, index with the setting)."""
    def reaches(trial):
        shares = recall_of(trial.query(Q, k)[1], truth)
        if best[1] is None or shares.mean() > best[0]:
            best[:] = shares.mean(), trial, trial._probes, trial.rerank
        return shares.mean() >= min(recall + shares.std() / np.sqrt(len(shares)), 1.0)

    best, reached, tried = [0.0, None, None, None], [], []
    exact = trials.index.dim / 3 if stored is None else stored + 50  # nanoseconds of an exact distance
    for margin in _MARGINS:
        fit = [p for p in plans if p[-1] >= min(recall + margin, 1.0)]
        # where no plan reaches that far: the one that reaches farthest
        cost, *setting, _ = fit[0] if fit else max(plans, key=lambda p: (p[-1], -p[0]))
        if setting in tried:
            continue
        tried.append(setting)
        most = MOST_RERANK if not reached else (min(reached)[0] - cost) / (k * exact)  # beyond, it is not the cheapest
        if most < 1:
            break
        trial = trials.make(*setting)
        trial.max_candidates = trials.index.max_candidates
        low, trial.rerank = 0, None if trial._sketches is None else FIRST_RERANK
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
        _lower(trial, "_probes", reaches, 0)
        return True, trial
    _, trial, trial._probes, trial.rerank = best
    return bool(best[0] >= recall), trial


def _lower(trial, name, reaches, low):
    """Set a number, with which the recall is reached, to about the least with which it is; with `low` it is not."""
    high = getattr(trial, name)
    while high - low > max(1, high // 16):
        middle = (low + high) // 2
        setattr(trial, name, middle)
        low, high = (low, middle) if reaches(trial) else (middle, high)
    setattr(trial, name, high)
