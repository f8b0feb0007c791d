"""Exact distances of one row and many, smaller is closer: the oracle of `check_index`."""

import numpy as np


def _cosine(q, X):
    return 1 - (X @ q) / (np.linalg.norm(X, axis=1) * np.linalg.norm(q))


def _l2(q, X):
    return np.linalg.norm(X - q, axis=1)


def _ip(q, X):
    return -(X @ q)


def _jaccard(q, X):
    union = ((X != 0) | (q != 0)).sum(axis=1)
    return 1 - np.where(union, ((X != 0) & (q != 0)).sum(axis=1) / np.maximum(union, 1), 1.0)


def _hamming(q, X):
    return (X != q).sum(axis=1).astype(np.float64)


#: metric -> ``distance(q, X)``, (dim,) and (n, dim) float64 to (n,)
DISTANCES = {"cosine": _cosine, "l2": _l2, "ip": _ip, "jaccard": _jaccard, "hamming": _hamming}
