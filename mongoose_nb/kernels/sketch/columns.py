"""Queries of bit-sliced filters: how many k-mers of a text each column, or each document of shared columns, may have.

A. Row a holds bit a of all filters side by side, in `stride` bytes. The filters that have a k-mer are the AND of its rows.
B. A piece of text is one piece of work: a read, or part of a long sequence. Several pieces share working memory.
C. In RAMBO a document is in one bucket of each repetition, and may have a k-mer if all its buckets may. Documents are looked up by the
   buckets of the first repetition that may have it, so the others cost nothing.
"""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import inline, parallel
from mongoose_nb.kernels.common.prefetch import prefetch_line
from mongoose_nb.kernels.sketch.kmers import BLOCK, block_addresses, make_room

#: pieces that share working memory
SHARING = 32
#: k-mers whose rows are asked for ahead
AHEAD = 16


@inline
def _meet(rows, base, addresses, i, n, stride, out):
    """AND of the rows of a k-mer; whether any bit is left."""
    some = False
    for j in range(n):
        at = base + np.int64(addresses[j, i]) * stride
        some = False
        for b in range(stride):
            value = rows[at + b] if j == 0 else rows[at + b] & out[b]
            out[b] = value
            some = some or value != 0
        if not some:
            return False
    return some


@parallel
def count_columns(text, first, last, hasher, rows, stride, counts, totals):
    """For piece p, k-mers that begin at ``first[p]`` to ``last[p] - 1``: their number, and how many of them each column may have."""
    pieces = first.shape[0]
    line = rows.reshape(1, -1)
    for share in prange((pieces + SHARING - 1) // SHARING):
        room = make_room(hasher.n)
        left = np.empty(stride, np.uint8)
        for p in range(share * SHARING, min(pieces, (share + 1) * SHARING)):
            for start in range(first[p], last[p], BLOCK):
                size = min(BLOCK, last[p] - start)
                block_addresses(text, start, size, hasher, room)
                addresses = room.addresses
                for i in range(size):
                    if i + AHEAD < size:
                        for j in range(hasher.n):
                            prefetch_line(line, 0, np.int64(addresses[j, i + AHEAD]) * stride)
                    if room.good[i] == 0:
                        continue
                    totals[p] += 1
                    if _meet(rows, 0, addresses, i, hasher.n, stride, left):
                        for b in range(stride):
                            value = left[b]
                            column = 8 * b
                            while value != 0:
                                counts[p, column] += value & np.uint8(1)
                                value >>= np.uint8(1)
                                column += 1


@parallel
def count_documents(text, first, last, hasher, rows, shape, members, member_start, buckets, counts, totals):
    """The same for documents in shared columns: ``buckets[r, d]`` is the column of document d in repetition r; ``members`` are the
    documents by bucket of repetition 0. `shape` is (repetitions, bits, stride)."""
    pieces = first.shape[0]
    repetitions, bits, stride = shape
    for share in prange((pieces + SHARING - 1) // SHARING):
        room = make_room(hasher.n)
        left = np.empty((repetitions, stride), np.uint8)
        for p in range(share * SHARING, min(pieces, (share + 1) * SHARING)):
            for start in range(first[p], last[p], BLOCK):
                size = min(BLOCK, last[p] - start)
                block_addresses(text, start, size, hasher, room)
                for i in range(size):
                    if room.good[i] == 0:
                        continue
                    totals[p] += 1
                    some = True
                    for r in range(repetitions):
                        if not _meet(rows, r * bits * stride, room.addresses, i, hasher.n, stride, left[r]):
                            some = False
                            break
                    if not some:
                        continue
                    for bucket in range(member_start.shape[0] - 1):
                        if left[0, bucket >> 3] & (np.uint8(1) << np.uint8(bucket & 7)) == 0:
                            continue
                        for m in range(member_start[bucket], member_start[bucket + 1]):
                            document = members[m]
                            has = True
                            for r in range(1, repetitions):
                                column = buckets[r, document]
                                if left[r, column >> 3] & (np.uint8(1) << np.uint8(column & 7)) == 0:
                                    has = False
                                    break
                            if has:
                                counts[p, document] += 1
