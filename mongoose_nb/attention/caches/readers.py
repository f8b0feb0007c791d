"""Attention of a sequence token by token: the next token to those before it, of which a cache keeps keys and values."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.attention.caches.cache import KVCache
from mongoose_nb.attention.features import draw_features


class KeyReader:
    """Exact attention, or strictly causal hashing; queries are keys.

    Parameters
    ----------
    cache : KVCache
        An empty one.
    buckets : callable, optional
        Buckets (heads, rounds) of one row a head (heads, width). None reaches all tokens.
    last : int, optional
        Of the tokens of its bucket a token reaches the last so many.
    """

    def __init__(self, cache: KVCache, buckets: Any = None, last: int | None = None) -> None:
        self.cache, self.buckets, self.last = cache, buckets, last

    def read(self, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Outputs (heads, width) of the next token, whose query and value these are, both of that shape.

        It is its own key only where there is no other, so it is added behind its query.
        """
        cache, codes = self.cache, self._codes(q)
        out = cache.attend(q, codes=codes, last=self.last)
        alone = cache.unreached
        out[alone] = v[alone]
        cache.append(unit(q), v, codes)
        return out

    def _codes(self, q):
        return None if self.buckets is None else self.buckets(q)


class FeatureReader(KeyReader):
    """Random features, with a support of keys or without: sums over all tokens, in which those stay that the cache forgets.

    Parameters
    ----------
    cache : KVCache
        Of the keys of the support. Policies see the weights of the support alone.
    n_features, seed, step
        Of `attention.features.draw_features`.
    buckets, last
        See `KeyReader`; with `last` and no buckets, the support are the last tokens.
    support : bool
        Without one, the cache stays empty.
    """

    def __init__(self, cache: KVCache, n_features: int, seed: int, step: int, buckets: Any = None, last: int | None = None,
                 support: bool = True) -> None:
        super().__init__(cache, buckets, last)
        if not support and (cache.budget is not None or cache.bits is not None):
            raise ValueError(f"random features alone keep sums, and no token that could be forgotten or stored in few bits; got {cache!r}. "
                             "Give cache=True for this layer")
        self.n_features, self.seed, self.step, self.support = n_features, seed, step, support
        self._omega: np.ndarray | None = None

    def _codes(self, q):
        return super()._codes(q) if self.buckets is not None else np.zeros((len(q), 1), np.int32)

    def read(self, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        from mongoose_nb.kernels.attention.scatter import add_token, attend_token

        heads, width = q.shape
        if self._omega is None:
            self._omega = np.array(draw_features(heads, self.n_features, width, self.seed, self.step))
            self._sums, self._empty = np.zeros((heads, self.n_features, width + 1)), np.zeros((heads, 0, width))
            self._seen = 0
        scale, codes = width**-0.25, self._codes(q)
        query, out = q * scale if q.dtype == np.float64 else q.astype(np.float64) * scale, np.zeros(q.shape)

        def attend(keys, values, allowed, n, weights):
            attend_token(query, keys, values, allowed, n, scale, self._omega, self._sums, out, weights)

        if self.support and len(self.cache):
            self.cache.attend(q, codes=codes, last=self.last, kernel=attend)
            alone = ~self.cache.reached(heads, codes, self.last).any(axis=1)
        else:
            alone = np.full(heads, True)
            if self._seen:
                attend(self._empty, self._empty, np.zeros((heads, 0), bool), 0, np.zeros((heads, 0)))
        if self.n_features and self._seen:
            alone[:] = False
        out[alone] = v[alone]
        k = unit(q)
        if self.support:
            k, v = self.cache.append(k, v, codes)
        if self.n_features:
            add_token(k.astype(np.float64) * scale, v.astype(np.float64), self._omega, self._sums)
        self._seen += 1
        return out.astype(q.dtype)


def unit(q: np.ndarray) -> np.ndarray:
    """Rows of length one; rows of zeros stay."""
    length = np.sqrt((q * q).sum(axis=1, keepdims=True))
    return q / np.where(length > 0, length, 1)
