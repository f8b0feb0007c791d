"""Asymmetric transforms: rows and queries whose inner product becomes a cosine or a distance, for hash families of these.

::

    data X (n, d)    --data-->   (n, dim)  --family.hash--> codes to store
    queries Q (m, d) --query-->  (m, dim)  --family.hash--> codes to look up

Queries are scaled to length 1, which changes no order of inner products; data are scaled by one number that `fit` learns.
`similarity` says what the family sees of an inner product, and `collision_probability` how likely it then collides.
"""

from typing import Any

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.hashing.transform_base import InnerProductTransform, lengths


@register("inner-product transform", "simple", "SimpleLSH")
class SimpleLSH(InnerProductTransform):
    """Simple-LSH (Neyshabur and Srebro 2015): ``[x; sqrt(1 - |x|^2)]`` and ``[q; 0]``, for families of cosines.

    Both have length 1, and their cosine is the inner product divided by the longest row's length. Rows much shorter than
    the longest all look alike to it, nearly orthogonal to every query: then see `NormRange`.

    Parameters
    ----------
    headroom : float, default 1.0
        See `InnerProductTransform`.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import SimHash, SimpleLSH
    >>> X = np.random.default_rng(0).standard_normal((100, 16))
    >>> transform = SimpleLSH().fit(X)
    >>> family = SimHash(transform.dim, K=8, L=10)
    >>> family.hash(transform.data(X)).shape, family.hash(transform.query(X[:2])).shape
    ((100, 10), (2, 10))
    """

    def similarity(self, inner_product: Any, norm: Any = None) -> Any:
        """The cosine, ``inner_product / scale``; `norm` has no effect. Parameters: see `InnerProductTransform`."""
        return np.asarray(inner_product, np.float64)[()] / self.scale

    def _data_tail(self, norm):
        return np.sqrt(np.maximum(1 - norm * norm, 0))[:, None]

    def _query_tail(self):
        return np.zeros(1)


@register("inner-product transform", "norm range", "NormRange")
class NormRange(SimpleLSH):
    """Norm-ranging LSH (Yan et al. 2018): Simple-LSH by parts of similar length, each with a scale of its own.

    Short rows then differ from each other as much as long ones do. `parts` says to which part a row belongs; keep one index
    per part, or the part's number beside the code. The queries are the same for all parts.

    Parameters
    ----------
    n_parts : int, default 16
        Number of parts, of equally many of the fitted rows.
    headroom : float, default 1.0
        For the part of the longest rows; see `InnerProductTransform`.
    """

    def __init__(self, n_parts: int = 16, *, headroom: float = 1.0) -> None:
        super().__init__(headroom=headroom)
        self.n_parts = check_int("n_parts", n_parts, low=1)

    def parts(self, X: Any) -> np.ndarray:
        """The part of each row, (n,) int64 from 0, the shortest rows, to ``n_parts - 1``.

        Parameters
        ----------
        X : array_like of shape (n, d) or (d,), or CSR
        """
        return self._parts(lengths(self._checked(X)))

    def similarity(self, inner_product: Any, norm: Any = None) -> Any:
        """The cosine, ``inner_product / scale[part]``, the part being that of rows of length `norm`; see `SimpleLSH`."""
        norm = self.scale[-1] if norm is None else np.asarray(norm, np.float64)
        return np.asarray(inner_product, np.float64)[()] / self.scale[self._parts(norm)]

    def _fit(self, norm):
        ordered = np.sort(norm)
        last = np.ceil(np.arange(1, self.n_parts + 1) * ordered.size / self.n_parts).astype(np.int64) - 1
        scale = ordered[np.maximum(last, 0)]
        scale[-1] *= self.headroom
        scale[scale == 0] = min(scale[scale > 0], default=1.0)  # rows of zeros, which fit any scale
        self._scale = scale

    def _check_scale(self, scale):
        scale = np.array(scale, np.float64)
        if scale.shape != (self.n_parts,) or not (scale > 0).all() or (np.diff(scale) < 0).any():
            raise ValueError(f"scale must hold {self.n_parts} positive lengths in rising order; got {scale!r}")
        return scale

    def _parts(self, norm):
        self._check_norms(np.asarray(norm), self._scale[-1])
        # a row at the upper end of its part stays there, however its length is rounded
        return np.minimum(np.searchsorted(self._scale * (1 + 1e-6), norm), self.n_parts - 1)

    def _factors(self, norm):
        return 1 / self._scale[self._parts(norm)]


class _Powers(InnerProductTransform):
    """Transforms that add powers of the norm: see the subclasses."""

    def __init__(self, m: int, bound: float, headroom: float) -> None:
        super().__init__(headroom=headroom)
        self.m = check_int("m", m, low=1)
        self.bound = check_number("bound", bound, low=0, high=1, open_low=True, open_high=True)

    @property
    def extra(self) -> int:
        """Coordinates that are added."""
        return self.m

    def _powers(self, norm):
        return norm[:, None] ** (2.0 ** np.arange(1, self.m + 1))


@register("inner-product transform", "l2-alsh", "L2ALSH")
class L2ALSH(_Powers):
    """L2-ALSH (Shrivastava and Li 2014): ``[x; |x|^2; |x|^4; ...]`` and ``[q; 1/2; 1/2; ...]``, for Euclidean distance.

    The squared distance is ``1 + m/4 - 2 q.x + |x|^(2^(m+1))``, whose last term vanishes as m grows. Use it with
    ``PStable(transform.dim, K, L, width=2.5)``, the width its authors recommend.

    Parameters
    ----------
    m : int, default 3
        Powers that are added.
    bound : float, default 0.83
        Length of the longest row after scaling, below 1.
    headroom : float, default 1.0
        See `InnerProductTransform`.
    """

    def __init__(self, m: int = 3, bound: float = 0.83, *, headroom: float = 1.0) -> None:
        super().__init__(m, bound, headroom)

    def similarity(self, inner_product: Any, norm: Any = None) -> Any:
        """The Euclidean distance, ``sqrt(1 + m/4 - 2 q.x + |x|^(2^(m+1)))`` of scaled rows; see `InnerProductTransform`."""
        last = self._scaled_norm(norm) ** (2.0 ** (self.m + 1))
        return np.sqrt(np.maximum(1 + self.m / 4 - 2 * np.asarray(inner_product, np.float64)[()] / self.scale + last, 0))

    def _data_tail(self, norm):
        return self._powers(norm)

    def _query_tail(self):
        return np.full(self.m, 0.5)


@register("inner-product transform", "sign-alsh", "SignALSH")
class SignALSH(_Powers):
    """Sign-ALSH (Shrivastava and Li 2015): ``[x; 1/2 - |x|^2; 1/2 - |x|^4; ...]`` and ``[q; 0; 0; ...]``, for cosines.

    The cosine is ``q.x / sqrt(m/4 + |x|^(2^(m+1)))``.

    Parameters
    ----------
    m : int, default 2
        Powers that are added.
    bound : float, default 0.75
        Length of the longest row after scaling, below 1.
    headroom : float, default 1.0
        See `InnerProductTransform`.
    """

    def __init__(self, m: int = 2, bound: float = 0.75, *, headroom: float = 1.0) -> None:
        super().__init__(m, bound, headroom)

    def similarity(self, inner_product: Any, norm: Any = None) -> Any:
        """The cosine, ``q.x / sqrt(m/4 + |x|^(2^(m+1)))`` of scaled rows; see `InnerProductTransform`."""
        last = self._scaled_norm(norm) ** (2.0 ** (self.m + 1))
        return np.asarray(inner_product, np.float64)[()] / self.scale / np.sqrt(self.m / 4 + last)

    def _data_tail(self, norm):
        return 0.5 - self._powers(norm)

    def _query_tail(self):
        return np.zeros(self.m)
