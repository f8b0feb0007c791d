"""The outputs that stand in most of a query's buckets, where these hold a good part of all outputs, as in serving.

A. *Long buckets are only counted*: nothing is kept of an id but its vote, a byte, and whoever has many is found by a pass over all marks,
   rarely more than one.
B. The buckets come from memory, and waiting for them was most of the time: asked for two tables ahead, all lines of them, votes take
   two thirds of the time that they take where only the first line is (107,000 ids in 250 buckets: 130 us, then 84).
C. 64 marks are compared by few instructions, and the answers looked at as the bits of a word: most are zero.
"""

import numpy as np
from numba import prange

from mongoose_nb.kernels._jit import inline, parallel
from mongoose_nb.kernels.lanes import LANES, at_least, lowest_bit
from mongoose_nb.kernels.prefetch import prefetch_line
from mongoose_nb.kernels.random import below, mix64

# tables between the one whose ids are counted and the one whose ids are asked for
AHEAD = 2
# ids in a cache line
LINE = 16


@inline
def _ask_for(pool, spans, codes, sample, table):
    """Prefetch the sample's bucket in a table, if there is such a table."""
    if table < codes.shape[0]:
        code = codes[table, sample]
        first = spans[table, code, 0]
        for q in range(first, first + spans[table, code, 1], LINE):
            prefetch_line(pool, table, q)


@inline
def _count_votes(pool, spans, codes, sample, marks, key):
    """Add to the mark of an id the number of the sample's buckets it stands in; the key, mixed with the codes."""
    L = codes.shape[0]
    flat = spans.reshape(L, -1)
    for t in range(L):
        prefetch_line(flat, t, 2 * np.int64(codes[t, sample]))
    for t in range(AHEAD):
        _ask_for(pool, spans, codes, sample, t)
    for t in range(L):
        _ask_for(pool, spans, codes, sample, t + AHEAD)
        code = codes[t, sample]
        key = mix64(key ^ np.uint64(code))
        first = spans[t, code, 0]
        bucket = pool[t, first:first + spans[t, code, 1]]
        fours = len(bucket) // 4 * 4
        for q in range(0, fours, 4):
            # without a sign Numba need not look for negative places
            marks[np.uint32(bucket[q])] += np.uint8(1)
            marks[np.uint32(bucket[q + 1])] += np.uint8(1)
            marks[np.uint32(bucket[q + 2])] += np.uint8(1)
            marks[np.uint32(bucket[q + 3])] += np.uint8(1)
        for q in range(fours, len(bucket)):
            marks[np.uint32(bucket[q])] += np.uint8(1)
    return key


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
    groups = marks.shape[0] // LANES
    n, n_ties = 0, 0
    for g in range(groups):
        place = g + turn
        if place >= groups:
            place -= groups
        wanted = level - (level > 1 and n_ties < room)
        found = at_least(marks, LANES * place, np.uint8(wanted))
        if found == 0:
            continue
        while found != 0:
            row = LANES * place + lowest_bit(found)
            found &= found - np.uint64(1)
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
    most 254 tables. ids (B, `room` + `LANES` + 1): the last columns are scratch. mark (T, a multiple of `LANES`) uint8 zeros, scratch,
    restored; ties (T, `room` + 1), scratch.
    """
    T, N = mark.shape
    L, B = codes.shape
    for worker in prange(T):
        marks = mark[worker]
        for i in range(worker, B, T):
            key = _count_votes(pool, spans, codes, i, marks, np.uint64(seed))
            # The lowest level that has room lies above `too_low` and not above `fits`. A guess from a part of the marks is right for
            # most queries, so that one pass is enough; else it is looked for in steps that double, none beyond the middle.
            too_low, fits, step = 0, L + 1, 1
            level = _guess_level(marks, fits, room)
            turn = below(key, N // LANES)
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
