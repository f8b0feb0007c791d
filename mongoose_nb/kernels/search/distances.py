"""Distances of a query and a row: of sketches, dense rows, bits, sparse rows and sets.

A. The inner loop of a sketch distance runs over 64 places, a constant, of 1-D slices: 6 ns. With two-dimensional indexing it was not
   vectorised and took 100 ns.
B. A sparse distance has four sums: one loop over all entries became hardware gathers, 157 ns a row of 114 entries; four take 49.
C. Rejected: partial sums of exact distances with early abandon (the sketch has already dropped what could be abandoned); a product of
   int8 by int8 (9 ns: LLVM finds no vpdpbusd, and the query would lose precision).
D. *Stored rows have a scale*, which is one for float32: the product with it becomes a fused multiply-add and takes no time, and one kernel
   serves rows of float32, float16 and int8. A float16 is widened by integer shifts and a product, as processors without F16C need.
E. *Near rows of length one* are compared once more, by half their squared difference: ``1 - q . x`` has lost all digits below 1e-7, and
   rows at 1e-9 were at 0, in any order. Rows that are not near keep the product, which costs less for sparse rows.
F. Rejected: helpers for the counts of sets that take arrays; each call costs 65 ns, as much as a third of a row of 120 entries.
"""

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from mongoose_nb.core.jit import inline
from mongoose_nb.kernels.search.columns import slot_of

CHUNK = 64
NEAR = np.float32(2.0**-6)  # cosine distance below which rows are compared by differences
COUNTED = 2**24  # so many members float32 counts one by one
ALIKE = 1e-13  # so small a part of a row's square is rounding of the sums


@intrinsic
def popcount(typingctx, word):
    """Number of ones of a uint64."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@intrinsic
def as_float(typingctx, stored):
    """The float32 that a stored element stands for: itself, an int8, or the bits of a float16 in an uint16."""

    def codegen(context, builder, signature, args):
        (x,) = args
        single, word = ir.FloatType(), ir.IntType(32)
        if signature.args[0] == types.float32:
            return x
        if signature.args[0] == types.int8:
            return builder.sitofp(x, single)
        wide = builder.zext(x, word)
        size = builder.shl(builder.and_(wide, ir.Constant(word, 0x7FFF)), ir.Constant(word, 13))
        sign = builder.shl(builder.and_(wide, ir.Constant(word, 0x8000)), ir.Constant(word, 16))
        return builder.fmul(builder.bitcast(builder.or_(size, sign), single), ir.Constant(single, 2.0**112))

    if stored in (types.float32, types.int8, types.uint16):
        return types.float32(stored), codegen
    return None


@inline
def scale_of(scales, row):
    """What a stored row is multiplied by: its own scale, or the only one."""
    return scales[min(row, scales.shape[0] - 1)]


@inline
def _chunk(q, weight, x):
    part = np.float32(0)
    for j in range(CHUNK):
        u = q[j] - np.float32(x[j])
        part += u * u * weight[j]
    return part


@inline
def sketch_distance(q, weight, x):
    """Squared distance of a query's coordinates and a row's bytes, both in steps; `weight` is the square of a step."""
    total = _chunk(q, weight, x)
    for c in range(CHUNK, x.shape[0], CHUNK):
        total += _chunk(q[c:], weight[c:], x[c:])
    return total


@inline
def _square_distance(q, x, scale):
    total = np.float32(0)
    for j in range(q.shape[0]):
        u = q[j] - scale * as_float(x[j])
        total += u * u
    return total


@inline
def _dot(q, x):
    total = np.float32(0)
    for j in range(q.shape[0]):
        total += q[j] * as_float(x[j])
    return total


@inline
def dense_distance(q, x, scale, euclidean, base):
    """Squared Euclidean distance of q and scale * x, or base - q . (scale x), where a base above zero is that of rows of length one. x:
    float32, int8, or the bits of float16."""
    if euclidean:
        return _square_distance(q, x, scale)
    value = base - scale * _dot(q, x)
    if base > 0 and value < NEAR:
        return np.float32(0.5) * _square_distance(q, x, scale)
    return value


@inline
def bit_distance(q, x):
    """Number of bits that differ, of words."""
    total = np.uint64(0)
    for j in range(q.shape[0]):
        total += popcount(q[j] ^ x[j])
    return np.float32(np.int64(total))


@inline
def _set_distance(common, size, other):
    """Jaccard distance of two sets by integer counts, as float32 rounds those beyond 2^24; two empty sets are equal."""
    union = np.int64(size) + np.int64(other) - np.int64(common)
    return np.float32(np.float64(union - common) / np.float64(union)) if union > 0 else np.float32(0)


@inline
def hashed_csr_distance(keys, held, size, indices, values, first, last, sets, base):
    """As `csr_distance`, for a query in a table: ``held[slot]`` is its value in the column ``keys[slot]``."""
    total = np.float32(0)
    common = 0
    for e in range(first, last):
        at = slot_of(indices[e], keys)
        if keys[at] != -1:
            common += 1
            total += held[at] * (np.float32(1) if sets else values[e])
    return _set_distance(common, size, last - first) if sets else base - total


@inline
def csr_distance(wide, size, indices, values, first, last, sets, base):
    """Of a row and the query spread over `wide`: base - q . x, or of sets the Jaccard distance."""
    common = 0
    total = np.float32(0)
    one = np.float32(1)
    start = first
    while start < last:  # of most rows once: float32 counts so many members one by one
        end = min(last, start + COUNTED) if sets else last
        a = np.float32(0)
        b = np.float32(0)
        c = np.float32(0)
        d = np.float32(0)
        e = start
        while e + 4 <= end:
            a += wide[np.uint32(indices[e])] * (one if sets else values[e])
            b += wide[np.uint32(indices[e + 1])] * (one if sets else values[e + 1])
            c += wide[np.uint32(indices[e + 2])] * (one if sets else values[e + 2])
            d += wide[np.uint32(indices[e + 3])] * (one if sets else values[e + 3])
            e += 4
        while e < end:
            a += wide[np.uint32(indices[e])] * (one if sets else values[e])
            e += 1
        total = (a + b) + (c + d)
        common += np.int64(total) if sets else 0
        start = end
    return _set_distance(common, size, last - first) if sets else base - total


@inline
def near_csr_distance(wide, keys, held, square, indices, values, first, last):
    """Half the squared distance of a row and a query of the length squared `square`, float64: see E. The query is spread over `wide`, or,
    where that is empty, in a table."""
    apart = 0.0  # squared differences in the columns of the row
    shared = 0.0  # the part of `square` in these columns
    for e in range(first, last):
        own = 0.0
        if wide.shape[0]:
            own = np.float64(wide[np.uint32(indices[e])])
        else:
            at = slot_of(indices[e], keys)
            if keys[at] != -1:
                own = np.float64(held[at])
        u = own - values[e]
        apart += u * u
        shared += own * own
    alone = square - shared
    return np.float32(0.5 * (apart + (alone if alone > ALIKE * square else 0.0)))
