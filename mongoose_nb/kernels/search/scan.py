"""Search: candidates from buckets, a cut by votes, a cut by sketches, exact distances. One query at a time, on one thread.

The kernels are serial and release the interpreter lock; scratch belongs to the caller, so any number of threads may search at once
under every threading layer, and a result depends on its query alone.

Figures: MNIST, 60,000 x 784, l2, recall@10, microseconds a query on one thread. B and C were measured on the first 1,000 test digits,
which are the easier half of that set; over all of them recall 0.92 takes 49 us, and a brute-force query by BLAS 1,900.

A. *Marks, not branches.* An id is written at the end of the list whether it is new or not, and the end moves by a comparison: a
   branch would be guessed wrong every other time. The votes come for nothing: the mark counts them.
B. *The sketch carries the search.* Exact distances of 1,160 candidates are 450 us of cache misses (0.4 us a row of 3 kB); 64 int8 of
   each, in one cache line, are compared in 6 ns, and 20 to 40 exact distances then lose 0.01 of recall at most. From buckets to
   neighbours that is 17 us at recall 0.90, after 6 us of hashing.
C. *A cut by votes does not pay before sketches*: at 8 tables and twice the probes, those with 2 votes or more reach 0.91 in 17 us too,
   where all candidates reach 0.95 in 22. It stays as a bound on the work (`budget`), above all for rows without a sketch (sets, bits).
D. All start places of a table's buckets are asked for while the table before is read: the buckets of 8 tables at 8 probes are 128
   random lines.
E. *Bundles come as plain tuples* and get their names inside the kernel: a NamedTuple argument takes 0.5 us more than a tuple of the same
   arrays, and a search has seven of them.
F. Rejected: 128-byte sketches (recall + 0.002 for 15 us -> 21 us).
"""

import numpy as np

from mongoose_nb.core.jit import serial
from mongoose_nb.kernels.common.k_least import finish, offer
from mongoose_nb.kernels.common.prefetch import prefetch_line, prefetch_row
from mongoose_nb.kernels.search.candidates import (
    AHEAD,
    CROWD,
    VOTES,
    Buckets,
    Form,
    Probes,
    Scratch,
    choose_candidates,
    named,
    nearest_sketches,
    query_steps,
)
from mongoose_nb.kernels.search.distances import bit_distance, dense_distance, scale_of


@serial
def search_dense(Q, buckets, probes, coordinates, sketches, stored, form, scratch, found):
    """The k nearest of the dense rows that are stored to queries Q (n, d) float32.

    Candidates come from `Buckets` by `Probes`. Where there are more than ``coordinates.refine``, those with the least distance between
    the query's `Coordinates` and their `Sketches` go on. Exact distances of a `Form` (see `dense_distance`) decide.

    stored: X (slots, d), float32, or int8 or the bits of float16; scales, (slots,) or (1,) float32, by which a row is multiplied.
    found: rows (n, k) int32 and distances (n, k) float32, ascending, padded with -1 and infinity; counts (n, 2) int64, candidates before
    and after the cut by votes.
    """
    buckets, probes, coordinates, sketches, scratch = named(buckets, probes, coordinates, sketches, scratch)
    form, (X, scales) = Form(*form), stored
    touched = scratch.touched
    refine = coordinates.refine
    reach = np.empty(VOTES, np.int64)
    y = np.zeros(sketches.bytes.shape[1], np.float32)
    near_values = np.empty(refine, np.float32)
    near_rows = np.empty(refine, np.int32)
    keys = np.empty(min(CROWD * refine, touched.shape[0]), np.uint64)
    rows, distances, counts = found
    for i in range(Q.shape[0]):
        n = choose_candidates(buckets, probes, i, scratch, reach, counts[i])
        chosen = touched
        if n > refine and not probes.everything:
            if query_steps(coordinates, i, sketches, y):
                n = nearest_sketches(y, sketches.weight, sketches.bytes, touched, n, near_values, near_rows, keys)
                chosen = near_rows
        held = 0
        for p in range(n):
            if p + 1 < n:
                prefetch_row(X, chosen[p + 1])
            row = chosen[p]
            held = offer(distances[i], rows[i], held, dense_distance(Q[i], X[row], scale_of(scales, row), form.flag, form.base), row)
        finish(distances[i], rows[i], held)


@serial
def search_bits(Q, buckets, probes, X, scratch, found):
    """As `search_dense`, for rows of bits in uint64 words and Hamming distances; there are no sketches."""
    buckets, probes, scratch = Buckets(*buckets), Probes(*probes), Scratch(*scratch)
    touched = scratch.touched
    reach = np.empty(VOTES, np.int64)
    rows, distances, counts = found
    for i in range(Q.shape[0]):
        n = choose_candidates(buckets, probes, i, scratch, reach, counts[i])
        held = 0
        for p in range(n):
            if p + AHEAD < n:
                prefetch_line(X, touched[p + AHEAD], 0)
            row = touched[p]
            held = offer(distances[i], rows[i], held, bit_distance(Q[i], X[row]), row)
        finish(distances[i], rows[i], held)


# --- distances of given pairs -----------------------------------------------------------------------------------------


@serial
def measure_dense(Q, stored, form, indptr, rows, out):
    """Distances of query i and ``rows[indptr[i] : indptr[i + 1]]``, as `search_dense` computes them."""
    form, (X, scales) = Form(*form), stored
    for i in range(Q.shape[0]):
        for p in range(indptr[i], indptr[i + 1]):
            out[p] = dense_distance(Q[i], X[rows[p]], scale_of(scales, rows[p]), form.flag, form.base)


@serial
def measure_bits(Q, X, indptr, rows, out):
    """The same for rows of bits."""
    for i in range(Q.shape[0]):
        for p in range(indptr[i], indptr[i + 1]):
            out[p] = bit_distance(Q[i], X[rows[p]])
