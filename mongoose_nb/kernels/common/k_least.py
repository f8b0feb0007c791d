"""The k least of many values, each with its row: a heap, a selection in place, and the order of equals.

Few of many are chosen by the heap, for few get into it; many of few by the selection: a heap of 640 among 1,560 took most of a query.
"""

import numpy as np

from mongoose_nb.core.jit import inline

INFINITY = np.float32(np.inf)


@inline
def after(value, row, other_value, other_row):
    """Whether (value, row) comes after the other: the farther, of equals the later row. NaN comes last."""
    if value == other_value:
        return row > other_row
    return value > other_value or not (value == value)


@inline
def offer(values, rows, n, value, row):
    """Offer one to the max-heap of the len(values) least, which holds n; how many it holds then."""
    room = values.shape[0]
    if n < room:
        at = n
        while at > 0:
            parent = (at - 1) // 2
            if not after(value, row, values[parent], rows[parent]):
                break
            values[at] = values[parent]
            rows[at] = rows[parent]
            at = parent
        values[at] = value
        rows[at] = row
        return n + 1
    if not after(values[0], rows[0], value, row):
        return n
    sink(values, rows, n, value, row)
    return n


@inline
def sink(values, rows, n, value, row):
    """Put one in the place of the root."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        if child + 1 < n and after(values[child + 1], rows[child + 1], values[child], rows[child]):
            child += 1
        if not after(values[child], rows[child], value, row):
            break
        values[at] = values[child]
        rows[at] = rows[child]
        at = child
    values[at] = value
    rows[at] = row


@inline
def select(keys, n, m):
    """Bring the m least of the first n keys to the front (Hoare's FIND), 0 < m < n."""
    lo = 0
    hi = n - 1
    while lo < hi:
        a = keys[lo]
        b = keys[(lo + hi) // 2]
        c = keys[hi]
        pivot = max(min(a, b), min(max(a, b), c))
        i = lo
        j = hi
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                a = keys[i]
                keys[i] = keys[j]
                keys[j] = a
                i += 1
                j -= 1
        if m - 1 <= j:
            hi = j
        elif m - 1 >= i:
            lo = i
        else:
            break


@inline
def finish(values, rows, n):
    """Sort the heap ascending, and say in the places beyond n that nothing was found."""
    for last in range(n - 1, 0, -1):
        value = values[last]
        row = rows[last]
        values[last] = values[0]
        rows[last] = rows[0]
        sink(values, rows, last, value, row)
    for p in range(n, values.shape[0]):
        values[p] = INFINITY
        rows[p] = -1
