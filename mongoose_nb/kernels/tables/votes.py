"""Which ids are in most of a query's buckets: votes, counted and ranked in two ways.

A. *Votes in a byte per output and thread*, so that the marks of 670,000 outputs stay in the second-level cache. Sorting the gathered ids
   cost ten times that.
B. *With a list* of the ids that have votes (`vote`, `take_by_votes`), where buckets hold few of all rows: marks are reset through the
   list, and top-k is a histogram over the counts and one pass.
C. *Without a list* (`count_votes`, `take_most_voted`), where the buckets of a query hold a sixteenth of all rows or more: nothing is kept
   of an id but its vote, and whoever has many is found by a pass over all marks. This takes half the time there, and twice the time
   elsewhere. The caller chooses, by `nn.sampling.candidate_sets.suits_most_voted`.
D. *Ties.* With a list they are taken from a random place of the list on. Without one they are taken from a random one of all on (`fair`),
   or, for prediction, from a block on that follows from the codes, so that a query's answer does not depend on the others and ties need
   not be listed. Saved networks answer through tables of training with a list, whatever the buckets: one rule for all three would
   change which of equal ids they score, and thus their answers.
E. *Buckets come from memory*, and waiting for them was most of the time. Lines are prefetched two tables ahead, one at a time, between the
   votes of the present table: many at once fill the buffers of the processor.
F. *64 marks are compared by few instructions*, and the answers looked at as the bits of a word. Blocks with an answer are listed first,
   without a branch, and then looked into. No branch depends on the data: one that does is guessed wrong every other time.
"""

import numpy as np

from mongoose_nb.core.jit import inline
from mongoose_nb.kernels.common.lanes import LANES, at_least, lowest_bit
from mongoose_nb.kernels.common.prefetch import prefetch_line
from mongoose_nb.kernels.common.random import below, mix64

# A mark counts votes in its low 7 bits; LABEL is set on true labels, and TAKEN is what is in the set already.
VOTES, LABEL, TAKEN = 127, 128, 255
MAX_VOTES = 126
# tables between the one whose ids are counted and the one whose ids are prefetched
AHEAD = 2
# ids in a cache line
LINE = 16

# ------------------------------------------------------------------ with a list


@inline
def vote(pool, spans, codes, always, sample, mark, touched, reach):
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
def take_by_votes(mark, touched, n_touched, reach, min_votes, room, start, out):
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


# ------------------------------------------------------------------ without a list


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
