"""Cross-polytope hashing: the largest coordinate of a random rotation (Terasawa and Tanaka 2007; Andoni et al. 2015)."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import register
from mongoose_nb.hashing.arguments import ByOneKernel, as_count
from mongoose_nb.hashing.base import HashFamily

_ROUNDS = 3  # one is enough for dense rows, sparse ones need three: e_1 and a vector near it collide 0.1 % of the time after two
_LANES = 16  # functions side by side in the kernel
_NODES = 96  # of the quadrature, each way


@register("hash family", "crosspolytope", "CrossPolytope")
class CrossPolytope(ByOneKernel, HashFamily):
    """The signed coordinate that is largest in absolute value after a random rotation.

    The similarity is the cosine, as for SimHash, but one hash tells 2m directions apart, m = `polytope_dim`, and near
    pairs are told from far ones with fewer bits: at 128 coordinates and angle 0.5 a hash of 8 bits agrees with
    probability 0.38, as 5.5 bits of SimHash do; at a right angle with less than 1/256. Norms are ignored.

    The rotation is pseudo-random: three rounds of random signs and a Hadamard transform, O(m log m) for each hash. Rows
    are padded with zeros to m, the next power of two from `dim` on, at least 4.

    Parameters
    ----------
    dim, K, L, seed, center
        See `HashFamily`. One hash has ``log2(m) + 1`` bits: the place of the coordinate, and its sign as the highest bit.
    last_dim : int, optional
        The last of the K hashes of a table looks at the first `last_dim` rotated coordinates only, a power of two up to
        m (the default). It has ``log2(last_dim) + 1`` bits, so every width of a code from 1 to 32 can be made: see
        `with_bits`.
    feature_dim : int, optional
        Rows are hashed to so many coordinates first, a power of two, at least 4: each coordinate is added to one of them
        with a random sign, which keeps inner products in expectation. For sparse rows of many dimensions, whose rotation
        would cost all of them; FALCONN takes 1,024. Without it, a sparse row is rotated like a dense one.

    Notes
    -----
    ``code_bits = (K - 1) * (log2(m) + 1) + log2(last_dim) + 1``, at most 32. The first hash of a table takes the most
    significant bits. A row equal to the centre has code 0.

    The codes are the same to the last bit for dense and sparse rows, alone or in a batch. Memory: three signs of one
    byte per rotated coordinate and function, ``3 * m * K * L`` bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import CrossPolytope
    >>> family = CrossPolytope(dim=100, K=2, L=10, last_dim=16, seed=1)
    >>> family.polytope_dim, family.code_bits
    (128, 13)
    >>> X = np.random.default_rng(0).standard_normal((4, 100))
    >>> family.hash(X).shape, family.probe_tables(X, probes=5).shape
    ((4, 10), (10, 4, 5))
    """

    similarity = "cosine"
    closed_form = False
    arrays = ("_flips", "_slot", "_sign")

    def __init__(self, dim: int, K: int, L: int, *, seed: int = 0, last_dim: int | None = None, feature_dim: int | None = None,
                 center: ArrayLike | None = None) -> None:
        for name, value, least in (("last_dim", last_dim, 1), ("feature_dim", feature_dim, 4)):
            if value is not None and (as_count(value, name) < least or value & (value - 1)):
                raise ValueError(f"{name} is {value}; it must be a power of two, at least {least}")
        self._last_dim, self.feature_dim = last_dim, feature_dim
        super().__init__(dim, K, L, seed=seed, center=center)

    @classmethod
    def with_bits(cls, dim: int, bits: int, L: int, *, seed: int = 0, feature_dim: int | None = None,
                  center: ArrayLike | None = None) -> "CrossPolytope":
        """A family whose table codes have `bits` bits: as many full hashes as fit, and a last one with the rest.

        Parameters
        ----------
        bits : int
            Bits of a table code, 1 to 32.
        dim, L, seed, feature_dim, center
            As for the constructor.

        Returns
        -------
        CrossPolytope
        """
        bits = as_count(bits, "bits")
        if bits > 32:
            raise ValueError(f"bits is {bits}; a table code may have at most 32")
        full = _padded(as_count(dim if feature_dim is None else feature_dim, "dim")).bit_length()
        K = -(-bits // full)
        return cls(dim, K, L, seed=seed, last_dim=1 << (bits - (K - 1) * full - 1), feature_dim=feature_dim, center=center)

    @property
    def polytope_dim(self) -> int:
        """Number m of coordinates that are rotated: `dim` or `feature_dim`, padded to a power of two."""
        return _padded(self.feature_dim or self.dim)

    @property
    def last_dim(self) -> int:
        """Number of rotated coordinates that the last hash of a table looks at."""
        return self._last_dim or self.polytope_dim

    @property
    def bits_per_hash(self) -> int:
        """Bits of every hash of a table but the last."""
        return self.polytope_dim.bit_length()

    @property
    def code_bits(self) -> int:
        """Bits of one table code, ``(K - 1) * bits_per_hash + log2(last_dim) + 1``."""
        return (self.K - 1) * self.bits_per_hash + self.last_dim.bit_length()

    @property
    def max_probes(self) -> int:
        """Most codes per row and table that `probe_tables` can give: all codes there are."""
        return self.n_buckets

    def collision_probability(self, similarity: Any) -> Any:
        """Probability that one hash agrees, by numerical integration.

        For m pairs of normal coordinates of correlation rho, what a dense Gaussian matrix makes of two rows, it is
        ``2 m E[G(u, v)^(m - 1); u, v > 0]``, G the probability that another pair is smaller in both. Rotated coordinates
        share the row's norm instead of being independent, so their correlation does not vary from draw to draw; this is
        taken into account to first order in 1/m. Against simulated rotations the result is within 2 % for angles up to 1
        and within 8 % up to 1.3 from m = 16 on; for m < 16, or beyond a right angle, it is too large. The pseudo-random
        rotation differs from a random one by what the rows are: by up to 5 % at m = 16 and 12 % for rows of an entry or two.

        Parameters
        ----------
        similarity : float or array_like
            Cosine of the angle between the two (centred) rows, in [-1, 1].

        Returns
        -------
        float or ndarray
            Of a hash that looks at all rotated coordinates. `retrieval_probability` heeds `last_dim`.
        """
        return self._probability(similarity, self.polytope_dim)

    def table_probability(self, similarity: Any) -> Any:
        """Probability of the same code in one table, whose last hash may be smaller than the others."""
        return (self._probability(similarity, self.polytope_dim) ** (self.K - 1)) * self._probability(similarity, self.last_dim)

    def collision_probability_of(self, x: Any, y: Any) -> float:
        """Probability, over the draw of the functions, that one hash gives `x` and `y` the same value.

        Parameters
        ----------
        x, y : array_like of shape (dim,)

        Returns
        -------
        float
            `collision_probability` of the cosine. Two zero rows (after centring) always agree; a zero row and another do
            where the other has value 0, one time in 2m.
        """
        mu = 0 if self._center is None else self._center
        x, y = (self._check_dense(row)[0].astype(np.float64) - mu for row in (x, y))
        if not x.any() or not y.any():
            return 1.0 if not x.any() and not y.any() else 0.5 / self.polytope_dim
        u, v = x / np.linalg.norm(x), y / np.linalg.norm(y)
        angle = 2 * math.atan2(np.linalg.norm(u - v), np.linalg.norm(u + v))  # keeps small angles
        return _rotation_agreement(angle, self.polytope_dim, self.polytope_dim)

    @classmethod
    def hashes_for(cls, n: int, dim: int) -> int:
        """Hashes per table for a search index of `n` rows; see `HashFamily.hashes_for`."""
        return max(1, round(HashFamily.hashes_for(n, dim) / (1 + math.ceil(math.log2(max(2, dim))))))

    # --- the hooks of HashFamily --------------------------------------------------------------------------------------

    def _probability(self, similarity, m):
        cosine = np.asarray(similarity, np.float64)
        if not (np.abs(cosine) <= 1 + 1e-6).all():
            raise ValueError(f"similarity is {similarity!r}; CrossPolytope takes a cosine, in [-1, 1]")
        result = np.empty(cosine.shape)
        for i, value in np.ndenumerate(np.clip(cosine, -1, 1)):
            result[i] = _rotation_agreement(math.acos(value), m, self.polytope_dim)
        return result[()]

    def _draw(self):
        from mongoose_nb.kernels.hashing import crosspolytope as kernels

        if self.last_dim > self.polytope_dim:
            raise ValueError(f"last_dim is {self.last_dim}; there are {self.polytope_dim} rotated coordinates")
        flips = np.empty(self._flips_shape(), np.int8)
        kernels.draw_flips(self._key(), flips)
        slot, sign = np.empty(0, np.int32), np.empty(0, np.float32)
        if self.feature_dim:
            slot, sign = np.empty(self.dim, np.int32), np.empty(self.dim, np.float32)
            kernels.draw_features(~self._key(), self.feature_dim, slot, sign)
        self._flips, self._slot, self._sign = read_only(flips), read_only(slot), read_only(sign)

    def _flips_shape(self):
        return -(-self.K * self.L // _LANES), _ROUNDS, self.polytope_dim * _LANES

    def _center_changed(self):
        mu = np.zeros(self.polytope_dim, np.float32)
        if self._center is not None:
            if self.feature_dim:
                np.add.at(mu, self._slot, self._sign * self._center)
            else:
                mu[: self.dim] = self._center
        self._mu = read_only(mu)

    def _run(self, X, indptr, indices, values, out):
        from mongoose_nb.kernels.hashing import crosspolytope as kernels
        from mongoose_nb.kernels.hashing.codes import Rows

        codes = out.reshape(self.L, -1)
        rotations = kernels.Rotations(self._slot, self._sign, self._mu, self._flips, self.K, self.bits_per_hash, self.last_dim.bit_length())
        near = kernels.Near(*self._floors(out.shape[2]))
        kernels.cross_polytope(Rows(X, indptr, indices, values), rotations, near, out.shape[2], codes.itemsize, codes.view(np.uint8))

    def _floors(self, probes):
        """Values that a few more than `probes` rotated coordinates of a row of norm 1 exceed, of all and of the last hash's."""
        from scipy.special import ndtri

        rms = self.polytope_dim ** ((_ROUNDS - 1) / 2)  # the kernel's Hadamard matrices are not scaled
        return tuple(np.float32(-ndtri(share / 2) * rms) if (share := (probes + 2 * probes**0.5) / m) < 1 else np.float32(-1)
                     for m in (self.polytope_dim, self.last_dim))

    def _check_arrays(self):
        flips, slot, sign = self._flips, self._slot, self._sign
        if flips.shape != self._flips_shape() or flips.dtype != np.int8:
            raise ValueError(f"flips must be int8 of shape {self._flips_shape()}; they are {flips.dtype} {flips.shape}")
        dim = self.dim if self.feature_dim else 0
        if slot.shape != (dim,) or sign.shape != (dim,) or (dim and (slot.min() < 0 or slot.max() >= self.feature_dim)):
            raise ValueError(f"slot and sign must have shape ({dim},), and slot entries in [0, {self.feature_dim})")

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        # earlier versions write 0 for the default
        super().__setstate__({name: value for name, value in state.items() if name not in ("last_dim", "feature_dim") or value})

    def _take_arrays(self, state):
        none = {"slot": np.empty(0, np.int32), "sign": np.empty(0, np.float32)}  # earlier versions leave them out
        super()._take_arrays({**none, **state})


def _padded(dim):
    """The next power of two from `dim` on, at least 4."""
    return max(4, 1 << (dim - 1).bit_length())


def _rotation_agreement(theta, m, d):
    """Probability that of m coordinates of a random rotation in d dimensions the largest is the same for rows at this angle.

    A Gaussian matrix turns the angle into one that varies by sin(theta) / sqrt(d); to first order, its log probability is
    that of the rotation plus half the variance times (f'^2 + f''), f being the log probability as a function of the angle.
    """
    if theta < 1e-9:
        return 1.0
    if math.pi - theta < 1e-9:
        return 0.0
    h = min(0.02, theta / 2, (math.pi - theta) / 2)
    before, here, after = (math.log(max(_normal_agreement(t, m), 1e-300)) for t in (theta - h, theta, theta + h))
    slope, bend = (after - before) / (2 * h), (after - 2 * here + before) / h**2
    return math.exp(min(0.0, here - max(0.0, math.sin(theta) ** 2 / (2 * d) * (slope**2 + bend))))


def _normal_agreement(theta, m):
    """Probability that of m bivariate normal pairs the largest absolute value has the same place and sign in both."""
    from scipy.special import ndtr, owens_t

    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    rho, spread = math.cos(theta), math.sin(theta)
    u, of_u = (nodes[:, None] + 1) * 4.5, weights[:, None] * 4.5  # 0 to 9
    # v = rho * u + spread * z, v > 0; where the bound of z is beyond 9, the density there is nothing
    low = np.maximum(-9.0, -rho * u / spread)
    z, of_z = low + (nodes + 1) * (9 - low) / 2, weights * (9 - low) / 2
    v = np.maximum(rho * u + spread * z, 1e-300)
    beyond_u, beyond_v = ndtr(-u), ndtr(-v)
    both = 0.0
    for r in (rho, -rho):  # Owen (1956): the probability that both exceed, for each relation of the signs
        both = both + (beyond_u + beyond_v) / 2 - owens_t(u, (v / u - r) / spread) - owens_t(v, (u / v - r) / spread)
    outside = np.clip(2 * beyond_u + 2 * beyond_v - 2 * both, 0, 1 - 1e-16)
    density = np.exp(-(u * u + z * z) / 2) / (2 * math.pi)
    return float(2 * m * (of_u * of_z * density * np.exp((m - 1) * np.log1p(-outside))).sum())
