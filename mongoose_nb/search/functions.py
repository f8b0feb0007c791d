"""The functions of an index: learnt from its rows, and applied to rows and queries. Each takes the index; none takes its lock.

    add    -> insert_rows -> train -> learn_projection, use_projection, load_tables     when rows have outgrown the functions
                          -> place_rows                                                 else
    update -> place_rows
    query  -> project, codes_of

`train` numbers slots anew. Trials of `tune` share one projection, so they call its steps one by one.
"""

import numpy as np

from mongoose_nb.core.locks import FairLock
from mongoose_nb.search.families import default_bits, make_family, takes_projection
from mongoose_nb.search.probing import flip_order
from mongoose_nb.search.projection import SAMPLE, Projection, row_lengths
from mongoose_nb.search.rows import grown, zeros
from mongoose_nb.search.searcher import default_threads, in_parts

# Functions are drawn anew when the rows have become so many times those they were chosen for.
REBUILD = 4
# Rows that are taken in at a time.
_BLOCK = 1 << 15
# Families whose kernels run on all threads are asked by one caller at a time.
_one_at_a_time = FairLock()


# --- learning ---------------------------------------------------------------------------------------------------------


def insert_rows(index, slots, batch):
    """Hash rows that were added; where the rows have outgrown the functions, learn those and hash all rows anew."""
    n = len(index)
    again = n >= REBUILD * index._trained and (index.K is None or index._trained < SAMPLE)
    if index._tables is None:
        again = n >= index.train_size
    elif index._projection is not None:
        index._long += index._projection.too_long(batch)
        again = again or index._long > max(32, n // 64)
    if again:
        train(index)
    elif index._tables is not None:
        place_rows(index, slots, batch, "insert")


def train(index):
    """Learn functions from the rows at hand and load the tables. Slots are numbered anew."""
    n = len(index)
    known, projection, family = (0, None, None) if index._tuned is None else index._tuned
    if n >= REBUILD * known:
        index._tuned = projection = family = None
    if len(index._map.free):
        index._rows.restrict(index._map.compact())
    if projection is None and takes_projection(index.metric):
        projection = learn_projection(index, n)
    use_projection(index, projection)
    load_tables(index, _Hashed(index, n), family)  # slice by slice: they need not all be in memory


def learn_projection(index, n):
    """A projection for the n rows."""
    sample = np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64))
    longest = 0.0
    for lo in range(0, n, _BLOCK) if index.metric == "ip" else ():
        batch = index._rows.take(np.arange(lo, min(n, lo + _BLOCK)))
        longest = max(longest, float(row_lengths(batch, index._rows.kind == "sparse").max()))
    return Projection(index._rows, sample, longest, index.seed)


def use_projection(index, projection):
    """Take a projection, with room for sketches, or none."""
    index._projection, index._sketches = projection, None
    if projection is not None:
        index._sketches = zeros((len(index._map.ids), projection.width), np.int8)


def load_tables(index, rows, family=None):
    """Make the tables of rows as a family hashes them, under slots 0, 1, ..."""
    from mongoose_nb.tables import LSHTables

    n = rows.shape[0]
    dim = index.dim if index._projection is None else index._projection.hashed
    K = default_bits(index.family, dim, n) if index.K is None else index.K
    with _one_at_a_time:
        family = family or make_family(index.family, index.metric)(dim, K, index.L, index.seed)
        tables = LSHTables(family, capacity=index.capacity, policy=index.policy, seed=index.seed)
        tables.build(rows)
    index._tables, index._trained, index._long, index._searcher = tables, n, 0, None
    set_probes(index)


def set_probes(index):
    """What the tables' family allows of the buckets that are wanted of a table."""
    family = index._tables.family
    index._own_probes = index._projection is not None and type(family).__name__ == "SimHash" and family.center is None
    index._most_probes = 1 << min(family.code_bits, 20) if index._own_probes else getattr(family, "max_probes", 1)
    index._probes = min(8 if index.probes is None else index.probes, index._most_probes)


class _Hashed:
    """Rows of an index as its family hashes them, slice by slice; their sketches are filled in on the way."""

    def __init__(self, index, n):
        self.index, self.shape = index, (n, index.dim)

    def __getitem__(self, part):
        index = self.index
        slots = np.arange(self.shape[0])[part]
        batch = index._rows.take(slots)
        if index._projection is None:
            return index._rows.matrix(batch)
        m, n = index._projection.axes.shape[1], len(slots)
        Y, rest = np.empty((n, m), np.float32), np.empty(n, np.float32)

        def work(lo, hi):
            Y[lo:hi], rest[lo:hi] = index._projection.project(index._rows.part(batch, lo, hi))
            index._sketches[slots[lo]:slots[lo] + hi - lo] = index._projection.sketch(Y[lo:hi], rest[lo:hi])

        in_parts(n, default_threads(), work)
        return _hash_input(index, batch, Y)


def hashed_rows(index):
    """All rows as a family hashes them; their sketches are filled in on the way."""
    rows = _Hashed(index, len(index))
    if index._projection is None:
        return rows
    return np.concatenate([rows[lo:lo + _BLOCK] for lo in range(0, len(index), _BLOCK)])


# --- hashing ----------------------------------------------------------------------------------------------------------


def project(index, batch, queries=False):
    """Coordinates (n, m) of a batch and the lengths (n,) of what is lost; None and None without a projection."""
    return (None, None) if index._projection is None else index._projection.project(batch, queries)


def _hash_input(index, batch, Y):
    """What the family hashes."""
    if Y is not None:
        return np.ascontiguousarray(Y[:, :index._projection.hashed])
    return index._rows.matrix(batch)


def codes_of(index, batch, Y, probes):
    """Bucket numbers (n, L, probes) uint32."""
    tables = index._tables
    if index._own_probes:
        from mongoose_nb.kernels.search.project import simhash_probes

        out = np.empty((len(Y), tables.family.L, probes), np.uint32)
        simhash_probes(Y, tables.family.functions, flip_order(tables.family.K, probes), tables.family.K, out)
    else:
        with _one_at_a_time:
            rows = _hash_input(index, batch, Y)
            if probes == 1:
                out = tables.family.hash_tables(rows)[:, :, None]
            else:
                out = tables.family.probe_tables(rows, probes)
        out = np.ascontiguousarray(out.transpose(1, 0, 2), np.uint32)
    return out if tables.folds is False else np.ascontiguousarray(tables.fold(out), np.uint32)


def place_rows(index, slots, batch, how):
    """Insert or move rows in the tables."""
    if index._projection is not None:
        index._sketches = grown(index._sketches, index._map.used)
    if len(slots) <= 64 and index._own_probes:
        if index._rows.kind == "dense":
            codes = index._projection.place(batch, slots, index._sketches, index._tables)
        else:
            Y, rest = project(index, batch)
            index._sketches[slots] = index._projection.sketch(Y, rest)
            codes = np.ascontiguousarray(codes_of(index, batch, Y, 1)[:, :, 0].T)
        getattr(index._tables, how)(slots, batch, codes=codes)
        return
    Y, rest = project(index, batch)
    if Y is not None:
        index._sketches[slots] = index._projection.sketch(Y, rest)
    with _one_at_a_time:
        getattr(index._tables, how)(slots, _hash_input(index, batch, Y))
