"""Active sets: true labels, then candidates that the hash tables return, then uniform filler. No duplicates.

A. *Votes in a byte per output and thread* (`mark`), reset through the list of touched ids: no clearing of all outputs, and the
   array stays in the second-level cache (670 kB at 670,000 outputs). Sorting the gathered ids cost ten times that.
B. *Top-k by votes* is a histogram over the vote counts and one pass; ties are taken from a random place of the list on, since
   the first tables would win them otherwise.
C. Worker t serves samples t, t + T, ...: a sample's set depends on (seed, step, sample) alone, not on T.
D. Filler has keys of its own: the tail is unbiased only if its draw knows nothing of how the head was chosen.
E. *No list of who has votes* where the buckets hold a good part of all outputs: they are counted and found as in `most_voted`.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel, serial
from mongoose_nb.kernels.common.lanes import LANES
from mongoose_nb.kernels.common.prefetch import prefetch_line
from mongoose_nb.kernels.common.random import below, key2, mix64
from mongoose_nb.kernels.tables.most_voted import count_votes, take_most_voted

TOPK, VANILLA, THRESHOLD = 0, 1, 2
# A mark counts votes in its low 7 bits; LABEL is set on true labels, and TAKEN is what is in the set already.
VOTES, LABEL, TAKEN = 127, 128, 255
MAX_VOTES = 126
# beyond all numbers of samples, from which keys are made too
FILLER = np.uint64(0xFFFFFFFFFFFFFFFF)


@inline
def _vote(pool, spans, codes, always, sample, mark, touched, reach):
    """Count, for every id in the sample's L buckets, in how many it stands; returns the number of distinct ids.

    The ids in `always` have all votes there are. ``reach[v]`` becomes the number of ids with at least v votes. No branch depends on
    the data: one that does is guessed wrong every other time.
    """
    L = codes.shape[0]
    n = 0
    for q in range(always.shape[0]):
        row = always[q]
        v = mark[row]
        touched[n] = row
        n += v == 0
        mark[row] = v | MAX_VOTES
    for v in range(reach.shape[0]):
        reach[v] = n if 0 < v <= MAX_VOTES else 0
    for t in range(L):
        if t + 2 < L:
            prefetch_line(pool, t + 2, spans[t + 2, codes[t + 2, sample], 0])
        code = codes[t, sample]
        first = spans[t, code, 0]
        for row in pool[t, first:first + spans[t, code, 1]]:
            place = np.uint32(row)  # without a sign Numba need not look for negative places
            v = mark[place]
            touched[n] = row
            n += v == 0
            counted = (v & VOTES) < MAX_VOTES
            v += counted
            mark[place] = v
            reach[v] += counted
    return n


@inline
def _take_by_votes(mark, touched, n_touched, reach, min_votes, room, start, out):
    """The `room` ids with the most votes, at least `min_votes`; ties from place `start` of the list on."""
    if room <= 0:
        for q in range(n_touched):
            mark[touched[q]] = 0
        return 0
    level = min_votes
    while level <= MAX_VOTES and reach[level] > room:
        level += 1
    # all ids with `level` votes or more fit; of those one below, as many as there is room for
    spare = room - (reach[level] if level <= MAX_VOTES else 0)
    if level == min_votes:
        spare = 0
    n = 0
    for q in range(n_touched):
        p = q + start
        if p >= n_touched:
            p -= n_touched
        row = touched[p]
        v = mark[row]
        mark[row] = 0
        extra = v == level - 1 and spare > 0
        spare -= extra
        out[n] = row
        n += v >= level or extra
        if n == room:
            # `out` is full: only clearing is left
            for rest in range(q + 1, n_touched):
                p = rest + start
                if p >= n_touched:
                    p -= n_touched
                mark[touched[p]] = 0
            break
    for q in range(n):
        mark[out[q]] = TAKEN
    return n


@inline
def _take_whole_buckets(pool, spans, codes, always, sample, mark, key, room, out):
    """SLIDE's vanilla sampling: tables in random order, whole buckets, until `room` ids are found; `always` before all tables."""
    L = codes.shape[0]
    order = np.arange(L)
    n = 0
    for q in range(always.shape[0]):
        row = always[q]
        v = mark[row]
        if v == 0 and n < room:
            mark[row] = TAKEN
            out[n] = row
            n += 1
        elif v == LABEL:
            mark[row] = LABEL + 1
    for k in range(L):
        key = mix64(key)
        other = k + below(key, L - k)
        t = order[other]
        order[other] = order[k]
        code = codes[t, sample]
        first = spans[t, code, 0]
        for q in range(first, first + spans[t, code, 1]):
            row = pool[t, q]
            v = mark[row]
            if v == 0 and n < room:
                mark[row] = TAKEN
                out[n] = row
                n += 1
            elif v == LABEL:
                mark[row] = LABEL + 1
        if n >= room:
            break
    return n


@inline
def _fill_uniform(mark, n_rows, want, key, out):
    """`want` distinct ids drawn uniformly from those not marked; the rest in order where all of them are wanted."""
    n = 0
    free_needed = want
    if free_needed <= 0:
        return 0
    taken = 0
    while n < want:
        key = mix64(key)
        row = below(key, n_rows)
        taken += 1
        if mark[row] == 0:
            mark[row] = TAKEN
            out[n] = row
            n += 1
        elif taken > 64 * want + 1024:
            # nearly everything is marked: walk on from here to the next free id
            while mark[row] != 0:
                row += 1
                if row == n_rows:
                    row = 0
            mark[row] = TAKEN
            out[n] = row
            n += 1
    return n


@inline
def _take_counted(pool, spans, codes, always, sample, marks, min_votes, key, room, n_label, blocks, found, ties, out):
    """(ids, hits): as `_vote` and `_take_by_votes`, by votes without a list; `out` begins with the labels, all marks end as zeros."""
    count_votes(pool, spans, codes, sample, marks, key)
    most = max(codes.shape[0] + 1, min_votes)  # more than any bucket gives
    for q in range(always.shape[0]):
        marks[always[q]] = most
    hits = 0
    for q in range(n_label):
        hits += marks[out[q]] > 0
        marks[out[q]] = 0
    n = 0
    if room > 0:
        n = take_most_voted(marks, min_votes, most + 1, room, key, True, blocks, found, ties)
    marks[:] = 0
    out[n_label:n_label + n] = found[:n]
    return n, hits


@parallel
def active_sets(use_tables, counted, pool, spans, codes, always, strategy, min_votes, head, fill, label_start, label_count, labels,
                n_rows, sizes, start, seed, step, places, mark, touched, ids, n_label, n_exact, n_active, n_hit):
    """Per-sample active sets of a batch.

    codes (L, B) table codes of the activations over the store's views `pool` and `spans` (unread without `use_tables`); `always`
    int32, different ids that count as found in every bucket. With `counted` votes are counted without a list of who has some: at most 253
    tables, not for vanilla sampling.
    Sample i gets ``sizes[i]`` ids from ``ids[start[i]]`` on: its labels, at most `head` retrieved ids, and (with `fill`)
    uniform ones. Out, (B,) each: n_label, n_exact (labels + retrieved), n_active, n_hit (labels seen in the buckets).
    The random choices of sample i are keyed by (seed, step, places[i]).
    Scratch: mark (T, n_rows or more, with `counted` a multiple of `LANES`) uint8 zeros; touched (T, n_rows + `LANES`) int32.
    """
    T = mark.shape[0]
    B = start.shape[0]
    for worker in prange(T):
        marks = mark[worker]
        reach = np.empty(256, np.int64)
        blocks = np.empty(marks.shape[0] // LANES + 1 if counted else 0, np.int32)
        found = np.empty(min(head, n_rows) + LANES if counted else 0, np.int32)
        for i in range(worker, B, T):
            out = ids[start[i]:start[i] + sizes[i]]
            n = 0
            for q in range(label_start[i], label_start[i] + label_count[i]):
                marks[labels[q]] = 0 if counted else LABEL
                out[n] = labels[q]
                n += 1
            n_label[i] = n
            key = key2(key2(seed, step), places[i])
            hits = 0
            if use_tables and counted:
                room = min(head, sizes[i] - n)
                more, hits = _take_counted(pool, spans, codes, always, i, marks, min_votes, key, room, n, blocks, found,
                                           touched[worker], out)
                n += more
                for q in range(n if fill else 0):
                    marks[out[q]] = TAKEN
            elif use_tables:
                room = min(head, sizes[i] - n)
                if strategy == VANILLA:
                    n += _take_whole_buckets(pool, spans, codes, always, i, marks, key, room, out[n:])
                else:
                    seen = _vote(pool, spans, codes, always, i, marks, touched[worker], reach)
                    n += _take_by_votes(marks, touched[worker], seen, reach, min_votes, room, below(key, max(seen, 1)),
                                        out[n:])
                for q in range(n_label[i]):
                    hits += marks[out[q]] > LABEL
            n_exact[i] = n
            n_hit[i] = hits
            if fill:
                n += _fill_uniform(marks, n_rows, sizes[i] - n, key2(key, FILLER), out[n:])
            n_active[i] = n
            for q in range(n):
                marks[out[q]] = 0


@serial
def shared_set(label_start, label_count, labels, head_start, head_count, heads, want, n_rows, seed, step, column, mark, ids,
               pair_column, sizes):
    """One list of outputs for the whole batch: all its labels, then the retrieved ids of all its samples, then uniform ones until
    there are `want` beside the labels.

    Out: ids; pair_column, the place in the list of every label of every sample, in order; sizes = (labels, exact, all).
    Scratch, restored: column (n_rows,) int32 of -1, mark (n_rows,) uint8 zeros.
    """
    n = 0
    p = 0
    for i in range(label_start.shape[0]):
        for q in range(label_start[i], label_start[i] + label_count[i]):
            row = labels[q]
            if column[row] < 0:
                column[row] = n
                mark[row] = TAKEN
                ids[n] = row
                n += 1
            pair_column[p] = column[row]
            p += 1
    sizes[0] = n
    for q in range(n):
        column[ids[q]] = -1
    for i in range(head_start.shape[0]):
        for q in range(head_start[i], head_start[i] + head_count[i]):
            row = heads[q]
            if mark[row] == 0:
                mark[row] = TAKEN
                ids[n] = row
                n += 1
    sizes[1] = n
    n += _fill_uniform(mark, n_rows, min(want - (n - sizes[0]), n_rows - n), key2(key2(seed, step), FILLER), ids[n:])
    sizes[2] = n
    for q in range(n):
        mark[ids[q]] = 0


@parallel
def unions(pool, spans, codes, seen, sizes, indptr, ids):
    """Distinct ids in the L buckets of every sample: counted into `sizes` where it has a place for them, else written, sorted,
    to ``ids[indptr[i] : indptr[i + 1]]``. seen (T, n_rows) uint8 zeros is scratch, restored."""
    T = seen.shape[0]
    for worker in prange(T):
        marks = seen[worker]
        for i in range(worker, codes.shape[1], T):
            n = 0
            at = indptr[i]
            for t in range(codes.shape[0]):
                code = codes[t, i]
                first = spans[t, code, 0]
                for q in range(first, first + spans[t, code, 1]):
                    row = pool[t, q]
                    if marks[row] == 0:
                        marks[row] = 1
                        if sizes.shape[0] == 0:
                            ids[at + n] = row
                        n += 1
            for t in range(codes.shape[0]):
                code = codes[t, i]
                first = spans[t, code, 0]
                for q in range(first, first + spans[t, code, 1]):
                    marks[pool[t, q]] = 0
            if sizes.shape[0] > 0:
                sizes[i] = n
            else:
                ids[at:at + n].sort()
