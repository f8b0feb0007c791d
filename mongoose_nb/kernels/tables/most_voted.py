"""The outputs that stand in most of a query's buckets, where these hold a good part of all outputs, as in serving and, up to 100,000
outputs, in training.

A. *Long buckets are only counted*: nothing is kept of an id but its vote, a byte, and whoever has many is found by a pass over all marks,
   rarely more than one.
B. *Buckets come from memory*, and waiting for them was most of the time: 130 us for 107,000 ids in 250 buckets where the first line of each
   is asked for, 84 where all its lines are, two tables ahead, and 52 where they are asked for one at a time, between the votes of the
   present table: 27 at once fill the buffers of the processor.
C. 64 marks are compared by few instructions, and the answers looked at as the bits of a word. Blocks with an answer are listed first,
   without a branch, and then looked into: 13 us, not 26, for 1,200 ids among 670,091.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.common.lanes import LANES, at_least, lowest_bit
from mongoose_nb.kernels.common.prefetch import prefetch_line
from mongoose_nb.kernels.common.random import below, mix64

# tables between the one whose ids are counted and the one whose ids are asked for
AHEAD = 2
# ids in a cache line
LINE = 16


@inline
def _bucket(spans, codes, sample, table):
    """(start, size) of the sample's bucket in a table; nothing where there is no such table."""
    if table >= codes.shape[0]:
        return 0, 0
    code = codes[table, sample]
    return np.int64(spans[table, code, 0]), np.int64(spans[table, code, 1])


@inline
def count_votes(pool, spans, codes, sample, marks, key):
    """Add to the mark of an id the number of the sample's buckets it stands in; the key, mixed with the codes."""
    L = codes.shape[0]
    flat = spans.reshape(L, -1)
    for t in range(L):
        prefetch_line(flat, t, 2 * np.int64(codes[t, sample]))
    for t in range(min(AHEAD, L)):
        first, size = _bucket(spans, codes, sample, t)
        for q in range(first, first + size, LINE):
            prefetch_line(pool, t, q)
    for t in range(L):
        key = mix64(key ^ np.uint64(codes[t, sample]))
        first, size = _bucket(spans, codes, sample, t)
        bucket = pool[t, first:first + size]
        then, to_come = _bucket(spans, codes, sample, t + AHEAD)
        later = min(t + AHEAD, L - 1)
        lines = size // LINE * LINE
        for q in range(0, lines, LINE):
            prefetch_line(pool, later, then + min(q, to_come))
            for k in range(q, q + LINE):
                marks[np.uint32(bucket[k])] += np.uint8(1)  # without a sign Numba need not look for negative places
        for q in range(lines, to_come, LINE):
            prefetch_line(pool, later, then + q)
        for k in range(lines, size):
            marks[np.uint32(bucket[k])] += np.uint8(1)
    return key


@inline
def _guess_at_least(marks, level, every):
    """About how many marks are `level` or more, from one of so many kilobytes."""
    n = np.int32(0)
    for lo in range(0, marks.shape[0], every << 10):
        part = marks[lo:lo + 1024]
        for r in range(part.shape[0]):
            n = np.int32(n + (part[r] >= level))  # in 32 bits: Numba would add in 64
    return every * np.int64(n)


@inline
def _guess_level(marks, lowest, highest, room):
    """The lowest number of votes, of `lowest` to `highest`, that about `room` ids or fewer have; from eight kilobytes or a sixteenth."""
    every = min(16, max(1, marks.shape[0] >> 13))
    too_low, level = lowest - 1, highest
    while level - too_low > 1:
        middle = (too_low + level) // 2
        if _guess_at_least(marks, np.uint8(middle), every) <= room:
            level = middle
        else:
            too_low = middle
    return level


@inline
def _blocks_with(marks, level, turn, blocks):
    """Numbers of the blocks of `LANES` marks of which some are `level` or more, from `turn` on, written to `blocks`; how many."""
    n = 0
    for first, end in ((turn, marks.shape[0] // LANES), (0, turn)):
        for b in range(first, end):
            blocks[n] = b  # no branch: it would be guessed wrong
            n += at_least(marks, LANES * b, np.uint8(level)) != 0
    return n


@inline
def _gather(marks, level, lowest, turn, room, enough, blocks, ids, ties):
    """(ids, ties): how many have `level` votes or more, written to `ids`, and how many just one less (not below `lowest`), to `ties`.

    Ties end soon after `enough`; if there are more than `room` ids the marks are not read to the end. Blocks are read from `turn` on.
    """
    lower = max(level - 1, lowest)
    n, n_ties = 0, 0
    for place in range(_blocks_with(marks, lower, turn, blocks)):
        start = LANES * np.int64(blocks[place])
        found = at_least(marks, start, np.uint8(level))
        also = at_least(marks, start, np.uint8(lower)) ^ found
        while found != 0:
            ids[n] = start + lowest_bit(found)
            n += 1
            found &= found - np.uint64(1)
        if n > room:
            break
        if n_ties < enough:
            while also != 0:
                ties[n_ties] = start + lowest_bit(also)
                n_ties += 1
                also &= also - np.uint64(1)
    return n, n_ties


@inline
def take_most_voted(marks, lowest, highest, room, key, fair, blocks, ids, ties):
    """The ids with most votes, at least `lowest` and fewer than `highest`, which is not below it, at most `room`, to `ids`; how many.

    Of ties that there is no room for, those from a random block on are taken; `fair`: those from a random one of all on, so that all
    have the same chance. `ids` has places for `LANES` more than `room`, `ties` too or, if `fair`, for all rows and as many more; `blocks`
    for the number of every block, and one.
    """
    turn = below(key, marks.shape[0] // LANES)
    enough = marks.shape[0] if fair else room
    # The lowest level that has room lies above `too_low` and not above `fits`. A guess from a part of the marks is right for
    # most queries, so that one pass is enough; else it is looked for in steps that double, none beyond the middle.
    too_low, fits, step = lowest - 1, highest, 1
    level = _guess_level(marks, lowest, fits, room)
    while True:
        n, n_ties = _gather(marks, level, lowest, turn, room, enough, blocks, ids, ties)
        if n > room:
            too_low = level
            level = min(too_low + step, (too_low + fits + 1) // 2)
        elif n + n_ties >= room or level == too_low + 1:
            break
        else:
            fits = level - 1
            level = max(fits + 1 - step, (too_low + fits + 1) // 2)
        step *= 2
    first = below(mix64(key), max(n_ties, 1)) if fair else 0
    wanted = min(n_ties, room - n)
    for q in range(wanted):
        place = first + q
        ids[n + q] = ties[place if place < n_ties else place - n_ties]
    return n + wanted


@parallel
def most_voted(pool, spans, codes, room, seed, mark, ids, ties, count):
    """The ids that stand in most of a query's buckets, at most `room`, in no order: ``ids[i, :count[i]]``.

    Of those with equally many votes that there is no room for, which are taken depends on the codes, not on the place in the batch. At
    most 254 tables. ids (B, `room` + `LANES`): the last columns are scratch. mark (T, a multiple of `LANES`) uint8 zeros, scratch,
    restored; ties (T, `room` + `LANES`), scratch.
    """
    T, N = mark.shape
    L, B = codes.shape
    for worker in prange(T):
        marks = mark[worker]
        blocks = np.empty(N // LANES + 1, np.int32)
        for i in range(worker, B, T):
            key = count_votes(pool, spans, codes, i, marks, np.uint64(seed))
            count[i] = take_most_voted(marks, 1, L + 1, room, key, False, blocks, ids[i], ties[worker])
            marks[:] = 0
