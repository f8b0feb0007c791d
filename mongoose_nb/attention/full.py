"""Exact attention: the twin of `lsh_attention`, with memory linear in the length."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mongoose_nb.attention._arrays import Rows, check_heads, check_mask, factors_of, log_partitions, zeros_like


class FullCache(NamedTuple):
    """What `full_attention_backward` needs of the forward pass."""

    q: Rows
    k: Rows
    v: Rows
    out: Rows
    inverse: np.ndarray  # (B, H, T), factors of the keys
    valid: np.ndarray  # (B, T)
    top: np.ndarray  # (B, H, T), largest scores
    share: np.ndarray  # (B, H, T), one over sums of exp(score - top), 0 for tokens that attend to nothing
    causal: bool
    buckets: None = None

    @property
    def log_z(self) -> np.ndarray:
        """Log-partitions (B, H, T) float64, -inf for tokens that attend to nothing."""
        return log_partitions(self.top, self.share)


def full_attention(qk: np.ndarray, v: np.ndarray, k: np.ndarray | None = None, *, causal: bool = False,
                   mask: np.ndarray | None = None) -> tuple:
    """Softmax attention to all tokens, by blocks.

    Without `k` queries are the keys, as in Reformer: keys are scaled to length one, and a token attends to itself only where there is
    nothing else. With `k` this is standard attention: keys are taken as they are, and a token attends to itself. Scores are scaled by
    1 / sqrt(width) in both cases.

    Parameters
    ----------
    qk, v, k : (batch, heads, tokens, width) float32 or float64
        Views of (batch, tokens, heads, width) are taken without a copy.
    causal : bool
        Whether a token sees those before it only.
    mask : (batch, tokens) bool, optional
        False for padding: no key, and as a query its output is zero.

    Returns
    -------
    out : array like qk
    cache : FullCache
        For `full_attention_backward`.
    """
    from mongoose_nb.core.threads import compute_threads
    from mongoose_nb.kernels.attention import exact as attention_exact
    from mongoose_nb.kernels.attention import rows as attention_rows
    from mongoose_nb.kernels.attention.tile import Valid

    q = check_heads("qk", qk)
    v = check_heads("v", v, q)
    shared = k is None
    k = q if shared else check_heads("k", k, q)
    B, H, T, d = q.array.shape
    dtype = q.rows.dtype
    valid, counts = check_mask(mask, B, T)
    inverse, top, share = np.ones((B, H, T), dtype), np.zeros((B, H, T), dtype), np.zeros((B, H, T), dtype)
    out = zeros_like(q)
    with compute_threads(B * H * T * T * d):
        if shared:
            attention_rows.invert_lengths(k.heads, inverse)
        attention_exact.attend_exact(q.heads, k.heads, v.heads, factors_of(q, inverse), Valid(counts, _places(valid)), causal, shared,
                                     out.heads, top, share)
    return out.array, FullCache(q, k, v, out, inverse, valid, top, share, causal)


def full_attention_backward(dout: np.ndarray, cache: FullCache) -> tuple:
    """Gradients of `full_attention`.

    Parameters
    ----------
    dout : (batch, heads, tokens, width) array
        Gradient of the output.
    cache : FullCache
        Of `full_attention`.

    Returns
    -------
    tuple of arrays like qk
        (dqk, dv), or (dq, dv, dk) where keys were given.
    """
    from mongoose_nb.core.threads import compute_threads
    from mongoose_nb.kernels.attention import exact as attention_exact
    from mongoose_nb.kernels.attention import rows as attention_rows
    from mongoose_nb.kernels.attention.tile import Saved, Valid

    q, k, v, out = cache.q, cache.k, cache.v, cache.out
    shared = k is q
    g = check_heads("dout", dout, q)
    B, H, T, d = q.array.shape
    dtype = q.rows.dtype
    groups = attention_exact.count_groups(max(1, B * H))
    tokens, counts = _places(cache.valid), cache.valid.sum(axis=1).astype(np.int64)
    delta = np.empty((B, H, T), dtype)
    dK, dV = np.zeros((2, groups, B, H, T, d), dtype)
    dq, dv = zeros_like(q), zeros_like(v)
    dk = dq if shared else zeros_like(k)
    with compute_threads(B * H * T * T * d):
        attention_rows.dot_rows(out.heads, g.heads, delta)
        attention_exact.attend_exact_backward(q.heads, k.heads, v.heads, g.heads, factors_of(q, cache.inverse), Valid(counts, tokens),
                                              cache.causal, shared, Saved(cache.top, cache.share, delta), dq.rows, dK, dV)
        attention_exact.scatter_keys(k.heads, v.heads, cache.inverse, shared, counts, tokens, dK, dV, dk.rows, dv.rows)
    return (dq.array, dv.array) if shared else (dq.array, dv.array, dk.array)


def _places(valid):
    """Valid tokens of every sequence, first; int32."""
    return np.argsort(~valid, axis=1, kind="stable").astype(np.int32)
