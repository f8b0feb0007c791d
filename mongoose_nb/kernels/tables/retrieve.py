"""Candidate sets: true labels, then candidates that the hash tables return, then random ones. No duplicates.

A. Candidates come by votes (`votes`, with a list of who has some or without) or as whole buckets.
B. Worker t serves samples t, t + T, ...: a sample's set depends on (seed, step, sample) alone, not on T.
C. `most_voted` is `active_sets` without labels and uniform ids, for prediction: a single query takes 40 us less without the arguments
   that it does not need.
D. Random candidates have keys of their own: the tail is unbiased only if its draw knows nothing of how the head was chosen.
E. Random candidates are uniform without replacement, or a fixed number of independent draws from an alias table, of which repeated ones
   and those in the set already are left out. Then a row that is not in the set is drawn with probability q = 1 - (1 - p)^draws, whatever
   the others are; drawing until there are enough different ones would leave no such formula.
"""

import math

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel, serial
from mongoose_nb.kernels.common.lanes import LANES
from mongoose_nb.kernels.common.random import below, key2, mix64
from mongoose_nb.kernels.tables.bundles import Marks, Selection, Views
from mongoose_nb.kernels.tables.votes import LABEL, TAKEN, count_votes, take_by_votes, take_most_voted, vote

# beyond all numbers of samples, from which keys are made too
UNIFORM = np.uint64(0xFFFFFFFFFFFFFFFF)
LOW = np.uint64(0xFFFFFFFF)  # the bits that `below` does not use


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
def _fill_drawn(mark, cells, draws, key, out):
    """The distinct ids of so many independent draws from an `Alias`, without those that are marked; how many."""
    n = 0
    for _ in range(draws):
        key = mix64(key)
        cell = below(key, cells.shape[0])
        other = np.int64(cells[cell, 1])
        row = other + ((key & LOW) < cells[cell, 0]) * (cell - other)  # no branch: it would be guessed wrong
        out[n] = row
        n += mark[row] == 0
        mark[row] = TAKEN
    return n


@inline
def _log_weight(x):
    """-log(1 - exp(-x)), by its series for small x, where the error is below 1e-7."""
    if x < 0.5:
        return 0.5 * x - x * x * (1 / 24 - x * x / 2880) - math.log(x)
    return -math.log(-math.expm1(-x))


@inline
def _take_counted(views, selection, sample, marks, key, room, n_label, out):
    """(ids, hits): the ids with most votes, counted without a list; `out` begins with the labels, all marks end as zeros."""
    mark, always = marks.mark, views.always
    count_votes(views.pool, views.spans, views.codes, sample, mark, key)
    most = max(views.codes.shape[0] + 1, selection.min_votes)  # more than any bucket gives
    for q in range(always.shape[0]):
        mark[always[q]] = most
    hits = 0
    for q in range(n_label):
        hits += mark[out[q]] > 0
        mark[out[q]] = 0
    n = 0
    if room > 0:
        n = take_most_voted(mark, selection.min_votes, most + 1, room, key, True, marks.blocks, marks.found, marks.touched)
    mark[:] = 0
    out[n_label:n_label + n] = marks.found[:n]
    return n, hits


@inline
def _take_listed(views, selection, sample, marks, key, room, n_label, out):
    """(ids, hits): the ids with most votes, listed, or those of whole buckets; `out` begins with the labels, which are marked."""
    mark = marks.mark
    if selection.whole_buckets:
        n = _take_whole_buckets(views.pool, views.spans, views.codes, views.always, sample, mark, key, room, out[n_label:])
    else:
        seen = vote(views.pool, views.spans, views.codes, views.always, sample, mark, marks.touched, marks.reach)
        n = take_by_votes(mark, marks.touched, seen, marks.reach, selection.min_votes, room, below(key, max(seen, 1)), out[n_label:])
    hits = 0
    for q in range(n_label):
        hits += mark[out[q]] > LABEL
    return n, hits


@parallel
def active_sets(views, labels, selection, draw, scratch, sets):
    """Candidate sets of the samples of a batch.

    Parameters
    ----------
    views : bundles.Views
        Tables, and codes (L, B) of the activations; unread without ``selection.use_tables``.
    labels : bundles.Labels
        True labels of each sample.
    selection : bundles.Selection
    draw : bundles.Draw
    scratch : bundles.Scratch
        Of T threads.
    sets : bundles.Sets
        Filled.
    """
    pool, spans, codes, always = views.pool, views.spans, views.codes, views.always
    label_start, label_count, label_ids = labels.start, labels.count, labels.ids
    use_tables, counted, fill = selection.use_tables, selection.counted, selection.fill
    whole_buckets, min_votes, head = selection.whole_buckets, selection.min_votes, selection.head
    seed, step, places, n_rows = draw.seed, draw.step, draw.places, draw.n_rows
    cells, log_rest = draw.cells, draw.log_rest
    mark, touched = scratch.mark, scratch.touched
    sizes, start, ids = sets.sizes, sets.start, sets.ids
    n_label, n_exact, n_active, n_hit, shifts = sets.n_label, sets.n_exact, sets.n_active, sets.n_hit, sets.shifts
    T = mark.shape[0]
    B = start.shape[0]
    for worker in prange(T):
        own_views = Views(pool, spans, codes, always)
        own_selection = Selection(use_tables, counted, whole_buckets, min_votes, head, fill)
        row = mark[worker]
        marks = Marks(row, touched[worker], np.empty(256, np.int64), np.empty(row.shape[0] // LANES + 1 if counted else 0, np.int32),
                      np.empty(min(head, n_rows) + LANES if counted else 0, np.int32))
        for i in range(worker, B, T):
            out = ids[start[i]:start[i] + sizes[i]]
            n = 0
            for q in range(label_start[i], label_start[i] + label_count[i]):
                row[label_ids[q]] = 0 if counted else LABEL
                out[n] = label_ids[q]
                n += 1
            n_label[i] = n
            key = key2(key2(seed, step), places[i])
            hits = 0
            if use_tables:
                room = min(head, sizes[i] - n)
                if counted:
                    more, hits = _take_counted(own_views, own_selection, i, marks, key, room, n, out)
                    n += more
                    for q in range(n if fill else 0):
                        row[out[q]] = TAKEN
                else:
                    more, hits = _take_listed(own_views, own_selection, i, marks, key, room, n, out)
                    n += more
            n_exact[i] = n
            n_hit[i] = hits
            draws = sizes[i] - n if fill else 0
            if 0 < draws < n_rows - n and cells.shape[0] > 0:
                n += _fill_drawn(row, cells, draws, key2(key, UNIFORM), out[n:])
                for q in range(n_exact[i], n):
                    shifts[start[i] + q] = _log_weight(-draws * log_rest[out[q]])
            else:
                n += _fill_uniform(row, n_rows, draws, key2(key, UNIFORM), out[n:])
            n_active[i] = n
            for q in range(n):
                row[out[q]] = 0


@parallel
def most_voted(pool, spans, codes, room, seed, mark, ids, ties, count):
    """The ids that are in most of a query's buckets, at most `room`, in no order: ``ids[i, :count[i]]``.

    Of those with equally many votes that there is no room for, which are taken depends on the codes, not on the place in the batch.

    Parameters
    ----------
    pool, spans, codes : arrays
        As in `bundles.Views`; at most 254 tables.
    room : int
    seed : uint64
    mark : array (T, a multiple of LANES) uint8 zeros
        Scratch, restored.
    ids : array (B, room + LANES) int32
        Filled; the last columns are scratch.
    ties : array (T, room + LANES) int32
        Scratch.
    count : array (B,) int64
        Filled.
    """
    T, N = mark.shape
    L, B = codes.shape
    for worker in prange(T):
        marks = mark[worker]
        blocks = np.empty(N // LANES + 1, np.int32)
        for i in range(worker, B, T):
            key = count_votes(pool, spans, codes, i, marks, seed)
            count[i] = take_most_voted(marks, 1, L + 1, room, key, False, blocks, ids[i], ties[worker])
            marks[:] = 0


@serial
def shared_set(labels, heads, want, draw, column, mark, ids, pair_column, sizes):
    """One set of outputs for the whole batch: all its labels, then the retrieved ids of all its samples, then uniform ones until
    there are `want` beside the labels.

    Parameters
    ----------
    labels, heads : bundles.Labels
        True labels, and retrieved ids, of each sample.
    want : int
    draw : bundles.Draw
    column : array (n_rows,) int32 of -1
        Scratch, restored.
    mark : array (n_rows or more,) uint8 zeros
        Scratch, restored.
    ids : array int32
        Filled.
    pair_column : array (labels of all samples,) int32
        Filled with the place in `ids` of every label of every sample, in order.
    sizes : array (3,) int64
        Filled with the numbers of labels, of labels and retrieved ids, and of all.
    """
    n = 0
    p = 0
    for i in range(labels.start.shape[0]):
        for q in range(labels.start[i], labels.start[i] + labels.count[i]):
            row = labels.ids[q]
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
    for i in range(heads.start.shape[0]):
        for q in range(heads.start[i], heads.start[i] + heads.count[i]):
            row = heads.ids[q]
            if mark[row] == 0:
                mark[row] = TAKEN
                ids[n] = row
                n += 1
    sizes[1] = n
    key = key2(key2(draw.seed, draw.step), UNIFORM)
    n += _fill_uniform(mark, draw.n_rows, min(want - (n - sizes[0]), draw.n_rows - n), key, ids[n:])
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
