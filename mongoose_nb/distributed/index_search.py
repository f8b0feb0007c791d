"""What asks the shards of an index, and makes one answer of theirs."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.validation import check_int
from mongoose_nb.distributed.index_shard import shard_of
from mongoose_nb.distributed.merging import merge_answers, merge_radius
from mongoose_nb.hashing.rows import is_sparse
from mongoose_nb.search.allowed import filters
from mongoose_nb.search.ids import as_ids
from mongoose_nb.search.radii import radii


class Searchable:
    """The part of `distributed.LSHIndex` that is asked; its shards are made there."""

    _shards: Any
    _empty: Any
    _lock: Any
    _n: int
    _replicas: int
    _turn: int

    def _ask(self, method, calls):
        """Results of shards, each from one of its replicas, in turn."""
        none, self._turn = [None] * self._n, (self._turn + 1) % self._replicas
        lo = self._turn * self._n
        return self._shards.call_or_raise(method, none * self._turn + calls + none * (self._replicas - 1 - self._turn))[lo:lo + self._n]

    def _parts(self, ids):
        """Places of the ids of every shard."""
        shard = shard_of(ids, self._n)
        return [np.flatnonzero(shard == i) for i in range(self._n)]

    def _checked(self, X):
        """Rows in two dimensions, in the form in which all are kept, after the checks of the local index."""
        rows, batch = self._empty.builder.check(X)
        X = X.tocsr() if is_sparse(X) else np.atleast_2d(np.asarray(X))
        if is_sparse(X) != bool(rows.sparse):
            from scipy import sparse

            X = sparse.csr_matrix(X) if rows.sparse else X.toarray()
        return X, rows.count(batch)

    def query(self, Q: Any, k: int = 10, *, probes: int | None = None, rerank: int | None = None, exact: bool = False,
              allowed: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows of each query.

        Parameters
        ----------
        Q : array_like or CSR matrix of shape (n, dim)
        k : int
        probes, rerank : int, optional
            In every shard.
        exact : bool
            Whether to look at every row.
        allowed : array_like of ids, mask or callable, or a list of n of these, optional
            Which rows may be answers, as for the local index. A function is sent to the workers.

        Returns
        -------
        ids : ndarray of shape (n, k), int64
            Nearest first, of equally near rows the lower id; -1 where there are fewer rows.
        distances : ndarray of shape (n, k), float32
        """
        k = check_int("k", k, low=1)
        with self._lock:
            Q, n = self._checked(Q)
            allowed = self._filters(allowed, n)
            options = {"probes": probes, "rerank": rerank, "exact": exact}

            def call(part, i):
                own = allowed[i]
                return Q[part], k, {**options, "allowed": own[part] if isinstance(own, list) else own}

            parts = self._divided("query", n, call)
            ids, distances = zip(*(merge_answers(part, k) for part in parts), strict=True)
            return np.concatenate(ids), np.concatenate(distances)

    def radius(self, Q: Any, r: float | np.ndarray, *, probes: int | None = None,
               exact: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All rows found within a distance of a query.

        Parameters
        ----------
        Q : array_like or CSR matrix of shape (n, dim)
        r : float or array_like of shape (n,)
            As for the local index.
        probes, exact
            As in `query`.

        Returns
        -------
        indptr : ndarray of shape (n + 1,), int64
        ids : ndarray of shape (indptr[-1],), int64
            Of query i ``ids[indptr[i] : indptr[i + 1]]``, nearest first, of equally near rows the lower id.
        distances : ndarray of shape (indptr[-1],), float32
        """
        with self._lock:
            Q, n = self._checked(Q)
            r = radii(r, n, self._empty.builder.metric.signed)
            parts = self._divided("radius", n, lambda part, i: (Q[part], r[part], {"probes": probes, "exact": exact}))
            indptr, ids, distances = zip(*(merge_radius(part) for part in parts), strict=True)
            sizes = np.concatenate([np.diff(part) for part in indptr])
            return np.concatenate([[0], np.cumsum(sizes)]), np.concatenate(ids), np.concatenate(distances)

    def _divided(self, method, n, call):
        """Answers of all shards to each part of n queries, which the replicas share; ``call(part, i)`` gives the arguments of shard i."""
        bounds = [n * t // self._replicas for t in range(self._replicas + 1)]
        parts = [slice(lo, hi) for lo, hi in zip(bounds, bounds[1:], strict=False)]
        found = self._shards.call_or_raise(method, [call(part, i) for part in parts for i in range(self._n)])
        return [found[t * self._n:(t + 1) * self._n] for t in range(self._replicas)]

    def _filters(self, allowed, n):
        """A filter for each shard, or a list of filters of all queries for each shard; None for none."""
        if allowed is None:
            return [None] * self._n
        each = filters(allowed, n)
        ids = self.ids if any(isinstance(one, np.ndarray | list) and np.asarray(one).dtype == bool for one in each or [allowed]) else None
        split = [self._filter(one, ids) for one in each or [allowed]]
        return [split[0][i] if each is None else [one[i] for one in split] for i in range(self._n)]

    def _filter(self, one, ids):
        """One filter as a filter for each shard: of ids and masks, the ids that are there."""
        if one is None or callable(one):
            return [one] * self._n
        one = np.asarray(one)
        if one.dtype == bool:
            if one.shape != ids.shape:
                raise ValueError(f"the mask has shape {one.shape}, the index {len(ids)} rows: give one boolean for each of index.ids")
            one = ids[one]
        one = as_ids(one)
        return [one[at] for at in self._parts(one)]
