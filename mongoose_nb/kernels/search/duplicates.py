"""Pairs of similar sets: codes of MinHash bands, sets that meet in a band, sets that contain others, and a stream of sets.

A. A pair that shares several bands is taken in the first of them: whether it met before is read from the codes themselves, so there is
   no set of pairs to keep, and bands do not depend on each other.
B. Sizes that cannot reach the threshold are passed over before a member is read, and a comparison ends when what is left cannot reach
   it.
C. *Every hash has a function of its own*: a multiplication of the mixed member. One-permutation hashing reads a set once, but copies
   values between the bins of small sets, whose bands then meet together or not at all. 128 functions of 2,500 documents of 400 members
   take 0.02 s.
D. *Containment is searched by prefixes* (Bayardo, Ma and Srikant, 2007): of a set of which `needed` members are in another one, that one
   has one of its size - needed + 1 rarest. This misses nothing, and MinHash would miss small sets in large ones.
E. The buckets of a stream are chains of numbers through an open array of heads, one for each band. Only sets that differ are linked, so
   the chains do not grow with copies.
"""

from typing import NamedTuple

import numpy as np

from mongoose_nb.core.jit import inline, serial
from mongoose_nb.kernels.common.random import key2, mix64


class Stream(NamedTuple):
    """The sets of a stream that differ, and their buckets."""

    indptr: np.ndarray  # (room + 1,) int64
    indices: np.ndarray  # (members,) int32
    ids: np.ndarray  # (room,) int64, number in the stream
    codes: np.ndarray  # (L, room) uint32
    heads: np.ndarray  # (L, buckets) int32, last set of a bucket, -1: none; buckets is a power of two
    before: np.ndarray  # (L, room) int32, the set before in the bucket of a set


@inline
def _common(indices, a, a_end, others, b, b_end, needed):
    """Common members of two ascending lists, or -1 as soon as there cannot be `needed`."""
    common = 0
    spare_a = (a_end - a) - needed
    spare_b = (b_end - b) - needed
    while a < a_end and b < b_end:
        x = indices[a]
        y = others[b]
        common += x == y
        a += x <= y
        b += y <= x
        spare_a -= x < y
        spare_b -= y < x
        if spare_a < 0 or spare_b < 0:
            return -1
    return common


@inline
def _jaccard(indices, a, a_end, others, b, b_end, threshold):
    """Jaccard similarity of two ascending lists, or -1 where it is below the threshold."""
    size_a = a_end - a
    size_b = b_end - b
    if min(size_a, size_b) < threshold * max(size_a, size_b):
        return -1.0
    total = size_a + size_b
    # common / (total - common) >= threshold
    needed = int(threshold * total / (1.0 + threshold) - 1e-9)
    common = _common(indices, a, a_end, others, b, b_end, needed)
    if common < 0:
        return -1.0
    value = common / (total - common) if total > common else 1.0
    return value if value >= threshold else -1.0


@serial
def band_codes(indptr, indices, factors, K, first, last, codes):
    """Codes (L, n) uint32 of the bands of sets first to last; factors (L * K,) uint32, odd. Empty sets have code 0."""
    least = np.empty(factors.shape[0], np.uint32)
    for row in range(first, last):
        least[:] = np.uint32(0xFFFFFFFF)
        for e in range(indptr[row], indptr[row + 1]):
            x = np.uint32(mix64(indices[e]) >> np.uint64(32))
            for h in range(factors.shape[0]):
                least[h] = min(least[h], np.uint32(x * factors[h]))
        empty = indptr[row] == indptr[row + 1]
        for t in range(codes.shape[0]):
            code = np.uint64(t)
            for h in range(t * K, t * K + K):
                code = key2(code, least[h])
            codes[t, row] = np.uint32(0) if empty else np.uint32(code >> np.uint64(32))


@serial
def row_keys(indptr, indices, keys):
    """A hash (n,) uint64 of the members of every set."""
    for row in range(keys.shape[0]):
        key = np.uint64(indptr[row + 1] - indptr[row])
        for e in range(indptr[row], indptr[row + 1]):
            key = key2(key, indices[e])
        keys[row] = key


@inline
def _equal(indptr, indices, i, j):
    if indptr[i + 1] - indptr[i] != indptr[j + 1] - indptr[j]:
        return False
    for e in range(indptr[i + 1] - indptr[i]):
        if indices[indptr[i] + e] != indices[indptr[j] + e]:
            return False
    return True


@serial
def first_equal(order, keys, indptr, indices, first):
    """first[i] = number of the first set that equals set i, itself for empty ones; order (n,): sets by key and then by number."""
    start = 0
    for p in range(order.shape[0]):
        i = order[p]
        if keys[i] != keys[order[start]]:
            start = p
        first[i] = i
        if indptr[i] < indptr[i + 1] and _equal(indptr, indices, i, order[start]):
            first[i] = order[start]


@serial
def band_pairs(codes, t, order, indptr, indices, threshold, left, right, similarity):
    """Pairs of sets that meet in band t and in none before, and are at least `threshold` similar; how many.

    codes (L, n) band codes, order (n,) the sets by code of band t and then by number. Sets are CSR rows with ascending members. The
    first len(left) pairs are written, left[i] < right[i].
    """
    n = order.shape[0]
    found = 0
    first = 0
    while first < n:
        last = first + 1
        while last < n and codes[t, order[last]] == codes[t, order[first]]:
            last += 1
        for p in range(first, last):
            i = order[p]
            for q in range(p + 1, last):
                j = order[q]
                met = False
                for before in range(t):
                    if codes[before, i] == codes[before, j]:
                        met = True
                        break
                if met:
                    continue
                value = _jaccard(indices, indptr[i], indptr[i + 1], indices, indptr[j], indptr[j + 1], threshold)
                if value >= 0:
                    if found < left.shape[0]:
                        left[found] = i
                        right[found] = j
                        similarity[found] = value
                    found += 1
        first = last
    return found


@serial
def contained_pairs(lo, hi, indptr, indices, starts, posting, threshold, left, right, similarity):
    """Pairs of sets lo to hi and later ones that have at least this share of their members in them; how many.

    Sets are CSR rows by ascending size, with ascending members, of which lower ones are rarer. Column c is in the sets
    ``posting[starts[c] : starts[c + 1]]``, ascending. The first len(left) pairs are written.
    """
    found = 0
    seen = np.full(indptr.shape[0] - 1, -1, np.int64)
    for i in range(lo, hi):
        size = indptr[i + 1] - indptr[i]
        needed = max(1, int(np.ceil(threshold * size - 1e-9)))
        for e in range(indptr[i], indptr[i + 1] - needed + 1):
            c = indices[e]
            for p in range(starts[c + 1] - 1, starts[c] - 1, -1):
                j = posting[p]
                if j <= i:
                    break
                if seen[j] == i:
                    continue
                seen[j] = i
                common = _common(indices, indptr[i], indptr[i + 1], indices, indptr[j], indptr[j + 1], needed)
                if common >= needed:
                    if found < left.shape[0]:
                        left[found] = i
                        right[found] = j
                        similarity[found] = common / size
                    found += 1
    return found


# --- streams ------------------------------------------------------------------------------------------------------------


@inline
def _met(codes, mine, row, t, j):
    for before in range(t):
        if codes[before, j] == mine[before, row]:
            return True
    return False


@inline
def _link(stream, j):
    mask = np.uint32(stream.heads.shape[1] - 1)
    for t in range(stream.codes.shape[0]):
        bucket = stream.codes[t, j] & mask
        stream.before[t, j] = stream.heads[t, bucket]
        stream.heads[t, bucket] = j


@serial
def link_sets(stream, count):
    """Link the first `count` sets of a `Stream` into its empty buckets."""
    stream = Stream(*stream)
    for j in range(count):
        _link(stream, j)


@serial
def add_sets(stream, count, indptr, indices, codes, threshold, number, best, similarity):
    """Compare sets with all before them and link those that differ; returns how many there are then.

    stream: a `Stream` of `count` sets with room for all. The sets are CSR rows, and get the numbers from `number` on. best (n,) int64:
    number of the most similar set before, of equally similar ones the first; -1: none. similarity (n,).
    """
    stream = Stream(*stream)
    mask = np.uint32(stream.heads.shape[1] - 1)
    for row in range(best.shape[0]):
        best[row] = -1
        similarity[row] = 0.0
        first = indptr[row]
        last = indptr[row + 1]
        if first == last:
            continue
        for t in range(codes.shape[0]):
            j = stream.heads[t, codes[t, row] & mask]
            while j >= 0:
                if stream.codes[t, j] == codes[t, row] and not _met(stream.codes, codes, row, t, j):
                    value = _jaccard(indices, first, last, stream.indices, stream.indptr[j], stream.indptr[j + 1], threshold)
                    if value > similarity[row] or (value == similarity[row] and value > 0 and stream.ids[j] < best[row]):
                        best[row] = stream.ids[j]
                        similarity[row] = value
                j = stream.before[t, j]
        if similarity[row] == 1.0:
            continue
        start = stream.indptr[count]
        stream.indptr[count + 1] = start + (last - first)
        for e in range(last - first):
            stream.indices[start + e] = indices[first + e]
        stream.ids[count] = number + row
        for t in range(codes.shape[0]):
            stream.codes[t, count] = codes[t, row]
        _link(stream, count)
        count += 1
    return count


@serial
def similar_sets(stream, indptr, indices, codes, threshold, rows, ids, similarity):
    """All sets of a `Stream` that are similar to sets: how many. The first len(rows) are written."""
    stream = Stream(*stream)
    mask = np.uint32(stream.heads.shape[1] - 1)
    found = 0
    for row in range(indptr.shape[0] - 1):
        first = indptr[row]
        last = indptr[row + 1]
        if first == last:
            continue
        for t in range(codes.shape[0]):
            j = stream.heads[t, codes[t, row] & mask]
            while j >= 0:
                if stream.codes[t, j] == codes[t, row] and not _met(stream.codes, codes, row, t, j):
                    value = _jaccard(indices, first, last, stream.indices, stream.indptr[j], stream.indptr[j + 1], threshold)
                    if value >= 0:
                        if found < rows.shape[0]:
                            rows[found] = row
                            ids[found] = stream.ids[j]
                            similarity[found] = value
                        found += 1
                j = stream.before[t, j]
    return found
