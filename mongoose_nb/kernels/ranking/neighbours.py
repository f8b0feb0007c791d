"""Nearest rows by an inverted index: exact, or within a budget of postings.

A. *The strongest features first.* A query walks the posting lists of its features from the largest value down, sums the products, and
   skips the lists that its budget has no room for. The best rows by these sums are scored exactly. Under tf-idf the largest values
   belong to rare features, whose lists are short: on 45,000 texts, 20,000 of 706,000 postings find 0.999 of the 20 nearest rows and
   0.974 of the 100 nearest, in a sixth of the time. SimHash tables at 8 to 128 probes found 0.57 to 0.60 of the 20 nearest.
B. One query has one writer: any number of threads, same bits.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel
from mongoose_nb.kernels.common.k_least import finish, offer


class Postings(NamedTuple):
    """Rows that have each feature, in CSC form."""

    indptr: np.ndarray  # (features + 1,) int64
    rows: np.ndarray  # int32
    values: np.ndarray  # float32


class Walk(NamedTuple):
    """Memory of each thread: (threads, rows) three times, (threads, features), and (threads, most features of a query)."""

    sums: np.ndarray  # float32
    there: np.ndarray  # bool, False before and after: whether `sums` is of this query
    seen: np.ndarray  # int32
    wide: np.ndarray  # float32, zero before and after
    strength: np.ndarray  # float32


@parallel
def listed_votes(ids, worth, labels, sums, indptr, listed, out):
    """Votes of neighbours for the labels that are listed.

    Parameters
    ----------
    ids : (m, k) int64
        Neighbours; -1 for none.
    worth : (m, k) float32
        What a neighbour's vote is worth, 0 for none.
    labels : SparseRows
        Of the rows that vote; the values are not looked at.
    sums : (threads, n_labels) float32, zero
        Scratch, zero again afterwards.
    indptr : (m + 1,) int64
    listed : int32
        Labels listed for row i: ``listed[indptr[i] : indptr[i + 1]]``.
    out : float32
        Out: for each of them the sum of the votes.
    """
    m, slots = ids.shape[0], sums.shape[0]
    for s in prange(slots):
        total = sums[s]
        for i in range(m * s // slots, m * (s + 1) // slots):
            for j in range(ids.shape[1]):
                if worth[i, j] > 0:
                    for p in range(labels.indptr[ids[i, j]], labels.indptr[ids[i, j] + 1]):
                        total[labels.ids[p]] += worth[i, j]
            for p in range(indptr[i], indptr[i + 1]):
                out[p] = total[listed[p]]
            for j in range(ids.shape[1]):
                if worth[i, j] > 0:
                    for p in range(labels.indptr[ids[i, j]], labels.indptr[ids[i, j] + 1]):
                        total[labels.ids[p]] = np.float32(0.0)


@parallel
def nearest(queries, rows, postings, budget, leave_out, walk, short, ids, products):
    """The rows with the largest inner products.

    Parameters
    ----------
    queries, rows : SparseRows
    postings : Postings
        Of `rows`.
    budget : int
        Most postings to read for a query; the strongest feature is read whatever it takes.
    leave_out : (queries,) int64
        A row that is not given, or -1.
    walk : Walk
    short : ((threads, m) float32, (threads, m) int64)
        Scratch: the rows of a query that are scored exactly, m of them.
    ids : (queries, k) int64
        Out: best first, of equal ones the lower first, -1 where fewer were found.
    products : (queries, k) float32
        Out: inner products, 0 where none was found.
    """
    # unpacked: what a parallel loop stores into an array that is read as an attribute of a tuple can be dropped by the compiler
    all_sums, all_there, all_seen, wide, strength = walk
    n, slots = queries.indptr.shape[0] - 1, all_sums.shape[0]
    best_values, best_rows = short
    for s in prange(slots):
        sums, there, seen, x = all_sums[s], all_there[s], all_seen[s], wide[s]
        for i in range(n * s // slots, n * (s + 1) // slots):
            lo, hi = queries.indptr[i], queries.indptr[i + 1]
            for p in range(lo, hi):
                strength[s, p - lo] = -abs(queries.values[p])
                x[queries.ids[p]] = queries.values[p]
            order = np.argsort(strength[s, :hi - lo], kind="mergesort")
            spent = 0
            found = 0
            for j in range(hi - lo):
                f = queries.ids[lo + order[j]]
                value = queries.values[lo + order[j]]
                length = postings.indptr[f + 1] - postings.indptr[f]
                if j > 0 and spent + length > budget:
                    continue
                spent += length
                for p in range(postings.indptr[f], postings.indptr[f + 1]):
                    r = postings.rows[p]
                    if not there[r]:
                        there[r] = True
                        seen[found] = r
                        found += 1
                        sums[r] = np.float32(0.0)
                    sums[r] += value * postings.values[p]
            held = 0
            for j in range(found):
                r = seen[j]
                there[r] = False
                if r != leave_out[i]:
                    held = offer(best_values[s], best_rows[s], held, -sums[r], r)
            chosen_values, chosen_rows = products[i], ids[i]
            kept = 0
            for j in range(held):
                r = best_rows[s, j]
                total = np.float32(0.0)
                for p in range(rows.indptr[r], rows.indptr[r + 1]):
                    total += x[rows.ids[p]] * rows.values[p]
                kept = offer(chosen_values, chosen_rows, kept, -total, r)
            finish(chosen_values, chosen_rows, kept)
            for j in range(ids.shape[1]):
                products[i, j] = -chosen_values[j] if j < kept else np.float32(0.0)
            for p in range(lo, hi):
                x[queries.ids[p]] = np.float32(0.0)
