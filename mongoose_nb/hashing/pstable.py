"""p-stable hashing for Euclidean and Manhattan distance (Datar et al. 2004), folded to table codes."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.hashing.arguments import ByOneKernel, as_count
from mongoose_nb.hashing.base import HashFamily


@register("hash family", "pstable", "PStable")
class PStable(ByOneKernel, HashFamily):
    """The slot of width w in which a random projection falls: ``floor((a @ x + b) / w)``.

    Two rows share a slot with a probability that falls with their distance: Euclidean for normal a, Manhattan for Cauchy
    a. Slots have no bounds, so the K slots of a table are folded into one code of `code_bits` bits by a strong mix: rows
    that differ in a slot still get the same code with probability ``2 ** -code_bits``.

    Parameters
    ----------
    dim, K, L, seed
        See `HashFamily`; K is at most 32.
    width : float, default 4.0
        Width w of a slot, in units of the data. Rows at distance w / 4 share a slot with probability 0.80 (Euclidean), at w
        with 0.37.
    p : {2, 1}, default 2
        Euclidean distance (2) or Manhattan distance (1).
    code_bits : int, default 32
        Bits of a table code, 1 to 32.
    center : array_like of shape (dim,), optional
        Subtracted from every row. Distances stay as they are, so it only moves the slots.

    Notes
    -----
    Multi-probe follows Lv et al. 2007: the query's distances to the walls of its slots tell which neighbouring slots are
    likely; sets of moves, by one slot each, come in increasing order of the sum of squared distances, which fits p=2 and is
    a rule of thumb for p=1.

    A slot is computed from float32 rows and functions by a sum in float64, in the order of the coordinates, the same
    for dense and sparse rows, alone or in a batch.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import PStable
    >>> family = PStable(dim=16, K=8, L=10, width=4.0, seed=1)
    >>> X = np.random.default_rng(0).standard_normal((5, 16))
    >>> family.hash(X).dtype, round(float(family.collision_probability(1.0)), 3)
    (dtype('uint32'), 0.801)
    """

    similarity = "euclidean"
    bits_per_hash = None
    arrays = ("_functions", "_offset", "_mix_key")

    def __init__(self, dim: int, K: int, L: int, *, seed: int = 0, width: float = 4.0, p: int = 2, code_bits: int = 32,
                 center: ArrayLike | None = None) -> None:
        width, code_bits = float(width), as_count(code_bits, "code_bits")
        if not (math.isfinite(width) and width > 0):
            raise ValueError(f"width is {width}; it must be a positive number, in units of the data")
        if p not in (1, 2):
            raise ValueError(f"p is {p!r}; it must be 2 (Euclidean distance) or 1 (Manhattan distance)")
        if code_bits > 32:
            raise ValueError(f"code_bits is {code_bits}; a table code may have 1 to 32 bits")
        self.width, self.p, self._code_bits = width, int(p), code_bits
        super().__init__(dim, K, L, seed=seed, center=center)

    @property
    def code_bits(self) -> int:
        """Bits of one table code, whatever K is: the slots are folded."""
        return self._code_bits

    @property
    def max_probes(self) -> int:
        """Most codes per row and table that `probe_tables` can give: no more than K slots have neighbours, or codes there are."""
        return min(3**self.K, self.n_buckets)

    def collision_probability(self, distance: Any) -> Any:
        """Probability that two rows at this distance share one slot (Datar et al. 2004, section 3.2).

        With r = width / distance it is ``1 - 2 Phi(-r) - 2 / (sqrt(2 pi) r) (1 - exp(-r^2 / 2))`` for p=2 and
        ``2 arctan(r) / pi - ln(1 + r^2) / (pi r)`` for p=1. It is that of one slot, before folding;
        `retrieval_probability` adds the chance of ``2 ** -code_bits`` that other slots are folded to the same code.

        Parameters
        ----------
        distance : float or array_like
            Euclidean or Manhattan distance, at least 0.

        Returns
        -------
        float or ndarray
        """
        distance = np.asarray(distance, np.float64)
        if not (distance >= 0).all():
            raise ValueError(f"distance is {distance!r}; PStable takes a distance, at least 0")
        with np.errstate(divide="ignore"):
            r = np.clip(self.width / distance, 1e-12, 1e12)
        if self.p == 2:
            from scipy.special import ndtr

            share = 1 - 2 * ndtr(-r) + 2 / (math.sqrt(2 * math.pi) * r) * np.expm1(-r * r / 2)
        else:
            share = 2 * np.arctan(r) / math.pi - np.log1p(r * r) / (math.pi * r)
        return np.where(distance == 0, 1.0, np.clip(share, 0, 1))[()]

    def table_probability(self, distance: Any) -> Any:
        """Probability of the same code in one table: K hashes that agree, or others that were folded onto one code."""
        same = np.power(self.collision_probability(distance), self.K)
        return same + (1 - same) / self.n_buckets

    def collision_probability_of(self, x: Any, y: Any) -> float:
        """Probability, over the draw of the functions, that one hash gives `x` and `y` the same slot.

        Parameters
        ----------
        x, y : array_like of shape (dim,)

        Returns
        -------
        float
        """
        x, y = (self._check_dense(row)[0].astype(np.float64) for row in (x, y))
        return float(self.collision_probability(np.linalg.norm(x - y, self.p)))

    @classmethod
    def hashes_for(cls, n: int, dim: int) -> int:
        """Hashes per table for a search index of `n` rows; see `HashFamily.hashes_for`."""
        return max(2, HashFamily.hashes_for(n, dim) // 2)

    # --- the hooks of HashFamily --------------------------------------------------------------------------------------

    def _draw(self):
        from mongoose_nb.kernels.hashing.drawing import draw_gaussian
        from mongoose_nb.kernels.hashing.pstable import draw_offsets

        if self.K > 32:
            raise ValueError(f"K is {self.K}; PStable takes at most 32 hashes per table")
        key = self._key()
        functions = np.empty((self.dim, self.K * self.L), np.float32)
        draw_gaussian(key, functions)
        if self.p == 1:  # the ratio of two normal numbers has a Cauchy distribution
            other = np.empty_like(functions)
            draw_gaussian(~key, other)
            functions /= np.where(other == 0, np.float32(1e-30), other)
        offset = np.empty(self.K * self.L)
        draw_offsets(key + np.uint64(1), offset)
        self._keep(functions / np.float32(self.width), offset, key)

    def _keep(self, functions, offset, key):
        self._functions = read_only(np.ascontiguousarray(functions, np.float32))
        self._offset = read_only(np.ascontiguousarray(offset, np.float64))
        self._mix_key = np.uint64(key)

    def _center_changed(self):
        start = self._offset
        if self._center is not None:
            from mongoose_nb.kernels.hashing.simhash import project_exact

            moved = np.empty(start.size)
            project_exact(self._center, self._functions, moved)
            start = read_only(start - moved)
        self._start = start

    def _run(self, X, indptr, indices, values, out):
        from mongoose_nb.kernels.hashing.codes import Rows
        from mongoose_nb.kernels.hashing.pstable import pstable

        codes = out.reshape(self.L, -1)
        pstable(Rows(X, indptr, indices, values), self._functions, self._start, self._mix_key, self.K, self.code_bits, out.shape[2],
                codes.itemsize, codes.view(np.uint8))

    def _check_arrays(self):
        needed = (self.dim, self.K * self.L)
        if self._functions.shape != needed or self._offset.shape != needed[1:]:
            raise ValueError(f"functions must have shape {needed} and offset {needed[1:]}; they have {self._functions.shape} and "
                             f"{self._offset.shape}")
        self._keep(self._functions, self._offset, int(self._mix_key))
