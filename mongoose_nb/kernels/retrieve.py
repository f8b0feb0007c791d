"""Active sets: true labels, then candidates that the hash tables return, then uniform filler. No duplicates.

A. *Votes in a byte per output and thread* (`mark`), reset through the list of touched ids: no clearing of all outputs, and the
   array stays in the second-level cache (670 kB at 670,000 outputs). Sorting the gathered ids cost ten times that.
B. *Top-k by votes* is a histogram over the vote counts and one pass; ties are taken from a random place of the list on, since
   the first tables would win them otherwise.
C. Worker t serves samples t, t + T, ...: a sample's set depends on (seed, step, sample) alone, not on T.
D. Filler has keys of its own: the tail is unbiased only if its draw knows nothing of how the head was chosen.
E. *Long buckets are only counted* (`most_voted`): where a query's buckets hold a good part of all outputs, as in serving, nothing is kept
   of an id but its vote, and whoever has many is found by a pass over all marks, rarely more than one.
"""

import numpy as np
from numba import prange

from mongoose_nb.kernels._jit import inline, parallel, serial
from mongoose_nb.kernels.prefetch import prefetch_line
from mongoose_nb.kernels.random import below, key2, mix64

TOPK, VANILLA, THRESHOLD = 0, 1, 2
# A mark counts votes in its low 7 bits; LABEL is set on true labels, and TAKEN is what is in the set already.
VOTES, LABEL, TAKEN = 127, 128, 255
MAX_VOTES = 126
# A word of eight marks: their high bits, and one in each.
HIGH, ONES = np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)
# words that are looked at together
GROUP = 64
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


@parallel
def active_sets(use_tables, pool, spans, codes, always, strategy, min_votes, head, fill, label_start, label_count, labels, n_rows, sizes,
                start, seed, step, places, mark, touched, ids, n_label, n_exact, n_active, n_hit):
    """Per-sample active sets of a batch.

    codes (L, B) table codes of the activations over the store's views `pool` and `spans` (unread without `use_tables`); `always`
    int32, different ids that count as found in every bucket.
    Sample i gets ``sizes[i]`` ids from ``ids[start[i]]`` on: its labels, at most `head` retrieved ids, and (with `fill`)
    uniform ones. Out, (B,) each: n_label, n_exact (labels + retrieved), n_active, n_hit (labels seen in the buckets).
    The random choices of sample i are keyed by (seed, step, places[i]).
    Scratch: mark (T, n_rows) uint8 zeros, touched (T, n_rows + 1) int32.
    """
    T = mark.shape[0]
    B = start.shape[0]
    for worker in prange(T):
        marks = mark[worker]
        reach = np.empty(256, np.int64)
        for i in range(worker, B, T):
            out = ids[start[i]:start[i] + sizes[i]]
            n = 0
            for q in range(label_start[i], label_start[i] + label_count[i]):
                marks[labels[q]] = LABEL
                out[n] = labels[q]
                n += 1
            n_label[i] = n
            key = key2(key2(seed, step), places[i])
            hits = 0
            if use_tables:
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


@inline
def _guess_at_least(marks, level):
    """About how many marks are `level` or more, from every sixteenth kilobyte."""
    n = np.int32(0)
    for lo in range(0, marks.shape[0], 1 << 14):
        part = marks[lo:lo + 1024]
        for r in range(part.shape[0]):
            n = np.int32(n + (part[r] >= level))  # in 32 bits: Numba would add in 64
    return 16 * np.int64(n)


@inline
def _guess_level(marks, highest, room):
    """The lowest number of votes that about `room` ids or fewer have."""
    too_low, level = 0, highest
    while level - too_low > 1:
        middle = (too_low + level) // 2
        if _guess_at_least(marks, np.uint8(middle)) <= room:
            level = middle
        else:
            too_low = middle
    return level


@inline
def _gather(marks, level, turn, room, ids, ties):
    """(ids, ties): how many have `level` votes or more, written to `ids`, and how many just one less (but one), written to `ties`.

    Ties end at `room`; if there are more than `room` ids the marks are not read to the end. Groups are read from `turn` on.
    """
    words = marks.view(np.uint64)
    groups = words.shape[0] // GROUP
    n, n_ties = 0, 0
    for g in range(groups):
        place = g + turn
        if place >= groups:
            place -= groups
        wanted = level - (level > 1 and n_ties < room)
        # a byte gets its high bit where it is the lowest wanted or more; beyond 128 some get it in vain
        raised = ONES * np.uint64(128 - min(wanted, 128))
        base = np.uint64(GROUP * place)  # without a sign Numba need not look for negative places
        some = np.uint64(0)
        for w in range(GROUP):
            word = words[base + np.uint64(w)]
            some |= ((word & ~HIGH) + raised) | word
        if some & HIGH == 0:
            continue
        for w in range(GROUP):
            word = words[base + np.uint64(w)]
            if (((word & ~HIGH) + raised) | word) & HIGH == 0:
                continue
            first = 8 * (GROUP * place + w)
            for row in range(first, first + 8):
                v = marks[row]
                ids[n] = row  # no branch: it would be guessed wrong
                n += v >= level
                ties[n_ties] = row
                n_ties += (v == level - 1) & (level > 1) & (n_ties < room)
            if n > room:
                return n, n_ties
    return n, n_ties


@parallel
def most_voted(pool, spans, codes, room, seed, mark, ids, ties, count):
    """The ids that stand in most of a query's buckets, at most `room`, in no order: ``ids[i, :count[i]]``.

    Of those with equally many votes that there is no room for, which are taken depends on the codes, not on the place in the batch. At
    most 254 tables. ids (B, `room` + 9): the last columns are scratch. mark (T, a multiple of 8 `GROUP`) uint8 zeros, scratch, restored;
    ties (T, `room` + 1), scratch.
    """
    T, N = mark.shape
    L, B = codes.shape
    flat = spans.reshape(L, -1)
    for worker in prange(T):
        marks = mark[worker]
        for i in range(worker, B, T):
            key = np.uint64(seed)
            for t in range(L):
                prefetch_line(flat, t, 2 * np.int64(codes[t, i]))
            for t in range(L):
                if t + 2 < L:
                    prefetch_line(pool, t + 2, spans[t + 2, codes[t + 2, i], 0])
                code = codes[t, i]
                key = mix64(key ^ np.uint64(code))
                first = spans[t, code, 0]
                bucket = pool[t, first:first + spans[t, code, 1]]
                fours = len(bucket) // 4 * 4
                for q in range(0, fours, 4):
                    # without a sign, as above
                    marks[np.uint32(bucket[q])] += np.uint8(1)
                    marks[np.uint32(bucket[q + 1])] += np.uint8(1)
                    marks[np.uint32(bucket[q + 2])] += np.uint8(1)
                    marks[np.uint32(bucket[q + 3])] += np.uint8(1)
                for q in range(fours, len(bucket)):
                    marks[np.uint32(bucket[q])] += np.uint8(1)
            # The lowest level that has room lies above `too_low` and not above `fits`. A guess from a part of the marks is right for
            # most queries, so that one pass is enough; else it is looked for in steps that double, none beyond the middle.
            too_low, fits, step = 0, L + 1, 1
            level = _guess_level(marks, fits, room)
            turn = below(key, N // (8 * GROUP))
            while True:
                n, n_ties = _gather(marks, level, turn, room, ids[i], ties[worker])
                if n > room:
                    too_low = level
                    level = min(too_low + step, (too_low + fits + 1) // 2)
                elif n + n_ties >= room or level == too_low + 1:
                    break
                else:
                    fits = level - 1
                    level = max(fits + 1 - step, (too_low + fits + 1) // 2)
                step *= 2
            n_ties = min(n_ties, room - n)
            ids[i, n:n + n_ties] = ties[worker, :n_ties]
            count[i] = n + n_ties
            marks[:] = 0


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
