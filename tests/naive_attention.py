"""Attention by the book: dense float64 matrices, one pair at a time where it matters."""

import numpy as np

OWN = -1e5


def reached(buckets, valid, chunk, causal, variant="paper", keys=None):
    """How often each pair counts, (R, T, T) int: which keys (second) every round of one head shows to which query (first)."""
    R, T = buckets.shape
    out = np.zeros((R, T, T), int)
    keys = buckets if keys is None else keys
    shared = keys is buckets

    def ordered(codes):
        return sorted((t for t in range(T) if valid[t]), key=lambda t: (codes[t], t))

    for r in range(R):
        queries, places = ordered(buckets[r]), ordered(keys[r])
        chunks = [queries[lo:lo + chunk] for lo in range(0, len(queries), chunk)]
        for c, members in enumerate(chunks):
            if shared:
                window = (chunks[c - 1] if c else []) + members
                if variant == "released" and c == 0 and len(chunks) > 1:
                    before = ordered(buckets[r - 1])
                    window = before[(len(chunks) - 1) * chunk:] + members
            else:
                last = members[-1]
                end = sum((keys[r][j], j) <= (buckets[r][last], last) for j in places)
                window = places[max(0, end - 2 * chunk):end]
            for i in members:
                for j in window:
                    if (variant == "released" or buckets[r][i] == keys[r][j]) and (j <= i or not causal):
                        out[r, i, j] += 1
    return out


def reached_before(buckets, valid, last):
    """As `reached`, where a query sees the last so many keys of its bucket up to itself, (R, T, T) int."""
    R, T = buckets.shape
    out = np.zeros((R, T, T), int)
    for r in range(R):
        for i in np.flatnonzero(valid):
            out[r, i, [j for j in range(i + 1) if valid[j] and buckets[r, j] == buckets[r, i]][-last:]] = 1
    return out


def weights_of(q, k, counts, shared):
    """Softmax weights (T, T) in which pair (i, j) counts `counts[i, j]` times; rows without any are zero. Also the log-partitions."""
    T, d = q.shape
    if shared:
        k = k / np.linalg.norm(k, axis=1, keepdims=True)
    s = q @ k.T / np.sqrt(d)
    if shared:
        s[np.arange(T), np.arange(T)] = OWN
    s = np.where(counts > 0, s, -np.inf)
    top = np.where(counts.any(axis=1), s.max(axis=1), 0)
    e = counts * np.exp(s - top[:, None])
    total = e.sum(axis=1)
    with np.errstate(divide="ignore"):
        return e / np.where(total, total, 1)[:, None], top + np.log(total)


def by_rounds(q, v, counts):
    """The paper's own arithmetic for shared queries and keys: one softmax a round, duplicates lowered by log N, joined by log-partition."""
    T, d = q.shape
    k = q / np.linalg.norm(q, axis=1, keepdims=True)
    scores = q @ k.T / np.sqrt(d)
    scores[np.arange(T), np.arange(T)] = OWN
    n = counts.sum(axis=0)
    outs, parts = [], []
    for reach in counts:
        s = np.where(reach > 0, scores - np.log(np.maximum(n, 1)), -np.inf)
        top = s.max(axis=1)
        z = top + np.log(np.exp(s - top[:, None]).sum(axis=1))
        outs.append(np.exp(s - z[:, None]) @ v)
        parts.append(z)
    parts = np.array(parts)
    whole = np.logaddexp.reduce(parts, axis=0)
    return sum(np.exp(z - whole)[:, None] * o for z, o in zip(parts, outs))


def all_pairs(valid, causal):
    """Counts (T, T) of exact attention."""
    T = len(valid)
    return (valid[:, None] & valid[None, :] & (np.tri(T, dtype=bool) | (not causal))).astype(int)
