"""Interactions between the embeddings of a sample: factorisation machine, and inner products of all pairs."""

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel

TASKS = 64


@parallel
def fm_forward(E, out):  # (n, fields, d) -> (n,)
    """out = sum over pairs of fields of their inner product, in time linear in the fields."""
    n, fields, width = E.shape
    tasks = min(n, TASKS)
    for task in prange(tasks):
        total = np.empty(width, np.float32)
        for i in range(task * n // tasks, (task + 1) * n // tasks):
            square = np.float32(0.0)
            for d in range(width):
                total[d] = np.float32(0.0)
            for f in range(fields):
                for d in range(width):
                    total[d] += E[i, f, d]
                    square += E[i, f, d] * E[i, f, d]
            whole = np.float32(0.0)
            for d in range(width):
                whole += total[d] * total[d]
            out[i] = np.float32(0.5) * (whole - square)


@parallel
def fm_backward(E, g, G):  # (n, fields, d), (n,) -> (n, fields, d)
    """G += the gradient of `fm_forward`."""
    n, fields, width = E.shape
    tasks = min(n, TASKS)
    for task in prange(tasks):
        total = np.empty(width, np.float32)
        for i in range(task * n // tasks, (task + 1) * n // tasks):
            for d in range(width):
                total[d] = np.float32(0.0)
            for f in range(fields):
                for d in range(width):
                    total[d] += E[i, f, d]
            for f in range(fields):
                for d in range(width):
                    G[i, f, d] += g[i] * (total[d] - E[i, f, d])


@parallel
def dot_forward(E, out):  # (n, fields, d) -> (n, pairs)
    """Inner products of all pairs of fields, the first field with those before it first."""
    n, fields, width = E.shape
    tasks = min(n, TASKS)
    for task in prange(tasks):
        for i in range(task * n // tasks, (task + 1) * n // tasks):
            at = 0
            for f in range(1, fields):
                for h in range(f):
                    s = np.float32(0.0)
                    for d in range(width):
                        s += E[i, f, d] * E[i, h, d]
                    out[i, at] = s
                    at += 1


@parallel
def dot_backward(E, g, G):  # (n, fields, d), (n, pairs) -> (n, fields, d)
    """G += the gradient of `dot_forward`."""
    n, fields, width = E.shape
    tasks = min(n, TASKS)
    for task in prange(tasks):
        for i in range(task * n // tasks, (task + 1) * n // tasks):
            at = 0
            for f in range(1, fields):
                for h in range(f):
                    c = g[i, at]
                    for d in range(width):
                        G[i, f, d] += c * E[i, h, d]
                        G[i, h, d] += c * E[i, f, d]
                    at += 1
