"""MinHash by one-permutation hashing (Li, Owen and Zhang 2012), optimally densified (Shrivastava 2017), b bits a hash."""

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.hashing.arguments import as_count, as_seed
from mongoose_nb.hashing.base import HashFamily


@register("hash family", "minhash", "MinHash")
class MinHash(HashFamily):
    """The smallest member of a set in a random order; two sets agree with the probability of their Jaccard similarity.

    A row is the set of its non-zero columns; the values themselves play no part. All K * L hashes of a set come from one
    pass over its members: a random function sends each to one of K * L bins and ranks it there. Bins that stay empty copy
    the value of a random other one.

    Parameters
    ----------
    dim, K, L, seed
        See `HashFamily`. `dim` is the size of the universe, up to 2^31 - 1; nothing of that size is stored. There is no
        centre.
    bits : int, default 8
        Bits kept of a hash, 1 to 32, so K * bits <= 32. Two hashes that differ then agree by chance with probability
        2^-bits (Li and König 2010).

    Notes
    -----
    An empty set has code 0 in all tables: it agrees with every empty set, and with others by chance, as two sets without a
    common member do.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from mongoose_nb import MinHash
    >>> sets = sp.csr_array(([1, 1, 1, 1], ([0, 0, 1, 1], [7, 900, 900, 7])), shape=(2, 1000))
    >>> family = MinHash(dim=1000, K=2, L=20, seed=1)
    >>> codes = family.hash(sets)
    >>> codes.dtype, bool((codes[0] == codes[1]).all()), float(family.collision_probability(0.0))
    (dtype('uint16'), True, 0.00390625)
    """

    similarity = "jaccard"
    bits_per_hash = None
    closed_form = False
    takes_center = False
    arrays = ("_functions",)

    def __init__(self, dim: int, K: int, L: int, *, seed: int = 0, bits: int = 8) -> None:
        bits = as_count(bits, "bits")
        if bits > 32:
            raise ValueError(f"bits is {bits}; a hash keeps 1 to 32")
        self.bits = self.bits_per_hash = bits
        super().__init__(dim, K, L, seed=seed)

    def collision_probability(self, similarity: Any) -> Any:
        """Probability that one hash agrees: ``J + (1 - J) / 2^bits``.

        Parameters
        ----------
        similarity : float or array_like
            Jaccard similarity of the two sets, in [0, 1].

        Returns
        -------
        float or ndarray
        """
        jaccard = np.asarray(similarity, np.float64)
        if not ((jaccard >= -1e-6) & (jaccard <= 1 + 1e-6)).all():
            raise ValueError(f"similarity is {similarity!r}; MinHash takes a Jaccard similarity, in [0, 1]")
        jaccard = np.clip(jaccard, 0, 1)
        return (jaccard + (1 - jaccard) * 2.0**-self.bits_per_hash)[()]

    def collision_probability_of(self, x: Any, y: Any) -> float:
        """Probability, over the draw of the functions, that one hash gives the sets `x` and `y` the same value.

        Parameters
        ----------
        x, y : array_like of shape (dim,)
            Rows; their non-zero columns are the members.

        Returns
        -------
        float
            Two empty sets always agree.
        """
        x, y = (self._check_dense(row)[0] != 0 for row in (x, y))
        union = np.count_nonzero(x | y)
        return float(self.collision_probability(np.count_nonzero(x & y) / union if union else 1.0))

    @classmethod
    def hashes_for(cls, n: int, dim: int) -> int:
        """Hashes per table for a search index of `n` rows; see `HashFamily.hashes_for`."""
        # two: texts have their neighbours at similarities of 0.2 to 0.3, which three would hide
        return 2 if n < 1 << 17 else 3

    @classmethod
    def for_index(cls, dim: int, K: int, L: int, *, seed: int = 0, bits: int | None = None) -> HashFamily:  # type: ignore[override]
        """A family for a search index: by default with as many bits per hash as fit, at most 8."""
        return cls(dim, K, L, seed=seed, bits=max(1, min(8, 32 // K)) if bits is None else bits)

    # --- the hooks of HashFamily --------------------------------------------------------------------------------------

    def _draw(self):
        self._functions = self._key()  # the key is all there is to the functions

    def _hash_dense(self, X, out):
        n = X.shape[0]
        row, column = np.nonzero(X)
        indptr = np.zeros(n + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=n), out=indptr[1:])
        ones = np.ones(column.size, np.float32)
        self._hash_csr(read_only(indptr), read_only(column.astype(np.int32)), read_only(ones), out)

    def _hash_csr(self, indptr, indices, values, out):
        from mongoose_nb.kernels.hashing import minhash as kernels

        kernels.minhash(indptr, indices, values, self._functions, self.K, self.bits_per_hash, out.itemsize, out.view(np.uint8))

    def _check_arrays(self):
        self._functions = np.uint64(as_seed(self._functions))
