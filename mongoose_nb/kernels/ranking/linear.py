"""Linear rankers: one L2-regularised squared-hinge SVM for each label, by dual coordinate descent.

The problem of one label over its pairs (row x, sign y), with a feature of constant value one for the bias::

    min_w  |w|^2 / 2 + sum_i C_i * max(0, 1 - y_i w.x_i)^2          C_i: C, of a counterexample C * counterweight

    dual:  min_{a >= 0}  |sum_i a_i y_i x_i|^2 / 2 + sum_i a_i^2 / (4 C_i) - sum_i a_i

A. *One label has one writer*, and its random order is counter-based, so that any number of threads gives the same bits. A thread
   has one dense vector of weights, and clears only the entries that it has touched.
B. *Held-out rows cost no second training.* The solution without them gives their margins, and is the start for the solution with them.
C. *Shrinking* (Hsieh et al., section 3.3) leaves out pairs that stay at a = 0; most pairs of a label are easy negatives. All pairs
   are looked at once more before the solution counts as found.

References
----------
Hsieh, Chang, Lin, Keerthi, Sundararajan, "A dual coordinate descent method for large-scale linear SVM", ICML 2008.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel, serial
from mongoose_nb.kernels.common.random import below, key2, mix64

INFINITY = np.float64(np.inf)
# How much more violation is allowed without the held-out rows: that solution gives margins to weigh sources by, and is a start.
AT_FIRST = 2.5


class SparseRows(NamedTuple):
    """Rows in CSR form."""

    indptr: np.ndarray  # (n + 1,) int64
    ids: np.ndarray  # int32, read-only
    values: np.ndarray  # float32, read-only


class Pairs(NamedTuple):
    """(row, sign) pairs, sorted by label."""

    indptr: np.ndarray  # (labels + 1,) int64
    row: np.ndarray  # int32
    positive: np.ndarray  # int8: 1 or 0
    held: np.ndarray  # (n,) bool: rows that are held out at first; empty for none


class Rule(NamedTuple):
    """How one label is solved."""

    C: float
    counterweight: float  # of a counterexample's loss, beside an example's
    tolerance: float  # largest violation of the optimality conditions at the end
    passes: int  # most passes over the pairs
    prune: float  # weights up to this size are dropped
    seed: int


class Scratch(NamedTuple):
    """Memory of each thread: (threads, features), and three times (threads, pairs of the largest label)."""

    weights: np.ndarray  # float32, zero
    alpha: np.ndarray  # float64
    active: np.ndarray  # int32
    touched: np.ndarray  # int8


class Found(NamedTuple):
    """What is found for the labels of a call."""

    start: np.ndarray  # (m + 1,) int64: room for the kept weights of each
    kept: np.ndarray  # (m,) int64: how many were kept
    ids: np.ndarray  # int32
    values: np.ndarray  # float32
    bias: np.ndarray  # (m,) float32
    violation: np.ndarray  # (m,) float32, at the end
    passes: np.ndarray  # (m,) int32, made


@serial
def count_pairs(listed, labels, length, indptr, work):
    """How many pairs each label has: the rows that list it or have it.

    Parameters
    ----------
    listed, labels : ((n + 1,) int64, int32)
        Row pointers and ascending ids of two kinds of labels of each row.
    length : (n,) int64
        Features of each row.
    indptr : (labels + 1,) int64
        Out: where the pairs of each label begin.
    work : (labels,) int64
        Out: features of all rows of the label's pairs.
    """
    (starts, ids), (label_starts, label_ids) = listed, labels
    for i in range(starts.shape[0] - 1):
        p, q = starts[i], label_starts[i]
        while p < starts[i + 1] or q < label_starts[i + 1]:
            if q == label_starts[i + 1] or (p < starts[i + 1] and ids[p] < label_ids[q]):
                j = ids[p]
                p += 1
            else:
                j = label_ids[q]
                p += p < starts[i + 1] and ids[p] == j
                q += 1
            indptr[j + 1] += 1
            work[j] += length[i]
    for j in range(work.shape[0]):
        indptr[j + 1] += indptr[j]


@serial
def fill_pairs(listed, labels, place, row, positive):
    """The pairs of each label, rows ascending.

    Parameters
    ----------
    listed, labels
        As for `count_pairs`.
    place : (labels,) int64
        Where the next pair of each label goes, changed.
    row : (pairs,) int32
    positive : (pairs,) int8
        Out: the row, and one where it has the label.
    """
    (starts, ids), (label_starts, label_ids) = listed, labels
    for i in range(starts.shape[0] - 1):
        p, q = starts[i], label_starts[i]
        while p < starts[i + 1] or q < label_starts[i + 1]:
            if q == label_starts[i + 1] or (p < starts[i + 1] and ids[p] < label_ids[q]):
                j = ids[p]
                has = 0
                p += 1
            else:
                j = label_ids[q]
                has = 1
                p += p < starts[i + 1] and ids[p] == j
                q += 1
            row[place[j]] = i
            positive[place[j]] = has
            place[j] += 1


@inline
def _margin(rows, r, w, bias):
    s = np.float32(0.0)
    for p in range(rows.indptr[r], rows.indptr[r + 1]):
        s += w[rows.ids[p]] * rows.values[p]
    return np.float64(s) + bias


@inline
def _solve(rows, squares, pairs, first, rule, tolerance, key, w, bias, alpha, active, m, touched):
    """Optimise over the first m entries of `active`, from where `alpha`, `w` and `bias` stand: (bias, violation, passes)."""
    of_example, of_counterexample = 0.5 / rule.C, 0.5 / (rule.C * rule.counterweight)
    n_active = m
    limit = INFINITY
    counter = np.uint64(0)
    worst = INFINITY
    done = 0
    while done < rule.passes:
        done += 1
        highest = -INFINITY
        lowest = INFINITY
        for i in range(n_active - 1, 0, -1):
            counter += np.uint64(1)
            j = below(mix64(key + counter), i + 1)
            active[i], active[j] = active[j], active[i]
        i = 0
        while i < n_active:
            o = active[i]
            r = pairs.row[first + o]
            y = 1.0 if pairs.positive[first + o] else -1.0
            diagonal = of_example if pairs.positive[first + o] else of_counterexample
            a = alpha[o]
            G = y * _margin(rows, r, w, bias) - 1.0 + diagonal * a
            PG = G
            if a == 0.0:
                if G > limit:  # stays at zero: leave it out
                    n_active -= 1
                    active[i], active[n_active] = active[n_active], active[i]
                    continue
                PG = min(G, 0.0)
            highest = max(highest, PG)
            lowest = min(lowest, PG)
            if abs(PG) > 1e-12:
                now = max(a - G / (squares[r] + 1.0 + diagonal), 0.0)
                step = (now - a) * y
                if step != 0.0:
                    alpha[o] = now
                    touched[o] = 1
                    bias += step
                    change = np.float32(step)
                    for p in range(rows.indptr[r], rows.indptr[r + 1]):
                        w[rows.ids[p]] += change * rows.values[p]
            i += 1
        worst = max(highest, -lowest)
        if worst <= tolerance:
            if n_active == m:
                break
            n_active = m
            limit = INFINITY
        else:
            limit = highest if highest > 0.0 else INFINITY
    return bias, worst, done


@parallel
def train(rows, squares, pairs, labels, rule, slot_start, scratch, found, margins):
    """Solve some labels.

    Parameters
    ----------
    rows : SparseRows
    squares : (n,) float32
        Squared length of each row.
    pairs : Pairs
    labels : (m,) int64
        In the order in which the threads take them: thread s has ``labels[slot_start[s] : slot_start[s + 1]]``.
    rule : Rule
    slot_start : (threads + 1,) int64
    scratch : Scratch
    found : Found
        Out.
    margins : (pairs,) float32, or empty
        Out: of the pairs with held-out rows, by the weights that were trained without those rows.
    """
    hold = pairs.held.shape[0] > 0
    # unpacked: what a parallel loop stores into an array that is read as an attribute of a tuple can be dropped by the compiler
    start, kept, kept_ids, kept_values, kept_bias, violation, passes = found
    for s in prange(slot_start.shape[0] - 1):
        w, alpha, active, touched = scratch.weights[s], scratch.alpha[s], scratch.active[s], scratch.touched[s]
        for k in range(slot_start[s], slot_start[s + 1]):
            label = labels[k]
            first = pairs.indptr[label]
            m = pairs.indptr[label + 1] - first
            key = key2(rule.seed, label)
            kept_in = 0
            put = m
            for o in range(m):
                alpha[o] = 0.0
                touched[o] = 0
                if hold and pairs.held[pairs.row[first + o]]:
                    put -= 1
                    active[put] = o
                else:
                    active[kept_in] = o
                    kept_in += 1
            bias = 0.0
            worst = 0.0
            done = 0
            if kept_in < m:
                if kept_in > 0:
                    bias, worst, done = _solve(rows, squares, pairs, first, rule, rule.tolerance * AT_FIRST, key, w, bias, alpha,
                                                active, kept_in, touched)
                for i in range(kept_in, m):
                    o = active[i]
                    r = pairs.row[first + o]
                    total = np.float32(0.0)
                    for p in range(rows.indptr[r], rows.indptr[r + 1]):
                        v = w[rows.ids[p]]
                        if abs(v) > rule.prune:
                            total += v * rows.values[p]
                    margins[first + o] = np.float32(bias) + total
            bias, worst, again = _solve(rows, squares, pairs, first, rule, rule.tolerance, mix64(key), w, bias, alpha, active, m, touched)
            at = start[k]
            for o in range(m):
                if touched[o]:
                    r = pairs.row[first + o]
                    for p in range(rows.indptr[r], rows.indptr[r + 1]):
                        f = rows.ids[p]
                        v = w[f]
                        if abs(v) > rule.prune:
                            kept_ids[at] = f
                            kept_values[at] = v
                            at += 1
                        w[f] = np.float32(0.0)
            kept[k] = at - start[k]
            kept_bias[k] = bias
            violation[k] = worst
            passes[k] = done + again


@parallel
def scores(rows, lists, rankers, bias, wide, out):
    """Margins of listed labels.

    Parameters
    ----------
    rows : SparseRows
    lists : (indptr, ids)
        Labels of each row: ``ids[indptr[i] : indptr[i + 1]]``.
    rankers : SparseRows
        Weights by label.
    bias : (labels,) float32
    wide : (threads, features) float32
        Scratch, zero before and after.
    out : float32, as long as ids
    """
    indptr, ids = lists
    n, slots = rows.indptr.shape[0] - 1, wide.shape[0]
    for s in prange(slots):
        x = wide[s]
        for i in range(n * s // slots, n * (s + 1) // slots):
            for p in range(rows.indptr[i], rows.indptr[i + 1]):
                x[rows.ids[p]] = rows.values[p]
            for q in range(indptr[i], indptr[i + 1]):
                label = ids[q]
                total = np.float32(0.0)
                for p in range(rankers.indptr[label], rankers.indptr[label + 1]):
                    total += x[rankers.ids[p]] * rankers.values[p]
                out[q] = total + bias[label]
            for p in range(rows.indptr[i], rows.indptr[i + 1]):
                x[rows.ids[p]] = np.float32(0.0)
