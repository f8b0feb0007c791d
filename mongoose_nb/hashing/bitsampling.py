"""Bit sampling for Hamming distance (Indyk and Motwani 1998)."""

from typing import Any

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.hashing.arguments import NO_CSR
from mongoose_nb.hashing.base import HashFamily

_NO_BYTES = read_only(np.empty((0, 0), np.uint8))


@register("hash family", "bitsampling", "BitSampling")
class BitSampling(HashFamily):
    """A code is K bits of the row, at random places; rows that differ in few bits share many codes.

    Parameters
    ----------
    dim, K, L, seed
        See `HashFamily`. `dim` is the number of bits of a row; K is at most 32 and at most `dim`, for the K places of a
        table differ. There is no centre.
    packed : bool, default False
        How dense rows come. False: `dim` numbers, of which those that are not zero are ones. True: ``ceil(dim / 8)``
        bytes, uint8, the first bit of a row the highest of its first byte, as ``numpy.packbits`` makes them; bits beyond
        `dim` are ignored. CSR rows are taken either way: their non-zero columns are ones.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import BitSampling
    >>> X = np.random.default_rng(0).integers(0, 2, (3, 100))
    >>> plain, packed = BitSampling(100, K=12, L=8), BitSampling(100, K=12, L=8, packed=True)
    >>> bool((plain.hash(X) == packed.hash(np.packbits(X, axis=1))).all())
    True
    """

    similarity = "hamming"
    closed_form = False
    takes_center = False
    arrays = ("_index",)

    def __init__(self, dim: int, K: int, L: int, *, seed: int = 0, packed: bool = False) -> None:
        if packed not in (True, False):
            raise ValueError(f"packed is {packed!r}; it must be True or False")
        self.packed = bool(packed)
        super().__init__(dim, K, L, seed=seed)

    def collision_probability(self, distance: Any) -> Any:
        """Probability that one bit agrees: ``1 - distance / dim``.

        Parameters
        ----------
        distance : float or array_like
            Number of bits in which the rows differ, 0 to `dim`.

        Returns
        -------
        float or ndarray
            The K bits of a table are at different places; `retrieval_probability` takes it into account.
        """
        return (1 - self._check_distance(distance) / self.dim)[()]

    def table_probability(self, distance: Any) -> Any:
        """Probability of the same code in one table, whose K places are drawn without repetition."""
        distance = self._check_distance(distance)[..., None]
        drawn = np.arange(self.K)  # after so many places that agree, the next one is drawn from the rest
        return np.clip(1 - distance / (self.dim - drawn), 0, 1).prod(axis=-1)

    def collision_probability_of(self, x: Any, y: Any) -> float:
        """Probability, over the draw of the functions, that one hash gives `x` and `y` the same bit.

        Parameters
        ----------
        x, y : array_like of shape (dim,), or packed bytes

        Returns
        -------
        float
        """
        x, y = (np.unpackbits(self._check_dense(row)[0], count=self.dim) for row in (x, y))
        return float(self.collision_probability(np.count_nonzero(x != y)))

    @classmethod
    def hashes_for(cls, n: int, dim: int) -> int:
        """Hashes per table for a search index of `n` rows; see `HashFamily.hashes_for`."""
        return min(HashFamily.hashes_for(n, dim), dim)

    # --- the hooks of HashFamily --------------------------------------------------------------------------------------

    def _check_distance(self, distance):
        distance = np.asarray(distance, np.float64)
        if not ((distance >= 0) & (distance <= self.dim)).all():
            raise ValueError(f"distance is {distance!r}; BitSampling takes a number of bits, 0 to dim={self.dim}")
        return distance

    def _check_dense(self, X):
        if not self.packed:
            return read_only(np.packbits(super()._check_dense(X) != 0, axis=1))
        X = np.asarray(X)
        size = -(-self.dim // 8)
        if X.dtype != np.uint8:
            raise TypeError(f"X has dtype {X.dtype}; packed=True takes bytes, uint8, as numpy.packbits(bits, axis=1) makes them")
        if X.ndim not in (1, 2) or X.shape[-1] != size:
            raise ValueError(f"X has shape {X.shape}; packed rows of dim={self.dim} bits are (n, {size}) bytes, one row ({size},)")
        return read_only(np.require(X.reshape(-1, size), None, ["C", "A"]))

    def _draw(self):
        from mongoose_nb.kernels.hashing.drawing import draw_choices

        if self.K > self.dim:
            raise ValueError(f"K is {self.K}; a table samples different bits, of which there are dim={self.dim}")
        index = np.empty((self.L, self.K), np.int32)
        draw_choices(self._key(), self.dim, index)
        self._index = read_only(index)

    def _hash_dense(self, X, out):
        self._run(X, *NO_CSR, out)

    def _hash_csr(self, indptr, indices, values, out):
        self._run(_NO_BYTES, indptr, indices, values, out)

    def _run(self, X, indptr, indices, values, out):
        from mongoose_nb.kernels.hashing.bits import sample_bits

        sample_bits(X, indptr, indices, values, self._index, -(-self.dim // 8), out.itemsize, out.view(np.uint8))

    def _check_arrays(self):
        index = self._index
        if index.shape != (self.L, self.K) or index.dtype != np.int32 or index.min() < 0 or index.max() >= self.dim:
            raise ValueError(f"index must have shape {(self.L, self.K)} and entries in [0, {self.dim}); it has shape {index.shape}")
