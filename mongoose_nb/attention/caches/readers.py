"""Attention of a sequence that comes in parts: the next tokens to those before them, of which a cache keeps keys and values."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.attention.caches.cache import KVCache, own_values
from mongoose_nb.attention.features import draw_features
from mongoose_nb.core.locks import FairLock, locked


class KeyReader:
    """Exact attention, or strictly causal hashing; queries are keys.

    Parameters
    ----------
    cache : KVCache
        An empty one.
    buckets : callable, optional
        Buckets (n, heads, rounds) of rows (n, heads, width). None reaches all tokens.
    last : int, optional
        Of the tokens of its bucket a token reaches the last so many.
    """

    def __init__(self, cache: KVCache, buckets: Any = None, last: int | None = None) -> None:
        self.cache, self.buckets, self.last = cache, buckets, last

    def read(self, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Outputs (n, heads, width) of the next tokens, whose queries and values these are, both of that shape.

        A token is its own key only where there is no other, so it is added behind its query. The bits of an output do not depend on how
        many tokens a call reads.
        """
        return self.cache.read(q, v, self._codes(q), self.last)

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
        self.n_features, self.seed, self.step, self.support, self._lock = n_features, seed, step, support, FairLock()
        self._omega: np.ndarray | None = None

    def _codes(self, q):
        return super()._codes(q) if self.buckets is not None else np.zeros((*q.shape[:2], 1), np.int32)

    @locked
    def read(self, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        from mongoose_nb.kernels.attention.cached import unit_rows

        codes, k, out = self._codes(q), np.empty_like(q), np.empty_like(q)
        unit_rows(np.ascontiguousarray(q), k)
        for i in range(len(q)):
            out[i] = self._read(q[i], k[i], v[i], codes[i])
        return out

    def _read(self, q, k, v, codes):
        from mongoose_nb.kernels.attention.scatter import add_token, attend_token

        heads, width = q.shape
        if self._omega is None:
            self._omega = np.array(draw_features(heads, self.n_features, width, self.seed, self.step))
            self._sums, self._empty = np.zeros((heads, self.n_features, width + 1)), np.zeros((heads, 0, width))
            # features of the support's keys; of a cache that forgets or rounds, they are computed again
            exact = self.support and self.cache.budget is None and self.cache.bits is None
            self._seen, self._features = 0, np.empty((heads, 16 if exact else 0, self.n_features))
        elif self._seen == self._features.shape[1]:
            self._features = np.concatenate([self._features, np.empty_like(self._features)], axis=1)
        scale = width**-0.25
        query, out = q * scale if q.dtype == np.float64 else q.astype(np.float64) * scale, np.zeros(q.shape)

        def attend(keys, values, allowed, n, weights):
            attend_token(query, keys, values, allowed, n, scale, self._omega, self._sums, self._features, out, weights)

        if self.support and len(self.cache):
            self.cache.attend(q, codes=codes, last=self.last, kernel=attend)
            alone = ~self.cache.reached(heads, codes, self.last).any(axis=1)
        else:
            alone = np.full(heads, True)
            if self._seen:
                attend(self._empty, self._empty, np.zeros((heads, 0), bool), 0, np.zeros((heads, 0)))
        if self.n_features and self._seen:
            alone[:] = False
        out[alone] = own_values(q[alone], v[alone])
        if self.support:
            k, v = self.cache.append(k, v, codes)
        if self.n_features:
            add_token(k.astype(np.float64) * scale, v.astype(np.float64), self._omega, self._sums, self._features, self._seen)
        self._seen += 1
        return out.astype(q.dtype)

