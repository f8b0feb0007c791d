"""What every hash family shares: checks, code widths, versions and the centre.

Its state is in `mongoose_nb.hashing.saved`, and how often codes agree in `mongoose_nb.hashing.collisions`.
"""

import abc
import math
import operator
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import Registered, is_own, registered
from mongoose_nb.core.threads import row_threads
from mongoose_nb.hashing.arguments import as_count, as_float32, as_seed
from mongoose_nb.hashing.collisions import CollisionModel
from mongoose_nb.hashing.rows import check_finite, csr_rows, dense_rows, is_sparse
from mongoose_nb.hashing.saved import SavedFamily

# Numbers of sparse rows that are made dense at a time.
_DENSE = 1 << 22


class HashFamily(CollisionModel, SavedFamily, Registered, abc.ABC, kind="hash family"):
    """Base of the hash families: K hashes are concatenated to the code of one table, and there are L tables.

    A family draws its functions from ``(seed, number of rebuilds)`` and counts every change of them in `version`, so
    that whoever stores codes can tell whether they still fit.

    A subclass keeps the arguments of its constructor as attributes of the same names, and then calls this constructor. It names
    the arrays that are its functions in `arrays`, draws them in `_draw` from ``self._key()``, and hashes in `_hash_dense`. It states
    what it can do by `similarity`, `trainable`, `closed_form` and `takes_center`. Optional are `_hash_csr`, for sparse rows without
    making them dense; `_probe_dense`, `_probe_csr` and `max_probes`, for multi-probe; `_center_changed`, for what depends on the centre;
    and `_check_arrays`, for functions that come from a file.

    Parameters
    ----------
    dim : int
        Number of coordinates of a row.
    K : int
        Hashes per table.
    L : int
        Number of tables.
    seed : int, default 0
        Key of the random functions, 0 <= seed < 2^64.
    center : array_like of shape (dim,), optional
        Vector subtracted from every row before it is hashed.
    """

    #: attributes that hold the functions: arrays, or a number that they all follow from; saved without their underscores
    arrays = ()

    #: bits of one hash; None where the hashes of a table are folded into one code, see `code_bits`, or where they are an argument
    bits_per_hash: Any = 1

    #: whether `center` means anything to this family
    takes_center = True

    #: of what rows must have much in common to collide: "cosine", "rank", "euclidean", "manhattan", "jaccard" or "hamming"
    similarity = None

    #: whether there is ``functions``, (dim, K * L), and ``set_functions``, so that `LearnedHash` can train them
    trainable = False

    #: whether `collision_probability` is the exact one, and the K * L hashes are independent
    closed_form = True

    def __init__(self, dim: int, K: int, L: int, *, seed: int = 0, center: ArrayLike | None = None) -> None:
        self._dim = as_count(dim, "dim")
        self._K = as_count(K, "K")
        self._L = as_count(L, "L")
        self._seed = as_seed(seed)
        saved = vars(self).pop("_saved", None)
        self._generation, self._version = (0, 0) if saved is None else (int(saved["generation"]), int(saved["version"]))
        if self.code_bits > 32:
            raise ValueError(
                f"a table code may have at most 32 bits, but K={self.K} hashes of {self.bits_per_hash} bits make "
                f"{self.code_bits}; use K <= {32 // self.bits_per_hash}")
        self._center = None if center is None else self._check_center(center)
        if saved is None:
            self._draw()
        else:
            self._take_arrays(saved)
        self._center_changed()

    # --- what a family is ---------------------------------------------------------------------------------------------

    dim = property(operator.attrgetter("_dim"), doc="Number of coordinates of a row.")
    K = property(operator.attrgetter("_K"), doc="Hashes per table.")
    L = property(operator.attrgetter("_L"), doc="Number of tables.")
    seed = property(operator.attrgetter("_seed"), doc="Key of the random functions.")
    version = property(operator.attrgetter("_version"), doc="How often the functions or the centre have changed.")

    @property
    def code_bits(self) -> int:
        """Bits of one table code: ``K * bits_per_hash`` unless the family says otherwise."""
        return self.K * self.bits_per_hash

    @property
    def n_buckets(self) -> int:
        """Number of different codes of one table, ``2 ** code_bits``."""
        return 1 << self.code_bits

    @property
    def code_dtype(self) -> np.dtype:
        """Smallest of uint8, uint16 and uint32 that holds a table code."""
        return np.dtype(np.uint8 if self.code_bits <= 8 else np.uint16 if self.code_bits <= 16 else np.uint32)

    @property
    def center(self) -> np.ndarray | None:
        """The vector subtracted from every row, (dim,) float32 and read-only, or None. Assigning is `set_center`."""
        return self._center

    @center.setter
    def center(self, mu: ArrayLike | None) -> None:
        self.set_center(mu)

    def set_center(self, mu: ArrayLike | None) -> Self:
        """Subtract `mu` from every row from now on.

        Rows that lie in one orthant, such as ReLU activations, look alike to a hash of angles; subtracting their mean
        spreads them over the buckets. Counts as a change of `version` unless the centre stays the same.

        Parameters
        ----------
        mu : array_like of shape (dim,) or None
            The new centre; None for none.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If the family hashes sets or bits, from which nothing can be subtracted.
        """
        mu = None if mu is None else self._check_center(mu)
        if mu is self._center or (mu is not None and self._center is not None and np.array_equal(mu, self._center)):
            return self
        self._center = mu
        self._center_changed()
        self._version += 1
        return self

    def rebuild(self, seed: int | None = None) -> Self:
        """Draw new functions and increase `version`.

        Parameters
        ----------
        seed : int, optional
            Start over from this seed. Without it the seed stays and the next functions of its sequence are drawn, so
            repeated rebuilds give different functions, the same in every run.

        Returns
        -------
        self
        """
        if seed is None:
            self._generation += 1
        else:
            self._seed, self._generation = as_seed(seed), 0
        self._draw()
        self._center_changed()
        self._version += 1
        return self

    # --- hashing ------------------------------------------------------------------------------------------------------

    def hash(self, X: Any) -> np.ndarray:
        """Hash rows.

        Parameters
        ----------
        X : array_like of shape (n, dim) or (dim,), or SciPy CSR matrix or array of shape (n, dim)
            Rows; computed in float32. Read-only and memory-mapped arrays are taken as they are.

        Returns
        -------
        codes : ndarray of shape (n, L), unsigned
            One code per row and table, of dtype `code_dtype`. A 1-D input counts as one row. The array is the
            transposed view of a C-contiguous one: the codes of a table lie together.

        Raises
        ------
        TypeError
            If `X` is not numeric, or sparse in another format than CSR.
        ValueError
            If `X` has the wrong shape or holds NaN or infinity.
        """
        return self.hash_tables(X).T

    def hash_tables(self, X: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Hash rows, table by table: the transpose of `hash`.

        Parameters
        ----------
        X : as in `hash`
        out : C-contiguous ndarray of shape (L, n) and dtype `code_dtype`, optional
            Where to write.

        Returns
        -------
        codes : ndarray of shape (L, n)
            `out` if it was given.

        Raises
        ------
        TypeError, ValueError
            As in `hash`; ValueError also if `out` does not fit.
        """
        dense, parts, n = self._check_rows(X)
        if out is None:
            out = np.empty((self.L, n), self.code_dtype)
        else:
            self._check_out(out, n)
        if n:
            with row_threads(n):
                if parts is None:
                    self._hash_dense(dense, out)
                else:
                    self._hash_csr(parts[0], parts[1], parts[2], out)
            if is_own(type(self)) and int(out.max()) >= self.n_buckets:
                raise RuntimeError(f"{type(self).__qualname__} gave code {out.max()}; codes must be from 0 to n_buckets - 1 = "
                                   f"{self.n_buckets - 1}")
        return out

    # --- multi-probe --------------------------------------------------------------------------------------------------

    @classmethod
    def multi_probe(cls) -> bool:
        """Whether this family has codes of further buckets to look into."""
        return cls._probe_dense is not HashFamily._probe_dense

    @property
    def max_probes(self) -> int:
        """Most codes per row and table that `probe_tables` can give; 1 for a family without multi-probe."""
        return 1

    def probe_tables(self, X: Any, probes: int) -> np.ndarray:
        """Codes of the buckets to look into for queries, the most promising first (query-directed multi-probe).

        A neighbour of a query that is not in its bucket is likely in one of the next ones, and the query's own
        projections tell in which; looking there too finds with few tables what else takes many.

        Parameters
        ----------
        X : as in `hash`
        probes : int
            Codes per row and table, 1 <= probes <= `max_probes`.

        Returns
        -------
        codes : ndarray of shape (L, n, probes), of dtype `code_dtype`
            ``codes[:, :, 0]`` is `hash_tables`; the others follow in order of decreasing estimated probability to hold
            a neighbour. All codes of one row and table are different.

        Raises
        ------
        TypeError, ValueError
            As in `hash`; ValueError also if the family has no multi-probe or not so many codes.
        """
        probes = as_count(probes, "probes")
        if probes > self.max_probes:
            if self.max_probes == 1:
                able = [name for name, known in registered("hash family").items() if known.multi_probe()]  # type: ignore[attr-defined]
                raise ValueError(f"probes is {probes}, but {type(self).__name__} has no multi-probe; use probes=1 and more "
                                 f"tables, or one of the families {able}")
            raise ValueError(f"probes is {probes}, but a table of this family can be probed at {self.max_probes} codes at "
                             f"most; use probes <= {self.max_probes}, or a larger K")
        dense, parts, n = self._check_rows(X)
        out = np.empty((self.L, n, probes), self.code_dtype)
        with row_threads(n):
            if n and probes == 1:
                if parts is None:
                    self._hash_dense(dense, out[:, :, 0])
                else:
                    self._hash_csr(parts[0], parts[1], parts[2], out[:, :, 0])
            elif n:
                if parts is None:
                    self._probe_dense(dense, out)
                else:
                    self._probe_csr(parts[0], parts[1], parts[2], out)
        return out

    @property
    def sign_functions(self) -> np.ndarray | None:
        """Functions (dim, K * L) float32 whose products with a row have the hashes as their signs, column ``t * K + k`` for hash k of
        table t; None where codes are made otherwise. Such a family has `probe_signs`."""
        return None

    def probe_signs(self, Y: np.ndarray, probes: int) -> np.ndarray:
        """Codes as `probe_tables` gives them, by the signs of float32 sums, on the calling thread and without checks.

        A projection that is zero within rounding may get another sign than in `hash`. Search indexes hash with this method both
        the rows that they hold and queries.

        Parameters
        ----------
        Y : ndarray of shape (n, m), float32
            Rows of which the first `dim` coordinates are hashed, m >= dim.
        probes : int
            Codes per row and table, 1 <= probes <= `max_probes`.

        Returns
        -------
        ndarray of shape (n, L, probes), uint32
        """
        raise NotImplementedError(f"{type(self).__name__} has no sign_functions")

    # --- in a search index --------------------------------------------------------------------------------------------

    @classmethod
    def hashes_for(cls, n: int, dim: int) -> int:
        """Hashes per table with which a search index of `n` rows of `dim` coordinates has about four rows in a bucket."""
        return max(4, min(22, round(math.log2(max(n, 2))) - 2))

    @classmethod
    def for_index(cls, dim: int, K: int, L: int, *, seed: int = 0, **options) -> "HashFamily":
        """A family as search indexes use it; `options` are arguments of the constructor.

        Returns
        -------
        HashFamily
        """
        return cls(dim, K, L, seed=seed, **options)

    def __repr__(self):
        parts = {"dim": self.dim, "K": self.K, "L": self.L, "seed": self.seed, **self._own_arguments()}
        text = ", ".join(f"{name}={value!r}" for name, value in parts.items())
        return f"{type(self).__name__}({text}{'' if self._center is None else ', center=...'}) version {self.version}"

    # --- what a subclass fills in -------------------------------------------------------------------------------------

    @abc.abstractmethod
    def _draw(self):
        """Draw the functions from `_key`."""

    @abc.abstractmethod
    def _hash_dense(self, X, out):
        """Hash the C-contiguous float32 rows `X`, at least one, into `out` (L, n)."""

    def _hash_csr(self, indptr, indices, values, out):
        """Hash CSR rows (int64, int32, float32; sorted, without duplicates), at least one, into `out` (L, n).

        By default they are made dense, some thousand at a time.
        """
        step = max(1, _DENSE // self.dim)
        for lo in range(0, indptr.size - 1, step):
            hi = min(lo + step, indptr.size - 1)
            X = np.zeros((hi - lo, self.dim), np.float32)
            X[np.repeat(np.arange(hi - lo), np.diff(indptr[lo:hi + 1])), indices[indptr[lo]:indptr[hi]]] = values[indptr[lo]:indptr[hi]]
            self._hash_dense(read_only(X), out[:, lo:hi])

    def _check_arrays(self):  # noqa: B027  (a hook that may stay empty)
        """Raise a ValueError where functions that come from a state do not fit the family; derive what follows from them."""

    def _probe_dense(self, X, out):
        """Probe the C-contiguous float32 rows `X`, at least one, into `out` (L, n, probes), probes > 1. Optional."""
        raise NotImplementedError

    def _probe_csr(self, indptr, indices, values, out):
        """Probe CSR rows, as in `_hash_csr`, into `out` (L, n, probes), probes > 1. Optional."""
        raise NotImplementedError

    def _center_changed(self):  # noqa: B027  (a hook that may stay empty)
        """Prepare what depends on the functions and on the centre; called after either changes."""

    def _key(self):
        """The 64-bit key of the functions to draw now, a function of the seed and the number of rebuilds alone."""
        return np.random.SeedSequence([self._seed, self._generation]).generate_state(1, np.uint64)[0]

    # --- checks -------------------------------------------------------------------------------------------------------

    def _check_center(self, mu):
        if not self.takes_center:
            raise TypeError(f"{type(self).__name__} hashes which coordinates are set, and takes no center")
        mu = np.array(as_float32(mu, "center"))
        if mu.shape != (self.dim,):
            raise ValueError(f"center has shape {mu.shape}; this family needs ({self.dim},)")
        check_finite(mu, "center")
        mu.setflags(write=False)
        return mu

    def _check_rows(self, X) -> tuple[Any, Any, int]:
        """`X` as (dense rows or None, CSR parts or None, number of rows)."""
        if is_sparse(X):
            parts = csr_rows(X, self.dim)
            return None, parts, parts[0].size - 1
        X = self._check_dense(X)
        return X, None, X.shape[0]

    def _check_dense(self, X):
        return dense_rows(X, self.dim)

    def _check_out(self, out, n):
        if not isinstance(out, np.ndarray) or out.shape != (self.L, n) or out.dtype != self.code_dtype:
            given = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
            raise ValueError(f"out is {given}; this call needs an array of {self.code_dtype} ({self.L}, {n})")
        if not (out.flags.c_contiguous and out.flags.writeable and out.flags.aligned):
            raise ValueError("out must be C-contiguous, aligned and writable")


def family_from_state(state: Mapping[str, Any]) -> HashFamily:
    """Build whichever hash family `state` belongs to: ``HashFamily.from_state``.

    Parameters
    ----------
    state : mapping
        What ``HashFamily.state`` gave.

    Returns
    -------
    HashFamily
    """
    return HashFamily.from_state(state)
