"""Scatterbrain: exact attention on a sparse support, random features for all the rest (Chen et al., NeurIPS 2021)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mongoose_nb.attention._arrays import Rows, check_heads, check_mask
from mongoose_nb.attention.caches.cache import KVCache
from mongoose_nb.attention.caches.readers import FeatureReader
from mongoose_nb.attention.features import draw_features
from mongoose_nb.attention.lsh import LSHAttention
from mongoose_nb.core.validation import check_choice, check_int


class ScatterbrainCache(NamedTuple):
    """What the backward pass needs of the forward pass."""

    q: Rows
    inputs: object  # kernels.attention.scatter.Inputs
    lengths: np.ndarray  # (n, T, 1), of the keys where queries are keys, else ones
    shared: bool
    out: np.ndarray  # (n, T, d) float64
    top: np.ndarray
    total: np.ndarray
    buckets: None = None


class ScatterbrainAttention:
    """The sum of sparse attention and a low-rank estimate: exact on the support, positive random features off it, no pair counted twice.

    Calls are those of `LSHAttention`. Without separate keys, queries are keys: these are scaled to length one, and a token
    attends to itself only where there is nothing else. Scores are scaled by 1 / sqrt(width).

    Parameters
    ----------
    n_features : int
        Random features of a head. With 0 there is no low-rank part: sparse attention alone.
    support : {"lsh", "local", None} or bool array
        Pairs to compute exactly: those that a round of hashing reaches, those closer than `window`, or True in an array (tokens, tokens)
        or (batch, heads, tokens, tokens), queries first. None has no sparse part: this is the Performer (Choromanski et al., ICLR 2021).
    n_hashes, bucket_size : int
        Of the support by hashing; see `LSHAttention`. On queries of trained models, 8 rounds of buckets of 2 had a third of the error of
        one round of buckets of 16.
    window : int
        Of the local support: a query reaches the last `window` tokens up to itself, and without `causal` as many behind.
    causal : bool or "strict"
        Whether a token sees those before it only; ``"strict"`` is short for ``causal=True, strict=True``.
        The low-rank part and all supports but the hashed one never depend on later tokens.
    strict, n_buckets
        Let the hashed support depend on nothing later either; see `LSHAttention`.
    seed : int
        Keys features and rotations.
    redraw : bool
        Whether both depend on the step.
    """

    def __init__(self, n_features: int = 64, support: Any = "lsh", n_hashes: int = 2, bucket_size: int = 32, window: int = 64,
                 causal: bool | str = False, strict: bool = False, n_buckets: int | None = None, seed: int = 0,
                 redraw: bool = False) -> None:
        self.n_features = check_int("n_features", n_features, low=0)
        if support is None or isinstance(support, str):
            self.support = None if support is None else check_choice("support", support, ("lsh", "local"))
        else:
            self.support = np.asarray(support)
            if self.support.dtype != bool or self.support.ndim not in (2, 4) or self.support.shape[-1] != self.support.shape[-2]:
                raise ValueError("support must be 'lsh', 'local', None or a bool array (tokens, tokens) or (batch, heads, tokens, tokens); "
                                 f"got {self.support.dtype} {self.support.shape}")
        if self.support is None and not self.n_features:
            raise ValueError("n_features=0 and support=None leave nothing to compute; give features, a support or both")
        if isinstance(causal, str):
            check_choice("causal", causal, ("strict",))
        strict = (bool(strict) or isinstance(causal, str)) and isinstance(self.support, str) and self.support == "lsh"
        self.window = check_int("window", window, low=1)
        self.causal, self.seed, self.redraw = bool(causal), check_int("seed", seed, low=0), bool(redraw)
        self.lsh = LSHAttention(n_hashes, bucket_size, self.causal, seed=self.seed, exact_below=0, redraw=redraw, strict=strict,
                                n_buckets=n_buckets)

    def support_of(self, qk: np.ndarray, k: np.ndarray | None = None, mask: np.ndarray | None = None,
                   step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Pairs that are computed exactly: query t of head n = batch * heads reaches ``keys[start[n, t]:start[n, t + 1]]``.

        Returns
        -------
        start : (batch * heads, tokens + 1) int64
        keys : int32
        """
        q = check_heads("qk", qk)
        B, H, T, _ = q.array.shape
        valid, _ = check_mask(mask, B, T)
        if isinstance(self.support, str) and self.support == "lsh":
            return self._by_hashing(q.array, k, mask, valid, step)
        if self.support is None:
            return np.zeros((B * H, T + 1), np.int64), np.empty(0, np.int32)
        if isinstance(self.support, str):
            return self._window(valid, H, k is None)
        if self.support.shape not in ((T, T), (B, H, T, T)):
            raise ValueError(f"support is for arrays of {self.support.shape}; qk needs {(T, T)} or {(B, H, T, T)}")
        pairs = np.broadcast_to(self.support, (B, H, T, T)) & valid[:, None, None, :] & valid[:, None, :, None]
        if self.causal:
            pairs = pairs & np.tri(T, dtype=bool)
        if k is None:
            pairs = pairs & ~np.eye(T, dtype=bool)
        pairs = pairs.reshape(B * H, T, T)
        return _starts(pairs.sum(axis=2)), np.nonzero(pairs)[2].astype(np.int32)

    def _window(self, valid, heads, shared):
        B, T = valid.shape
        window = min(self.window, T)
        offsets = np.arange(-window + 1, 1 if self.causal else window)
        if shared:
            offsets = offsets[offsets != 0]
        near = np.arange(T)[:, None] + offsets
        inside = (near >= 0) & (near < T)
        pairs = inside & valid[:, :, None] & valid[:, np.clip(near, 0, T - 1)]
        counts, found = pairs.sum(axis=2), [near[p].astype(np.int32) for p in pairs]
        keys = np.concatenate([f for f in found for _ in range(heads)] or [np.empty(0, np.int32)])
        return _starts(np.repeat(counts, heads, axis=0)), keys

    def _by_hashing(self, qk, k, mask, valid, step):
        from mongoose_nb.kernels.attention.scatter import collect

        if k is not None and self.lsh.strict:
            raise ValueError("strict=True has no separate keys: leave k out")
        reach, slot = self.lsh.reach(qk, k, mask, step)
        B, H, R, T = slot.shape
        order = np.argsort(np.where(slot < 0, T, slot), axis=3, kind="stable").astype(np.int32)
        start = np.zeros((B * H, T + 1), np.int64)
        keys = np.empty(0, np.int32)
        collect(order, slot, reach, valid, self.causal, k is None, False, start, keys)
        start = _starts(start[:, 1:])
        keys = np.empty(start[-1, -1] if start.size else 0, np.int32)
        collect(order, slot, reach, valid, self.causal, k is None, True, start, keys)
        return start, keys

    def forward(self, qk: np.ndarray, v: np.ndarray, k: np.ndarray | None = None, mask: np.ndarray | None = None, step: int = 0,
                buckets: None = None) -> tuple:
        """(out like qk, cache for `backward`); arguments as in `LSHAttention.forward`, `buckets` is not used."""
        from mongoose_nb.core.threads import compute_threads
        from mongoose_nb.kernels.attention.scatter import Inputs, attend

        q = check_heads("qk", qk)
        values = check_heads("v", v, q)
        keys = q if k is None else check_heads("k", k, q)
        B, H, T, d = q.array.shape
        valid, _ = check_mask(mask, B, T)
        with compute_threads(B * H * T * d * (self.n_features + 2 * self.lsh.n_hashes * self.lsh.bucket_size)):
            start, ids = self.support_of(q.array, k, mask, step)
            omega = draw_features(H, self.n_features, d, self.seed, step if self.redraw else 0)
            arrays = [np.array(rows.array, np.float64, order="C").reshape(B * H, T, d) for rows in (q, keys, values)]
            lengths = np.ones((B * H, T, 1))
            if k is None:
                lengths = np.sqrt((arrays[1] ** 2).sum(axis=2, keepdims=True))
                lengths[lengths == 0] = 1.0
                arrays[1] /= lengths
            arrays[0] *= d**-0.25
            arrays[1] *= d**-0.25
            inputs = Inputs(arrays[0], arrays[1], arrays[2], omega, valid, start, ids)
            out, top, total = np.zeros((B * H, T, d)), np.zeros((B * H, T)), np.zeros((B * H, T))
            attend(inputs, self.causal, k is None, out, top, total)
        return _like(q, out), ScatterbrainCache(q, inputs, lengths, k is None, out, top, total)

    def backward(self, dout: np.ndarray, cache: ScatterbrainCache) -> tuple:
        """Gradients for the gradient `dout` of the output: (dqk, dv), or (dq, dv, dk) where keys were given; arrays like qk."""
        from mongoose_nb.core.threads import compute_threads
        from mongoose_nb.kernels.attention.scatter import attend_backward

        inputs = cache.inputs
        g = np.array(check_heads("dout", dout, cache.q).array, np.float64, order="C").reshape(inputs.q.shape)
        dq, dk, dv = (np.zeros(inputs.q.shape) for _ in range(3))
        T, d = inputs.q.shape[1:]
        with compute_threads(inputs.q.size * (self.n_features + 2 * self.lsh.n_hashes * self.lsh.bucket_size)):
            attend_backward(inputs, self.causal, cache.shared, cache.out, cache.top, cache.total, g, dq, dk, dv)
        dq *= d**-0.25
        dk *= d**-0.25
        if not cache.shared:
            return _like(cache.q, dq), _like(cache.q, dv), _like(cache.q, dk)
        unit = inputs.k * d**0.25
        dq += (dk - (dk * unit).sum(axis=2, keepdims=True) * unit) / cache.lengths
        return _like(cache.q, dq), _like(cache.q, dv)

    def reader(self, cache: KVCache, step: int = 0) -> FeatureReader:
        """Attention of one sequence token by token; queries are keys. Features are kept as sums, keys of the support in an empty cache.

        Tokens that the cache forgets stay in the sums.

        Raises
        ------
        ValueError
            Where attention depends on later tokens, or where the support is an array.
        """
        lsh = isinstance(self.support, str) and self.support == "lsh"
        if not self.causal or isinstance(self.support, np.ndarray) or lsh and not self.lsh.strict:
            raise ValueError("a cache needs attention that never depends on later tokens: causal=True, and a support that is 'local', "
                             f"None, or 'lsh' with strict=True; got {self!r}")
        step = step if self.redraw else 0
        if not lsh:
            return FeatureReader(cache, self.n_features, self.seed, step, last=self.window - 1, support=self.support is not None)
        return FeatureReader(cache, self.n_features, self.seed, step, self.lsh.row_buckets(step),
                             self.lsh.scheme.chunk * self.lsh.bucket_size - 1)

    def __repr__(self):
        support = self.support if self.support is None or isinstance(self.support, str) else f"bool array {self.support.shape}"
        return (f"ScatterbrainAttention(n_features={self.n_features}, support={support!r}, n_hashes={self.lsh.n_hashes}, "
                f"bucket_size={self.lsh.bucket_size}, window={self.window}, causal={self.causal}, strict={self.lsh.strict})")


def _starts(counts):
    """Places of rows of `counts` (n, T) keys, one after the other."""
    n, T = counts.shape
    ends = np.cumsum(counts.reshape(-1), dtype=np.int64).reshape(n, T)
    first = ends[:, :1] - counts[:, :1]
    return np.concatenate([first, ends], axis=1)


def _like(q, x):
    """x (n, T, d) with the dtype and the layout of the rows q."""
    B, H, T, d = q.array.shape
    x = x.reshape(B, H, T, d)
    if q.array.flags.c_contiguous:
        return x.astype(q.rows.dtype)
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3), q.rows.dtype).transpose(0, 2, 1, 3)


def scatterbrain_attention(qk: np.ndarray, v: np.ndarray, *, k: np.ndarray | None = None, mask: np.ndarray | None = None, step: int = 0,
                           **settings: Any) -> tuple:
    """`ScatterbrainAttention` as one function.

    Parameters
    ----------
    qk, v, k, mask, step
        As in `LSHAttention.forward`.
    **settings
        Arguments of `ScatterbrainAttention`, such as ``n_features=64``.

    Returns
    -------
    out : array like qk
    backward : callable
        ``backward(dout)`` gives (dqk, dv), or (dq, dv, dk) with `k`.
    """
    layer = ScatterbrainAttention(**settings)
    out, cache = layer.forward(qk, v, k, mask, step)
    return out, lambda dout: layer.backward(dout, cache)
