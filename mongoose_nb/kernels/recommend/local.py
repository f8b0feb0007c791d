"""What devices of a federated factorisation do in a round: stochastic gradient descent over their own items, one device a task."""

import math

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel


@parallel
def train_devices(users, cells, index, sign, start, items, others, epochs, lr, penalty, frozen):
    """users (n, d) and, unless `frozen`, cells (n, m) in place, float64; `index` and `sign` (rows, d).

    Device i likes ``items[start[i] : start[i + 1]]``; `others` has one random row for each of them and each epoch.
    """
    n, width = users.shape
    for i in prange(n):
        which = np.int64(0) if frozen else np.int64(i)
        own = cells[which]
        user = users[i]
        for epoch in range(epochs):
            for q in range(start[i], start[i + 1]):
                a = items[q]
                b = others[epoch, q]
                x = 0.0
                for d in range(width):
                    x += user[d] * (own[index[a, d]] * sign[a, d] - own[index[b, d]] * sign[b, d])
                g = lr / (1.0 + math.exp(min(30.0, max(-30.0, x))))
                for d in range(width):
                    u = user[d]
                    va = own[index[a, d]] * sign[a, d]
                    vb = own[index[b, d]] * sign[b, d]
                    user[d] += g * (va - vb) - lr * penalty * u
                    if not frozen:
                        own[index[a, d]] += (g * u - lr * penalty * va) * sign[a, d]
                        own[index[b, d]] -= (g * u + lr * penalty * vb) * sign[b, d]
