"""DWTA: densified winner-take-all hashing (Chen and Shrivastava 2018; Yagnik et al. 2011 for WTA)."""

import fractions
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.hashing.arguments import as_count
from mongoose_nb.hashing.base import HashFamily


@register("hash family", "dwta", "DWTA")
class DWTA(HashFamily):
    """Winner-take-all: one hash is the position of the largest of `bin_size` random coordinates.

    What counts is the order of the coordinates: scaling a row by a positive number, or any other increasing map of its
    values, changes no code. Among equal coordinates the lowest position in the bin wins.

    Random permutations of the coordinates are cut into bins of `bin_size`, so one permutation serves
    ``dim // bin_size`` hashes; coordinates left over in a permutation are not read by it. A bin holds at most half of
    the coordinates (but two at least), whatever `bin_size` says: bins that held all of them would sort rows by their
    largest coordinate in every table, and L tables would be one.

    Parameters
    ----------
    dim, K, L, seed
        See `HashFamily`. One hash has ``log2(bin_size)`` bits.
    bin_size : int, default 8
        Coordinates per bin, a power of two, at least 2. Sparse rows of many dimensions want bins large enough to hold
        an entry or two: with 100 entries in 100,000 coordinates, bins of 1,024 and K = 1 or 2 rather than bins of 8.
    zeros : {"missing", "value"}, default "missing"
        Whether a zero takes part. "missing": zeros are no candidates, and a bin without candidates takes the code of
        another bin that has some, chosen by a universal hash (densification); a row of zeros has code 0. "value": zero
        is a number like others. Dense and sparse rows get the same codes either way. Use one setting for data and
        queries.
    center : array_like of shape (dim,), optional
        Subtracted from every row. What is missing is decided before: with zeros="missing" only entries that were not
        zero are candidates.

    Notes
    -----
    Bins of one permutation read different coordinates, so their hashes are not quite independent, and neither are those of a
    bin and its donor: `table_probability` and `retrieval_probability`, which multiply, are approximate. For given rows of 32
    to 512 dense coordinates the codes of a table agreed as often as p^K says, within a sixth.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import DWTA
    >>> family = DWTA(dim=128, K=6, L=50, seed=1)
    >>> x = np.random.default_rng(0).standard_normal(128)
    >>> bool((family.hash(x) == family.hash(3 * x)).all()), family.code_bits
    (True, 18)
    """

    similarity = "rank"
    bits_per_hash = None
    closed_form = False
    arrays = ("_index",)

    def __init__(self, dim: int, K: int, L: int, *, seed: int = 0, bin_size: int = 8, zeros: str = "missing",
                 center: ArrayLike | None = None) -> None:
        bin_size = as_count(bin_size, "bin_size")
        if bin_size < 2 or bin_size & (bin_size - 1):
            raise ValueError(f"bin_size is {bin_size}; it must be a power of two, at least 2, to fill the bits")
        if zeros not in ("missing", "value"):
            raise ValueError(f"zeros is {zeros!r}; it must be 'missing' or 'value'")
        self.bin_size, self.zeros = bin_size, zeros
        self.bits_per_hash = bin_size.bit_length() - 1
        super().__init__(dim, K, L, seed=seed, center=center)

    def collision_probability(self, similarity: Any) -> Any:
        """Probability that one hash agrees, for rows whose coordinates are jointly normal.

        The collision probability of two given rows depends on the order of all their coordinates, not on one number;
        `collision_probability_of` computes it. As a function of one number it exists for a model: pairs of coordinates
        drawn from a bivariate normal distribution of correlation rho, or increasing maps of such, without missing
        zeros. Then it is ``m * E[Phi2(u, v; rho)^(m - 1)]``, m the coordinates of a bin, which for m = 2 equals SimHash's
        ``1 - arccos(rho) / pi``. Use it to choose K and L; rho is near the cosine of centred rows.

        Parameters
        ----------
        similarity : float or array_like
            Correlation of the coordinates, in [-1, 1].

        Returns
        -------
        float or ndarray
        """
        rho = np.asarray(similarity, np.float64)
        if not (np.abs(rho) <= 1 + 1e-6).all():
            raise ValueError(f"similarity is {similarity!r}; DWTA takes a correlation, in [-1, 1] (see the docstring), "
                             "or two rows in collision_probability_of")
        result = np.empty(rho.shape)
        for i, value in np.ndenumerate(np.clip(rho, -1, 1)):
            result[i] = _normal_agreement(float(value), self._width)
        return result[()]

    def collision_probability_of(self, x: Any, y: Any) -> float:
        """Probability, over the draw of the permutations, that one hash gives `x` and `y` the same code.

        Exact, ties included, in time O(dim^2). Coordinate i wins the bin for both rows if no other coordinate of the
        bin beats it in either; with A[i] coordinates below it in both rows, and B[i] that equal it in one or both and
        so must stand behind it, this has probability ``sum_b C(A, m-1-b) C(B, b) / (b + 1) / C(dim, m)``.

        With zeros="missing" it is the probability given that the bin has candidates of both rows; densified bins
        collide with nearly the same probability where they are empty in both rows, and by chance where in one.

        Parameters
        ----------
        x, y : array_like of shape (dim,)

        Returns
        -------
        float
            NaN if zeros are missing and a row has no entries.
        """
        m, dim = self._width, self.dim
        rows = []
        for row in (x, y):
            row = self._check_dense(row)[0]
            value = row - (np.float32(0) if self._center is None else self._center)
            rows.append(np.where(row == 0, -np.inf, value) if self.zeros == "missing" else value)
        x, y = rows
        bins, total = math.comb(dim, m), fractions.Fraction(0)
        for i in np.flatnonzero((x > -np.inf) & (y > -np.inf)):
            allowed = (x <= x[i]) & (y <= y[i])
            below = int(((x < x[i]) & (y < y[i])).sum())
            equal = int(allowed.sum()) - below - 1
            for b in range(min(equal, m - 1) + 1):
                total += fractions.Fraction(math.comb(below, m - 1 - b) * math.comb(equal, b), b + 1)
        no_x, no_y = x == -np.inf, y == -np.inf
        empty_x, empty_y, both = (math.comb(int(none.sum()), m) for none in (no_x, no_y, no_x & no_y))
        seen = bins - empty_x - empty_y + both  # bins with candidates of both rows
        return float(total / seen) if seen else math.nan

    @classmethod
    def hashes_for(cls, n: int, dim: int) -> int:
        """Hashes per table for a search index of `n` rows; see `HashFamily.hashes_for`."""
        return max(1, HashFamily.hashes_for(n, dim) // 3)

    # --- the hooks of HashFamily --------------------------------------------------------------------------------------

    @property
    def _width(self):
        """Coordinates that a bin reads. Half of `dim` leaves the largest number of different bins to draw from."""
        return min(self.bin_size, self.dim, max(2, self.dim // 2))

    def _draw(self):
        from mongoose_nb.kernels.hashing.drawing import draw_choices

        bins, width = self.K * self.L, self._width
        if bins * self.bin_size >= 1 << 31:
            raise ValueError(
                f"K * L * bin_size = {bins * self.bin_size} must stay below 2^31; use fewer or smaller bins")
        per_permutation = self.dim // width
        order = np.empty((-(-bins // per_permutation), self.dim), np.int32)
        draw_choices(self._key(), self.dim, order)
        self._set_index(order[:, : per_permutation * width].reshape(-1, width)[:bins])

    def _set_index(self, index):
        """Keep which coordinates each bin reads, (K * L, width), and the inverse map for sparse rows."""
        bins, width = index.shape
        per_permutation = self.dim // width
        slots = np.full((self.dim, -(-bins // per_permutation)), -1, np.int32)
        b = np.arange(bins)[:, None]
        slots[index, b // per_permutation] = (b << self.bits_per_hash) + np.arange(width)
        self._index, self._slots = read_only(np.ascontiguousarray(index, np.int32)), read_only(slots)
        self._donor_key = ~self._key()  # another key than that of the permutations

    def _center_changed(self):
        self._mu = read_only(np.zeros(self.dim, np.float32)) if self._center is None else self._center
        self._base = read_only(np.argmax(-self._mu[self._index], axis=1).astype(np.int32))

    def _hash_dense(self, X, out):
        from mongoose_nb.kernels.hashing import dwta as kernels

        kernels.dwta_dense(X, self._mu, self._index, self.zeros == "missing", self.bits_per_hash, self.K, self._donor_key, out.itemsize,
                           out.view(np.uint8))

    def _hash_csr(self, indptr, indices, values, out):
        from mongoose_nb.kernels.hashing import dwta as kernels

        bins = kernels.Bins(self._mu, self._index, self._slots, self._base, self.zeros == "missing", self.bits_per_hash, self.K,
                            self._donor_key)
        kernels.dwta_csr(indptr, indices, values, bins, out.itemsize, out.view(np.uint8))

    def _check_arrays(self):
        index, shape = self._index, (self.K * self.L, self._width)
        if index.shape != shape or index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= self.dim:
            raise ValueError(
                f"index must have shape {shape} and entries in [0, {self.dim}); it has shape {index.shape}")
        self._set_index(index)


def _normal_agreement(rho, m):
    """Probability that the largest of m bivariate normal pairs is the same in both coordinates."""
    if rho == 1:
        return 1.0
    if rho == -1:
        return 0.0
    from scipy.special import ndtr, owens_t

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    spread = math.sqrt((1 - rho) * (1 + rho))
    u = nodes[:, None]  # an even number of nodes has none at zero, where the formula would divide by it
    v = rho * u + spread * nodes[None, :]
    v = np.where(v == 0, 1e-300, v)
    # Owen (1956): the bivariate normal distribution function in terms of T.
    below = (0.5 * (ndtr(u) + ndtr(v)) - owens_t(u, (v / u - rho) / spread) - owens_t(v, (u / v - rho) / spread)
             - np.where(u * v > 0, 0.0, 0.5))
    return float(m * (weights[:, None] * weights * np.clip(below, 0, 1) ** (m - 1)).sum())
