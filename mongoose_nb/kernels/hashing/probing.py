"""Which buckets to look into next: the cheapest perturbations of a code, by heap.

A perturbation's cost is a sum of the costs of its parts, and the codes of one table are asked for in order of cost. A
heap holds candidates; taking the cheapest puts its successors in. Costs are float64, so that sums keep their order;
equal costs come in the order of their second key, so that the result is one and the same.

A. *Subsets* (`drop_set`): the parts are sorted by cost, a subset is the bits of a mask over the sorted parts. Its
   successors exchange the last part for the next one, or add the next one (Lv et al. 2007, section 4.4): every subset
   comes once, none before a cheaper one.
B. *Pairs* (`cheapest_sums`): the cheapest sums of two sorted lists; K lists are added one after the other. Sums taken so
   far make a staircase, which has few steps: looking at each is five times as fast as a heap for 16 sums.
"""

import numpy as np

from mongoose_nb.core.jit import strict_inline


@strict_inline
def push(costs, items, size, cost, item):
    """Add an item to the heap of `size` items; it has size + 1 then."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if costs[above] < cost or (costs[above] == cost and items[above] <= item):
            break
        costs[at], items[at] = costs[above], items[above]
        at = above
    costs[at], items[at] = cost, item


@strict_inline
def pop(costs, items, size):
    """Take the first item, at place 0, off the heap of `size` items; it has size - 1 then."""
    size -= 1
    cost, item = costs[size], items[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        other = below + 1
        if other < size and (costs[other] < costs[below] or (costs[other] == costs[below] and items[other] < items[below])):
            below = other
        if cost < costs[below] or (cost == costs[below] and item <= items[below]):
            break
        costs[at], items[at] = costs[below], items[below]
        at = below
    costs[at], items[at] = cost, item


@strict_inline
def last_part(mask):
    """Place of the highest bit of a non-zero uint64."""
    place = 0
    for step in (32, 16, 8, 4, 2, 1):
        if mask >> np.uint64(step):
            mask >>= np.uint64(step)
            place += step
    return place


@strict_inline
def first_set(heap_costs, heap_sets, part_costs):
    """Put the subset of the cheapest part on the empty heap; returns its size, 1.

    The heap needs room for two more items than subsets are taken that may grow.
    """
    heap_costs[0] = part_costs[0]
    heap_sets[0] = np.uint64(1)
    return 1


@strict_inline
def drop_set(heap_costs, heap_sets, size, part_costs, parts, grow):
    """Replace the cheapest subset, heap_sets[0], by its successors; returns the new size of the heap.

    Without `grow` the longer one is left out: no set that contains this one is wanted.
    """
    one = np.uint64(1)
    cost, chosen = heap_costs[0], heap_sets[0]
    pop(heap_costs, heap_sets, size)
    size -= 1
    last = last_part(chosen)
    if last + 1 < parts:
        following = one << np.uint64(last + 1)
        longer = cost + part_costs[last + 1]
        if grow:
            push(heap_costs, heap_sets, size, longer, chosen | following)
            size += 1
        push(heap_costs, heap_sets, size, longer - part_costs[last], (chosen ^ (one << np.uint64(last))) | following)
        size += 1
    return size


@strict_inline
def cheapest_sums(a, n_a, b, n_b, most, following, sums, out, first, second):
    """The `most` cheapest sums a[i] + b[j] of two ascending lists, in order: out[r], with i in first[r], j in second[r].

    Returns how many there are. `following` and `sums`, as long as a: for every i whose turn has come, its next j and sum.
    """
    most = min(most, n_a * n_b)
    open_ = 1
    following[0] = 0
    sums[0] = a[0] + b[0]
    for r in range(most):
        i = 0
        for other in range(1, open_):
            i = other if sums[other] < sums[i] else i
        j = following[i]
        out[r], first[r], second[r] = sums[i], i, j
        if j == 0 and i + 1 < n_a:
            following[i + 1] = 0
            sums[i + 1] = a[i + 1] + b[0]
            open_ = i + 2
        following[i] = j + 1
        sums[i] = a[i] + b[j + 1] if j + 1 < n_b else np.inf
    return most
