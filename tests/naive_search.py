"""Brute force over Python dicts: what an index must answer."""

import numpy as np
import scipy.sparse as sp


def dense(X):
    """Any input as a float64 matrix."""
    return np.asarray(X.toarray() if sp.issparse(X) else X, np.float64)


def distances(metric, Q, X):
    """(n queries, n rows) float64."""
    Q, X = dense(Q), dense(X)
    if metric == "l2":
        return np.sqrt(((Q[:, None] - X[None]) ** 2).sum(axis=2))
    if metric == "ip":
        return -Q @ X.T
    if metric == "cosine":
        def unit(A):
            length = np.linalg.norm(A, axis=1, keepdims=True)
            return A / np.where(length == 0, 1, length)
        return 1 - unit(Q) @ unit(X).T
    Q, X = Q != 0, X != 0
    if metric == "hamming":
        return (Q[:, None] != X[None]).sum(axis=2).astype(float)
    both = (Q[:, None] & X[None]).sum(axis=2)
    either = (Q[:, None] | X[None]).sum(axis=2)
    return np.where(either == 0, 0, 1 - both / np.maximum(either, 1))


def data(metric, n=400, dim=48, sparse=False, seed=0):
    """Rows in twenty clusters, the same for every seed, as this metric takes them."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((20, dim))
    X = centers[rng.integers(0, 20, n)] + 0.5 * rng.standard_normal((n, dim))
    if metric in ("jaccard", "hamming"):
        X = X > (1 if metric == "jaccard" else 0)
        return sp.csr_matrix(X.astype(np.float32)) if sparse else X
    if sparse:
        return sp.csr_matrix(np.where(X > 0.7, X, 0).astype(np.float32))
    return (X + 3).astype(np.float32)


def planted(n=400, dim=5000, size=60, seed=0):
    """Sets, every second one a copy of the one before with some members replaced."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n // 2):
        a = rng.choice(dim, size, replace=False)
        b = a.copy()
        change = rng.integers(0, size // 3)
        b[:change] = rng.choice(dim, change, replace=False)
        rows += [np.unique(a), np.unique(b)]
    return sp.csr_matrix((np.ones(sum(map(len, rows))), np.concatenate(rows), np.cumsum([0] + [len(r) for r in rows])), shape=(n, dim))


def naive_pairs(X, threshold):
    """Pairs (i, j), i < j, that similar."""
    similar = 1 - distances("jaccard", X, X)
    i, j = np.nonzero(np.triu(similar >= threshold - 1e-12, 1))
    return dict(zip(zip(i.tolist(), j.tolist()), similar[i, j]))
