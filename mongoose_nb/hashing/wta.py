"""WTA: winner-take-all hashing without densification (Yagnik et al. 2011)."""

from numpy.typing import ArrayLike

from mongoose_nb.core.registry import register
from mongoose_nb.hashing.dwta import DWTA


@register("hash family", "wta", "WTA")
class WTA(DWTA):
    """Winner-take-all: one hash is the position of the largest of `bin_size` random coordinates, zeros being values.

    `DWTA` with ``zeros="value"``: for dense rows, in which a zero is a number like others, such as ranks or activations.
    No bin is ever empty, so nothing is densified. Sparse rows are hashed as the dense rows they stand for.

    Parameters
    ----------
    dim, K, L, seed, bin_size, center
        See `DWTA`.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb import WTA
    >>> family = WTA(dim=128, K=4, L=20, seed=1)
    >>> x = np.random.default_rng(0).standard_normal(128)
    >>> bool((family.hash(x) == family.hash(np.exp(x))).all())
    True
    """

    def __init__(self, dim: int, K: int, L: int, *, seed: int = 0, bin_size: int = 8, center: ArrayLike | None = None) -> None:
        super().__init__(dim, K, L, seed=seed, bin_size=bin_size, zeros="value", center=center)
