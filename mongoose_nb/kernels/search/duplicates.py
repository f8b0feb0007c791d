"""Pairs of similar sets out of the buckets of MinHash bands.

A. A pair that shares several bands is taken in the first of them: whether it met before is read from the codes themselves, so there is
   no set of pairs to keep, and bands do not depend on each other.
B. Sizes that cannot reach the threshold are passed over before a member is read, and a comparison ends when what is left cannot reach
   it.
"""

from mongoose_nb.core.jit import inline, serial


@inline
def _common(indices, a, a_end, b, b_end, needed):
    """Common members of two ascending lists, or -1 as soon as there cannot be `needed`."""
    common = 0
    spare_a = (a_end - a) - needed
    spare_b = (b_end - b) - needed
    while a < a_end and b < b_end:
        x = indices[a]
        y = indices[b]
        common += x == y
        a += x <= y
        b += y <= x
        spare_a -= x < y
        spare_b -= y < x
        if spare_a < 0 or spare_b < 0:
            return -1
    return common


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
            size_i = indptr[i + 1] - indptr[i]
            for q in range(p + 1, last):
                j = order[q]
                size_j = indptr[j + 1] - indptr[j]
                if min(size_i, size_j) < threshold * max(size_i, size_j):
                    continue
                met = False
                for before in range(t):
                    if codes[before, i] == codes[before, j]:
                        met = True
                        break
                if met:
                    continue
                total = size_i + size_j
                # common / (total - common) >= threshold
                needed = int(threshold * total / (1.0 + threshold) - 1e-9)
                common = _common(indices, indptr[i], indptr[i + 1], indptr[j], indptr[j + 1], needed)
                if common < 0:
                    continue
                value = common / (total - common) if total > common else 1.0
                if value >= threshold:
                    if found < left.shape[0]:
                        left[found] = i
                        right[found] = j
                        similarity[found] = value
                    found += 1
        first = last
    return found
