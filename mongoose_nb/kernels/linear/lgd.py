"""Training rows drawn from hash tables in proportion to their gradients, about, and steps on them.

A. *The probability of a draw is exact for the tables at hand.* A draw is uniform over all rows with a small probability; else a table is
   drawn from those in which the query's bucket is not empty, and a row from its bucket. So the probability of row i is
   ``u / n + (1 - u) / T * sum over those T tables of [i is in the bucket] / size of the bucket``. It is never below ``u / n``: no weight
   exceeds ``1 / u``, and the weighted gradient has no bias, whatever the tables hold.
B. *The query is hashed once in so many draws.* An old query gives other probabilities, which are as exact.
C. Stochastic gradient descent is a sequence: one thread.
"""

from typing import NamedTuple

import numpy as np

from mongoose_nb.core.jit import inline, serial
from mongoose_nb.kernels.common.random import below, key2, mix64

SQUARED, LOGISTIC = 0, 1
SGD, ADAGRAD, ADAM = 0, 1, 2


class Buckets(NamedTuple):
    """Hash tables over n rows: each table's rows sorted by code."""

    codes: np.ndarray  # (n, L) uint16
    order: np.ndarray  # (L, n) int32
    starts: np.ndarray  # (L, 2^K + 1) int64
    functions: np.ndarray  # (K * L, d) float64; a bit is the sign of a product
    K: int
    both: bool  # the bucket with all bits turned over is looked up, too: rows that point the other way


class Query(NamedTuple):
    """The buckets of a query."""

    codes: np.ndarray  # (L,) int64
    tables: np.ndarray  # (L,) int64: those with a bucket that is not empty come first
    found: np.ndarray  # (1,) int64: how many


class Step(NamedTuple):
    """What a step is made with."""

    loss: int
    method: int
    lr: float
    power: float  # of one over the number of steps, by which the rate of plain descent falls
    alpha: float  # of the L2 penalty
    batch: int
    uniform: float  # share of the draws that are uniform; 1: no tables are used
    refresh: int  # draws after which the query is hashed again
    seed: int


@inline
def opposite(buckets, code):
    """The code with all bits turned over."""
    return ((1 << buckets.K) - 1) ^ code


@inline
def size_of(buckets, t, code):
    """Rows that a look-up finds in table t."""
    size = buckets.starts[t, code + 1] - buckets.starts[t, code]
    if buckets.both:
        other = opposite(buckets, code)
        size += buckets.starts[t, other + 1] - buckets.starts[t, other]
    return size


@inline
def look(buckets, vector, query):
    """Hash a vector and find its buckets."""
    L = buckets.order.shape[0]
    found = 0
    for t in range(L):
        code = 0
        for k in range(buckets.K):
            total = 0.0
            for d in range(vector.shape[0]):
                total += buckets.functions[t * buckets.K + k, d] * vector[d]
            code = 2 * code + (1 if total > 0 else 0)
        query.codes[t] = code
        if size_of(buckets, t, code) > 0:
            query.tables[found] = t
            found += 1
    query.found[0] = found


@inline
def probability(buckets, query, uniform, i):
    """Of drawing row i."""
    n = buckets.codes.shape[0]
    found = query.found[0]
    if found == 0:
        return 1.0 / n
    total = 0.0
    for j in range(found):
        t = query.tables[j]
        code = query.codes[t]
        own = np.int64(buckets.codes[i, t])
        if own == code or (buckets.both and own == opposite(buckets, code)):
            total += 1.0 / size_of(buckets, t, code)
    return uniform / n + (1.0 - uniform) * total / found


@inline
def draw_one(buckets, query, uniform, key):
    """A row, and nothing else."""
    n = buckets.codes.shape[0]
    found = query.found[0]
    bits = mix64(key)
    if found == 0 or (bits >> np.uint64(11)) * (1.0 / 9007199254740992.0) < uniform:
        return below(mix64(key ^ np.uint64(0x5851F42D4C957F2D)), n)
    t = query.tables[below(mix64(key ^ np.uint64(0x14057B7EF767814F)), found)]
    code = query.codes[t]
    place = below(mix64(key ^ np.uint64(0x5851F42D4C957F2D)), size_of(buckets, t, code))
    size = buckets.starts[t, code + 1] - buckets.starts[t, code]
    if place >= size:
        place -= size
        code = opposite(buckets, code)
    return np.int64(buckets.order[t, buckets.starts[t, code] + place])


@serial
def draw(buckets, query, vector, uniform, seed, ids, probabilities):
    """Hash a query, and draw rows with their probabilities into ids (m,) int64 and probabilities (m,) float64."""
    look(buckets, vector, query)
    for m in range(ids.shape[0]):
        ids[m] = draw_one(buckets, query, uniform, key2(np.uint64(seed), np.uint64(m)))
        probabilities[m] = probability(buckets, query, uniform, ids[m])


@serial
def probabilities_of(buckets, query, vector, uniform, rows, out):
    """Hash a query; the probability of some rows (m,) int64, into out (m,) float64."""
    look(buckets, vector, query)
    for i in range(out.shape[0]):
        out[i] = probability(buckets, query, uniform, rows[i])


@inline
def slope(loss, margin, target):
    """Derivative of a row's loss by its margin."""
    if loss == SQUARED:
        return margin - target
    return -target / (1.0 + np.exp(target * margin))


@serial
def train(X, y, buckets, query, step, steps, first, theta, moments, vector):
    """Steps of stochastic gradient descent on rows that are drawn.

    Parameters
    ----------
    X : (n, d) float64
        The last column is constant, for the intercept, which is not regularised.
    y : (n,) float64
        Targets; -1 and 1 for the logistic loss.
    buckets, query : Buckets and Query
    step : Step
    steps, first : int
        How many, and the number of the first.
    theta : (d,) float64
        Changed.
    moments : (2, d) float64
        Of the optimiser, changed.
    vector : (d or more,) float64
        Scratch for the query.
    """
    n, d = X.shape
    gradient = np.zeros(d)
    for s in range(first, first + steps):
        drawn = s * step.batch
        if step.uniform < 1.0 and (s == first or drawn // step.refresh != (drawn - step.batch) // step.refresh):
            for j in range(d):
                vector[j] = theta[j] if step.loss == SQUARED else -theta[j]
            if step.loss == SQUARED:
                vector[d] = -1.0
            look(buckets, vector, query)
        for j in range(d):
            gradient[j] = step.alpha * theta[j] if j < d - 1 else 0.0
        for b in range(step.batch):
            key = key2(np.uint64(step.seed), np.uint64(drawn + b))
            weight = 1.0
            if step.uniform < 1.0:
                i = draw_one(buckets, query, step.uniform, key)
                weight = 1.0 / (n * probability(buckets, query, step.uniform, i))
            else:
                i = below(mix64(key), n)
            margin = 0.0
            for j in range(d):
                margin += theta[j] * X[i, j]
            g = weight * slope(step.loss, margin, y[i]) / step.batch
            for j in range(d):
                gradient[j] += g * X[i, j]
        if step.method == SGD:
            rate = step.lr / (s + 1.0) ** step.power
            for j in range(d):
                theta[j] -= rate * gradient[j]
        elif step.method == ADAGRAD:
            for j in range(d):
                moments[1, j] += gradient[j] ** 2
                theta[j] -= step.lr * gradient[j] / (np.sqrt(moments[1, j]) + 1e-10)
        else:
            for j in range(d):
                moments[0, j] = 0.9 * moments[0, j] + 0.1 * gradient[j]
                moments[1, j] = 0.999 * moments[1, j] + 0.001 * gradient[j] ** 2
                theta[j] -= (step.lr * moments[0, j] / (1.0 - 0.9 ** (s + 1))
                             / (np.sqrt(moments[1, j] / (1.0 - 0.999 ** (s + 1))) + 1e-8))
