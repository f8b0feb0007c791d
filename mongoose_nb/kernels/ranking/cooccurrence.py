"""Sparse products of which only the best entries of each row, or some, are wanted: counts of labels by feature, and rows times these.

A. *One row of a result has one writer*, which sums into a vector as long as the labels, and lists the labels that it has touched: what
   would fill memory as a sparse product is never built.
B. Rows are dealt to threads in turns, for those of frequent features come first in many sets. Any number of threads, same bits.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.common.k_least import offer


class Sums(NamedTuple):
    """Memory of each thread, (threads, labels) each."""

    sums: np.ndarray  # float32
    there: np.ndarray  # bool, False: whether `sums` is of this row; a byte, for both are visited at random
    seen: np.ndarray  # int32


@inline
def sum_row(rows, i, table, sums, there, seen):
    """Row i of ``rows @ table`` into `sums`, its columns into `seen`; how many. Whoever calls it clears `there`."""
    found = 0
    for p in range(rows.indptr[i], rows.indptr[i + 1]):
        f = rows.ids[p]
        for q in range(table.indptr[f], table.indptr[f + 1]):
            j = table.ids[q]
            if not there[j]:
                there[j] = True
                seen[found] = j
                found += 1
                sums[j] = np.float32(0.0)
            sums[j] += rows.values[p] * table.values[q]
    return found


@parallel
def best_labels(columns, labels, of_feature, of_label, memory, short, start, ids, values, count):
    """The labels with the highest counts of each feature: the sum of the feature's values in the rows of the label, divided.

    Parameters
    ----------
    columns : SparseRows
        (features, n): the rows that have each feature.
    labels : SparseRows
        (n, labels): the labels of each row.
    of_feature : (features,) float32
    of_label : (labels,) float32
        What the count of a pair is divided by, both.
    memory : Sums
    short : ((threads, most) float32, (threads, most) int32)
        Scratch.
    start : (features + 1,) int64
        Where the labels of a feature go, at most `most` of them.
    ids, values : (start[-1],) int32 and float32
        Out: in no order.
    count : (features,) int64
        Out: labels of the feature.
    """
    all_sums, all_there, all_seen = memory
    best_values, best_ids = short
    slots, n = all_sums.shape[0], columns.indptr.shape[0] - 1
    for s in prange(slots):
        sums, there, seen = all_sums[s], all_there[s], all_seen[s]
        for f in range(s, n, slots):
            found = sum_row(columns, f, labels, sums, there, seen)
            held = 0
            for p in range(found):
                j = seen[p]
                there[j] = False
                held = offer(best_values[s], best_ids[s], held, -(sums[j] / of_feature[f] / of_label[j]), j)
            for p in range(held):
                ids[start[f] + p] = best_ids[s, p]
                values[start[f] + p] = -best_values[s, p]
            count[f] = held


@parallel
def best_shares(rows, table, memory, short, ids, values, count):
    """The highest positive entries of each row of ``rows @ table``, as shares of all positive ones.

    Parameters
    ----------
    rows : SparseRows
        (n, features).
    table : SparseRows
        (features, labels).
    memory, short
        As for `best_labels`.
    ids, values : (n, most) int32 and float32
        Out: in no order.
    count : (n,) int64
        Out: entries of the row.
    """
    all_sums, all_there, all_seen = memory
    best_values, best_ids = short
    slots, n = all_sums.shape[0], rows.indptr.shape[0] - 1
    for s in prange(slots):
        sums, there, seen = all_sums[s], all_there[s], all_seen[s]
        for i in range(s, n, slots):
            found = sum_row(rows, i, table, sums, there, seen)
            total = 1e-30
            held = 0
            for p in range(found):
                j = seen[p]
                there[j] = False
                if sums[j] > 0:
                    total += sums[j]
                    held = offer(best_values[s], best_ids[s], held, -sums[j], j)
            for p in range(held):
                ids[i, p] = best_ids[s, p]
                values[i, p] = -best_values[s, p] / total
            count[i] = held


@parallel
def listed_shares(rows, table, memory, indptr, ids, out):
    """Shares, as `best_shares` has them, of the labels that are listed for each row.

    Parameters
    ----------
    rows, table, memory
        As for `best_shares`.
    indptr : (n + 1,) int64
    ids : (entries,) int32
    out : (entries,) float32
        Out.
    """
    all_sums, all_there, all_seen = memory
    slots, n = all_sums.shape[0], rows.indptr.shape[0] - 1
    for s in prange(slots):
        sums, there, seen = all_sums[s], all_there[s], all_seen[s]
        for i in range(s, n, slots):
            found = sum_row(rows, i, table, sums, there, seen)
            total = 1e-30
            for p in range(found):
                total += max(sums[seen[p]], np.float32(0.0))
            for p in range(indptr[i], indptr[i + 1]):
                j = ids[p]
                out[p] = max(sums[j], np.float32(0.0)) / total if there[j] else 0.0
            for p in range(found):
                there[seen[p]] = False
