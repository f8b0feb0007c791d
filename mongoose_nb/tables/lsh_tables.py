"""LSH tables: a hash family and a bucket store under one version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.threads import row_threads
from mongoose_nb.core.validation import check_int

if TYPE_CHECKING:
    import scipy.sparse

    from mongoose_nb.hashing import HashFamily

# Rows that are hashed at once when tables are built.
BUILD_BLOCK = 1 << 15
# Buckets beyond this many per row held are empty for the most part; longer codes are folded onto fewer bits.
_ODD = np.uint32(2654435769)

#: largest id
_MOST = 2**31 - 1


def _columns(ids):
    """What picks the columns of ids out of an array: of one id a slice, which NumPy takes in a third of the time."""
    return slice(int(ids[0]), int(ids[0]) + 1) if len(ids) == 1 else ids


def fold_codes(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes as bucket numbers of fewer bits, by multiplicative hashing."""
    return (codes.astype(np.uint32) * _ODD) >> np.uint32(32 - bits)


class StaleTablesError(RuntimeError):
    """Tables were queried with hash functions other than those they were built with."""


class LSHTables:
    """L hash tables over rows, built, looked up and changed with one and the same hash functions.

    Parameters
    ----------
    family : hashing.HashFamily
        Gives every row a code per table. When its functions change (rebuild, new centre) its version does, and the tables refuse
        to answer until they are built again.
    capacity : int, optional
        Most ids in a bucket. None: no bound.
    policy : {"reservoir", "fifo"}
        What a full bucket keeps: a uniform sample of all arrivals, or the latest.
    seed : int
        Seed of the reservoir.

    Notes
    -----
    Row ids are 0 to n - 1. The codes of the rows are kept, so that a row can be removed or moved in O(L) without its old vector.
    Codes longer than the rows can use (2^bits above twice the rows) are folded to fewer bits by multiplicative hashing, which adds
    one false collision in about 2n pairs.
    """

    def __init__(self, family: HashFamily, *, capacity: int | None = None, policy: str = "reservoir", seed: int = 0) -> None:
        from mongoose_nb._ext import BucketStore

        self.family = family
        self.capacity, self.policy, self.seed = capacity, policy, seed
        BucketStore(family.L, 1, capacity=capacity, policy=policy, seed=seed)  # refuses bad settings now, not at the first build
        self._store = None
        self._codes = None  # (L, n): the bucket of every row
        self._present = None  # (n,) bool
        self._version = None

    # ------------------------------------------------------------------ state of the tables

    @property
    def built(self) -> bool:
        """Whether the tables hold rows hashed with the family's present functions."""
        return self._store is not None and self._version == self.family.version

    @property
    def version(self) -> int | None:
        """Version of the family that the tables were built with; None before the first build."""
        return self._version

    def __len__(self) -> int:
        return 0 if self._present is None else int(np.count_nonzero(self._present))

    def _check(self, version=None):
        if self._store is None:
            raise StaleTablesError("these tables are empty: call build(X) first")
        if self._version is None:
            raise StaleTablesError("the last build failed half way: call build(X) again")
        given = self.family.version if version is None else version
        if given != self._version:
            raise StaleTablesError(f"codes of version {given} meet tables built with version {self._version}: the hash functions "
                                   "changed since; call build(X) again")

    # ------------------------------------------------------------------ building and changing

    def fold(self, codes: np.ndarray) -> np.ndarray:
        """Codes of the family, of any shape, as bucket numbers of these tables."""
        return self._fold(codes, self._bits)

    def _fold(self, codes, bits):
        """Codes as bucket numbers of a store of 2^bits buckets."""
        if bits == self.family.code_bits:
            return codes
        return fold_codes(codes, bits)

    def build(self, X: np.ndarray | scipy.sparse.csr_matrix) -> LSHTables:
        """Hash all rows of `X` and load them as ids 0 to n - 1, replacing what was there.

        Parameters
        ----------
        X : (n, dim)
            Dense, CSR, or anything with a shape whose slices ``X[lo:hi]`` are one of these: rows may be made on the fly.
        """
        from mongoose_nb._ext import BucketStore
        from mongoose_nb.kernels.tables.buckets import build_buckets

        n = X.shape[0]
        bits = min(self.family.code_bits, max(8, int(max(1, n - 1)).bit_length() + 1), 26)
        reuse = self._codes is not None and self._codes.shape[1] == n and self._codes.dtype == self.family.code_dtype
        codes = self._codes if reuse else np.empty((self.family.L, n), self.family.code_dtype)
        for lo in range(0, n, BUILD_BLOCK):
            block = self._fold(self.family.hash_tables(X[lo:lo + BUILD_BLOCK]), bits)
            if reuse:
                self._version = None  # from here on the codes are no longer those of the rows in the store
            codes[:, lo:lo + BUILD_BLOCK] = block
        if self._store is None or self._store.n_buckets != 1 << bits:
            self._store = BucketStore(self.family.L, 1 << bits, capacity=self.capacity, policy=self.policy, seed=self.seed)
        build_buckets(*self._store.begin_build(codes))
        self._bits, self._codes = bits, codes
        self._present = np.ones(n, bool)
        self._version = self.family.version
        return self

    def _ids(self, ids, present):
        ids = np.asarray(ids)
        ids = ids if ids.ndim else ids[None]
        if ids.dtype.kind not in "iu" or ids.ndim != 1:
            raise TypeError(f"ids must be integers, one axis; got dtype {ids.dtype} and shape {ids.shape}")
        if len(ids) > 1 and len(np.unique(ids)) != len(ids):
            raise ValueError("ids must not repeat")
        n = len(self._present)
        if not present and len(ids) and ids.max() > _MOST:
            raise ValueError(f"ids must be at most {_MOST}, as tables hold int32; got {ids.max()}")
        if len(ids) == 1:
            row = int(ids[0])
            if row >= 0 and (row < n and bool(self._present[row])) == present:
                return ids.astype(np.int32)
        if present:
            wrong = ids[(ids < 0) | (ids >= n)]
            wrong = wrong if len(wrong) else ids[~self._present[ids]]
            if len(wrong):
                raise KeyError(f"id {wrong[0]} is not in the tables")
        else:
            low = ids[ids < 0]
            if len(low):
                raise ValueError(f"ids must be from 0 on; got {low[0]}")
            known = ids[ids < n]
            known = known[self._present[known]]
            if len(known):
                raise ValueError(f"id {known[0]} is in the tables already; use move to change it")
        return ids.astype(np.int32)

    def insert(self, ids: np.ndarray, X: np.ndarray | scipy.sparse.csr_matrix, *, codes: np.ndarray | None = None) -> None:
        """Add rows `X` (m, dim) under new `ids` (m,): O(L) a row. Where their bucket numbers `codes` (L, m) are given, X is not used."""
        self._check()
        ids = self._ids(ids, present=False)
        codes = self._rows(ids, X) if codes is None else codes
        need = int(ids[0] if len(ids) == 1 else ids.max(initial=-1)) + 1
        if need > len(self._present):
            size = max(need, len(self._present) * 5 // 4)
            grown = np.zeros((self.family.L, size), self._codes.dtype)
            grown[:, : len(self._present)] = self._codes
            self._codes = grown
            self._present = np.concatenate([self._present, np.zeros(size - len(self._present), bool)])
        self._store.insert(ids, codes)
        self._codes[:, _columns(ids)] = codes
        self._present[ids] = True

    def remove(self, ids: np.ndarray) -> int:
        """Take rows out: O(L) a row. Returns the number of bucket entries removed (a full bucket may have dropped some before)."""
        self._check()
        ids = self._ids(ids, present=True)
        removed = self._store.remove(ids, self._codes[:, _columns(ids)])
        self._present[ids] = False
        return removed

    def move(self, ids: np.ndarray, X: np.ndarray | scipy.sparse.csr_matrix, *, codes: np.ndarray | None = None) -> None:
        """Put rows where their new vectors `X` (m, dim) belong: O(L) a row, and only in tables where the code changed. `codes` as in
        `insert`."""
        self._check()
        ids = self._ids(ids, present=True)
        codes = self._rows(ids, X) if codes is None else codes
        columns = _columns(ids)
        self._store.move(ids, self._codes[:, columns], codes)
        self._codes[:, columns] = codes

    def refill(self, present: np.ndarray, ids: np.ndarray, codes: np.ndarray) -> None:
        """Load the buckets again after a change that failed half way.

        Parameters
        ----------
        present : ndarray of bool
            Which rows the tables are to hold.
        ids : ndarray of shape (m,)
            Rows whose bucket numbers the change may have overwritten.
        codes : ndarray of shape (L, m)
            Their bucket numbers; of the others, those that are kept count.
        """
        from mongoose_nb._ext import BucketStore
        from mongoose_nb.kernels.tables.buckets import build_buckets

        self._check()
        self._codes[:, ids] = codes
        n = self._codes.shape[1]
        held = np.concatenate([np.asarray(present[:n], bool), np.zeros(max(0, n - len(present)), bool)])
        store = BucketStore(self.family.L, 1 << self._bits, capacity=self.capacity, policy=self.policy, seed=self.seed)
        build_buckets(*store.begin_build(self._codes))
        absent = np.flatnonzero(~held).astype(np.int32)
        store.remove(absent, self._codes[:, absent])
        self._store, self._present = store, held

    def _rows(self, ids, X):
        if X.shape[0] != len(ids):
            raise ValueError(f"{len(ids)} ids came with {X.shape[0]} rows; give one row for each id")
        return self._fold(self.family.hash_tables(X), self._bits)

    # ------------------------------------------------------------------ looking up

    def codes(self, X: np.ndarray | scipy.sparse.csr_matrix) -> np.ndarray:
        """Bucket numbers (L, n) of queries `X` (n, dim) under the tables' own functions."""
        self._check()
        return self._fold(self.family.hash_tables(X), self._bits)

    @property
    def bits(self) -> int:
        """Bits of a bucket number."""
        return self._bits

    @property
    def folds(self) -> bool:
        """Whether bucket numbers have fewer bits than the family's codes."""
        return self._bits != self.family.code_bits

    @property
    def nbytes(self) -> int:
        """Bytes of buckets and of the rows' codes."""
        return 0 if self._store is None else self._store.nbytes + self._codes.nbytes + self._present.nbytes

    def flat_views(self) -> tuple[np.ndarray, int, np.ndarray]:
        """As `views`, the pools side by side: pool (1, L * P), the distance P of two tables' pools in it, spans (L, buckets, 2)."""
        pool, spans = self.views()
        return pool.reshape(1, -1), pool.shape[1], spans

    def codes_of(self, ids: np.ndarray) -> np.ndarray:
        """Bucket numbers (L, m) of rows that are in the tables."""
        self._check()
        return self._codes[:, ids]

    def views(self) -> tuple[np.ndarray, np.ndarray]:
        """The store's arrays for kernels: pool (L, P) int32 and spans (L, buckets, 2) int32; nothing is copied."""
        self._check()
        return self._store.views()

    def candidates(self, X: np.ndarray | scipy.sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        """All rows that share a bucket with a query in some table.

        Parameters
        ----------
        X : (n, dim)
            Queries, dense or CSR.

        Returns
        -------
        indptr : (n + 1,) int64
        ids : (indptr[-1],) int32
            Of query i in ``ids[indptr[i] : indptr[i + 1]]``, ascending.
        """
        return self._candidates(self.codes(X))

    def candidates_from_codes(self, codes: np.ndarray, version: int) -> tuple[np.ndarray, np.ndarray]:
        """As `candidates`, from the codes (n, L) that ``family.hash`` gave while its version was `version`.

        Raises
        ------
        StaleTablesError
            Where the tables were built with another version.
        """
        self._check(version)
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != self.family.L or codes.dtype.kind != "u":
            raise ValueError(f"codes must be unsigned, of shape (n, L={self.family.L}); got {codes.dtype} {codes.shape}")
        if codes.size and int(codes.max()) >> self.family.code_bits:
            raise ValueError(f"code {codes.max()} is beyond {self.family.code_bits} bits")
        return self._candidates(self._fold(np.ascontiguousarray(codes.T), self._bits))

    def _candidates(self, codes):
        import numba

        from mongoose_nb.kernels.tables.retrieve import unions

        pool, spans = self._store.views()
        n = codes.shape[1]
        indptr = np.zeros(n + 1, np.int64)
        seen = np.zeros((numba.get_num_threads(), len(self._present)), np.uint8)
        none = np.zeros(0, np.int32)
        with row_threads(n):
            unions(pool, spans, codes, seen, indptr[1:], indptr, none)
            np.cumsum(indptr, out=indptr)
            ids = np.empty(int(indptr[-1]), np.int32)
            unions(pool, spans, codes, seen, np.zeros(0, np.int64), indptr, ids)
        return indptr, ids

    def stats(self) -> dict:
        """How full the buckets are; see `BucketStore.stats`."""
        self._check()
        return self._store.stats()

    # ------------------------------------------------------------------ saving

    def state(self) -> dict:
        """Everything that makes these tables.

        Returns
        -------
        dict
            Nested dicts of plain values and arrays, for `from_state`. Tables that are not built have no ``"store"``.
        """
        state = {"capacity": self.capacity, "policy": self.policy, "seed": self.seed, "family": self.family.state()}
        if not self.built:
            return {**state, "store": None}
        return {**state, "bits": self._bits, "store": self._store.state(), "codes": self._codes.copy(), "present": self._present.copy()}

    @classmethod
    def from_state(cls, state: dict) -> LSHTables:
        """Make tables equal to those whose `state` this is.

        Parameters
        ----------
        state : dict

        Returns
        -------
        LSHTables

        Raises
        ------
        ValueError
            If the parts do not fit together.
        """
        from mongoose_nb._ext import BucketStore
        from mongoose_nb.hashing import family_from_state

        self = cls(family_from_state(state["family"]), capacity=state["capacity"], policy=state["policy"], seed=state["seed"])
        if state["store"] is None:
            return self
        self._bits = check_int("bits", state["bits"], low=1, high=26)
        self._store = BucketStore.from_state(state["store"])
        if self._store.n_buckets != 1 << self._bits or self._store.n_tables != self.family.L:
            raise ValueError("the saved buckets do not fit the saved hash family")
        codes, present = np.array(state["codes"]), np.array(state["present"], bool)
        if codes.shape != (self.family.L, len(present)) or (codes.size and int(codes.max()) >> self._bits):
            raise ValueError("the saved row codes do not fit the saved hash family")
        ids = state["store"]["ids"]
        if len(ids) and int(ids.max()) >= len(present):
            raise ValueError("the saved buckets name rows that are not there")
        self._codes, self._present = codes, present
        self._version = self.family.version
        return self

    def __repr__(self):
        return f"LSHTables({self.family!r}, rows={len(self)}, capacity={self.capacity}, policy={self.policy!r})"
